package differential

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"regexp"
	"runtime"
	"runtime/debug"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
)

var (
	seed   = flag.Uint64("seed", 1, "seed of the random inputs")
	inputs = flag.Int("inputs", 100_000, "number of random inputs")
	only   = flag.Int("input", -1, "run and show only the input of this number")
)

// clusterCount is how many Knative configurations one run draws from.
const clusterCount = 120

// trial is one random input and what came of it.
type trial struct {
	number   int
	random   *rand.Rand
	cluster  *cluster
	policies policySet
	raw      []byte
	faults   []string
	// categories of a refusal that Knative does not share.
	categories []string
	outcome    string
}

func (t *trial) fault(format string, args ...any) {
	t.faults = append(t.faults, fmt.Sprintf(format, args...))
}

func (t *trial) String() string {
	return fmt.Sprintf("input %d (-seed %d -input %d), policies %s, cluster %s\n%s\n  %s", t.number, *seed, t.number,
		t.policies.name, t.cluster, t.raw, strings.Join(t.faults, "\n  "))
}

func newTrial(clusters []*cluster, number int) *trial {
	r := rand.New(rand.NewPCG(*seed, uint64(number)))
	t := &trial{number: number, random: r, cluster: clusters[r.IntN(len(clusters))], policies: policySets[0]}
	if r.IntN(3) == 0 {
		t.policies = policySets[r.IntN(len(policySets))]
	}
	t.raw = generate(r, t.cluster)
	return t
}

// expand expands a copy of an object. On UPDATE old is the stored object.
func (t *trial) expand(raw, old []byte) (manifest.Object, expand.Result) {
	o := mustDecode(raw)
	in := expand.Input{Object: o, Policies: t.selection(o), Knative: t.cluster.ours}
	if old != nil {
		in.Old = mustDecode(old)
	}
	return o, expand.Service(in)
}

func (t *trial) selection(o manifest.Object) policy.Selection {
	return t.policies.set.For(policy.Subject{Namespace: "team", NamespaceLabels: map[string]string{}, NamespaceKnown: true, Labels: manifest.Texts(o, "metadata", "labels")})
}

func mustDecode(raw []byte) manifest.Object {
	o, err := manifest.Decode(raw)
	if err != nil {
		panic(err)
	}
	return o
}

func refused(r expand.Result) bool { return len(r.Errors)+len(r.Denied) > 0 }

func refusals(r expand.Result) []error {
	var all []error
	for _, e := range r.Errors {
		all = append(all, e)
	}
	for _, d := range r.Denied {
		all = append(all, d.Error)
	}
	return all
}

// run expands the input and holds the result against Knative.
func (t *trial) run() {
	defer func() {
		if p := recover(); p != nil {
			t.fault("panic: %v\n%s", p, debug.Stack())
		}
	}()
	edited, result := t.expand(t.raw, nil)
	if refused(result) {
		t.outcome = "refused"
		if len(result.Patch) > 0 {
			t.fault("refused, yet with a patch %v", result.Patch)
		}
		t.judgeRefusal(result)
		return
	}
	t.outcome = "accepted"
	patched := t.apply(result.Patch, t.raw)
	if patched == nil {
		return
	}
	if got := mustDecode(patched); !reflect.DeepEqual(got, edited) {
		t.fault("the patch makes\n  %v\nwhile the object in place is\n  %v", got, edited)
	}
	if places := undocumented(result.Patch); len(places) > 0 {
		t.fault("undocumented places are patched: %v", places)
	}
	if err := lost(decode(t.raw), decode(patched), ""); err != nil {
		t.fault("not only documented places differ: %v", err)
	}
	if t.random.IntN(4) == 0 {
		t.nothingToDo("expanding the expansion", patched, nil)
	}
	if !expand.ReadIntent(mustDecode(t.raw)).Expands() {
		t.outcome = "not expanded"
		return
	}
	t.judgeExpansion(patched)
}

func (t *trial) apply(operations []manifest.PatchOperation, raw []byte) []byte {
	if len(operations) == 0 {
		return raw
	}
	text, err := json.Marshal(operations)
	if err != nil {
		t.fault("the patch cannot be marshalled: %v", err)
		return nil
	}
	patch, err := jsonpatch.DecodePatch(text)
	if err != nil {
		t.fault("the patch cannot be read: %v", err)
		return nil
	}
	patched, err := patch.Apply(raw)
	if err != nil {
		t.fault("the patch %s cannot be applied: %v", text, err)
		return nil
	}
	return patched
}

// nothingToDo faults an expansion that is refused or changes anything.
func (t *trial) nothingToDo(what string, raw, old []byte) {
	_, r := t.expand(raw, old)
	if refused(r) {
		t.fault("%s is refused: %v", what, refusals(r))
	} else if len(r.Patch) > 0 {
		text, _ := json.Marshal(r.Patch)
		t.fault("%s changes it: %s", what, text)
	}
}

// TestExpansionsAgainstKnative is the whole comparison. A fault names the input, which
// -input then runs alone.
func TestExpansionsAgainstKnative(t *testing.T) {
	if testing.Short() {
		*inputs /= 20
	}
	t.Logf("seed %d, %d inputs", *seed, *inputs)
	start := time.Now()
	var clusters []*cluster
	for i := range clusterCount {
		clusters = append(clusters, newCluster(rand.New(rand.NewPCG(*seed, 1<<40+uint64(i))), i))
	}
	if *only >= 0 {
		trial := newTrial(clusters, *only)
		trial.run()
		t.Logf("%s\noutcome %s, categories %v", trial, trial.outcome, trial.categories)
		require.Empty(t, trial.faults)
		return
	}
	var next atomic.Int64
	var wait sync.WaitGroup
	var lock sync.Mutex
	outcomes, categories, faults := map[string]int{}, map[string]int{}, map[string]int{}
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for number := int(next.Add(1) - 1); number < *inputs; number = int(next.Add(1) - 1) {
				trial := newTrial(clusters, number)
				trial.run()
				lock.Lock()
				outcomes[trial.outcome]++
				for _, c := range trial.categories {
					categories[c]++
				}
				for _, f := range trial.faults {
					if faults[kindOf(f)]++; faults[kindOf(f)] == 1 {
						t.Errorf("%s", trial)
					}
				}
				lock.Unlock()
			}
		})
	}
	wait.Wait()
	report(t, outcomes, categories, faults)
	t.Logf("took %s", time.Since(start).Round(time.Millisecond))
	for _, c := range stricter {
		if categories[c.name] == 0 && *inputs >= 100_000 {
			t.Errorf("category %q never occurs: the list is stale", c.name)
		}
	}
}

var particulars = regexp.MustCompile(`"[^"]*"|\[[^]]*\]|-?[0-9][0-9a-zA-Z.]*`)

// kindOf is a fault without its particulars: one input is shown for each kind.
func kindOf(fault string) string {
	kind := particulars.ReplaceAllString(fault, "_")
	return kind[:min(len(kind), 160)]
}

func report(t *testing.T, counts ...map[string]int) {
	for _, m := range counts {
		if len(m) == 0 {
			continue
		}
		var lines []string
		for name, n := range m {
			lines = append(lines, fmt.Sprintf("%7d %s", n, name))
		}
		sort.Sort(sort.Reverse(sort.StringSlice(lines)))
		t.Log("\n" + strings.Join(lines, "\n"))
	}
}

func TestMain(m *testing.M) {
	flag.Parse()
	debug.SetGCPercent(1000) // the inputs are many and small
	os.Exit(m.Run())
}
