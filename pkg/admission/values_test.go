package admission

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
)

func TestValuesAreCountedOutsideOfStrings(t *testing.T) {
	for text, want := range map[string]int{
		`7`:                          1,
		`{"a": 1}`:                   3, // a name counts like a value
		`{"a": [1, 2, 3]}`:           6,
		`{"a": "[{,:", "b": "\"{,"}`: 5,
		`["\\", "\\\"", ","]`:        4,
	} {
		assert.Equal(t, want, values([]byte(text), 0), text)
	}
	assert.Equal(t, 8, values([]byte(`{"a": "[{,:,"}`), 100), "a bound is enough for few")
}

// environment is a review whose object has so many entries, and so has its old object.
func environment(entries int) string {
	env := strings.Repeat(`{"name":"A","value":"1"},`, entries-1) + `{"name":"A","value":"1"}`
	object := `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"a"},"spec":{"template":{"spec":{"containers":[{"env":[` +
		env + `]}]}}}}`
	return `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u-1","operation":"UPDATE",` +
		`"kind":{"group":"apps","version":"v1","kind":"Deployment"},"object":` + object + `,"oldObject":` + object + `}}`
}

func TestAReviewOfTooManyValuesIsRefusedInTheProtocol(t *testing.T) {
	h := Handler(allow, Options{})
	assert.Contains(t, serve(h, post(environment(20_000))).body, `"allowed":true`)
	got := serve(h, post(environment(110_000))) // 2.7 MB each, which etcd would not store, but an API server asks about
	require.Equal(t, http.StatusOK, got.code)
	var review admissionv1.AdmissionReview
	require.NoError(t, json.Unmarshal([]byte(got.body), &review))
	assert.False(t, review.Response.Allowed)
	assert.Equal(t, "u-1", string(review.Response.UID))
	assert.EqualValues(t, 413, review.Response.Result.Code)
	assert.Equal(t, "the object, with its earlier state on an update, has 1100061 JSON values; kubetorch-webhook reads at most 250000: "+
		"take out environment, annotations or other lists that nothing reads", review.Response.Result.Message)
}

// Decoding reviews of many values is bounded by how many values all of them have, whatever
// their number.
func TestValuesThatAreDecodedAtTheSameTimeAreBounded(t *testing.T) {
	var mu sync.Mutex
	inside, most := 0, 0
	all := make(chan struct{})
	h := Handler(func(ctx context.Context, r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		mu.Lock()
		inside++
		most = max(most, inside)
		if inside == 2 {
			close(all) // both places are taken
		}
		mu.Unlock()
		<-all
		mu.Lock()
		inside--
		mu.Unlock()
		return allow(ctx, r)
	}, Options{MaxValuesHeld: 2*180_000 + 100_000})
	review := environment(18_000) // some 180,000 values
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { assert.Contains(t, serve(h, post(review)).body, `"allowed":true`) })
	}
	wg.Wait()
	assert.Equal(t, 2, most)
	for _, review := range []string{review, review, review} {
		wg.Go(func() { assert.Contains(t, serve(h, post(review)).body, `"allowed":true`, "each has its turn") })
	}
	wg.Wait()
	assert.LessOrEqual(t, most, 2, fmt.Sprintf("%d at once", most))
}
