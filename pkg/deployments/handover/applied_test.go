package handover_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/pkg/deployments/handover"
	"github.com/kubetorch/webhook/pkg/manifest"
)

func spec(env string) manifest.Object {
	return manifest.Object{"template": manifest.Object{"spec": manifest.Object{"containers": []any{manifest.Object{
		"env": []any{manifest.Object{"name": "A", "value": env}}}}}}}
}

// noise is text that compresses to three quarters of its length at best.
func noise(bytes int) string {
	var b strings.Builder
	for b.Len() < bytes {
		b.WriteString(strings.ReplaceAll(uuid.NewString(), "-", ""))
	}
	return b.String()[:bytes]
}

func TestARecordOfWhatWasAppliedIsReadAsItWasWritten(t *testing.T) {
	for name, test := range map[string]struct {
		env  string
		most int
	}{
		"a usual one is plain JSON":              {"1", 100},
		"a long one is compressed":               {strings.Repeat("a", 300<<10), 2000},
		"one that hardly compresses is read too": {noise(200 << 10), 200 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			want := handover.Applied{Workload: "w", Spec: spec(test.env)}
			text := want.Text()
			got, ok := handover.ReadApplied(text)
			assert.True(t, ok)
			assert.Equal(t, want, got)
			assert.LessOrEqual(t, len(text), test.most)
		})
	}
	for _, text := range []string{"", "x", "{", "{}", `{"spec": 1}`, "aGVsbG8=", "H4sIAAAAAAAA/w=="} {
		_, ok := handover.ReadApplied(text)
		assert.False(t, ok, text)
	}
}

func TestADeploymentWhoseRecordHasNoRoomIsRefused(t *testing.T) {
	service := func(env, note string) manifest.Object {
		return manifest.Object{"metadata": manifest.Object{"annotations": manifest.Object{"note": note}}, "spec": spec(env)}
	}
	for name, test := range map[string]struct {
		service manifest.Object
		refused bool
	}{
		"a usual one":                             {service("1", ""), false},
		"a long one that compresses":              {service(strings.Repeat("a", 1<<20), ""), false},
		"a long one that does not":                {service(noise(500<<10), ""), true},
		"annotations of its own leave no room":    {service(noise(100<<10), noise(200<<10)), true},
		"long annotations with a short spec pass": {service("1", noise(250<<10)), false},
	} {
		t.Run(name, func(t *testing.T) {
			err := handover.CheckApplied(test.service)
			assert.Equal(t, test.refused, err != nil, "%v", err)
			if err != nil {
				assert.Equal(t, "spec.template", err.Field)
				assert.Regexp(t, `would take \d+ bytes of at most 262144; move environment`, err.Detail)
			}
		})
	}
}
