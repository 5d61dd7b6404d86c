package harness

import (
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubetorch/webhook/test/controlplane"
)

// tries is how often a request is made that gets no answer. Each takes as long as the API server
// or a webhook lets it, so this bounds no time.
const tries = 30

// unanswered tells whether a busy machine had no time for a request: the API server broke it off,
// or a webhook was not answered in time.
func unanswered(err error) bool {
	return controlplane.CutOff(err) || apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) ||
		strings.Contains(err.Error(), "failed calling webhook") && strings.Contains(err.Error(), "deadline exceeded") ||
		strings.Contains(err.Error(), "has no time left to decide, please retry") // and says so just before the API server would
}

// Answered tries again, as a user would, what a busy machine left without an answer, and a
// replacement of what a controller wrote meanwhile. What a try without an answer charged is
// reserved for a while, what it made is made, and what it deleted is gone.
func Answered(try func() error) error {
	lost := false
	for i := 1; ; i++ {
		begun := time.Now()
		err := try()
		// A client that has been told when to try again has tried before without a word.
		lost = lost || time.Since(begun) > time.Second
		if err == nil || i == tries {
			return err
		}
		text := err.Error()
		switch {
		case unanswered(err):
			lost = true
		case lost && strings.Contains(text, "already exists"), lost && apierrors.IsNotFound(err):
			return nil
		case lost && strings.Contains(text, "more are reserved by requests under way"):
			i-- // it becomes free, or the claim of somebody else
		case strings.Contains(text, "is not seen stored yet, holds up to"):
			i-- // it is seen, on a busy machine later than a client asks again
		case strings.Contains(text, "error when replacing") && strings.Contains(text, "the object has been modified"):
		default:
			return err
		}
		time.Sleep(Tick)
	}
}

// Read reads again what the API server had no time for.
func Read[T any](read func() (T, error)) (T, error) {
	for i := 1; ; i++ {
		got, err := read()
		_, answered := err.(apierrors.APIStatus)
		if err == nil || i == tries || answered && !unanswered(err) && !apierrors.IsTooManyRequests(err) {
			return got, err
		}
		time.Sleep(Tick)
	}
}
