package options

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestTheKindsFileIsCheckedAsAWhole(t *testing.T) {
	const row = "kinds:\n- {group: acme.example, kind: Training, resource: trainings, makers: [acme/operator], pods: [{template: spec.template}]}\n"
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"a kind of one's own": {row, nil},
		"another row for a known kind": {
			"kinds:\n- {group: jobset.x-k8s.io, kind: JobSet, resource: jobsets, makers: [batch/jobset], pods: [{template: spec.template}]}\n", nil},
		"every mistake at once": {"kinds:\n- {group: acme.example, kind: Training, makers: [nobody], pods: [{}]}\n", []string{
			`--kinds-file: kinds[0].makers[0]: Invalid value: "nobody": must be the namespace/name of a service account`,
			`--kinds-file: kinds[0].pods[0]: Required value: give one of template, spec, containers and gpu`,
			`--kinds-file: kinds[0].resource: Required value: say which kind it is`,
		}},
		"a field that is none": {"kinds:\n- {grupp: x, group: a.com, kind: A, resource: as, pods: [{spec: a}]}\n", []string{
			`--kinds-file: kinds[0].grupp: Forbidden: is no field; allowed here: children, finished, group, kind, makers, managedBy, pods, replicas, resource, scale, suspend`,
		}},
		"values of another type, and what else is wrong": {"kinds:\n- {group: [a.com], kind: A, resource: as, scale: \"true\", pods: {spec: a}}\n- {group: b.com, kind: B, resource: bs, pods: [x, {spec: a, counts: [{path: b, absent: one}]}]}\n- 5\n- {group: c.com}\n", []string{
			`--kinds-file: kinds[0].group: Invalid value: "a list": must be a string`,
			`--kinds-file: kinds[0].pods: Invalid value: "an object": must be a list`,
			`--kinds-file: kinds[0].scale: Invalid value: "true": must be true or false; write it without quotes`,
			`--kinds-file: kinds[1].pods[0]: Invalid value: "x": must be an object`,
			`--kinds-file: kinds[1].pods[1].counts[0].absent: Invalid value: "one": must be a whole number`,
			`--kinds-file: kinds[2]: Invalid value: 5: must be an object`,
			`--kinds-file: kinds[3].kind: Required value: say which kind it is`,
			`--kinds-file: kinds[3].pods: Required value: say where the pods are described`,
			`--kinds-file: kinds[3].resource: Required value: say which kind it is`,
		}},
		"a list":      {"- {group: a.com}\n", []string{`--kinds-file: Invalid value: FILE: line 1: is a list, not an object`}},
		"no YAML":     {"kinds: [\n", []string{`--kinds-file: Invalid value: FILE: line 1: a value is missing here`}},
		"only a word": {"kinds: some\n", []string{`--kinds-file: kinds: Invalid value: "some": must be a list`}},
		"nothing":     {"# none yet\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "kinds.yaml")
			require.NoError(t, os.WriteFile(file, []byte(c.text), 0o600))
			var o Kinds
			flags := pflag.NewFlagSet("", pflag.ContinueOnError)
			o.addFlags(flags)
			require.NoError(t, flags.Parse([]string{"--kinds-file", file}))
			var got []string
			for _, e := range o.validate() {
				got = append(got, strings.ReplaceAll(e.Error(), file, "FILE"))
			}
			assert.Equal(t, c.want, got)
		})
	}
	missing := Kinds{File: "/nonexistent/kinds.yaml"}
	assert.ErrorContains(t, missing.validate().ToAggregate(), "--kinds-file: Invalid value")
}

func TestAKindsFileReplacesRowsOfItsKindsAndKeepsTheOthers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kinds.yaml")
	text := "kinds:\n- {group: jobset.x-k8s.io, kind: JobSet, resource: jobsets, makers: [batch/jobset], pods: [{template: spec.template}]}\n"
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	o := Kinds{File: file}
	require.Empty(t, o.validate())
	replaced, ok := o.Operators().For(schema.GroupKind{Group: "jobset.x-k8s.io", Kind: "JobSet"})
	require.True(t, ok)
	assert.Equal(t, []string{"batch/jobset"}, replaced.Makers)
	_, ok = o.Operators().For(schema.GroupKind{Group: "ray.io", Kind: "RayCluster"})
	assert.True(t, ok)
	assert.NotEqual(t, o.Operators().Digest(), (&Kinds{}).Operators().Digest(), "a replica with another table counts otherwise")
}
