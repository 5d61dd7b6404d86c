package offline

import (
	"reflect"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/kubetorch/webhook/pkg/convert"
	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/review"
)

// misshapen is what an API server says about an object before an admission webhook sees it: of
// any kind, that its metadata or the items of a list are none; of a labelled workload that nobody
// converts, values of another type and fields that there are not.
func misshapen(o manifest.Object, noKnative bool) (errs field.ErrorList, warnings []string) {
	errs = manifest.CheckType(o["metadata"], reflect.TypeFor[metav1.ObjectMeta](), field.NewPath("metadata"), nil)
	if items := o["items"]; namedList(o) && items != nil {
		errs = append(errs, field.TypeInvalid(field.NewPath("items"), manifest.TypeName(items), "must be a list of objects"))
	}
	intent := expand.ReadIntent(o)
	switch {
	case !intent.FillsResources():
	case isDeployment(o) && (noKnative || !intent.Expands()):
		errs = append(errs, manifest.CheckType(o["spec"], reflect.TypeFor[appsv1.DeploymentSpec](), field.NewPath("spec"), convert.UnknownField)...)
	case review.Concerns(groupKind(o)):
		warnings = unknownFields(o)
	}
	return errs, warnings
}

// unknownFields warns of fields of a Knative Service that Knative is not known to have. A later
// release may have them.
func unknownFields(service manifest.Object) (warnings []string) {
	manifest.CheckType(service["spec"], reflect.TypeFor[servingv1.ServiceSpec](), field.NewPath("spec"), func(path *field.Path, known []string) *field.Error {
		text := path.String() + " is not a field of a Knative Service, and has no effect"
		name := strings.ToLower(text[strings.LastIndexAny(path.String(), ".]")+1 : len(path.String())])
		near := ""
		for _, k := range known {
			lower := strings.ToLower(k)
			if len(k) > 2 && (strings.HasPrefix(lower, name) || strings.HasPrefix(name, lower)) && (near == "" || differ(k, name) < differ(near, name)) {
				near = k
			}
		}
		if near != "" {
			text += "; did you mean " + near + "?"
		}
		warnings = append(warnings, text)
		return nil
	})
	return warnings
}

func differ(a, b string) int { return max(len(a), len(b)) - min(len(a), len(b)) }
