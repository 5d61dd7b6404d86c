// The status of an object of an operator's kind says that it has finished, so that what it claims is free for
// another before anything was made of it, and later that it goes on.

package operators

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// says has somebody write the status of an object.
func (s *scene) says(c dynamic.Interface, resource schema.GroupVersionResource, name, status string) error {
	s.Helper()
	return harness.Answered(func() error {
		_, err := c.Resource(resource).Namespace(s.namespace).Patch(context.Background(), name, types.MergePatchType, []byte(`{"status":`+status+`}`), metav1.PatchOptions{}, "status")
		return err
	})
}

const (
	completed = `{"conditions":[{"type":"Completed","status":"True","reason":"AllJobsCompleted"}]}`
	running   = `{"conditions":[{"type":"Completed","status":"False","reason":"Running"}]}`
)

func TestOnlyItsOperatorSaysThatAGangHasFinished(t *testing.T) {
	s := newScene(t, 63)
	operator, other := s.as("jobset-system/jobset-controller-manager"), s.as("kuberay-operator/kuberay-operator")
	s.must(client, jobSets, jobSet("gang", 7, 8, ""), nil)
	s.awaitUsed(56)
	for name, c := range map[string]dynamic.Interface{"a tenant": client, "another operator": other} {
		assert.ErrorContains(t, s.says(c, jobSets, "gang", completed), "only the operator of a JobSet.jobset.x-k8s.io with GPUs (jobset-system/jobset-controller-manager) may say whether it has finished", name)
	}
	assert.NoError(t, s.says(client, jobSets, "gang", `{"restarts":1}`), "which frees nothing")
	_, err := s.create(client, jobSets, jobSet("second", 7, 8, ""), nil)
	assert.ErrorContains(t, err, "7 of 63 are free")

	require.NoError(t, s.says(operator, jobSets, "gang", completed))
	s.awaitUsed(0)
	s.must(client, jobSets, jobSet("second", 7, 8, ""), nil)
	assert.ErrorContains(t, s.says(client, jobSets, "gang", running), "may say whether it has finished", "it would be counted beyond the budget")
	s.awaitUsed(56)
}

// TestATenantSuspendsAndFinishes: one that is suspended claims nothing, and would claim nothing when it starts.
func TestATenantSuspendsAndFinishes(t *testing.T) {
	s := newScene(t, 16)
	s.must(client, jobSets, jobSet("gang", 3, 8, "suspend: true,"), nil)
	assert.ErrorContains(t, s.says(client, jobSets, "gang", completed), "may say whether it has finished")
	assert.ErrorContains(t, s.patch(jobSets, "gang", `{"spec":{"suspend":false}}`), "asks for 24 GPUs (8 x 3 pods)")
}

// TestAPlatformTeamsKindFinishesByItsOperatorOnly: whether its status has a subresource or not, and whatever its
// object says when it is made.
func TestAPlatformTeamsKindFinishesByItsOperatorOnly(t *testing.T) {
	for name, test := range map[string]struct {
		resource    schema.GroupVersionResource
		kind        string
		subresource bool
	}{
		"with the subresource":    {trainings, "Training", true},
		"without the subresource": {batches, "Batch", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, 16)
			operator := s.as("acme-system/acme-operator")
			says := func(c dynamic.Interface, phase string) error {
				if test.subresource {
					return s.says(c, test.resource, "t", `{"phase":"`+phase+`"}`)
				}
				return harness.Answered(func() error {
					_, err := c.Resource(test.resource).Namespace(s.namespace).Patch(context.Background(), "t", types.MergePatchType, []byte(`{"status":{"phase":"`+phase+`"}}`), metav1.PatchOptions{})
					return err
				})
			}
			object := func(status string) string {
				return `{apiVersion: acme.example/v1, kind: ` + test.kind + `, metadata: {name: t}, spec: {nodes: 2, template: {spec: ` + containers(8) + `}}` + status + `}`
			}
			if _, err := s.create(client, test.resource, object(", status: {phase: Done}"), nil); test.subresource {
				require.NoError(t, err, "the API server drops the status")
			} else {
				require.ErrorContains(t, err, "may say whether it has finished", "whoever makes it cannot know")
				s.must(client, test.resource, object(""), nil)
			}
			assert.EqualValues(t, 16, s.held())
			s.awaitUsed(16)
			assert.NoError(t, says(operator, "Running"))
			assert.ErrorContains(t, says(client, "Done"), "may say whether it has finished")
			assert.NoError(t, says(client, "Waiting"), "which frees nothing")
			require.NoError(t, says(operator, "Done"))
			s.awaitUsed(0)
		})
	}
}
