package exactness

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// deviceClass is the DeviceClass of the GPUs that ResourceClaims ask for, and driver the one behind it.
const (
	deviceClass = "gpu.nvidia.com"
	driver      = "gpu.nvidia.com"
)

var (
	deviceClasses  = schema.GroupVersionResource{Group: "resource.k8s.io", Version: "v1", Resource: "deviceclasses"}
	resourceSlices = schema.GroupVersionResource{Group: "resource.k8s.io", Version: "v1", Resource: "resourceslices"}
	resourceClaims = schema.GroupVersionResource{Group: "resource.k8s.io", Version: "v1", Resource: "resourceclaims"}
	claimTemplates = schema.GroupVersionResource{Group: "resource.k8s.io", Version: "v1", Resource: "resourceclaimtemplates"}
)

// claimEntry is the name of a pod's only claim, and sharedClaim that of the ResourceClaim in each namespace
// which pods name themselves.
const (
	claimEntry  = "devices"
	sharedClaim = "shared"
)

// claimTemplate is a ResourceClaimTemplate that every namespace has, and the product that it asks for: each
// stays of its product, however often it is made anew.
type claimTemplate struct{ name, product string }

var templatesOfEach = []claimTemplate{{"any-0", ""}, {"any-1", ""}, {"l4", l4}, {"h100", h100}}

// other is the template that takes the place of one when a workload's pods change: another of the same product.
func other(template string) string {
	switch template {
	case "any-0":
		return "any-1"
	case "any-1":
		return "any-0"
	}
	return template
}

// drawClaims draws how a workload gets its devices: by a template, by the claim that all share, or by names of
// resources.
func (w *workload) drawClaims(r *rand.Rand) {
	n := r.IntN(12)
	switch w.kind {
	case plainService, labelledService, labelledDeployment, expandedDeployment: // Knative has no claims
		return
	case handMade:
		w.device = gpu
		if w.pin != "" {
			w.pin = productLabel + "=" + []string{l4, h100}[r.IntN(2)]
		}
		return
	}
	switch {
	case n < 4:
		t := templatesOfEach[r.IntN(len(templatesOfEach))]
		w.ofTemplate, w.device = t.name, ""
		if w.kind != daemonSet {
			w.pin = ""
		}
	case n < 5:
		w.shared, w.device = true, ""
	}
}

// podClaims are the resourceClaims of its pods.
func (w workload) podClaims() []any {
	switch {
	case w.ofTemplate != "":
		return []any{map[string]any{"name": claimEntry, "resourceClaimTemplateName": w.ofTemplate}}
	case w.shared:
		return []any{map[string]any{"name": claimEntry, "resourceClaimName": sharedClaim}}
	}
	return nil
}

// claimSpec asks for some devices, of a product if one is named, in one of the ways that there are: as one
// request or as two, or with alternatives of which one is smaller.
func claimSpec(devices int, product string, way int) map[string]any {
	request := func(n int) map[string]any {
		exactly := map[string]any{"deviceClassName": deviceClass}
		if n != 1 {
			exactly["count"] = int64(n)
		}
		if product != "" {
			name := strings.ReplaceAll(product, "-", " ")
			exactly["selectors"] = []any{map[string]any{"cel": map[string]any{
				"expression": fmt.Sprintf("device.attributes[%q].productName == %q", driver, name)}}}
		}
		return exactly
	}
	requests := []any{map[string]any{"name": "gpu", "exactly": request(devices)}}
	switch {
	case devices > 1 && way == 0:
		first, second := request(devices), request(1)
		first["name"], second["name"] = "many", "one"
		requests = []any{map[string]any{"name": "gpu", "firstAvailable": []any{first, second}}}
	case devices > 1 && way == 1:
		requests = []any{map[string]any{"name": "gpu", "exactly": request(devices - 1)}, map[string]any{"name": "more", "exactly": request(1)}}
	}
	return map[string]any{"devices": map[string]any{"requests": requests}}
}

func templateObject(t claimTemplate, devices, way int) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate",
		"spec": map[string]any{"spec": claimSpec(devices, t.product, way)}}}
	u.SetName(t.name)
	return u
}

func claimObject(name string, devices int, product string, way int) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
		"spec": claimSpec(devices, product, way)}}
	u.SetName(name)
	return u
}

// makeClaims makes the templates and the shared claim of the round's namespaces.
func (e *round) makeClaims(t *testing.T, r *rand.Rand) {
	t.Helper()
	for _, namespace := range e.namespaces {
		for _, template := range templatesOfEach {
			e.provide(t, claimTemplates, namespace, templateObject(template, 1+r.IntN(3), r.IntN(3)))
		}
		e.provide(t, resourceClaims, namespace, claimObject(sharedClaim, 1+r.IntN(3), "", r.IntN(3)))
	}
}

func (e *round) provide(t *testing.T, resource schema.GroupVersionResource, namespace string, u *unstructured.Unstructured) {
	t.Helper()
	require.NoError(t, harness.Answered(func() error {
		_, err := client.Resource(resource).Namespace(namespace).Create(t.Context(), u, metav1.CreateOptions{})
		return err
	}))
}

// swap deletes what the user's pods have their devices by, the template or the shared claim, and makes it
// anew with another number of devices, under all that names it. Where that does not fit it asks for less.
func (u *user) swap() {
	var api dynamic.ResourceInterface = client.Resource(claimTemplates).Namespace(u.namespace)
	name := u.w.ofTemplate
	if u.w.shared {
		api, name = client.Resource(resourceClaims).Namespace(u.namespace), sharedClaim
	}
	err := u.operation(func(ctx context.Context) error { return api.Delete(ctx, name, metav1.DeleteOptions{}) })
	if err != nil {
		u.answered(err)
		return
	}
	u.deleted.Add(1)
	for devices := 1 + u.r.IntN(6); ; devices = max(1, devices-1-u.r.IntN(2)) {
		anew := claimObject(name, devices, "", u.r.IntN(3))
		if !u.w.shared {
			for _, t := range templatesOfEach {
				if t.name == name {
					anew = templateObject(t, devices, u.r.IntN(3))
				}
			}
		}
		err := u.operation(func(ctx context.Context) error {
			_, err := api.Create(ctx, anew, metav1.CreateOptions{})
			return err
		})
		switch again := u.answered(err); {
		case err == nil:
			u.swapped.Add(1)
			return
		case again && u.r.IntN(4) == 0, devices == 1 && u.r.IntN(8) == 0:
			return // somebody else does, or nobody
		}
		time.Sleep(time.Duration(u.r.IntN(300)) * time.Millisecond)
	}
}

// template is the ResourceClaimTemplate of a name as it is now; nil if there is none.
func (w *witness) template(namespace, name string) (found *record) {
	w.each([]string{namespace}, func(r *record) {
		if r.kind == "ResourceClaimTemplate" && r.name == name {
			found = r
		}
	})
	return found
}

var productTerm = regexp.MustCompile(`productName == "([^"]+)"`)

// readClaimSpec adds up what the requests of a claim ask for: the most of alternatives.
func (r *record) readClaimSpec(spec map[string]any) {
	requests, _, _ := unstructured.NestedSlice(spec, "devices", "requests")
	for _, request := range requests {
		alternatives, _, _ := unstructured.NestedSlice(request.(map[string]any), "firstAvailable")
		if exactly, found, _ := unstructured.NestedMap(request.(map[string]any), "exactly"); found {
			alternatives = append(alternatives, exactly)
		}
		most := int64(0)
		for _, a := range alternatives {
			n, stated, _ := unstructured.NestedInt64(a.(map[string]any), "count")
			if !stated {
				n = 1
			}
			most = max(most, n)
			selectors, _, _ := unstructured.NestedSlice(a.(map[string]any), "selectors")
			for _, s := range selectors {
				expression, _, _ := unstructured.NestedString(s.(map[string]any), "cel", "expression")
				if m := productTerm.FindStringSubmatch(expression); m != nil {
					r.label, r.value = productLabel, strings.ReplaceAll(m[1], " ", "-")
				}
			}
		}
		r.each += 7 * most
	}
}

// templateOf is the ResourceClaimTemplate that the only claim of a pod is made of; empty for none.
func templateOf(pod map[string]any) string {
	claims, _, _ := unstructured.NestedSlice(pod, "resourceClaims")
	for _, c := range claims {
		if name, _, _ := unstructured.NestedString(c.(map[string]any), "resourceClaimTemplateName"); name != "" {
			return name
		}
	}
	return ""
}

// each is how many sevenths of a GPU of the limit's type one pod of an object has: of what has them by a
// template, a pod what its ResourceClaim has, once that was made, and others what the template has now.
func (s *sums) each(r *record) int64 {
	from := r
	if r.template != "" {
		from = s.templates[r.namespace+"/"+r.template]
		for _, claim := range s.made[r.uid] {
			from = claim // there is one, or the recount differs
		}
	}
	if from == nil || !from.counts(s.product) {
		return 0
	}
	return from.each
}

// madeFor puts right whose a ResourceClaim is.
func (s *sums) madeFor(r *record) {
	for pod, claims := range s.made {
		if claims[r.uid] != nil && (r.gone || pod != r.controller) {
			delete(claims, r.uid)
			s.claimAgain(pod)
		}
	}
	if r.gone || r.controllerKind != "Pod" {
		return
	}
	put(s.made, r.controller, r)
	s.claimAgain(r.controller)
}

func (s *sums) claimAgain(uid types.UID) {
	if r := s.objects[uid]; r != nil {
		s.claim(r)
	}
}

// template puts right what the objects claim that name a template.
func (s *sums) template(r *record) {
	key := r.namespace + "/" + r.name
	switch {
	case !r.gone:
		s.templates[key] = r
	case s.templates[key] != nil && s.templates[key].uid == r.uid:
		delete(s.templates, key)
	}
	for _, o := range s.objects {
		if o.namespace == r.namespace && o.template == r.name {
			s.claim(o)
		}
	}
}

// partOfPod tells whether a ResourceClaim is counted with the pod that it was made for.
func (s *sums) partOfPod(r *record) bool {
	pod := s.objects[r.controller]
	return pod != nil && pod.kind == "Pod" && !pod.ended && pod.template != ""
}
