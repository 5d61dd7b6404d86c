// A template is named like a revision that there is, and asks for something else.

package attacks

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Knative makes no revision of such a template, and goes on with the one before it: that is not
// what the template made, though it looks like that.
func TestATemplateNamedLikeARevisionDoesNotHideAnother(t *testing.T) {
	t.Parallel()
	s := newScene(t, 36, strict)
	one := revisionTemplate("a-one", 8, 2, "")
	two := strings.Replace(revisionTemplate("a-two", 8, 2, ""), "nginx:1", "nginx:2", 1)
	s.apply(s.tenant, `{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: a}, spec: {template: `+one+`}}`)
	s.makeReady("a")
	s.awaitLive(16)
	require.NoError(t, s.patch(services, "a", `{spec: {template: `+two+`}}`))
	s.makeReady("a")
	s.idle("a-one")
	s.awaitLive(16)
	s.awaitUsed(16)
	s.apply(s.tenant, deployment("b", 16, 1))
	s.awaitUsed(32)

	split := `traffic: [{revisionName: a-one, percent: 50}, {revisionName: a-two, percent: 50}]`
	err := s.patch(services, "a", `{spec: {template: `+strings.Replace(two, "a-two", "a-one", 1)+`, `+split+`}}`)
	s.refused(err, "16 more GPUs by a revision that ran no more")
	if err == nil {
		require.NoError(t, s.autoscale("a-one", 2)) // as it is asked for
		s.maybeLive(32)
	}
	s.holds(0)

	s.remove(deployments, "b")
	s.awaitUsed(16)
	assert.NoError(t, s.patch(services, "a", `{spec: {`+split+`}}`), "both fit")
	s.awaitUsed(32)
}
