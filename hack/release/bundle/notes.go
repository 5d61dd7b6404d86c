package bundle

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// version is what a release may be called.
var version = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?$`)

// changes is the section of CHANGELOG.md about a version.
func changes(root, version string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, "CHANGELOG.md"))
	if err != nil {
		return "", err
	}
	heading := regexp.MustCompile(`^## \[?` + regexp.QuoteMeta(version) + `\]?( |$)`)
	var section []string
	inside := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "## ") {
			inside = heading.MatchString(line)
			continue
		}
		if inside {
			section = append(section, line)
		}
	}
	if found := strings.TrimSpace(strings.Join(section, "\n")); found != "" {
		return found, nil
	}
	return "", fmt.Errorf("CHANGELOG.md says nothing of %s: give it a section \"## %s\" that says what is new", version, version)
}

// notes are what a release's page says.
func (o Options) notes(changes, digest string) string {
	return fmt.Sprintf(`%s

## Installing

    helm install kubetorch oci://%s/kubetorch-webhook --version %s --namespace kubetorch-system --create-namespace --wait

or kubectl apply --server-side -f install.yaml. Image: %s:%s@%s

checksums.txt has the SHA-256 of every file; image, chart and checksums are signed, and
RELEASE.md says how to verify that.
`, changes, o.Charts, strings.TrimPrefix(o.Version, "v"), o.Image, o.Version, digest)
}
