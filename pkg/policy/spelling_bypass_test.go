// A scale under Knative's other spelling.

package policy_test

import (
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

func TestEverySpellingIsRead(t *testing.T) {
	for key, value := range map[string]string{knative.MaxScaleKey: "3", knative.MinScaleKey: "4", knative.InitialScaleKey: "5", knative.RetentionKey: "6s", knative.ScaleDownDelayKey: "7s"} {
		spellings := knative.Spellings(key)
		assert.Len(t, spellings, 2, key)
		for _, spelling := range spellings {
			base := `{autoscaling.knative.dev/max-scale: "1"}`
			if key == knative.MaxScaleKey {
				base = `{}`
			}
			o := service(base, onePod)
			manifest.Map(o, "spec", "template", "metadata", "annotations")[spelling] = value
			d := demand(o)
			got := map[string]any{knative.MaxScaleKey: d.PeakPods, knative.MinScaleKey: d.MinScale, knative.InitialScaleKey: d.PeakPods, knative.RetentionKey: d.Retention, knative.ScaleDownDelayKey: d.ScaleDownDelay}[key]
			want := map[string]any{knative.MaxScaleKey: int64(3), knative.MinScaleKey: int64(4), knative.InitialScaleKey: int64(5), knative.RetentionKey: 6 * time.Second, knative.ScaleDownDelayKey: 7 * time.Second}[key]
			assert.Equal(t, want, got, spelling)
			assert.Equal(t, "spec.template.metadata.annotations["+spelling+"]", d.Paths[key].String())
		}
	}
}

// The pairs are Knative's own, from its register of annotations.
func TestTheSpellingThatKnativeReadsIsCounted(t *testing.T) {
	for key, peak := range map[string]func(value int64) int64{
		knative.MaxScaleKey:     func(v int64) int64 { return v },
		knative.InitialScaleKey: func(v int64) int64 { return max(v, 3) },
		knative.MinScaleKey:     func(v int64) int64 { return max(v, 3) },
	} {
		canonical, other := knative.Spellings(key)[0], knative.Spellings(key)[1]
		for name, test := range map[string]struct {
			set  map[string]any
			want int64
		}{
			"the canonical one alone":                {map[string]any{canonical: "7"}, 7},
			"the other one alone":                    {map[string]any{other: "7"}, 7},
			"the canonical one wins":                 {map[string]any{canonical: "7", other: "2"}, 7},
			"also where it is smaller":               {map[string]any{canonical: "2", other: "7"}, 2},
			"and where it is one that nobody reads":  {map[string]any{canonical: "", other: "2"}, workload.Unbounded},
			"a value that cannot be read beside one": {map[string]any{canonical: "7", other: "x"}, 7},
		} {
			o := service(`{}`, onePod)
			annotations := manifest.Map(o, "spec", "template", "metadata", "annotations")
			if key != knative.MaxScaleKey {
				annotations[knative.MaxScaleKey] = "3"
			}
			maps.Copy(annotations, test.set)
			assert.Equal(t, peak(test.want), demand(o).PeakPods, "%s: %s", key, name)
		}
	}
}
