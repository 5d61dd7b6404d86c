package review

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
)

// What the new and the stored state share is not changed under the stored one, so answers
// are those of two states that were read apart.
func TestAnswersDoNotDependOnWhatTheStatesShare(t *testing.T) {
	raw, err := os.ReadFile("../../bench/reviews/testdata/expanded.json")
	require.NoError(t, err)
	old := strings.TrimSpace(string(raw))
	for name, change := range map[string][]string{
		"nothing":              {"nothing", ""},
		"a label":              {`"labels":{`, `"labels":{"x":"y",`},
		"a parameter":          {`"metadata":{"annotations":{`, `"metadata":{"annotations":{"autoscale.kubetorch.com/max-scale":"7",`},
		"a bad parameter":      {`"metadata":{"annotations":{`, `"metadata":{"annotations":{"compute.kubetorch.com/cpus":"x",`},
		"the opt-in":           {`"kubetorch.com/autoscale":"true"`, `"kubetorch.com/autoscale":"false"`},
		"the image":            {`"image":"`, `"image":"other/`},
		"the template's scale": {`"autoscaling.knative.dev/max-scale":"`, `"autoscaling.knative.dev/max-scale":"9`},
	} {
		changed := strings.Replace(old, change[0], change[1], 1)
		if name != "nothing" {
			require.False(t, old == changed, name)
		}
		for way, texts := range map[string][2]string{"forwards": {changed, old}, "backwards": {old, changed}} {
			for _, step := range []func(*Request, context.Context, World) (*admissionv1.AdmissionResponse, error){(*Request).Mutate, (*Request).Validate} {
				t.Run(fmt.Sprintf("%s %s", name, way), func(t *testing.T) {
					w := World{Policies: policy.Compile(nil), Knative: knative.Default()}
					read := func() *Request {
						r, refused := Read(&admissionv1.AdmissionRequest{UID: "u", Kind: metav1.GroupVersionKind{Group: ServiceKind.Group, Version: "v1", Kind: ServiceKind.Kind}, Operation: admissionv1.Update,
							Namespace: "default", Name: "inference", Object: runtime.RawExtension{Raw: []byte(texts[0])}, OldObject: runtime.RawExtension{Raw: []byte(texts[1])}})
						require.Nil(t, refused)
						return r
					}
					shared, apart := read(), read()
					apart.old = clone(apart.old)
					want, err := step(apart, t.Context(), w)
					require.NoError(t, err)
					got, err := step(shared, t.Context(), w)
					require.NoError(t, err)
					assert.Equal(t, want, got)
					assert.Equal(t, apart.object, shared.object)
					stored, err := manifest.Decode([]byte(texts[1]))
					require.NoError(t, err)
					delete(manifest.Map(stored, "metadata"), "managedFields")
					assert.Equal(t, stored, shared.old)
				})
			}
		}
	}
}
