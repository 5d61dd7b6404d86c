package reviews

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
)

// Caller sends one review after another to a handler, without a network, and reuses what
// it can, so that what is measured is the handler.
type Caller struct {
	handler http.Handler
	request http.Request
	body    bytes.Reader
	answer  recorder
}

// NewCaller is a caller of the endpoint at path.
func NewCaller(handler http.Handler, path string) *Caller {
	c := &Caller{handler: handler, answer: recorder{header: http.Header{}}}
	c.request = http.Request{
		Method: http.MethodPost, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: "webhook",
		URL:    &url.URL{Path: path, RawQuery: "timeout=10s"},
		Header: http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}},
		Body:   io.NopCloser(&c.body), RemoteAddr: "127.0.0.1:1",
	}
	return c
}

// Call gives the bytes of the answer, which hold until the next call.
func (c *Caller) Call(body []byte) ([]byte, error) {
	c.body.Reset(body)
	c.request.ContentLength = int64(len(body))
	c.answer.body.Reset()
	c.answer.code = http.StatusOK
	clear(c.answer.header)
	request := c.request
	c.handler.ServeHTTP(&c.answer, &request)
	if c.answer.code != http.StatusOK {
		return nil, fmt.Errorf("answered %d: %s", c.answer.code, c.answer.body.Bytes())
	}
	return c.answer.body.Bytes(), nil
}

// Benchmark checks the answers to all cases of a step and then times them.
func Benchmark(b *testing.B, engine string, step Step, handler http.Handler, path string) {
	caller := NewCaller(handler, path)
	for _, c := range Cases() {
		if c.Step != step {
			continue
		}
		answer, err := caller.Call(c.Body)
		if err != nil {
			b.Fatal(c.Name, err)
		}
		if err := c.Check(answer); err != nil {
			b.Fatal(err)
		}
		b.Run("case="+c.Name+"/engine="+engine, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := caller.Call(c.Body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

type recorder struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(code int)        { r.code = code }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }
