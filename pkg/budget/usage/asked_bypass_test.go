// What may yet come, and nobody was asked about, raises the entry under which it then passes.

package usage

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/policy"
)

// A Deployment of 8 GPUs, and what may have it hold more.
const (
	targetText = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: a, uid: 00000000-0000-4000-8000-000000000011}, spec: {replicas: 1, selector: {matchLabels: {app: web}},
  template: {metadata: {labels: {app: web}}, spec: {containers: [{resources: {limits: {nvidia.com/gpu: 8}}}]}}}}`
	setText = `{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: web-1, namespace: a, uid: 00000000-0000-4000-8000-000000000012, labels: {app: web}, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: 00000000-0000-4000-8000-000000000011, controller: true}]},
  spec: {replicas: 1, selector: {matchLabels: {app: web}}, template: {spec: {containers: [{resources: {limits: {nvidia.com/gpu: 8}}}]}}}}`
	podText = `{apiVersion: v1, kind: Pod, metadata: {name: web-1-a, namespace: a, uid: 00000000-0000-4000-8000-000000000013, labels: {app: web}, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-1, uid: 00000000-0000-4000-8000-000000000012, controller: true}]},
  spec: {containers: [{resources: {limits: {nvidia.com/gpu: 8}}}]}}`
	scalerText = `{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: h, namespace: a}, spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}, maxReplicas: 10}}`
)

// claiming has pods claim devices by a template in place of a resource.
func claiming(object string) string {
	return sub(object, "containers: [{resources: {limits: {nvidia.com/gpu: 8}}}]", "resourceClaims: [{name: g, resourceClaimTemplateName: t}], containers: [{name: c}]")
}

// A count makes no room for what no admission found room for: pods pass where their root's entry holds
// them, so an entry is raised only to what admissions were asked about and to what pods hold.
func TestWhatMayYetComeRaisesNoEntry(t *testing.T) {
	family := []string{serviceText, configurationText, revisionText, autoscalerText, podsText, routeText}
	idle := `status: {conditions: [{type: Active, status: "False"}]}`
	earlier := sub(revisionText, "svc-00002", "svc-00001", "uid: r2", "uid: r1", "status: {}", idle)
	forged := sub(serviceText, "latestCreatedRevisionName: svc-00002", "latestCreatedRevisionName: svc-00002, traffic: [{revisionName: svc-00001, percent: 100}]")
	orphaned := func(text string) string { return sub(text, "ownerReferences: [", "former: [") }
	smaller := []string{`max-scale: "4"`, `max-scale: "1"`}
	routed := sub(serviceText, "spec: {template", "spec: {traffic: [{revisionName: svc-00002, percent: 100}], template")
	type amounts struct{ kept, raised int64 }
	for name, c := range map[string]struct {
		objects []string
		want    amounts
	}{
		"a Deployment with its pod":                            {[]string{targetText, setText, podText}, amounts{8, 8}},
		"an autoscaler that points at it":                      {[]string{targetText, setText, podText, scalerText}, amounts{80, 8}},
		"an autoscaler of a StatefulSet":                       {[]string{sub(targetText, "kind: Deployment", "kind: StatefulSet"), sub(scalerText, "kind: Deployment", "kind: StatefulSet")}, amounts{80, 8}},
		"a ReplicaSet that its controller scales further":      {[]string{targetText, sub(setText, "replicas: 1", "replicas: 3"), podText}, amounts{24, 8}},
		"pods that there are":                                  {[]string{targetText, setText, podText, sub(podText, "000013", "000014", "web-1-a", "web-1-b")}, amounts{16, 16}},
		"a ReplicaSet with GPUs, paused without any":           {[]string{sub(targetText, "gpu: 8", "gpu: 0", "replicas: 1", "replicas: 10, paused: true"), setText, podText}, amounts{80, 8}},
		"a Service with an earlier revision that has no pods":  {append(family, earlier), amounts{8, 8}},
		"traffic to it, that only a status says":               {append([]string{forged, earlier}, family[1:]...), amounts{16, 8}},
		"two earlier revisions that a status says have pods":   {append(family, sub(earlier, idle, "status: {}"), sub(earlier, idle, "status: {}", "svc-00001", "svc-00000", "uid: r1", "uid: r0")), amounts{24, 8}},
		"a PodAutoscaler that was written by itself, for pods": {[]string{sub(targetText, "replicas: 1", "replicas: 0"), sub(autoscalerText, "svc-00002-deployment", "web")}, amounts{32, 0}},
		"a template of claims that is made anew while":         {[]string{templateOf("t", 4), claiming(sub(targetText, "kind: Deployment", "kind: StatefulSet", "replicas: 1", "replicas: 3"))}, amounts{12, 0}},
		"a ReplicaSet whose Deployment is gone":                {[]string{sub(setText, "replicas: 1", "replicas: 3"), podText}, amounts{24, 8}},
		"a Revision whose Configuration is gone":               {[]string{revisionText}, amounts{8, 0}},
		"a Revision that was taken from its Configuration":     {[]string{orphaned(revisionText)}, amounts{8, 0}},
		"whose Deployment its controller scales":               {[]string{orphaned(revisionText), podsText}, amounts{8, 0}},
		"the latest Revision, of a larger template before":     {append([]string{sub(serviceText, smaller...), sub(configurationText, smaller...)}, family[2:]...), amounts{10, 2}},
		"traffic to what the template made, not observed yet":  {append([]string{sub(routed, "observedGeneration: 2", "observedGeneration: 1")}, family[1:]...), amounts{8, 8}},
		"and while a status says that it made another":         {append([]string{sub(routed, "RevisionName: svc-00002", "RevisionName: svc-00009")}, family[1:]...), amounts{8, 8}},
		"by a Deployment":                                      {[]string{templateOf("t", 4), claiming(sub(targetText, "replicas: 1", "replicas: 3")), claiming(setText)}, amounts{12, 0}},
		"by a pod":                                             {[]string{templateOf("t", 4), claiming(sub(podText, "controller: true", "controller: false"))}, amounts{4, 0}},
		"claims that were made of one":                         {[]string{templateOf("t", 4), claiming(targetText), claiming(setText), claiming(podText), claimOf("c", madeFor("00000000-0000-4000-8000-000000000013", "pod-claim-name", "g"), 2)}, amounts{4, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			var b v1alpha1.GPUBudget
			require.NoError(t, yaml.UnmarshalStrict([]byte("metadata: {name: x}\nspec: {max: 1}"), &b))
			listed := Claims(All(world(), objects(t, c.objects...)), policy.CompileBudgets([]v1alpha1.GPUBudget{b}).All()[0], map[string]map[string]string{"a": {}})
			var got amounts
			for key, a := range listed.Live["a"] {
				got.kept += a.GPUs + a.Overlap
				if asked, less := listed.Asked["a"][key]; less {
					a = asked
				}
				got.raised += a.GPUs + a.Overlap
			}
			assert.Equal(t, c.want, got)
		})
	}
}
