package app

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
)

// post writes a request to a connection and returns its answer.
func post(t *testing.T, connection *tls.Conn, answers *bufio.Reader) (*http.Response, string) {
	t.Helper()
	var review admissionv1.AdmissionReview
	review.APIVersion, review.Kind, review.Request = "admission.k8s.io/v1", "AdmissionReview", service(t, nil)
	body, err := json.Marshal(review)
	require.NoError(t, err)
	_, err = fmt.Fprintf(connection, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", ValidatePath, len(body), body)
	require.NoError(t, err)
	answer, err := http.ReadResponse(answers, nil)
	require.NoError(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer, string(text)
}

// The caller of a connection that waited writes a request at the moment at which the process
// has nothing more to wait for.
func TestARequestThatCrossesTheEndIsAnswered(t *testing.T) {
	for name, before := range map[string]int{"over a connection that was used": 1, "over a connection that was opened beforehand": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, 0)
			connection, err := tls.Dial("tcp", r.url[len("https://"):], r.config)
			require.NoError(t, err)
			defer connection.Close()
			require.NoError(t, connection.SetDeadline(time.Now().Add(5*time.Second)))
			answers := bufio.NewReader(connection)
			for range before {
				answer, _ := post(t, connection, answers)
				require.Equal(t, 200, answer.StatusCode)
				require.False(t, answer.Close)
			}
			r.stop()
			// What a caller without a request sees is no answer, and not the end either.
			interim, err := http.ReadResponse(answers, nil)
			require.NoError(t, err)
			require.Equal(t, http.StatusContinue, interim.StatusCode)

			answer, text := post(t, connection, answers)
			assert.Equal(t, 200, answer.StatusCode)
			assert.Contains(t, text, `"allowed":true`)
			assert.True(t, answer.Close, "the next request goes elsewhere")
			_, err = answers.ReadByte()
			assert.ErrorIs(t, err, io.EOF)
			r.await(t, time.Second)
		})
	}
}

// An API server may use a connection that it opened for another request. The server does not
// close it in its face.
func TestAConnectionThatIsNotUsedIsClosedByItsCaller(t *testing.T) {
	t.Parallel()
	r := start(t, 0)
	connection, err := tls.Dial("tcp", r.url[len("https://"):], r.config)
	require.NoError(t, err)
	defer connection.Close()
	require.NoError(t, connection.SetDeadline(time.Now().Add(2*headerTimeout)))
	answers := bufio.NewReader(connection)
	interim, err := http.ReadResponse(answers, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusContinue, interim.StatusCode)
	answer, _ := post(t, connection, answers)
	assert.Equal(t, 200, answer.StatusCode)
	assert.False(t, answer.Close)
	require.NoError(t, connection.Close())
	r.stop()
	r.await(t, 2*time.Second)
}

// Go's client, which is the API server's, may take a connection back into use at any moment.
func TestNoRequestFailsWhileOneProcessAfterAnotherEnds(t *testing.T) {
	const processes, callers = 10, 32
	now := atomic.Pointer[running]{}
	now.Store(start(t, 0))
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		MaxIdleConnsPerHost: callers,
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			to := now.Load()
			return (&tls.Dialer{Config: to.config}).DialContext(ctx, "tcp", to.url[len("https://"):])
		},
	}}
	defer client.CloseIdleConnections()
	var review admissionv1.AdmissionReview
	review.APIVersion, review.Kind, review.Request = "admission.k8s.io/v1", "AdmissionReview", service(t, nil)
	body, err := json.Marshal(review)
	require.NoError(t, err)

	var (
		calling  sync.WaitGroup
		enough   atomic.Bool
		answered atomic.Int64
	)
	for caller := range callers {
		calling.Go(func() {
			for !enough.Load() {
				answer, err := client.Post("https://x"+ValidatePath, "application/json", bytes.NewReader(body))
				if !assert.NoError(t, err) {
					return
				}
				_, err = io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
				assert.NoError(t, err)
				assert.Equal(t, 200, answer.StatusCode)
				answered.Add(1)
				time.Sleep(time.Duration(caller) * 100 * time.Microsecond) // the pauses in which connections wait
			}
		})
	}
	for range processes {
		before := answered.Load()
		require.Eventually(t, func() bool { return answered.Load() > before+10*callers }, 10*time.Second, time.Millisecond)
		old := now.Swap(start(t, 0))
		old.stop()
		old.await(t, 4*time.Second)
	}
	enough.Store(true)
	calling.Wait()
	last := now.Load()
	client.CloseIdleConnections()
	last.stop()
	last.await(t, 4*time.Second)
}
