// A LimitRange gives GPUs to pods that ask for none.

package attacks

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func limitRange(limits string) string {
	return `{apiVersion: v1, kind: LimitRange, metadata: {name: devices}, spec: {limits: [` + limits + `]}}`
}

// deviceDefaults are limits that give devices to containers that ask for none.
var deviceDefaults = map[string]string{
	"default":                    `{type: Container, default: {nvidia.com/gpu: "8"}}`,
	"default and defaultRequest": `{type: Container, default: {nvidia.com/gpu: "8"}, defaultRequest: {nvidia.com/gpu: "8"}}`,
	"max alone is the default":   `{type: Container, max: {nvidia.com/gpu: "8"}}`,
	"among others":               `{type: Pod, max: {cpu: "64"}}, {type: Container, default: {cpu: "1", nvidia.com/gpu: "8"}}`,
}

func TestALimitRangeGivesNoGPUsUnderABudget(t *testing.T) {
	t.Parallel()
	for name, limits := range deviceDefaults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, 24, strict)
			err := s.try(limitRange(limits))
			assert.ErrorContains(t, err, "nvidia.com/gpu")
			s.makeWithoutGPUs()
			s.maybeLive(0)
			s.holds(0)
			if err != nil {
				assert.NoError(t, s.try(limitRange(`{type: Container, default: {cpu: "1", memory: 1Gi}, max: {cpu: "2"}}`)), "defaults without devices")
			}
		})
	}
}

// makeWithoutGPUs makes a Knative Service and a Deployment that ask for no GPUs: 64 in their
// pods, if each container gets 8.
func (s *scene) makeWithoutGPUs() {
	s.Helper()
	s.apply(s.tenant, knativeService("a", 0, 2, ""))
	s.apply(s.tenant, deployment("b", 0, 4))
}

func TestALimitRangeFromBeforeTheBudgetIsSeenInThePods(t *testing.T) {
	t.Parallel()
	takePlace(t)
	s := newNamespaces(t)
	s.apply(s.tenant, limitRange(deviceDefaults["max alone is the default"]))
	s.limit(24, strict)
	_ = s.try(knativeService("a", 0, 2, ""))
	_ = s.try(deployment("b", 0, 4))
	s.maybeLive(0)
	s.holds(0)
	assert.NoError(t, s.patch(limitRanges, "devices", `{spec: {limits: [{type: Container, max: {cpu: "2"}}]}}`), "and may be mended")
	require.NoError(t, s.try(deployment("c", 0, 1)))
}
