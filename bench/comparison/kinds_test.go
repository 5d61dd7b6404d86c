package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubetorch/webhook/pkg/workload"
)

// TestEveryKindAsksForWhatItsClaimSays measures the manifests as the webhook does.
func TestEveryKindAsksForWhatItsClaimSays(t *testing.T) {
	names := map[string]bool{}
	for _, k := range podKinds {
		names[k.name] = true
		if k.resource == knativeServices {
			read, err := claimOf(k.object("a", claim{3, 4}))
			require.NoError(t, err)
			assert.Equal(t, claim{3, 4}, read)
			continue
		}
		for _, row := range workload.Kinds() {
			if row.GVR() != k.resource {
				continue
			}
			o := k.object("a", claim{3, 4})
			want := int64(12)
			switch row.GroupKind {
			case workload.PodKind:
				want = 3
			case workload.DaemonSetKind:
				want = 3 // a node's: how many there are is not in it
			}
			assert.Equal(t, row.Kind, o.GetKind())
			assert.Equal(t, want, gpusOf(t, row, o), k.name)
		}
	}
	for _, row := range workload.Kinds() {
		if row.GroupKind != workload.ReplicationControllerKind {
			assert.True(t, names[row.Kind], "%s is compared", row.Kind)
		}
	}
}

func gpusOf(t *testing.T, row workload.Kind, o *unstructured.Unstructured) int64 {
	t.Helper()
	return row.Usage(o.Object, workload.NewGPUResources(workload.Counting{})).Claim
}

func TestTheSameSeedGivesTheSameMix(t *testing.T) {
	names := func(mix []create) (all []string) {
		for _, c := range mix {
			all = append(all, c.kind.name+" "+c.team)
			assert.True(t, c.gpus >= 1 && c.gpus <= 4 && c.maxScale >= 1 && c.maxScale <= 4, "%+v", c.claim)
			assert.NotEqual(t, "CronJob", c.kind.name)
		}
		return all
	}
	assert.Equal(t, names(randomMix(1, 150)), names(randomMix(1, 150)))
	assert.NotEqual(t, names(randomMix(1, 150)), names(randomMix(2, 150)))
}

func TestTheTableOfKindsGoesIntoThePage(t *testing.T) {
	entrants := []*kindsEntrant{
		{contender: quota{}, version: "v1", outcomes: []outcome{{"Job", atThePod, 64, 64}}, rounds: []mixed{
			{admitted: 3, asked: 100, live: 70, most: 80, short: 1}, {admitted: 2, refused: 1, asked: 90, live: 60, most: 60},
		}},
		{contender: kyverno{}, version: "v2", outcomes: []outcome{{"Job", atApply, 0, 0}}, rounds: []mixed{
			{admitted: 3, asked: 100, live: 90, most: 90}, {admitted: 3, asked: 100, live: 90, most: 90},
		}},
	}
	table := kindsTable(entrants, options{mix: 2, clients: 3, kindRounds: 2, seed: 1})
	demand := 0
	for _, c := range randomMix(1, 2) {
		demand += c.total()
	}
	want := `One manifest at a time, of 9 pods with 8 GPUs each, 72 GPUs in all, with nothing else there; 64 are allowed.
Where it was refused, and the GPUs of the pods that were there in the end.

|  | ResourceQuota | Kyverno |
|---|---|---|
| Job | the pod, 64 | apply, 0 |

2 objects of these kinds, CronJobs apart, in 4 namespaces, 3 at a time, ask for ` + fmt.Sprint(demand) + ` GPUs; 64 are allowed.
Median (lowest to highest) of 2 rounds.

| | version | objects admitted | refused at apply | failed | GPUs that the admitted ask for | GPUs of pods in the end | at most | admitted that lack pods |
|---|---|---|---|---|---|---|---|---|
| ResourceQuota | v1 | 2 (2 to 3) | 0 (0 to 1) | 0 | 90 (90 to 100) | 60 (60 to 70) | 60 (60 to 80) | 0 (0 to 1) |
| Kyverno | v2 | 3 | 0 | 0 | 100 | 90 | 90 | 0 |
`
	assert.Equal(t, want, table)

	page := filepath.Join(t.TempDir(), "page.md")
	require.NoError(t, os.WriteFile(page, []byte("# Page\n\n<!-- kinds: written by make compare -->\nold\n<!-- end of kinds -->\n\nAfter\n"), 0o644))
	require.NoError(t, replace(page, kindsName, table))
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	assert.Equal(t, "# Page\n\n<!-- kinds: written by make compare -->\n\n"+want+"\n<!-- end of kinds -->\n\nAfter\n", string(text))
	assert.ErrorContains(t, replace(page, raceName, table), `no part between "<!-- race`)
}

// TestThePageHasAPlaceForEveryTable reads the page that make compare writes into.
func TestThePageHasAPlaceForEveryTable(t *testing.T) {
	text, err := os.ReadFile("../../docs/comparison.md")
	require.NoError(t, err)
	for _, part := range []string{raceName, kindsName} {
		page := filepath.Join(t.TempDir(), "page.md")
		require.NoError(t, os.WriteFile(page, text, 0o644))
		require.NoError(t, replace(page, part, "table"))
	}
}
