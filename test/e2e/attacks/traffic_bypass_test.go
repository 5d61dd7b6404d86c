// Traffic with more entries than anybody reads makes every count late.

package attacks

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// traffic has entries for one revision; all of it goes to the first.
func traffic(revision string, entries int) string {
	list := []string{`{revisionName: ` + revision + `, percent: 100}`}
	for i := range entries - 1 {
		list = append(list, fmt.Sprintf(`{revisionName: %s, percent: 0, tag: t%d}`, revision, i))
	}
	return `traffic: [` + strings.Join(list, ", ") + `]`
}

func TestTrafficHasNoMoreEntriesThanCanBeRead(t *testing.T) {
	t.Parallel()
	s := newScene(t, 16, strict)
	s.apply(s.tenant, knativeService("a", 8, 1, ""))
	s.makeReady("a")
	route := func(entries int) error {
		return s.try(`{apiVersion: serving.knative.dev/v1, kind: Route, metadata: {name: many}, spec: {` + traffic("a-00001", entries) + `}}`)
	}
	assert.ErrorContains(t, route(3000), "spec.traffic", "a Route")
	assert.ErrorContains(t, s.patch(services, "a", `{spec: {`+traffic("a-00001", 3000)+`}}`), "spec.traffic", "a Service")
	require.NoError(t, route(50))
	require.NoError(t, s.patch(services, "a", `{spec: {`+traffic("a-00001", 50)+`}}`))
	s.awaitUsed(8)
	s.holds(0)
}
