package deployments

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// TestEventsAndLogsOfAHandoverHoldNothingOfAPodThatIsSecret hands over a Deployment full of
// secrets, with and without a fault on the way, and logs as much as there is.
func TestEventsAndLogsOfAHandoverHoldNothingOfAPodThatIsSecret(t *testing.T) {
	for name, fail := range map[string]func(*lab){
		"all goes well": func(*lab) {},
		"the Service is refused": func(l *lab) {
			l.refuse("create", knativeServices, apierrors.NewForbidden(knativeServices.GroupResource(), "app", errors.New("policy platform")))
		},
		"states cannot be written": func(l *lab) { l.refuse("patch", deployments, apierrors.NewInternalError(errors.New("etcd"))) },
		"the expansion is refused": func(l *lab) {
			l.expand = func(context.Context, manifest.Object, manifest.Object) (Expansion, error) {
				return Expansion{Refused: "beyond policy platform", Fixed: 1}, nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			pod := manifest.Object{"imagePullSecrets": []any{manifest.Object{"name": "s3cret-pull"}}, "containers": []any{manifest.Object{
				"image": "example.com/app", "args": []any{"--token=s3cret-arg"}, "env": []any{
					manifest.Object{"name": "TOKEN", "value": "s3cret-value"},
					manifest.Object{"name": "KEY", "valueFrom": manifest.Object{"secretKeyRef": manifest.Object{"name": "s3cret-ref", "key": "s3cret-key"}}},
				}}}}
			template := manifest.Object{"metadata": manifest.Object{"annotations": manifest.Object{"example.com/note": "s3cret-template"}}, "spec": pod}
			d := deployment(autoscaled, manifest.Object{"example.com/note": "s3cret-note"}, 3)
			d.Object["spec"].(manifest.Object)["template"] = template
			l := newLab(d)
			l.expand = func(context.Context, manifest.Object, manifest.Object) (Expansion, error) {
				return Expansion{Fixed: 1, Service: manifest.Object{"apiVersion": "serving.knative.dev/v1", "kind": "Service",
					"metadata": manifest.Object{"name": "app"}, "spec": manifest.Object{"template": template}}}, nil
			}
			fail(l)
			var said strings.Builder
			ctx := log.IntoContext(t.Context(), funcr.New(func(prefix, args string) { said.WriteString(prefix + " " + args + "\n") }, funcr.Options{Verbosity: 10}))
			for range 4 {
				if _, err := l.reconcile(ctx, key); err != nil {
					said.WriteString(err.Error() + "\n") // as the queue logs it
				}
			}
			close(l.events.Events)
			for event := range l.events.Events {
				said.WriteString(event + "\n")
			}
			require.NotEmpty(t, said.String())
			assert.NotContains(t, said.String(), "s3cret")
		})
	}
}
