package app

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/admission"
	auditcontroller "github.com/kubetorch/webhook/pkg/audit/controller"
	"github.com/kubetorch/webhook/pkg/budget/charge"
	budgetcontroller "github.com/kubetorch/webhook/pkg/budget/controller"
	"github.com/kubetorch/webhook/pkg/certificate"
	"github.com/kubetorch/webhook/pkg/metric"
	"github.com/kubetorch/webhook/pkg/registration"
)

func TestEveryMetricOfTheTableIsRegisteredAsItStands(t *testing.T) {
	registry := prometheus.NewRegistry()
	source, err := certificate.SelfSigned(t.TempDir(), nil)
	require.NoError(t, err)
	require.NoError(t, registerProcess(registry, admission.NewMetrics(MutatePath, ValidatePath), source))
	_, err = newSnapshotMetrics(registry)
	require.NoError(t, err)
	_, err = charge.NewWriteMetrics(registry)
	require.NoError(t, err)
	_, err = budgetcontroller.NewLedgerMetrics(registry)
	require.NoError(t, err)
	_, err = registration.NewStateMetrics(registry)
	require.NoError(t, err)
	_, err = auditcontroller.NewAuditMetrics(registry)
	require.NoError(t, err)
	require.NoError(t, metric.Register(registry, newWatches()))
	authorities := newAuthority(t)
	_, err = newClientCertificates(ClientCerts{CAFile: authorities.file(t)}, registry, discard)
	require.NoError(t, err)

	descriptions := make(chan *prometheus.Desc)
	go func() { registry.Describe(descriptions); close(descriptions) }()
	var got, want []string
	for d := range descriptions {
		got = append(got, d.String())
	}
	for _, m := range metric.Table() {
		want = append(want, m.Desc().String())
	}
	assert.ElementsMatch(t, want, got)
}

func TestMetricsAreDefinedInTheTableOnly(t *testing.T) {
	options := regexp.MustCompile(`prometheus\.(New(Counter|Gauge|Histogram|Summary)|\w+Opts)`)
	require.NoError(t, filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "../metric/") {
			return err
		}
		text, err := os.ReadFile(path)
		assert.NotRegexp(t, options, string(text), path)
		return err
	}))
}
