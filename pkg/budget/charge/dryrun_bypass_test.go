// A dry run gets the true answer, and writes nothing.

package charge

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestADryRunIsDecidedAndNotWritten(t *testing.T) {
	s := newStore(counted("a", 10), counted("b", 3))
	c := NewCharger(s, nil)
	assert.True(t, c.Charge(t.Context(), []Demand{demand("a", "x", 10)}, true)[0].Fits)
	answers := c.Charge(t.Context(), []Demand{demand("b", "x", 4), demand("a", "x", 4)}, true)
	require.Len(t, answers, 2)
	assert.True(t, answers[0].Fits)
	assert.False(t, answers[1].Fits)
	assert.Zero(t, s.writes)
}
