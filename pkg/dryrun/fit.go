package dryrun

import (
	"fmt"
	"strings"

	"github.com/kubetorch/webhook/pkg/parameter"
)

// Largest is the largest number from 1 to below asked for which fits is true, given that
// whatever fits, less fits too; 0 if none does.
func Largest(asked int64, fits func(n int64) bool) int64 { return largestFrom(0, asked, fits) }

// largestFrom is the largest number below asked for which fits is true, given that low fits.
func largestFrom(low, asked int64, fits func(n int64) bool) int64 {
	high := asked
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
	// Lowered are the other scales that the workload states and that have to be no larger: min-scale,
	// initial-scale.
	Lowered []string `json:"noLarger,omitempty"`
}

// Sentence words what would fit: "max-scale 3 fits; 4 with gpu-type NVIDIA-L4". what is the
// setting that has the number of pods. Of the other types, only those are named that fit more.
// It is empty if nothing fits.
func Sentence(what string, fits []Fit) string {
	var words []string
	as := int64(0)
	for _, f := range fits {
		if f.Type == "" && f.Pods > 0 {
			as = f.Pods
			words = append(words, fmt.Sprintf("%s %d fits", what, f.Pods)+f.noLarger())
		}
	}
	for _, f := range fits {
		if f.Type == "" || f.Pods <= as {
			continue
		}
		if len(words) == 0 {
			words = append(words, fmt.Sprintf("%s %d fits with gpu-type %s", what, f.Pods, f.Type)+f.noLarger())
		} else {
			words = append(words, fmt.Sprintf("%d with gpu-type %s", f.Pods, f.Type)+f.noLarger())
		}
	}
	return strings.Join(words, "; ")
}

func (f *Fit) noLarger() string {
	switch {
	case len(f.Lowered) == 0:
		return ""
	case len(f.Lowered) > 1:
		return ", with a " + parameter.MinScale.Name + " and an " + parameter.InitialScale.Name + " that are no larger"
	case f.Lowered[0] == parameter.InitialScale.Name:
		return ", with an " + parameter.InitialScale.Name + " that is no larger"
	}
	return ", with a " + f.Lowered[0] + " that is no larger"
}
