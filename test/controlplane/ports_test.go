package controlplane

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNoPortIsChosenTwice(t *testing.T) {
	seen := map[int]bool{}
	for range 20 {
		ports, err := freePorts(5)
		require.NoError(t, err)
		require.Len(t, ports, 5)
		for _, port := range ports {
			assert.False(t, seen[port], "port %d", port)
			seen[port] = true
		}
	}
}
