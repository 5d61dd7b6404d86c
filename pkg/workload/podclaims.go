package workload

import (
	"cmp"
	"maps"
	"slices"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// AdminAccessLabel is the label of a namespace that allows claims with adminAccess.
const AdminAccessLabel = resourcev1.DRAAdminNamespaceLabelKey

// AdminAccess tells whether the labels of a namespace allow claims that look at devices in use: they
// give no device to their pods alone.
func AdminAccess(namespace map[string]string) bool { return namespace[AdminAccessLabel] == "true" }

// ClaimIndex are the ResourceClaimTemplates and ResourceClaims by which the devices of pods are counted.
type ClaimIndex struct {
	templates map[inPlace]manifest.Object
	// made are the claims that say that they were made for a pod, by the pod's UID, in the order of
	// their names.
	made map[string][]manifest.Object
	// taken is a claim that is about to be made.
	taken map[taken]manifest.Object
	// AdminAccess tells whether a namespace allows claims with adminAccess; nil is that none does.
	AdminAccess func(namespace string) bool
	// Assume is whether a claim of a template that is not known counts as one GPU, and is not refused.
	Assume bool
}

// inPlace is a name in a namespace.
type inPlace struct{ namespace, name string }

func placeIn(o manifest.Object) inPlace {
	return inPlace{manifest.Text(o, "metadata", "namespace"), manifest.Text(o, "metadata", "name")}
}

// NewClaims looks claims up in objects; both kinds state their namespace, or none does.
func NewClaims(templates, claims []manifest.Object) *ClaimIndex {
	c := &ClaimIndex{templates: make(map[inPlace]manifest.Object, len(templates)), made: map[string][]manifest.Object{}}
	for _, t := range templates {
		c.templates[placeIn(t)] = t
	}
	for _, claim := range claims {
		c.add(claim)
	}
	return c
}

func (c *ClaimIndex) add(claim manifest.Object) {
	ref, ok := Owner(claim)
	if !ok {
		return
	}
	c.made[ref.UID] = append(c.made[ref.UID], claim)
	slices.SortStableFunc(c.made[ref.UID], func(a, b manifest.Object) int {
		return cmp.Compare(manifest.Text(a, "metadata", "name"), manifest.Text(b, "metadata", "name"))
	})
}

// template is the ResourceClaimTemplate of a name; nil if there is none.
func (c *ClaimIndex) template(namespace, name string) manifest.Object {
	if t := c.templates[inPlace{namespace, name}]; t != nil {
		return t
	}
	return c.templates[inPlace{"", name}]
}

// extendedEntry stands for the claim that the scheduler makes for a pod's extended resources, among the
// names of its claims, which are never empty nor have a slash.
const extendedEntry = "/extended"

// claimOfPod is the name of the pod's claim, or extendedEntry, that a ResourceClaim was made for; empty if
// the pod has no such claim, or has ended. The ResourceClaim states the pod as its controller.
func claimOfPod(claim, pod manifest.Object) string {
	if Ended(pod) {
		return ""
	}
	annotations := manifest.Texts(claim, "metadata", "annotations")
	if annotations[resourcev1.ExtendedResourceClaimAnnotation] == "true" {
		named := manifest.Text(pod, "status", "extendedResourceClaimStatus", "resourceClaimName")
		if named != "" && named == manifest.Text(claim, "metadata", "name") {
			return extendedEntry
		}
		return ""
	}
	entry := annotations[resourcev1.PodResourceClaimAnnotation]
	for _, e := range manifest.Objects(pod, "spec", "resourceClaims") {
		if entry != "" && manifest.Text(e, "name") == entry && manifest.Text(e, "resourceClaimTemplateName") != "" {
			return entry
		}
	}
	return ""
}

// of is the ResourceClaim that was made for one of a pod's claims; nil if there is none yet. Of several
// that say so it is the first by name; the others hold their devices by themselves.
func (c *ClaimIndex) of(pod manifest.Object, entry string) manifest.Object {
	if c == nil || pod == nil {
		return nil
	}
	for _, claim := range c.made[manifest.Text(pod, "metadata", "uid")] {
		if Belongs(claim, pod) && claimOfPod(claim, pod) == entry {
			return claim
		}
	}
	return c.taken[taken{manifest.Text(pod, "metadata", "uid"), entry}]
}

// Take counts a ResourceClaim that is about to be made with a pod, by whoever makes such claims, unless the
// pod has one of its kind already. The status of the pod names the one for extended resources only later.
func (c *ClaimIndex) Take(claim, pod manifest.Object) bool {
	entry := claimOfPod(claim, pod)
	if manifest.Text(claim, "metadata", "annotations", resourcev1.ExtendedResourceClaimAnnotation) == "true" {
		entry = extendedEntry
	}
	if entry == "" || Ended(pod) || c.of(pod, entry) != nil {
		return false
	}
	key := taken{manifest.Text(pod, "metadata", "uid"), entry}
	c.taken = map[taken]manifest.Object{key: claim}
	return true
}

// Templates are the claims without those that were made already: what pods are admitted with.
func (c *ClaimIndex) Templates() *ClaimIndex {
	templates := *c
	templates.made, templates.taken = nil, nil
	return &templates
}

// Made are the claims without what they are made of: what was charged when it was made. What templates say now
// of claims that are yet to be made, admissions may not have been asked about.
func (c *ClaimIndex) Made() *ClaimIndex {
	made := *c
	made.templates = nil
	return &made
}

// Templated tells whether there is any template.
func (c *ClaimIndex) Templated() bool { return len(c.templates) > 0 }

// taken is one of a pod's claims, by the pod's UID.
type taken struct{ pod, entry string }

// PartOf tells whether a ResourceClaim is counted with a pod: it was made for one of the pod's claims,
// which has no other.
func (c *ClaimIndex) PartOf(claim, pod manifest.Object) bool {
	if pod == nil || !Belongs(claim, pod) {
		return false
	}
	counted := c.of(pod, claimOfPod(claim, pod))
	return counted != nil && manifest.Text(counted, "metadata", "uid") == manifest.Text(claim, "metadata", "uid")
}

// AnyMade tells whether any ResourceClaim says that it was made for a pod.
func (c *ClaimIndex) AnyMade() bool { return len(c.made) > 0 }

// Left are the ResourceClaims that say that they were made for pods, and are part of none of those that are
// there: their pods are gone, or have ended. Those that are being deleted, and that no other pod uses, no pod will
// use again.
func (c *ClaimIndex) Left(pods []manifest.Object) (left []manifest.Object) {
	byUID := make(map[string]manifest.Object, len(pods))
	for _, pod := range pods {
		byUID[manifest.Text(pod, "metadata", "uid")] = pod
	}
	for _, uid := range slices.Sorted(maps.Keys(c.made)) {
		for _, claim := range c.made[uid] {
			if !c.PartOf(claim, byUID[uid]) && !Waits(claim) {
				left = append(left, claim)
			}
		}
	}
	return left
}

// Waits tells whether a ResourceClaim that is part of no pod only waits to be gone, for whatever finalizer: it is being
// deleted, so that no pod gets its devices any more, and none but the one that it was made for has them.
func Waits(claim manifest.Object) bool {
	ref, _ := Owner(claim)
	return deleting(claim) && !usedByOthers(claim, ref.UID)
}

// usedByOthers tells whether a ResourceClaim is reserved for anything else than the pod of a UID.
func usedByOthers(claim manifest.Object, pod string) bool {
	return slices.ContainsFunc(manifest.Objects(claim, "status", "reservedFor"), func(user manifest.Object) bool {
		return manifest.Text(user, "uid") != pod
	})
}

// AsksByClass tells whether the containers of a pod ask for a resource that a class of devices stands behind:
// the scheduler makes a ResourceClaim for that.
func (g GPUResources) AsksByClass(pod manifest.Object) bool {
	rules := g.get()
	for _, list := range []string{"containers", "initContainers"} {
		for _, container := range manifest.Objects(pod, "spec", list) {
			for _, resources := range []string{"limits", "requests"} {
				for name := range manifest.Map(container, "resources", resources) {
					if rules.of(name).class != "" {
						return true
					}
				}
			}
		}
	}
	return false
}

// WithClaims counts resource claims too, of pods in the one namespace, or, if it is empty, in that which
// an object states.
func (g GPUResources) WithClaims(claims *ClaimIndex, namespace string) GPUResources {
	g.claims, g.namespace = claims, namespace
	return g
}

// Claims are what resource claims are counted by; nil if they are not counted.
func (g GPUResources) Claims() *ClaimIndex { return g.claims }

// in counts the pods of an object.
func (g GPUResources) in(o manifest.Object) GPUResources {
	if g.claims != nil && g.namespace == "" {
		g.namespace = manifest.Text(o, "metadata", "namespace")
	}
	return g
}

// adminAccess tells whether the namespace allows claims with adminAccess.
func (g GPUResources) adminAccess() bool {
	return g.claims != nil && g.claims.AdminAccess != nil && g.claims.AdminAccess(g.namespace)
}

// extendedClaim is the GPUs that the scheduler claimed for the extended resources of the pod.
func (g GPUResources) extendedClaim() ClaimCount {
	claim := g.claims.of(g.pod, extendedEntry)
	if claim == nil {
		return ClaimCount{}
	}
	return g.CountClaim(manifest.Map(claim, "spec"), nil, g.adminAccess())
}

// claims counts what a pod's resourceClaims may get.
func (c *gpuCounter) claims(podSpec manifest.Object) {
	list := manifest.List(podSpec, "resourceClaims")
	if len(list) == 0 {
		return
	}
	at := c.pod.Child("resourceClaims")
	c.note(gpuPlace{list: "resourceClaims"}, list)
	if c.gpus.claims == nil {
		c.unknown(field.Forbidden(at, "devices asked for through resource claims cannot be counted as GPUs; "+
			"ask for a GPU resource instead"))
		return
	}
	for i, entry := range manifest.Objects(podSpec, "resourceClaims") {
		n := c.claim(entry, at.Index(i))
		c.claimed = SaturatingAdd(c.claimed, n.GPUs)
		c.count.products = c.count.products.plus(n.products)
	}
}

func (c *gpuCounter) unknown(e *field.Error) { c.count.Unknown = append(c.count.Unknown, e) }

// claim counts one entry of a pod's resourceClaims. One that names a ResourceClaim brings nothing: that
// counts by itself, however many pods name it.
func (c *gpuCounter) claim(entry manifest.Object, at *field.Path) ClaimCount {
	name := manifest.Text(entry, "resourceClaimTemplateName")
	switch {
	case name != "":
	case manifest.Text(entry, "resourceClaimName") != "":
		return ClaimCount{}
	default:
		c.unknown(field.Forbidden(at, "names no ResourceClaimTemplate and no ResourceClaim, so its devices cannot be "+
			"counted as GPUs of this pod; name one of them instead"))
		return ClaimCount{}
	}
	at = at.Child("resourceClaimTemplateName")
	if made := c.gpus.claims.of(c.gpus.pod, manifest.Text(entry, "name")); made != nil {
		return c.counted(made, at, "ResourceClaim "+manifest.Text(made, "metadata", "name"), "spec")
	}
	template := c.gpus.claims.template(c.gpus.namespace, name)
	switch {
	case template != nil:
		return c.counted(template, at, "ResourceClaimTemplate "+name, "spec", "spec")
	case c.gpus.claims.Assume:
		c.count.Assumed = append(c.count.Assumed, at.String()+": ResourceClaimTemplate "+name+
			" is not in the input; each claim of it is counted as one GPU")
		return ClaimCount{GPUs: 1, products: byType{"": 1}}
	}
	c.unknown(missingTemplate(at, name))
	return ClaimCount{}
}

// counted counts a claim by its specification.
func (c *gpuCounter) counted(o manifest.Object, at *field.Path, title string, spec ...string) ClaimCount {
	n := c.gpus.CountClaim(manifest.Map(o, spec...), field.NewPath(spec[0], spec[1:]...), c.gpus.adminAccess())
	c.note(gpuPlace{list: "resourceClaims", name: at.String()}, manifest.List(o, append(spec, "devices", "requests")...))
	for _, e := range n.Unknown {
		placed := *e
		placed.Field = at.String()
		placed.Detail = title + ": " + e.Field + " " + e.Detail
		c.unknown(&placed)
	}
	return n
}

// missingTemplate says that a template is not there. It may be made a moment later.
func missingTemplate(at *field.Path, name string) *field.Error {
	e := field.NotFound(at, name)
	e.Detail = "there is no such ResourceClaimTemplate in the namespace, so the devices cannot be counted as GPUs; " +
		"create it first"
	return e
}

// Awaits tells whether an error is that of a template that is not there.
func Awaits(e *field.Error) bool { return e.Type == field.ErrorTypeNotFound }

// NamesClaims tells whether pods that an object describes, wherever that stands, have resource claims.
func NamesClaims(o manifest.Object) bool { return namesClaims(o) }

func namesClaims(v any) bool {
	switch v := v.(type) {
	case manifest.Object:
		for key, value := range v {
			if list, ok := value.([]any); key == "resourceClaims" && (!ok || len(list) > 0) && value != nil {
				return true
			}
			if namesClaims(value) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, namesClaims)
	}
	return false
}
