package app

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"
	"sigs.k8s.io/yaml"
)

// TestWarningsAboutWhatCarriesKeysOfOursAreEventsToo: kubetorch's client shows none, and who has forgotten the label
// wonders why nothing happens.
func TestWarningsAboutWhatCarriesKeysOfOursAreEventsToo(t *testing.T) {
	const (
		labelled   = `labels: {kubetorch.com/autoscale: "true"}`
		computing  = `labels: {kubetorch.com/compute: "true"}`
		parameters = `annotations: {autoscale.kubetorch.com/max-scale: "4"}`
		stray      = `annotations: {autoscale.kubetorch.com/max-scale: "4"}`
	)
	service := func(metadata, template string) string {
		return `{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {` + metadata + `}, spec: {template: {metadata: {` + template + `}, spec: {containers: [{image: "nginx:1"}]}}}}`
	}
	deployment := func(metadata, template string) string {
		return `{apiVersion: apps/v1, kind: Deployment, metadata: {` + metadata + `}, spec: {selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}, ` + template + `}, spec: {containers: [{name: a, image: "nginx:1"}]}}}}`
	}
	owned := func(kind string) string {
		return `ownerReferences: [{apiVersion: ` + kind + `, name: o, uid: u, controller: true}]`
	}
	for name, test := range map[string]struct {
		object string
		dryRun bool
		// mutating and validating are how many warnings each step tells.
		mutating, validating int
	}{
		"a labelled Service": {service("name: s, "+labelled, stray), false, 0, 1},
		"a dry run":          {service("name: s, "+labelled, stray), true, 0, 0},
		"parameters of a Service without the label":     {service("name: s, "+parameters, ""), false, 1, 1},
		"parameters in the template, without the label": {service("name: s", stray), false, 0, 1},
		"a Service that nothing of ours is about":       {service("name: s", ""), false, 0, 0},
		"a name that is made by the API server":         {service("generateName: s-, "+labelled, stray), false, 0, 0},
		"a Service that a Deployment has":               {service("name: s, "+labelled+", "+owned("apps/v1, kind: Deployment"), stray), false, 0, 0},
		"a Service that an operator made":               {service("name: s, "+labelled+", "+owned("serving.kserve.io/v1beta1, kind: InferenceService"), stray), false, 0, 1},
		"a Deployment of fixed size":                    {deployment("name: d, "+computing, stray), false, 0, 1},
		"parameters of a Deployment without the label":  {deployment("name: d, "+parameters, ""), false, 1, 0},
		"a Deployment that somebody made":               {deployment("name: d, "+computing+", "+owned("acme.com/v1, kind: App"), stray), false, 0, 0},
		"a type of GPUs that no node has":               {`{apiVersion: policy.kubetorch.com/v1alpha1, kind: GPUBudget, metadata: {name: b}, spec: {max: 8, gpuTypes: [NVIDIA-H200]}}`, false, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := yaml.YAMLToJSON([]byte(test.object))
			require.NoError(t, err)
			for step, want := range map[string]int{"mutating": test.mutating, "validating": test.validating} {
				events := record.NewFakeRecorder(10)
				e, _ := standalone()
				e.tell = tell(events)
				e.products = func(context.Context) ([]string, error) { return []string{"NVIDIA-H100"}, nil }
				request := ask(admissionv1.Create, "", raw, nil)
				switch {
				case strings.Contains(test.object, "kind: Deployment, metadata"):
					request.Kind = metav1.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}
				case strings.Contains(test.object, "kind: GPUBudget"):
					request.Namespace, request.Kind = "", metav1.GroupVersionKind{Group: "policy.kubetorch.com", Version: "v1alpha1", Kind: "GPUBudget"}
				}
				request.DryRun = &test.dryRun
				got := e.mutate
				if step == "validating" {
					got = e.validate
				}
				response := got(t.Context(), request)
				require.True(t, response.Allowed, "%v", response.Result)
				close(events.Events)
				var told, warned []string
				for text := range events.Events {
					told = append(told, text)
				}
				if want > 0 {
					for _, w := range response.Warnings {
						warned = append(warned, "Warning Conversion "+w)
					}
				}
				assert.Equal(t, warned, told, step)
				assert.Len(t, told, want, step)
			}
		})
	}
}

// sink is an API server's events by name.
type sink struct {
	record.EventSink
	stored  map[string]*corev1.Event
	patches []string
	refuses error
}

func (s *sink) Create(e *corev1.Event) (*corev1.Event, error) {
	if s.refuses != nil {
		return nil, s.refuses
	}
	if s.stored[e.Name] != nil {
		return nil, apierrors.NewAlreadyExists(schema.GroupResource{Resource: "events"}, e.Name)
	}
	s.stored[e.Name] = e
	return e, nil
}

func (s *sink) Patch(e *corev1.Event, data []byte) (*corev1.Event, error) {
	s.patches = append(s.patches, e.Name+" "+string(data))
	return s.stored[e.Name], nil
}

func TestAWarningIsToldOnceWhoeverSaysIt(t *testing.T) {
	s := &sink{stored: map[string]*corev1.Event{}}
	told := toldOnce{s}
	event := func(name, about, uid, reason, message string) *corev1.Event {
		return &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "team"}, Reason: reason, Message: message, InvolvedObject: corev1.ObjectReference{Kind: "Deployment", Name: about, UID: types.UID(uid)}}
	}
	create := func(e *corev1.Event) {
		t.Helper()
		_, err := told.Create(e)
		require.NoError(t, err)
	}
	create(event("d.1", "d", "", "Conversion", "a port is left out"))
	create(event("d.2", "d", "u", "Conversion", "a port is left out"))
	require.Len(t, s.stored, 1)
	require.Len(t, s.patches, 1)
	for name := range s.stored {
		assert.Equal(t, name+` {"involvedObject":{"uid":"u"},"lastTimestamp":null}`, s.patches[0], "it knows its object at last")
		assert.True(t, strings.HasPrefix(name, "d."))
	}
	create(event("d.3", "d", "u", "Conversion", "another port is left out"))
	create(event("e.1", "e", "u", "Conversion", "a port is left out"))
	assert.Len(t, s.stored, 3, "another warning, and another object")
	create(event("d.4", "d", "u", "Served", "by a Knative Service"))
	assert.Contains(t, s.stored, "d.4", "what is no warning keeps its name")
	long := event("l", strings.Repeat("x", 250), "u", "Conversion", "a port is left out")
	create(long)
	for name := range s.stored {
		assert.LessOrEqual(t, len(name), 253)
	}
	s.refuses = errors.New("no")
	_, err := told.Create(event("f.1", "f", "", "Conversion", "a port is left out"))
	assert.Equal(t, s.refuses, err)
}
