// A ReplicationController, whose selector may change as that of no other kind, lets go of its pods and makes others.

package attacks

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestAReplicationControllerWithAnotherSelectorIsHeld(t *testing.T) {
	t.Parallel()
	controllers := schema.GroupVersionResource{Version: "v1", Resource: "replicationcontrollers"}
	selects := func(s *scene, app string) error {
		return s.patch(controllers, "a", strings.ReplaceAll(`{spec: {selector: {app: APP}, template: {metadata: {labels: {app: APP}}}}}`, "APP", app))
	}
	s := newScene(t, 16, strict)
	s.apply(s.tenant, workload("v1", "ReplicationController", "a", 8, 1, ""))
	s.awaitLive(8)
	assert.NoError(t, selects(s, "other"), "8 more fit")
	s.awaitLive(16)
	s.refused(selects(s, "another"), "24 GPUs")
	s.maybeLive(16)
	s.holds(0)

	// The pods go on while the template has no GPUs, and nobody is asked about the selector then.
	assert.NoError(t, s.patch(controllers, "a", `{spec: {template: {spec: {containers: [{name: app, image: "nginx:1", resources: null}]}}}}`))
	_ = selects(s, "another")
	_ = s.patch(controllers, "a", `{spec: {template: {spec: {containers: [`+container(8)+`]}}}}`)
	s.maybeLive(16)
	s.holds(0)
}
