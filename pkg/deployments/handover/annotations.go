package handover

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/kubetorch/webhook/pkg/convert"
	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// Annotations that the webhook and its controller keep on a Deployment. None is trusted
// by itself: AdoptedAnnotation counts only together with the live Knative Service.
const (
	// AdoptedAnnotation holds the UID of the Knative Service that serves in place of
	// the Deployment's own pods.
	AdoptedAnnotation = "kubetorch.com/adopted-by"
	// ReplicasAnnotation holds the replica count that the Deployment gets back when it
	// is no longer autoscaled.
	ReplicasAnnotation = "kubetorch.com/replicas"
	// StatusAnnotation holds the latest State, as JSON.
	StatusAnnotation = "kubetorch.com/status"
	// ExemptAnnotation names the policies that exempt whoever asked for the Deployment, by
	// user, group or service account, so that their bounds are left out for what the
	// controller makes of it too. The webhook writes it, and refuses every request in
	// which it names more than the webhook itself would write.
	ExemptAnnotation = "kubetorch.com/exempt-from"
	// ExemptUnderAnnotation is the UID of the webhook configuration under which ExemptAnnotation was
	// written. What stands under another one may have been written while nobody checked it.
	ExemptUnderAnnotation = "kubetorch.com/exempt-under"
)

// Bookkeeping are the annotations that an update of a Deployment must not lose.
var Bookkeeping = []string{AdoptedAnnotation, ReplicasAnnotation, StatusAnnotation}

// AppliedAnnotation on a Knative Service holds what the controller applied last.
const AppliedAnnotation = "kubetorch.com/applied"

// FieldManager is whose fields server-side apply keeps.
const FieldManager = "kubetorch-webhook"

// DeploymentKind and DeploymentVersion are what a Knative Service's owner reference names.
const (
	DeploymentKind    = "Deployment"
	DeploymentVersion = "apps/v1"
)

// Exemptions are the policies that a Deployment's ExemptAnnotation names.
func Exemptions(deployment manifest.Object) []string {
	text := manifest.Text(deployment, "metadata", "annotations", ExemptAnnotation)
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
}

// Given tells whether a Deployment is a Knative Service's to serve, or was and is to get
// its own replicas back.
func Given(deployment manifest.Object) bool {
	annotations := manifest.Texts(deployment, "metadata", "annotations")
	return expand.ReadIntent(deployment).Expands() || annotations[AdoptedAnnotation] != "" || annotations[ReplicasAnnotation] != ""
}

// Remembered is the most pods that a Deployment can get back: those that it asks for, or
// the count that was recorded.
func Remembered(deployment manifest.Object) int64 {
	n := Replicas(deployment)
	if recorded := remembered(deployment); recorded != nil {
		n = max(n, *recorded)
	}
	return n
}

// Adopted tells whether a Deployment's pods are served by a Knative Service: recorded by
// the controller, and true of the live object.
func Adopted(deployment, service manifest.Object) bool {
	recorded := manifest.Text(deployment, "metadata", "annotations", AdoptedAnnotation)
	return recorded != "" && recorded == manifest.Text(service, "metadata", "uid") && Owns(deployment, service)
}

// Owns tells whether a Deployment controls a Knative Service, by UID.
func Owns(deployment, service manifest.Object) bool {
	uid := manifest.Text(deployment, "metadata", "uid")
	return uid != "" && manifest.ControllerOf(service).UID == uid
}

// Concerned tells whether a Deployment with this metadata is the controller's business.
func Concerned(o manifest.Object) bool {
	annotations := manifest.Texts(o, "metadata", "annotations")
	for _, key := range Bookkeeping {
		if _, ok := annotations[key]; ok {
			return true
		}
	}
	return expand.ReadIntent(o).Expands()
}

// remembered is the count to give back; nil where none was recorded.
func remembered(o manifest.Object) *int64 {
	n, err := strconv.ParseInt(manifest.Text(o, "metadata", "annotations", ReplicasAnnotation), 10, 32)
	if err != nil || n < 0 {
		return nil
	}
	return &n
}

// State is how far a Deployment is, in the terms of a condition.
type State struct {
	Type    string `json:"type"`
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// Text is the state as the annotation holds it.
func (s State) Text() string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings always marshal
	}
	return string(b)
}

// Problem tells whether somebody has to do something about the state.
func (s State) Problem() bool { return s.Status == "False" }

// ReadState reads a state as the annotation holds it.
func ReadState(text string) (s State) {
	if json.Unmarshal([]byte(text), &s) != nil {
		return State{}
	}
	return s
}

// MadeByKnative tells whether a core Service is one that Knative keeps for a Route.
func MadeByKnative(service manifest.Object) bool {
	owner := manifest.ControllerOf(service)
	return owner.Kind == "Route" && strings.HasPrefix(owner.Version, "serving.knative.dev/")
}

// ServiceName is the name of the Knative Service that a Deployment asks for.
func ServiceName(deployment manifest.Object) string { return convert.ServiceName(deployment) }
