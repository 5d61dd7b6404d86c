package manifests

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
)

// instructions of the Dockerfile, with continued lines joined.
func instructions(t *testing.T) [][2]string {
	t.Helper()
	text, err := os.ReadFile("../../Dockerfile")
	require.NoError(t, err)
	var found [][2]string
	for line := range strings.Lines(strings.ReplaceAll(string(text), "\\\n", "")) {
		if keyword, rest, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			found = append(found, [2]string{keyword, strings.TrimSpace(rest)})
		}
	}
	return found
}

// TestTheImageIsBuiltFromWhatIsCopied does what the Dockerfile says, without images: it copies
// the files that are named into an empty folder and runs the build there.
func TestTheImageIsBuiltFromWhatIsCopied(t *testing.T) {
	source, out := t.TempDir(), t.TempDir()
	final, entry, user, placed := "", "", "", ""
	for _, i := range instructions(t) {
		switch keyword, rest := i[0], i[1]; keyword {
		case "FROM":
			final = rest
		case "COPY":
			if from, isFrom := strings.CutPrefix(rest, "--from=build "); isFrom {
				words := strings.Fields(from)
				assert.FileExists(t, filepath.Join(out, strings.TrimPrefix(words[0], "/out/")))
				placed = words[1]
				continue
			}
			words := strings.Fields(rest)
			for _, name := range words[:len(words)-1] {
				from, to := filepath.Join("../..", name), filepath.Join(source, name)
				if info, err := os.Stat(from); err == nil && info.IsDir() {
					require.NoError(t, os.CopyFS(to, os.DirFS(from)))
					continue
				}
				data, err := os.ReadFile(from)
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(to, data, 0o644))
			}
		case "RUN":
			if rest == "go mod download" {
				continue // fills a cache that is there
			}
			c := exec.CommandContext(t.Context(), "sh", "-c", strings.ReplaceAll(rest, "/out/", out+"/"))
			c.Dir, c.Env = source, append(os.Environ(), "VERSION=v9.8.7", "TARGETOS=", "TARGETARCH=", "GOWORK=off", "GOFLAGS=-mod=readonly")
			output, err := c.CombinedOutput()
			require.NoError(t, err, "%s", output)
		case "USER":
			user = rest
		case "ENTRYPOINT":
			entry = rest
		}
	}
	program := filepath.Join(out, "kubetorch-webhook")
	version, err := exec.CommandContext(t.Context(), program, "version").CombinedOutput()
	require.NoError(t, err, "%s", version)
	assert.Contains(t, string(version), "v9.8.7")
	file, err := elf.Open(program)
	require.NoError(t, err)
	defer file.Close()
	for _, p := range file.Progs {
		assert.NotEqual(t, elf.PT_INTERP, p.Type, "the image has no dynamic linker")
	}

	assert.Regexp(t, `^gcr\.io/distroless/static-[a-z0-9]+:nonroot$`, final)
	assert.Equal(t, `["`+placed+`"]`, entry)
	var deployment appsv1.Deployment
	one(t, "Deployment", "kubetorch-webhook", &deployment)
	assert.Equal(t, "65532:65532", user)
	assert.Equal(t, new(int64(65532)), deployment.Spec.Template.Spec.SecurityContext.RunAsUser)
	assert.Empty(t, deployment.Spec.Template.Spec.Containers[0].Command, "the entry point is the image's")
}

func TestTheImageIsBuiltWithTheGoOfTheModule(t *testing.T) {
	goMod, err := os.ReadFile("../../go.mod")
	require.NoError(t, err)
	wanted := regexp.MustCompile(`(?m)^go (1\.\d+)`).FindSubmatch(goMod)
	require.NotNil(t, wanted)
	assert.Contains(t, instructions(t)[0][1], "golang:"+string(wanted[1])+" ")
}
