// A pod is too large for the webhook to read, or its old and its new state together, and what nobody judged is
// admitted where the webhook may be away.

package attacks

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// oversized is a text that etcd and API servers take, and that has six times the bytes in an AdmissionReview, which
// writes each < as \u003c.
func oversized(bytes int) string { return strings.Repeat("<", bytes/6) }

// Without an answer in the protocol a failurePolicy of Ignore, which these tests have as Fail, admits: here the
// answer is what tells.
func TestAPodThatIsTooLargeToBeReadIsRefusedWhateverTheFailurePolicy(t *testing.T) {
	t.Parallel()
	s := newScene(t, 16, strict)
	s.apply(s.tenant, workload("v1", "ReplicationController", "a", 8, 1, lingers))
	s.awaitLive(8)
	owner, err := s.get(schema.GroupVersionResource{Version: "v1", Resource: "replicationcontrollers"}, "a")
	require.NoError(t, err)
	config := cluster.RESTConfig()
	config.WarningHandler, config.ContentType = rest.NoWarnings{}, runtime.ContentTypeProtobuf // as it is in etcd
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:kube-system:replication-controller", Groups: []string{"system:masters"}}
	controller, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	for name, size := range map[string]int{"small": 1 << 10, "below the limit": 6 << 20, "above it": 15 << 19} {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "a-", Namespace: s.namespace, Labels: map[string]string{"app": "x"},
				OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "ReplicationController", Name: "a", UID: owner.GetUID(), Controller: new(true)}}},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "nginx:1", Env: []corev1.EnvVar{{Name: "A", Value: oversized(size)}},
				Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("16")}}}}},
		}
		err := write(func() error {
			_, err := controller.CoreV1().Pods(s.namespace).Create(t.Context(), pod, metav1.CreateOptions{})
			return err
		})
		require.Error(t, err, "%s: beside the pod that there is", name)
		assert.Contains(t, err.Error(), `admission webhook "validate-controlled-pods.kubetorch.com" denied the request`, "%s: an answer, and no failure to call", name)
		want := "in budget " + s.budget
		if size > 7<<20 {
			want = "takes more than the 7 MiB of JSON"
		}
		assert.ErrorContains(t, err, want, fmt.Sprintf("%s: why", name))
	}
	s.holds(0)
}
