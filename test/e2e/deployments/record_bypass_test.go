// A forged record says that a Deployment's pods run elsewhere.

package deployments

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/deployments/handover"
)

func TestAForgedRecordIsNotBelieved(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.apply(web("app", 2))
	l.awaitPods("app", 2)
	require.NoError(t, l.patch("app", map[string]any{"metadata": map[string]any{
		"labels":      map[string]any{"kubetorch.com/autoscale": "true"},
		"annotations": map[string]any{handover.AdoptedAnnotation: "8f3b7c1e-0000-0000-0000-000000000000"},
	}}))
	l.eventually("Knative Service", func() bool { return l.exists(services, "app") })
	require.NoError(t, l.patch("app", map[string]any{"spec": map[string]any{"replicas": 3}}))
	l.awaitPods("app", 3)
	l.makeReady("app")
	l.awaitPods("app", 0)
}
