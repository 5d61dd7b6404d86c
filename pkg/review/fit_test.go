package review_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/pkg/review"
)

func TestFittingPods(t *testing.T) {
	for name, test := range map[string]struct{ free, held, others, perPod, want int64 }{
		"of what is free":                     {7, 0, 0, 2, 3},
		"with what it holds already":          {3, 4, 0, 2, 3},
		"beside its other revisions":          {6, 4, 5, 2, 2},
		"not one":                             {1, 0, 0, 2, 0},
		"other revisions hold more than that": {1, 2, 8, 2, 0},
		"pods without GPUs":                   {5, 0, 0, 0, 0},
		"sums that a number cannot hold":      {math.MaxInt64, math.MaxInt64, 0, 1, math.MaxInt64},
	} {
		assert.Equal(t, test.want, review.FittingPods(test.free, test.held, test.others, test.perPod), name)
	}
}
