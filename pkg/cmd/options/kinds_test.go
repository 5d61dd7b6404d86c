package options

import (
	"os"
	"path/filepath"
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
		"a field that is none": {"kinds:\n- {grupp: x}\n", []string{
			`--kinds-file: kinds: Invalid value: cannot be read: error unmarshaling JSON: while decoding JSON: json: unknown field "grupp"`,
		}},
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
				got = append(got, e.Error())
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
