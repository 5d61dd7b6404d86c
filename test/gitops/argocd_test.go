package gitops

import (
	"maps"
	"testing"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/diff"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/tracing"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/klog/v2"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
)

// manager is Argo CD's field manager.
const manager = "argocd-controller"

// argo is what Argo CD does with what stands in Git.
type argo struct {
	*lab
	resources kube.ResourceOperations
	always    []diff.Option
}

func newArgo(t *testing.T) *argo {
	t.Helper()
	l := newLab(t)
	kubectl := &kube.KubectlCmd{Log: klog.Background(), Tracer: tracing.NopTracer{}}
	resources, done, err := kubectl.ManageResources(l.config)
	require.NoError(t, err)
	t.Cleanup(done)
	dryRuns, done, err := kubectl.ManageServerSideDiffDryRuns(l.config)
	require.NoError(t, err)
	t.Cleanup(done)
	_, schemas, err := kubectl.LoadOpenAPISchema(l.config)
	require.NoError(t, err)
	return &argo{l, resources, []diff.Option{diff.WithManager(manager), diff.WithGVKParser(schemas), diff.WithLogr(klog.Background()),
		diff.WithServerSideDryRunner(diff.NewK8sServerSideDryRunner(dryRuns))}}
}

func (a *argo) sync(t *testing.T, u *unstructured.Unstructured, serverSide bool) {
	t.Helper()
	_, err := a.resources.ApplyResource(t.Context(), u.DeepCopy(), cmdutil.DryRunNone, false, true, serverSide, manager)
	require.NoError(t, err)
}

// drifts tells whether an Application is out of sync: whether what is live is not what a
// sync would leave. The controller's latest state may fall between the two.
func (a *argo) drifts(t *testing.T, u *unstructured.Unstructured, settings ...diff.Option) (drifts bool, predicted string) {
	t.Helper()
	before := ""
	for before != a.live(u).GetResourceVersion() {
		live := a.live(u)
		before = live.GetResourceVersion()
		r, err := diff.Diff(u.DeepCopy(), live, append(settings, a.always...)...)
		require.NoError(t, err)
		drifts, predicted = r.Modified, string(r.PredictedLive)
	}
	return drifts, predicted
}

// ignored is what ignoreDifferences makes of an object.
type ignored []string

func (path ignored) Normalize(u *unstructured.Unstructured) error {
	unstructured.RemoveNestedField(u.Object, path...)
	return nil
}

// TestArgoCD shows the settings of docs/gitops.md, and what happens without them.
func TestArgoCD(t *testing.T) {
	serverSideDiff, mutations := diff.WithServerSideDiff(true), diff.WithIgnoreMutationWebhook(false)
	ignoreReplicas := diff.WithNormalizer(ignored{"spec", "replicas"})
	for name, test := range map[string]struct {
		serverSide bool // ServerSideApply=true
		settings   []diff.Option
		drifting   []string
	}{
		"as documented":                             {true, []diff.Option{serverSideDiff, mutations}, nil},
		"without IncludeMutationWebhook":            {true, []diff.Option{serverSideDiff}, nil},
		"without ServerSideDiff":                    {true, []diff.Option{diff.WithStructuredMergeDiff(true)}, []string{"a Knative Service", "a Deployment with replicas"}},
		"without any":                               {false, nil, []string{"a Deployment with replicas"}},
		"with ignoreDifferences for replicas alone": {false, []diff.Option{ignoreReplicas}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newArgo(t)
			var drifting []string
			for what, u := range a.manifests() {
				tracked := maps.Clone(u.GetAnnotations())
				tracked["argocd.argoproj.io/tracking-id"] = "shop:" + u.GetKind() + ":" + a.namespace + "/" + u.GetName()
				u.SetAnnotations(tracked)
				a.sync(t, u, test.serverSide)
				a.settle(u)
				before := a.generation(u)
				a.sync(t, u, test.serverSide)
				assert.Equal(t, before, a.generation(u), "%s: a sync without a change changes nothing", what)
				if drifts, _ := a.drifts(t, u, test.settings...); drifts {
					drifting = append(drifting, what)
				}
			}
			assert.ElementsMatch(t, test.drifting, drifting)
		})
	}
}

// The diff of a change shows what the webhook makes of it, if mutations are included.
func TestArgoCDShowsWhatAChangeBecomes(t *testing.T) {
	t.Parallel()
	a := newArgo(t)
	u := a.manifests()["a Knative Service"]
	a.sync(t, u, true)
	parameters := maps.Clone(u.GetAnnotations())
	parameters["autoscale.kubetorch.com/max-scale"] = "7"
	u.SetAnnotations(parameters)
	for included, becomes := range map[bool]string{true: "7", false: "10"} {
		drifts, predicted := a.drifts(t, u, diff.WithServerSideDiff(true), diff.WithIgnoreMutationWebhook(!included))
		assert.True(t, drifts)
		o := &unstructured.Unstructured{}
		require.NoError(t, o.UnmarshalJSON([]byte(predicted)))
		annotations, _, err := unstructured.NestedStringMap(o.Object, "spec", "template", "metadata", "annotations")
		require.NoError(t, err)
		assert.Equal(t, becomes, annotations["autoscaling.knative.dev/max-scale"])
	}
}
