package app

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/client-go/tools/record"
)

// TestWarningsAboutALabelledServiceAreEventsToo: kubetorch's client shows none.
func TestWarningsAboutALabelledServiceAreEventsToo(t *testing.T) {
	const stray = `"autoscale.kubetorch.com/max-scale":"4"`
	service := func(labels, name string) string {
		return `{"apiVersion":"serving.knative.dev/v1","kind":"Service","metadata":{"name":"` + name + `","namespace":"team","labels":{` + labels + `}},"spec":{"template":{"metadata":{"annotations":{` + stray + `}},"spec":{"containers":[{"image":"nginx:1"}]}}}}`
	}
	const labelled = `"kubetorch.com/autoscale":"true"`
	for name, test := range map[string]struct {
		object string
		dryRun bool
		told   bool
	}{
		"a labelled Service":                    {service(labelled, "s"), false, true},
		"a dry run":                             {service(labelled, "s"), true, false},
		"a Service without the label":           {service("", "s"), false, false},
		"a name that is made by the API server": {strings.Replace(service(labelled, "s"), `"name":"s"`, `"generateName":"s-"`, 1), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			events := record.NewFakeRecorder(10)
			e, _ := standalone()
			e.tell = tell(events)
			request := ask(admissionv1.Create, "", []byte(test.object), nil)
			request.DryRun = &test.dryRun
			got := e.validate(t.Context(), request)
			assert.True(t, got.Allowed, "%v", got.Result)
			close(events.Events)
			var told, want []string
			for text := range events.Events {
				told = append(told, text)
			}
			if test.told {
				for _, w := range got.Warnings {
					want = append(want, "Warning Conversion "+w)
				}
				assert.NotEmpty(t, want)
			}
			assert.Equal(t, want, told)
		})
	}
}
