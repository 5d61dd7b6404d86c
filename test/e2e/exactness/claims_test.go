package exactness

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// deviceClass is the DeviceClass of the GPUs that ResourceClaims ask for, and driver the one behind it.
const (
	deviceClass = "gpu.nvidia.com"
	driver      = "gpu.nvidia.com"
)

// adminLabel is the label of namespaces that allow claims that look at devices in use.
const adminLabel = "resource.kubernetes.io/admin-access"

var (
	deviceClasses  = schema.GroupVersionResource{Group: "resource.k8s.io", Version: "v1", Resource: "deviceclasses"}
	resourceSlices = schema.GroupVersionResource{Group: "resource.k8s.io", Version: "v1", Resource: "resourceslices"}
	resourceClaims = schema.GroupVersionResource{Group: "resource.k8s.io", Version: "v1", Resource: "resourceclaims"}
	claimTemplates = schema.GroupVersionResource{Group: "resource.k8s.io", Version: "v1", Resource: "resourceclaimtemplates"}
)

// sharedClaim is the ResourceClaim in each namespace which pods name themselves.
const sharedClaim = "shared"

// everything is the number of devices that a request has which asks for all that there are.
const everything = -1

// ask is what a claim asks for.
type ask struct {
	devices int
	// product is the one that all its devices are of; empty for any.
	product string
	// way is which of the ways that there are: two requests, or alternatives of which one is smaller.
	way int
	// looks is whether a further request looks at devices in use, which administrators may.
	looks bool
}

// claimTemplate is a ResourceClaimTemplate that every namespace has, and what it asks for: each stays of its
// product, however often it is made anew.
type claimTemplate struct {
	name string
	ask
}

const (
	anyFirst  = "any-0"
	anySecond = "any-1"
	ofL4      = "l4"
	ofH100    = "h100"
	ofAll     = "all"
	looking   = "looking"
)

var templatesOfEach = []claimTemplate{
	{name: anyFirst}, {name: anySecond}, {ofL4, ask{product: l4}}, {ofH100, ask{product: h100}},
	{ofAll, ask{devices: everything}}, {looking, ask{looks: true}},
}

// drawnTemplates are their names, each as often as it is drawn.
var drawnTemplates = []string{
	anyFirst, anyFirst, anySecond, anySecond, ofL4, ofL4, ofH100, ofH100, ofAll, looking, looking,
}

// templateNamed is the template of a name.
func templateNamed(name string) claimTemplate {
	return templatesOfEach[slices.IndexFunc(templatesOfEach, func(t claimTemplate) bool { return t.name == name })]
}

// others are the templates that take the place of some when a workload's pods change: of the same products.
func others(templates []string) (names []string) {
	for _, name := range templates {
		switch name {
		case anyFirst:
			name = anySecond
		case anySecond:
			name = anyFirst
		}
		names = append(names, name)
	}
	return names
}

// drawClaims draws how a workload gets its devices: by templates, by the claim that all share, by names of
// resources, or by two of these. admin is whether its namespace allows claims that look at devices in use.
func (w *workload) drawClaims(r *rand.Rand, admin bool) {
	n := r.IntN(24)
	switch w.kind {
	case plainService, labelledService, labelledDeployment, expandedDeployment: // Knative has no claims
		return
	case handMade:
		w.device, w.looks = gpu, admin && r.IntN(2) == 0
		if w.pin != "" {
			w.pin = productLabel + "=" + []string{l4, h100}[r.IntN(2)]
		}
		if r.IntN(6) == 0 {
			w.devices = everything
		}
		return
	}
	template := func() {
		name := drawnTemplates[r.IntN(len(drawnTemplates))]
		switch {
		case name == looking && !admin:
			name = anyFirst
		case name == ofAll:
			w.pods = min(w.pods, 1+r.IntN(2))
		}
		w.templates = append(w.templates, name)
	}
	switch {
	case n < 5:
		w.device = ""
		template()
	case n < 7:
		w.device = ""
		template()
		template()
	case n < 8:
		w.device, w.shared = "", true
		template()
	case n < 10:
		w.device, w.devices = gpu, 1+r.IntN(3)
		template()
	case n < 11:
		w.device, w.shared = "", true
	}
}

// podClaims are the resourceClaims of its pods.
func (w workload) podClaims() (claims []any) {
	for i, name := range w.templates {
		claims = append(claims, map[string]any{"name": fmt.Sprintf("devices-%d", i), "resourceClaimTemplateName": name})
	}
	if w.shared {
		claims = append(claims, map[string]any{"name": sharedClaim, "resourceClaimName": sharedClaim})
	}
	return claims
}

// request is one for a number of devices.
func (a ask) request(devices int) map[string]any {
	exactly := map[string]any{"deviceClassName": deviceClass}
	switch devices {
	case everything:
		exactly["allocationMode"] = "All"
	case 1:
	default:
		exactly["count"] = int64(devices)
	}
	if a.product != "" {
		name := strings.ReplaceAll(a.product, "-", " ")
		exactly["selectors"] = []any{map[string]any{"cel": map[string]any{
			"expression": fmt.Sprintf("device.attributes[%q].productName == %q", driver, name)}}}
	}
	return exactly
}

// spec is that of a claim.
func (a ask) spec() map[string]any {
	requests := []any{map[string]any{"name": "gpu", "exactly": a.request(a.devices)}}
	switch {
	case a.devices != 1 && a.way == 0:
		first, second := a.request(a.devices), a.request(1)
		first["name"], second["name"] = "many", "one"
		requests = []any{map[string]any{"name": "gpu", "firstAvailable": []any{first, second}}}
	case a.devices != 1 && a.way == 1:
		requests = []any{
			map[string]any{"name": "gpu", "exactly": a.request(max(everything, a.devices-1))},
			map[string]any{"name": "more", "exactly": a.request(1)},
		}
	}
	if a.looks {
		look := a.request([]int{everything, 2, 8}[a.way])
		look["adminAccess"] = true
		requests = append(requests, map[string]any{"name": "look", "exactly": look})
	}
	return map[string]any{"devices": map[string]any{"requests": requests}}
}

// template is one of a name that asks for it.
func (a ask) template(name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate",
		"spec": map[string]any{"spec": a.spec()}}}
	u.SetName(name)
	return u
}

// claim is one of a name that asks for it.
func (a ask) claim(name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
		"spec": a.spec()}}
	u.SetName(name)
	return u
}

// anew is what a template asks for that is made once more, with so many devices.
func (t claimTemplate) anew(devices, way int) ask {
	a := t.ask
	if a.way = way; a.devices != everything || devices == 1 { // for one device there mostly is room
		a.devices = devices
	}
	return a
}

// makeClaims makes the templates and the shared claim of the round's namespaces, and sees to it that only those
// that allow it have claims that look at devices in use.
func (e *round) makeClaims(t *testing.T, r *rand.Rand) {
	t.Helper()
	for _, namespace := range e.namespaces {
		for _, template := range templatesOfEach {
			u := template.anew(2+r.IntN(2), r.IntN(3)).template(template.name)
			err := e.provide(t, claimTemplates, namespace, u)
			if template.looks && !e.witness.allows(namespace) {
				require.True(t, apierrors.IsInvalid(err) || apierrors.IsForbidden(err), "%s in %s: %v", template.name, namespace, err)
				require.ErrorContains(t, err, adminLabel)
				continue
			}
			require.NoError(t, err)
		}
		require.NoError(t, e.provide(t, resourceClaims, namespace, ask{devices: 1 + r.IntN(3), way: r.IntN(3)}.claim(sharedClaim)))
	}
}

func (e *round) provide(t *testing.T, resource schema.GroupVersionResource, namespace string, u *unstructured.Unstructured) error {
	t.Helper()
	return harness.Answered(func() error {
		_, err := client.Resource(resource).Namespace(namespace).Create(t.Context(), u, metav1.CreateOptions{})
		return err
	})
}

// swap deletes one of those that the user's pods have their devices by, a template or the shared claim, and makes
// it anew with another number of devices, under all that names it. Where that does not fit it asks for less.
func (u *user) swap() {
	var api dynamic.ResourceInterface = client.Resource(resourceClaims).Namespace(u.namespace)
	name, anew := sharedClaim, func(devices int) *unstructured.Unstructured {
		return ask{devices: devices, way: u.r.IntN(3)}.claim(sharedClaim)
	}
	if n := u.r.IntN(len(u.w.podClaims())); n < len(u.w.templates) {
		api = client.Resource(claimTemplates).Namespace(u.namespace)
		t := templateNamed(u.w.templates[n])
		name, anew = t.name, func(devices int) *unstructured.Unstructured {
			return t.anew(devices, u.r.IntN(3)).template(t.name)
		}
	}
	err := u.operation(func(ctx context.Context) error { return api.Delete(ctx, name, metav1.DeleteOptions{}) })
	if err != nil {
		u.answered(err)
		return
	}
	u.deleted.Add(1)
	for devices := 1 + u.r.IntN(6); ; devices = max(1, devices-1-u.r.IntN(2)) {
		err := u.operation(func(ctx context.Context) error {
			_, err := api.Create(ctx, anew(devices), metav1.CreateOptions{})
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
