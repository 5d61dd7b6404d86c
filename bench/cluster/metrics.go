package cluster

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/kubetorch/webhook/bench/comparison/install"
)

// Metrics are the lines of a page of metrics: a name with labels and a value.
type Metrics map[string]float64

// Sum adds the values of a metric whose labels have all texts.
func (m Metrics) Sum(name string, labels ...string) float64 {
	total := 0.0
lines:
	for line, value := range m {
		rest, found := strings.CutPrefix(line, name)
		if !found || (rest != "" && rest[0] != '{') {
			continue
		}
		for _, text := range labels {
			if !strings.Contains(rest, text) {
				continue lines
			}
		}
		total += value
	}
	return total
}

// Mean is that of a histogram since the metrics were as before, in those lines whose labels have all texts.
func (m Metrics) Mean(before Metrics, name string, labels ...string) (float64, error) {
	n := m.Sum(name+"_count", labels...) - before.Sum(name+"_count", labels...)
	if n == 0 {
		return 0, fmt.Errorf("there is no new %s with %s", name, labels)
	}
	return (m.Sum(name+"_sum", labels...) - before.Sum(name+"_sum", labels...)) / n, nil
}

func parse(text []byte) Metrics {
	m := Metrics{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if at := strings.LastIndexByte(line, ' '); at > 0 && line[0] != '#' {
			if value, err := strconv.ParseFloat(line[at+1:], 64); err == nil {
				m[line[:at]] = value
			}
		}
	}
	return m
}

// APIMetrics are those of the API server.
func (c *Cluster) APIMetrics(ctx context.Context) (Metrics, error) {
	var text string
	err := install.Await(ctx, "metrics of the API server", func(ctx context.Context) (err error) {
		text, _, err = c.Kubectl(ctx, nil, "get", "--raw", "/metrics") // cut off by its request timeout on a busy machine
		return err
	})
	return parse([]byte(text)), err
}

// WebhookMetrics are those of the webhook that serves at an address.
func WebhookMetrics(ctx context.Context, address string) (Metrics, error) {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("metrics of the webhook: %s: %s", response.Status, text)
	}
	return parse(text), err
}
