package review_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/review"
)

func TestOnlyWhatTheMutatingStepLeavesAloneIsNotDecoded(t *testing.T) {
	const spec = `"spec":{"template":{"spec":{"containers":[{"image":"a"}]}}}`
	object := func(labels, annotations, spec string) string {
		return fmt.Sprintf(`{"metadata":{"name":"svc","labels":{%s},"annotations":{%s},"managedFields":[{"x":{}}]},%s,"status":{"a":1}}`, labels, annotations, spec)
	}
	labelled := func(more string) string {
		return object(`"kubetorch.com/autoscale":"true"`+more, `"kubetorch.com/expansion":"{}","x":"y"`, spec)
	}
	plain := object(`"a":"b"`, `"c":"d"`, spec)
	other := `"spec":{"template":{"spec":{"containers":[{"image":"b"}]}}}`
	for name, test := range map[string]struct {
		now, old string
		kind     string // a Service if empty
		clamps   bool   // whether a policy clamps
		want     bool
	}{
		"a new Service without a key of ours":                     {now: plain, want: true},
		"one that was applied with the label":                     {now: object(``, `"kubectl.kubernetes.io/last-applied-configuration":"{\"labels\":{\"kubetorch.com/autoscale\":\"\u003ctrue\"}}"`, spec), want: true},
		"one that was applied with the label, by other means":     {now: object(``, `"kubectl.kubernetes.io/last-applied-configuration":"{\"labels\":{\"kubetorch.com/autoscale\":\"true\"}}"`, spec), want: true},
		"one with a value that begins like a key":                 {now: object(``, `"a":"kubetorch.com/autoscale"`, spec), want: true},
		"one with the label behind such a value":                  {now: object(`"a":"b kubetorch.com/autoscale kubetorch.com","kubetorch.com/autoscale":"true"`, ``, spec)},
		"one with a label in an older way of writing JSON":        {now: object(`"kubetorch.com\/autoscale":"true"`, ``, spec)},
		"one with a label behind a backslash":                     {now: object(`"a":"\\","kubetorch.com/autoscale":"true"`, ``, spec)},
		"one without labels":                                      {now: `{"metadata":{"name":"svc"},` + spec + `}`, want: true},
		"one that a policy might clamp":                           {now: plain, clamps: true},
		"one with the label":                                      {now: labelled("")},
		"one with a label that is switched off":                   {now: object(`"kubetorch.com/compute":"false"`, ``, spec)},
		"one with a parameter":                                    {now: object(``, `"autoscale.kubetorch.com/target":"1"`, spec)},
		"one with a key that is written with escapes":             {now: object(`"\u006bubetorch.com/autoscale":"true"`, ``, spec)},
		"one with metadata that is written with escapes":          {now: `{"metad\u0061ta":{"labels":{"kubetorch.com/autoscale":"true"}},` + spec + `}`},
		"one with labels twice":                                   {now: `{"metadata":{"labels":{},"labels":{"kubetorch.com/autoscale":"true"}},` + spec + `}`},
		"one without a spec":                                      {now: `{"metadata":{"name":"svc"}}`},
		"a Deployment":                                            {now: plain, kind: "Deployment"},
		"an update of another label":                              {now: labelled(`,"x":"y"`), old: labelled(""), want: true},
		"an update of another label, whatever is clamped":         {now: labelled(`,"x":"y"`), old: labelled(""), clamps: true, want: true},
		"an update that takes the label off":                      {now: plain, old: labelled(""), want: true},
		"an update that takes the label off, and a policy clamps": {now: plain, old: labelled(""), clamps: true},
		"an update that puts the label on":                        {now: labelled(""), old: plain},
		"an update of a parameter":                                {now: labelled(`,"autoscale.kubetorch.com/target":"2"`), old: labelled(`,"autoscale.kubetorch.com/target":"1"`)},
		"an update without the record":                            {now: object(`"kubetorch.com/autoscale":"true"`, `"x":"y"`, spec), old: labelled("")},
		"an update of the template":                               {now: object(`"kubetorch.com/autoscale":"true"`, `"kubetorch.com/expansion":"{}"`, other), old: labelled("")},
		"an update of the template without a key of ours":         {now: object(``, ``, other), old: plain, want: true},
		"an update of what was nothing":                           {now: labelled(""), old: `null`},
	} {
		t.Run(name, func(t *testing.T) {
			kind := metav1.GroupVersionKind{Group: "serving.knative.dev", Version: "v1", Kind: "Service"}
			if test.kind != "" {
				kind.Kind = test.kind
			}
			raw := &admissionv1.AdmissionRequest{UID: "u", Kind: kind, Operation: admissionv1.Create, Namespace: "ml", Name: "svc", Object: runtime.RawExtension{Raw: []byte(test.now)}}
			if test.old != "" {
				raw.Operation, raw.OldObject.Raw = admissionv1.Update, []byte(test.old)
			}
			w := fuzzWorlds[0]
			if test.clamps {
				w = fuzzWorlds[1]
			}
			assert.Equal(t, test.want, checkUntouched(t, raw, w))
		})
	}
}

// Keys are found by the domain in them.
func TestEveryKeyHasTheDomain(t *testing.T) {
	keys := []string{parameter.AutoscaleLabel, parameter.ComputeLabel}
	for _, p := range parameter.Table {
		keys = append(keys, p.Key())
	}
	for _, key := range keys {
		raw := &admissionv1.AdmissionRequest{UID: "u", Kind: metav1.GroupVersionKind{Group: "serving.knative.dev", Version: "v1", Kind: "Service"}, Operation: admissionv1.Create,
			Object: runtime.RawExtension{Raw: []byte(`{"metadata":{"labels":{"` + key + `":"true"}},"spec":{}}`)}}
		o, ok := outline(raw.Object.Raw)
		assert.True(t, ok)
		assert.False(t, review.Untouched(raw, o, o, fuzzWorlds[0].Policies), key)
	}
}
