//go:build browser

package browser

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// browser is a Chromium that is spoken to over a pipe, by the DevTools protocol.
type browser struct {
	t       *testing.T
	out     *os.File
	in      *bufio.Reader
	id      atomic.Int64
	session string
	events  []event
}

// event is what the browser tells, or answers.
type event struct {
	ID        int64           `json:"id"`
	SessionID string          `json:"sessionId"`
	Method    string          `json:"method"`
	Params    json.RawMessage `json:"params"`
	Result    json.RawMessage `json:"result"`
	Error     *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// start starts a browser with one empty page of the given size.
func start(t *testing.T, width, height int) *browser {
	t.Helper()
	name := os.Getenv("KUBETORCH_CHROMIUM")
	if name == "" {
		name = "chromium"
	}
	path, err := exec.LookPath(name)
	require.NoError(t, err, "install Debian's package chromium, or name the program in KUBETORCH_CHROMIUM")
	theirs, ours, err := os.Pipe()
	require.NoError(t, err)
	mine, their, err := os.Pipe()
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	c := exec.CommandContext(ctx, path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--proxy-server=127.0.0.1:9", "--user-data-dir="+t.TempDir(),
		fmt.Sprintf("--window-size=%d,%d", width, height), "--remote-debugging-pipe", "about:blank")
	c.ExtraFiles = []*os.File{theirs, their} // 3 is read by the browser, 4 written
	require.NoError(t, c.Start())
	theirs.Close()
	their.Close()
	b := &browser{t: t, out: ours, in: bufio.NewReaderSize(mine, 1<<20)}
	t.Cleanup(func() {
		_, _ = b.try("", "Browser.close", nil)
		ended := make(chan struct{})
		go func() { _ = c.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			cancel()
			<-ended
		}
		cancel()
		ours.Close()
		mine.Close()
	})
	var target struct{ TargetID string }
	b.call(&target, "Target.createTarget", map[string]any{"url": "about:blank"})
	var attached struct{ SessionID string }
	b.call(&attached, "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true})
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network", "Performance"} {
		b.call(nil, domain+".enable", nil)
	}
	b.call(nil, "Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600})
	return b
}

// call calls a method of the page.
func (b *browser) call(into any, method string, params map[string]any) {
	b.t.Helper()
	result, err := b.try(b.session, method, params)
	require.NoError(b.t, err, method)
	if into != nil {
		require.NoError(b.t, json.Unmarshal(result, into))
	}
}

func (b *browser) try(session, method string, params map[string]any) (json.RawMessage, error) {
	id := b.id.Add(1)
	message := map[string]any{"id": id, "method": method, "params": params}
	if session != "" {
		message["sessionId"] = session
	}
	if params == nil {
		delete(message, "params")
	}
	raw, err := json.Marshal(message)
	if err != nil {
		return nil, err
	}
	if _, err := b.out.Write(append(raw, 0)); err != nil {
		return nil, err
	}
	for {
		e, err := b.read()
		switch {
		case err != nil:
			return nil, err
		case e.ID == id && e.Error != nil:
			return nil, errors.New(e.Error.Message)
		case e.ID == id:
			return e.Result, nil
		}
	}
}

// read reads a message; events are kept.
func (b *browser) read() (event, error) {
	text, err := b.in.ReadBytes(0)
	if err != nil {
		return event{}, err
	}
	var e event
	if err := json.Unmarshal(text[:len(text)-1], &e); err != nil {
		return event{}, err
	}
	if e.Method != "" {
		b.events = append(b.events, e)
	}
	return e, nil
}

// open opens a file, and tells how long it took until everything was loaded and laid out.
func (b *browser) open(html string) time.Duration {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), "page.html")
	require.NoError(b.t, os.WriteFile(path, []byte(html), 0o600))
	b.events = nil
	begin := time.Now()
	b.call(nil, "Page.navigate", map[string]any{"url": "file://" + path})
	for !b.happened("Page.loadEventFired") {
		_, err := b.read()
		require.NoError(b.t, err)
	}
	b.eval(`new Promise(done => requestAnimationFrame(() => setTimeout(() => done(document.body.offsetHeight))))`)
	return time.Since(begin)
}

// cpu is the time that the page's process has computed so far.
func (b *browser) cpu() time.Duration {
	b.t.Helper()
	var r struct {
		Metrics []struct {
			Name  string
			Value float64
		}
	}
	b.call(&r, "Performance.getMetrics", nil)
	for _, m := range r.Metrics {
		if m.Name == "ProcessTime" {
			return time.Duration(m.Value * float64(time.Second))
		}
	}
	require.Fail(b.t, "the browser does not tell its process's time")
	return 0
}

func (b *browser) happened(method string) bool {
	for _, e := range b.events {
		if e.Method == method {
			return true
		}
	}
	return false
}

// eval evaluates a script in the page.
func (b *browser) eval(script string) any {
	b.t.Helper()
	var r struct {
		Result           struct{ Value any }
		ExceptionDetails *struct{ Text string }
	}
	b.call(&r, "Runtime.evaluate", map[string]any{"expression": script, "returnByValue": true, "awaitPromise": true})
	require.Nil(b.t, r.ExceptionDetails, "%v", r.ExceptionDetails)
	return r.Result.Value
}

// problems are what stood on the console, and what was fetched beside the page itself.
func (b *browser) problems() (all []string) {
	for _, e := range b.events {
		switch e.Method {
		case "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded":
			all = append(all, e.Method+" "+string(e.Params))
		case "Network.requestWillBeSent":
			var p struct{ Request struct{ URL string } }
			if err := json.Unmarshal(e.Params, &p); err != nil || !(strings.HasPrefix(p.Request.URL, "file://") || strings.HasPrefix(p.Request.URL, "data:")) || strings.Contains(p.Request.URL, "favicon") {
				all = append(all, "fetched "+p.Request.URL)
			}
		}
	}
	return all
}

// dark makes the page believe that dark colours are preferred, or light ones.
func (b *browser) dark(dark bool) {
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.call(nil, "Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}})
}

// picture writes what the page looks like, if KUBETORCH_PICTURES names a folder.
func (b *browser) picture(name string) {
	b.t.Helper()
	dir := os.Getenv("KUBETORCH_PICTURES")
	if dir == "" {
		return
	}
	var shot struct{ Data []byte }
	b.call(&shot, "Page.captureScreenshot", map[string]any{"captureBeyondViewport": false})
	require.NoError(b.t, os.WriteFile(filepath.Join(dir, name+".png"), shot.Data, 0o600))
}
