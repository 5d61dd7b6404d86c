package diagnose

import (
	"fmt"
	"strings"
)

// Largest is the largest number from 1 to below asked for which fits is true, given that
// whatever fits, less fits too; 0 if none does.
func Largest(asked int64, fits func(n int64) bool) int64 {
	low, high := int64(0), asked
	for high-low > 1 {
		if middle := low + (high-low)/2; fits(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

// Fit is how many pods fit, with GPUs of a type if it is not empty.
type Fit struct {
	Pods int64  `json:"pods"`
	Type string `json:"gpuType,omitempty"`
}

// Sentence words what would fit: "max-scale 3 fits; 4 with gpu-type NVIDIA-L4". what is the
// setting that has the number of pods. Of the other types, only those are named that fit more.
func Sentence(what string, fits []Fit) string {
	var words []string
	as := int64(0)
	for _, f := range fits {
		if f.Type == "" && f.Pods > 0 {
			as = f.Pods
			words = append(words, fmt.Sprintf("%s %d fits", what, f.Pods))
		}
	}
	for _, f := range fits {
		if f.Type == "" || f.Pods <= as {
			continue
		}
		if len(words) == 0 {
			words = append(words, fmt.Sprintf("%s %d fits with gpu-type %s", what, f.Pods, f.Type))
		} else {
			words = append(words, fmt.Sprintf("%d with gpu-type %s", f.Pods, f.Type))
		}
	}
	if len(words) == 0 {
		return "not even one pod fits"
	}
	return strings.Join(words, "; ")
}
