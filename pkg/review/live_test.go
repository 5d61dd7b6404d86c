package review_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/review"
)

// namespace is live objects, and how often it was asked.
type namespace struct {
	objects map[schema.GroupKind][]manifest.Object
	mu      sync.Mutex
	asked   []string
}

// Get notes names that are asked for one after the other together, sorted.
func (s *namespace) Get(_ context.Context, kind schema.GroupKind, _, name string) (manifest.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	verb := "get " + kind.Kind + " "
	if last := len(s.asked) - 1; last >= 0 && strings.HasPrefix(s.asked[last], verb) {
		names := append(strings.Fields(s.asked[last])[2:], name)
		slices.Sort(names)
		s.asked[last] = verb + strings.Join(names, " ")
	} else {
		s.asked = append(s.asked, verb+name)
	}
	for _, o := range s.objects[kind] {
		if manifest.Text(o, "metadata", "name") == name {
			return o, nil
		}
	}
	return nil, nil
}

func (s *namespace) List(_ context.Context, kind schema.GroupKind, _ string, selector labels.Selector) ([]manifest.Object, error) {
	s.asked = append(s.asked, "list "+kind.Kind)
	return s.objects[kind], nil
}

// storing are live objects, by their kinds.
func storing(objects ...string) *namespace {
	s := &namespace{objects: map[schema.GroupKind][]manifest.Object{}}
	for _, text := range objects {
		o := decoded(text)
		gv, err := schema.ParseGroupVersion(manifest.Text(o, "apiVersion"))
		if err != nil {
			panic(err)
		}
		kind := schema.GroupKind{Group: gv.Group, Kind: manifest.Text(o, "kind")}
		s.objects[kind] = append(s.objects[kind], o)
	}
	return s
}

// gpuPod is a pod spec with GPUs.
func gpuPod(n int) string {
	return fmt.Sprintf(`containers: [{image: "a/b:v1", resources: {limits: {nvidia.com/gpu: %d}}}]`, n)
}

// Objects of Knative's kinds. more is further metadata.
func ksvc(maxScale string, gpus int, more string) string {
	return fmt.Sprintf(`{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: svc, uid: s-1, %s}, spec: {template: {metadata: {annotations: {autoscaling.knative.dev/max-scale: %q}}, spec: {%s}}}}`, more, maxScale, gpuPod(gpus))
}

func configuration(maxScale string, gpus int, more string) string {
	return fmt.Sprintf(`{apiVersion: serving.knative.dev/v1, kind: Configuration, metadata: {name: svc, uid: c-1, generation: 3, %s}, spec: {template: {metadata: {annotations: {autoscaling.knative.dev/max-scale: %q}}, spec: {%s}}}}`, more, maxScale, gpuPod(gpus))
}

func revisionOf(name, maxScale string, gpus int, more string) string {
	return fmt.Sprintf(`{apiVersion: serving.knative.dev/v1, kind: Revision, metadata: {name: %s, uid: r-1, annotations: {autoscaling.knative.dev/max-scale: %q}, %s}, spec: {%s}}`, name, maxScale, more, gpuPod(gpus))
}

func autoscaler(maxScale, target, more string) string {
	return fmt.Sprintf(`{apiVersion: autoscaling.internal.knative.dev/v1alpha1, kind: PodAutoscaler, metadata: {name: svc-00003, uid: p-1, annotations: {autoscaling.knative.dev/class: kpa.autoscaling.knative.dev, autoscaling.knative.dev/max-scale: %q}, %s}, spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: %s}}}`, maxScale, more, target)
}

func plainDeployment(name, replicas string, gpus int) string {
	return fmt.Sprintf(`{apiVersion: apps/v1, kind: Deployment, metadata: {name: %s}, spec: {replicas: %s, template: {spec: {%s}}}}`, name, replicas, gpuPod(gpus))
}

func routeTo(more, names string) string {
	return fmt.Sprintf(`{apiVersion: serving.knative.dev/v1, kind: Route, metadata: {name: svc, uid: t-1, %s}, spec: {traffic: [%s]}}`, more, names)
}

// ownedBy is the owner reference that Knative writes.
func ownedBy(kind, name, uid string) string {
	return fmt.Sprintf(`ownerReferences: [{apiVersion: serving.knative.dev/v1, kind: %s, name: %s, uid: %s, controller: true}]`, kind, name, uid)
}

var (
	ofService       = ownedBy("Service", "svc", "s-1")
	ofConfiguration = ownedBy("Configuration", "svc", "c-1")
	ofRevision      = ownedBy("Revision", "svc-00003", "r-1")
)

// ask is a request about an object of any kind; old is empty on CREATE.
func ask(object, old string) *admissionv1.AdmissionRequest {
	r := request(object, old)
	o := decoded(object)
	gv, err := schema.ParseGroupVersion(manifest.Text(o, "apiVersion"))
	if err != nil {
		panic(err)
	}
	r.Name, r.Kind = manifest.Text(o, "metadata", "name"), metav1.GroupVersionKind{Group: gv.Group, Version: gv.Version, Kind: manifest.Text(o, "kind")}
	return r
}

// judged is the verdict on a request, and what was read for it.
func judged(t *testing.T, raw *admissionv1.AdmissionRequest, s *namespace, policies ...string) (*admissionv1.AdmissionResponse, []string) {
	t.Helper()
	w := world(policies...)
	w.Live, w.Cluster = s, &review.Cluster{Knative: true}
	s.asked = nil
	r, answer := review.Read(raw)
	require.Nil(t, answer)
	if names := r.NamedRevisions(); len(names) > 0 { // the edge reads them first
		w.Revisions = must(cluster.Named(t.Context(), s, review.RevisionKind, "", names))
	}
	validated := validate(r, w)
	if raw.Kind.Kind != "Service" && raw.Kind.Kind != "Deployment" {
		assert.Equal(t, review.Allow("u-1"), mutate(r, w), "children are never changed")
	}
	return validated, s.asked
}

func reasonsOf(a *admissionv1.AdmissionResponse) string {
	if a.Allowed {
		return ""
	}
	var all []string
	for _, c := range a.Result.Details.Causes {
		all = append(all, c.Field+": "+c.Message)
	}
	return strings.Join(all, "; ")
}

// house is the policy of the case list: at most 8 GPUs per pod, 20 pods, 32 GPUs.
const house = `{metadata: {name: house}, spec: {bounds: {maxScale: {max: 20}, gpusPerPod: {max: 8}, gpusPerWorkload: {max: 32}}}}`
