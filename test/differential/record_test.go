//go:build record

// To record takes minutes and a network: each release is built with its own Kubernetes.

package differential

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/manifest"
)

var programs = flag.String("programs", "", "a folder that keeps the programs that are built")

// longestWords is how much of a refusal is recorded.
const longestWords = 160

// TestRecordVerdicts asks every release's own code for recordedVerdicts, and writes it anew.
func TestRecordVerdicts(t *testing.T) {
	cases := make([]releaseVerdicts, recordedCases)
	var lines bytes.Buffer
	for i := range cases {
		config, service := releaseCase(uint64(i))
		raw, err := json.Marshal(service)
		require.NoError(t, err)
		cases[i] = releaseVerdicts{Config: config, Service: raw, Refused: map[string]string{}}
		line, err := json.Marshal(map[string]any{"Config": config, "Service": json.RawMessage(raw)})
		require.NoError(t, err)
		lines.Write(append(line, '\n'))
	}
	for _, release := range releases {
		program, source := buildVerdicts(t, release.version)
		command := exec.Command(program)
		command.Stdin, command.Stderr = bytes.NewReader(lines.Bytes()), os.Stderr
		out, err := command.Output()
		require.NoError(t, err, release.name)
		schema := serviceSchema(t, source)
		answers := bufio.NewScanner(bytes.NewReader(out))
		for i := range cases {
			require.True(t, answers.Scan(), "%s answers %d of %d", release.name, i, len(cases))
			var text string
			require.NoError(t, json.Unmarshal(answers.Bytes(), &text))
			if text == "" {
				text = duplicate(decode(cases[i].Service), schema, "")
			}
			if text != "" {
				cases[i].Refused[release.name] = text[:min(len(text), longestWords)]
			}
		}
	}
	writeVerdicts(t, cases)
	t.Log(words(cases))
}

// buildVerdicts builds the program with a version of Knative Serving, in a module of its own,
// and returns it and where the version's source is.
func buildVerdicts(t *testing.T, version string) (program, source string) {
	t.Helper()
	keep := *programs
	if keep == "" {
		keep = t.TempDir()
	}
	dir := filepath.Join(keep, version)
	program = filepath.Join(dir, "verdicts")
	run := func(args ...string) string {
		t.Helper()
		command := exec.Command("go", args...)
		command.Dir, command.Stderr = dir, os.Stderr
		out, err := command.Output()
		require.NoError(t, err, "go %v with %s", args, version)
		return strings.TrimSpace(string(out))
	}
	if _, err := os.Stat(program); err != nil {
		require.NoError(t, os.MkdirAll(dir, 0o755))
		main, err := os.ReadFile("testdata/verdicts/main.go")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), main, 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module verdicts\n\ngo 1.26.1\n\nrequire knative.dev/serving "+version+"\n"), 0o644))
		run("build", "-mod=mod", "-o", program, ".")
	}
	return program, run("list", "-mod=mod", "-m", "-f", "{{.Dir}}", "knative.dev/serving")
}

// serviceSchema is the schema of the CRD of Services in a source tree of Knative Serving.
func serviceSchema(t *testing.T, source string) object {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(source, "config/core/300-resources/service.yaml"))
	require.NoError(t, err)
	var crd object
	require.NoError(t, yaml.Unmarshal(raw, &crd))
	for _, v := range manifest.Objects(crd, "spec", "versions") {
		if v["name"] == "v1" {
			return manifest.Map(v, "schema", "openAPIV3Schema")
		}
	}
	require.FailNow(t, "no version v1", source)
	return nil
}

// duplicate is the path of an entry that a schema's list has already, by the keys of the list;
// empty for none. It is all that a CRD refuses after Knative's webhook has completed an object,
// which leaves out no field that the CRD asks for.
func duplicate(v any, schema object, at string) string {
	switch v := v.(type) {
	case object:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if found := duplicate(v[key], manifest.Map(schema, "properties", key), at+"."+key); found != "" {
				return found
			}
		}
	case []any:
		seen := map[string]bool{}
		for i, entry := range v {
			path := fmt.Sprintf("%s[%d]", at, i)
			if found := duplicate(entry, manifest.Map(schema, "items"), path); found != "" {
				return found
			}
			key := ""
			for _, name := range manifest.List(schema, "x-kubernetes-list-map-keys") {
				value, stated := entry.(object)[name.(string)]
				if !stated {
					value = manifest.At(schema, "items", "properties", name.(string), "default")
				}
				key += fmt.Sprintf("%v/", value)
			}
			if key != "" && seen[key] {
				return path + ": Duplicate value"
			}
			seen[key] = true
		}
	}
	return ""
}

func writeVerdicts(t *testing.T, cases []releaseVerdicts) {
	t.Helper()
	var packed bytes.Buffer
	writer, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	require.NoError(t, err)
	lines := json.NewEncoder(writer)
	for _, c := range cases {
		require.NoError(t, lines.Encode(c))
	}
	require.NoError(t, writer.Close())
	require.NoError(t, os.WriteFile(recordedVerdicts, packed.Bytes(), 0o644))
}
