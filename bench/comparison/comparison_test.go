package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheSameSeedGivesTheSameClaims(t *testing.T) {
	claims := randomClaims(1, 300)
	assert.Equal(t, claims, randomClaims(1, 300))
	assert.NotEqual(t, claims, randomClaims(2, 300))
	for _, c := range claims {
		assert.True(t, c.gpus >= 1 && c.gpus <= 8 && c.maxScale >= 1 && c.maxScale <= 6, "%+v", c)
	}
}

func TestAServiceMakesTheClaimItWasMadeFor(t *testing.T) {
	for _, c := range randomClaims(1, 20) {
		read, err := claimOf(c.service("a"))
		require.NoError(t, err)
		assert.Equal(t, c, read)
	}
}

func TestTable(t *testing.T) {
	entrants := []*entrant{
		{contender: gatekeeper{}, version: "v1", results: []result{
			{admitted: 90, services: 9, refused: 1, seconds: 1.25},
			{admitted: 70, services: 9, failed: 2, seconds: 3},
			{admitted: 80, services: 9, seconds: 2},
		}},
		{contender: kyverno{}, version: "v2", results: []result{{admitted: 64, services: 5, refused: 3, seconds: 1}}},
	}
	assert.Equal(t, `2 creates, 3 at a time, ask for 10 GPUs; the rule allows 64. Median (lowest to highest).

| | version | rounds | GPUs admitted | Services admitted | refused | failed | seconds |
|---|---|---|---|---|---|---|---|
| Gatekeeper | v1 | 3 | 80 (70 to 90) | 9 | 0 (0 to 1) | 0 (0 to 2) | 2.0 (1.2 to 3.0) |
| Kyverno | v2 | 1 | 64 | 5 | 3 | 0 | 1.0 |
`, table(entrants, []claim{{2, 3}, {4, 1}}, 3))
}
