package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/workload"
)

// chargedRow is a row of the table of kinds in docs/policy.md: the kinds, where they are refused, and
// what is charged.
var chargedRow = regexp.MustCompile(`^\| ([^|]+) \| ([^|]+) \| ([^|]*) \|\n$`)

// TestThePolicySaysOfEveryKindWhereItIsRefused holds the table to the kinds of the code: each has one
// row, which says that it is refused at apply if a budget holds a claim for the object itself.
func TestThePolicySaysOfEveryKindWhereItIsRefused(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "policy.md"))
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "\n### What is charged, and when it is refused\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n### ")
	refused := map[string]string{}
	for line := range strings.Lines(section) {
		m := chargedRow.FindStringSubmatch(line)
		if m == nil || m[1] == "kind" {
			continue
		}
		for name := range strings.SplitSeq(m[1], ", ") {
			assert.NotContains(t, refused, name, "it has two rows")
			refused[name] = m[2]
		}
	}
	said := func(kind, name string, charged bool) {
		t.Helper()
		where, found := refused[name]
		if !assert.True(t, found, "docs/policy.md does not say what is charged for %s", kind) {
			return
		}
		if charged {
			assert.Equal(t, "at apply", where, kind)
		} else {
			assert.Contains(t, where, "bounds at apply; ", kind)
		}
	}
	for _, k := range workload.Kinds() {
		said(k.Kind, k.Kind, k.Charged)
	}
	claims, found := workload.KindFor(workload.ResourceClaimKind)
	require.True(t, found)
	said(claims.Kind, claims.Kind, claims.Charged)
	said("Knative's Service", "Knative Service", true)
	for _, k := range []string{workload.ConfigurationKind.Kind, workload.RevisionKind.Kind, workload.RouteKind.Kind, workload.PodAutoscalerKind.Kind} {
		said(k, k, true)
	}
	said(workload.HorizontalPodAutoscalerKind.Kind, "HorizontalPodAutoscaler (KEDA makes these)", true)
	assert.Equal(t, "at `kubectl scale`", refused["`scale` of any of them"])
}
