package deployments

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// define makes a kind known to the API server, with any content.
func (l *lab) define(group, version, kind, plural string) {
	l.Helper()
	u := &unstructured.Unstructured{}
	require.NoError(l, yaml.Unmarshal(fmt.Appendf(nil, `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: %[4]s.%[1]s},
		spec: {group: %[1]s, scope: Namespaced, names: {kind: %[3]s, plural: %[4]s}, versions: [{name: %[2]s, served: true, storage: true,
		schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]}}`, group, version, kind, plural), &u.Object))
	crds := l.client.Resource(definitions)
	_, err := crds.Create(l.Context(), u, metav1.CreateOptions{})
	require.NoError(l, err)
	l.Cleanup(func() { _ = crds.Delete(context.Background(), u.GetName(), metav1.DeleteOptions{}) })
}

func TestWhatCannotBeAutoscaledIsRefused(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.define("ray.io", "v1", "RayCluster", "rayclusters")
	const pod = `{metadata: {labels: {app: x}}, spec: {restartPolicy: Never, containers: [{name: x, image: "acme/x:1"}]}}`
	const distributed = "autoscaling and distributed computing are mutually exclusive"
	for kind, test := range map[string]struct{ version, spec, says string }{
		"StatefulSet": {"apps/v1", `{serviceName: x, replicas: 0, selector: {matchLabels: {app: x}}, template: {metadata: {labels: {app: x}}, spec: {containers: [{name: x, image: "acme/x:1"}]}}}`,
			"a StatefulSet.apps cannot be expanded"},
		"Job":        {"batch/v1", `{suspend: true, template: ` + pod + `}`, distributed},
		"CronJob":    {"batch/v1", `{schedule: "0 0 1 1 *", suspend: true, jobTemplate: {spec: {template: ` + pod + `}}}`, distributed},
		"RayCluster": {"ray.io/v1", `{workerGroupSpecs: []}`, distributed},
	} {
		t.Run(kind, func(t *testing.T) {
			object := func(label string) string {
				return fmt.Sprintf(`{apiVersion: %s, kind: %s, metadata: {name: x, labels: {kubetorch.com/autoscale: "%s"}}, spec: %s}`, test.version, kind, label, test.spec)
			}
			l.eventually("the kind", func() bool { // a definition takes a moment
				_, _, err := l.kubectl(object("false"), "create", "--dry-run=server", "-f", "-")
				return err == nil
			})
			_, _, err := l.kubectl(object("true"), "create", "-f", "-")
			require.ErrorContains(t, err, test.says)
			assert.ErrorContains(t, err, "metadata.labels[kubetorch.com/autoscale]")
			_, _, err = l.kubectl(object("false"), "create", "-f", "-")
			require.NoError(t, err)
			_, _, err = l.kubectl("", "label", "--overwrite", kind, "x", "kubetorch.com/autoscale=batch")
			require.ErrorContains(t, err, test.says)
			_, _, err = l.kubectl("", "label", kind, "x", "kubetorch.com/compute=true")
			assert.NoError(t, err)
		})
	}
}
