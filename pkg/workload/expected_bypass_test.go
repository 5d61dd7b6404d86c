// Another template takes the place of pods that were only expected, for which no entry has to hold anything.

package workload_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// What an update is compared with is no more than a count leaves in the entry, wherever the update has a count hold
// more: else the count would raise the entry by what nobody was asked about.
func TestAnotherTemplateIsNotWithinWhatWasOnlyExpected(t *testing.T) {
	pod := func(gpus int64) string {
		return fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{resources: {limits: {nvidia.com/gpu: %d}}}]}}`, gpus)
	}
	set := func(kind string, replicas, gpus int64) string {
		return fmt.Sprintf(`{apiVersion: apps/v1, kind: %s, spec: {replicas: %d, template: {spec: {containers: [{resources: {limits: {nvidia.com/gpu: %d}}}]}}}}`, kind, replicas, gpus)
	}
	type usage struct{ was, now int64 }
	for name, test := range map[string]struct {
		old, object string
		pods        []string
		want        usage
	}{
		"a StatefulSet gets as many GPUs back as some earlier pods have": {
			set("StatefulSet", 4, 0), set("StatefulSet", 4, 2), []string{pod(2), pod(2)}, usage{4, 8}},
		"one that goes on without them may make more of the earlier ones": {
			set("StatefulSet", 4, 0), set("StatefulSet", 4, 0), []string{pod(2), pod(2)}, usage{8, 8}},
		"fewer than these hold together": {
			set("StatefulSet", 4, 0), set("StatefulSet", 2, 2), []string{pod(2), pod(2)}, usage{8, 4}},
		"a ReplicaSet gets larger pods and fewer of them, beside larger ones": {
			set("ReplicaSet", 24, 1), set("ReplicaSet", 6, 5), []string{pod(8), pod(8), pod(8)}, usage{24, 39}},
		"one that keeps its template": {
			set("ReplicaSet", 24, 1), set("ReplicaSet", 20, 1), []string{pod(8), pod(8), pod(8)}, usage{45, 41}},
		"one whose pods are all there": {
			set("ReplicaSet", 2, 8), set("ReplicaSet", 2, 1), []string{pod(8), pod(8)}, usage{16, 16}},
	} {
		t.Run(name, func(t *testing.T) {
			old, object := readAs(t, test.old), readAs(t, test.object)
			var pods []manifest.Object
			for _, text := range test.pods {
				pods = append(pods, readAs(t, text))
			}
			kind, _ := workload.KindFor(workload.KindOf(object))
			held := workload.HeldBy(pods, builtIn)
			was, now := kind.Usage(old, builtIn), kind.Usage(object, builtIn)
			was.Was(old, held, now)
			now.Expect(object, held)
			assert.Equal(t, test.want, usage{was.Claim, now.Claim})
		})
	}
}
