package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/kubetorch/webhook/pkg/deployments/handover"
	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/jsonscan"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/workload"
)

type (
	shape  = jsonscan.Shape
	fields = map[string]*shape
)

// What counts and audits look at; whoever reads more adds it here, and to the objects of
// kept_test.go in pkg/audit. Labels are kept, as any of them may select an object; of
// annotations those that say how it scales, and parameters.
var (
	all = &shape{}
	// of keeps whole values.
	of = func(keys ...string) *shape {
		s := &shape{Fields: fields{}}
		for _, key := range keys {
			s.Fields[key] = all
		}
		return s
	}
	none    = of()
	scaling = &shape{Key: func(key []byte) bool {
		_, known := knative.Canonical(string(key))
		return known || knative.Scales(string(key))
	}}
	parameters = &shape{Key: func(key []byte) bool { return parameter.IsKey(string(key)) }}

	controllers = of("apiVersion", "kind", "name", "uid", "controller")
	traffic     = of("revisionName", "configurationName", "latestRevision")
	containers  = of("resources", "restartPolicy")

	// podSpec has a digest: whether a template made a revision hangs on all of it.
	podSpec = &shape{Digest: true, Fields: pods}
	pods    = fields{"containers": containers, "initContainers": containers, "resources": all, "resourceClaims": all, "nodeSelector": all,
		"affinity": {Fields: fields{"nodeAffinity": of("requiredDuringSchedulingIgnoredDuringExecution")}}}
	labeled  = &shape{Fields: fields{"metadata": of("name", "labels")}}
	template = &shape{Fields: fields{"metadata": {Fields: fields{"name": all, "annotations": scaling}}, "spec": podSpec}}
)

// kept is what is kept of a kind: head of each object, spec once for all that are alike.
type kept struct {
	schema.GroupKind
	apiVersion, kind string
	// devices, if it is not nil, keeps what has to name a device, or a claim for some, for an object to
	// be kept at all.
	devices *shape
	// object is what is kept, in a head and, where others are likely to have the same, a spec.
	object, head, spec *shape
	// digest is where the digest belongs.
	digest []string
}

func keep(kind Resource, name string, alike bool, annotations, spec, status *shape) *kept {
	k := &kept{GroupKind: schema.GroupKind{Group: kind.Group, Kind: name}, apiVersion: kind.GroupVersion().String(), kind: name, object: &shape{Fields: fields{
		"apiVersion": all, "kind": all,
		"metadata": {Fields: fields{"name": all, "namespace": all, "uid": all, "generation": all, "deletionTimestamp": all, "labels": all,
			"annotations": annotations, "ownerReferences": controllers}},
		"spec": spec,
	}}}
	if status != nil {
		k.object.Fields["status"] = status
	}
	k.head, k.spec = of("apiVersion", "kind", "metadata", "status"), of("spec")
	if !alike {
		k.head, k.spec = of("apiVersion", "kind", "metadata", "spec", "status"), nil
	}
	switch {
	case spec.Digest:
		k.digest = []string{"spec"}
	case spec.Fields["template"] == template:
		k.digest = []string{"spec", "template", "spec"}
	}
	return k
}

var kinds = map[Resource]*kept{
	Deployments: keep(Deployments, "Deployment", false, parameters, &shape{Fields: fields{"replicas": all, "paused": all,
		"strategy": all, "selector": all, "template": plainTemplate}}, nil),
	Services: keep(Services, "Service", true, none, &shape{Fields: fields{"template": template, "traffic": traffic}},
		&shape{Fields: fields{"observedGeneration": all, "latestCreatedRevisionName": all, "latestReadyRevisionName": all, "traffic": traffic}}),
	Configurations: keep(Configurations, "Configuration", true, none, &shape{Fields: fields{"template": template}},
		of("latestCreatedRevisionName", "latestReadyRevisionName")),
	Routes: keep(Routes, "Route", false, none, &shape{Fields: fields{"traffic": traffic}}, &shape{Fields: fields{"traffic": traffic}}),
	Revisions: keep(Revisions, "Revision", true, scaling, podSpec,
		&shape{Fields: fields{"conditions": of("type", "status"), "actualReplicas": all, "desiredReplicas": all}}),
	PodAutoscalers: keep(PodAutoscalers, "PodAutoscaler", false, scaling, of("scaleTargetRef"), nil),

	CronJobs: keep(CronJobs, "CronJob", false, none, &shape{Fields: fields{"jobTemplate": {Fields: fields{"spec": jobSpec}}}}, nil).
		withDevices("spec", "jobTemplate", "spec", "template", "spec"),
	Jobs: keep(Jobs, "Job", false, none, jobSpec, &shape{Fields: fields{"succeeded": all, "conditions": of("type", "status")}}).
		withDevices("spec", "template", "spec"),
	ReplicaSets:            controller(ReplicaSets, "ReplicaSet"),
	ReplicationControllers: controller(ReplicationControllers, "ReplicationController"),
	StatefulSets:           controller(StatefulSets, "StatefulSet"),
	DaemonSets: keep(DaemonSets, "DaemonSet", false, none, &shape{Fields: fields{"selector": all, "template": plainTemplate}},
		of("desiredNumberScheduled")).withDevices("spec", "template", "spec"),
	Pods: keep(Pods, "Pod", true, none, &shape{Fields: pods}, &shape{Fields: fields{"phase": all,
		"extendedResourceClaimStatus": of("resourceClaimName")}}).withDevices("spec"),

	HorizontalPodAutoscalers: keep(HorizontalPodAutoscalers, "HorizontalPodAutoscaler", false, none,
		of("scaleTargetRef", "minReplicas", "maxReplicas"), nil),
	ResourceClaims: keep(ResourceClaims, "ResourceClaim", true,
		of(resourcev1.PodResourceClaimAnnotation, resourcev1.ExtendedResourceClaimAnnotation), claimSpec,
		&shape{Fields: fields{"reservedFor": of("uid")}}),
	ResourceClaimTemplates: keep(ResourceClaimTemplates, "ResourceClaimTemplate", true, none, &shape{Fields: fields{"spec": claimSpec}}, nil),
	LimitRanges:            keep(LimitRanges, "LimitRange", false, none, of("limits"), nil).naming(of("spec")),
}

var (
	// A selector says which product devices are of, or nothing that is counted.
	selectors = &shape{Fields: fields{"cel": {Fields: fields{"expression": {Longest: workload.LongestSelector*len(`\u0000`) + len(`""`)}}}}}
	devices   = &shape{Fields: fields{"selectors": selectors}, Key: func([]byte) bool { return true }}
	request   = &shape{Fields: fields{"exactly": devices, "firstAvailable": devices, "selectors": selectors}, Key: devices.Key}

	claimSpec     = &shape{Fields: fields{"devices": {Fields: fields{"requests": request}}}}
	plainTemplate = &shape{Fields: fields{"spec": {Fields: pods}}}
	jobSpec       = &shape{Fields: fields{"parallelism": all, "completions": all, "suspend": all, "managedBy": all,
		"podReplacementPolicy": all, "selector": all, "template": plainTemplate}}
)

// controller keeps an object with spec.replicas, of a StatefulSet with the ordinals that its pods have.
func controller(kind Resource, name string) *kept {
	return keep(kind, name, false, none, &shape{Fields: fields{"replicas": all, "selector": all, "ordinals": all, "template": plainTemplate}}, nil).
		withDevices("spec", "template", "spec")
}

// withDevices keeps only objects whose pods, described at a path, ask for devices.
func (k *kept) withDevices(path ...string) *kept {
	resources := &shape{Fields: fields{"limits": all, "requests": all}}
	list := &shape{Fields: fields{"resources": resources}}
	s := &shape{Fields: fields{"containers": list, "initContainers": list, "resources": resources, "resourceClaims": all}}
	for _, key := range slices.Backward(path) {
		s = &shape{Fields: fields{key: s}}
	}
	return k.naming(s)
}

// naming keeps only objects that name a device, or a claim for some, in what a shape keeps.
func (k *kept) naming(s *shape) *kept {
	k.devices = s
	return k
}

// concerns tells whether an object may name a device: the name of one has a slash in it, unlike all
// else that is looked at.
func (r *reading) concerns(raw []byte, k *kept) bool {
	if k == nil || k.devices == nil {
		return true
	}
	text, _, ok := jsonscan.Prune(r.part[:0], raw, k.devices)
	r.part = text[:0]
	return !ok || bytes.ContainsAny(text, `/\`) || bytes.Contains(text, []byte(`"resourceClaims"`))
}

// reading is what the reading of lists shares.
type reading struct {
	source Source
	// operatedKinds are what is kept of operators' kinds.
	operatedKinds map[Resource]*kept
	pool          jsonscan.Pool
	// taken is how many bytes are kept, and most how many may be; 0 is any number.
	taken, most int
	// Scratch space for what is kept of an object, and for a part of that.
	object, part []byte
}

// item is what is kept of an object.
func (r *reading) item(raw []byte, k *kept) (Item, error) {
	if i, ok := r.kept(raw, k); ok {
		return i, nil
	}
	// Out of the ordinary: once more, in the ordinary way of writing it.
	o, err := decode(raw)
	if err != nil {
		return Item{}, err
	}
	if o["apiVersion"] == nil && o["kind"] == nil {
		o["apiVersion"], o["kind"] = k.apiVersion, k.kind
	}
	if plain, err := json.Marshal(o); err == nil {
		if i, ok := r.kept(plain, k); ok {
			return i, nil
		}
	}
	return Of(essence(o)), nil
}

// decode reads an object as clients of the API server do.
func decode(raw []byte) (manifest.Object, error) {
	if o, ok := jsonscan.Object(raw); ok {
		return o, nil
	}
	var o manifest.Object
	if err := utiljson.Unmarshal(raw, &o); err != nil {
		return nil, err
	}
	if o == nil {
		return nil, fmt.Errorf("is null, not an object")
	}
	return o, nil
}

func (r *reading) kept(raw []byte, k *kept) (Item, bool) {
	object, digest, ok := jsonscan.Prune(r.object[:0], raw, k.object)
	r.object = object[:0]
	if !ok {
		return Item{}, false
	}
	r.taken += len(object)
	b, _, ok := jsonscan.Prune(r.part[:0], object, k.head)
	r.part = b[:0]
	if !ok {
		return Item{}, false
	}
	i := Item{kept: k, head: string(b), digest: digest}
	head, ok := jsonscan.ObjectIn(i.head)
	if !ok {
		return Item{}, false
	}
	i.describe(head)
	if k.spec != nil {
		b, _, ok = jsonscan.Prune(r.part[:0], object, k.spec)
		r.part = b[:0]
		if !ok {
			return Item{}, false
		}
		spec, _ := r.pool.Value(b)
		if i.spec, ok = spec.(manifest.Object); !ok {
			return Item{}, false
		}
	}
	if k == kinds[Deployments] && expand.ReadIntent(head).Expands() {
		o, err := decode(raw)
		if err != nil {
			return Item{}, false
		}
		o["apiVersion"], o["kind"] = k.apiVersion, k.kind
		delete(o, "status")
		text, err := json.Marshal(essence(o))
		if err != nil {
			return Item{}, false
		}
		i.whole = string(text)
		r.taken += len(text)
	}
	return i, true
}

// copies are the annotations that hold the object once more.
var copies = []string{"kubectl.kubernetes.io/last-applied-configuration", handover.AppliedAnnotation}

// essence drops, in place, what no count needs: most of an object's size, and what may be
// secret.
func essence(o manifest.Object) manifest.Object {
	delete(manifest.Map(o, "metadata"), "managedFields")
	for _, key := range copies {
		delete(manifest.Map(o, "metadata", "annotations"), key)
	}
	// A pod template, or a Revision's own spec.
	for _, podSpec := range []manifest.Object{manifest.Map(o, "spec", "template", "spec"), manifest.Map(o, "spec")} {
		for _, list := range []string{"containers", "initContainers"} {
			for _, container := range manifest.Objects(podSpec, list) {
				for _, variable := range manifest.Objects(container, "env") {
					// A Deployment that sets PORT may be one that Knative would not take.
					if variable["name"] != "PORT" {
						delete(variable, "value")
					}
				}
			}
		}
	}
	return o
}
