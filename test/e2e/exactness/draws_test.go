package exactness

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// enough is after how many rounds everything that is drawn has to have been stored.
const enough = 10

// lookedFor are claims, and pods with them, that have to be stored at some time.
var lookedFor = []struct {
	what string
	is   func(r *record) bool
}{
	{"claims for all devices", func(r *record) bool { return r.kind == "ResourceClaim" && r.all }},
	{"claims that look at devices in use beside some", func(r *record) bool {
		return r.kind == "ResourceClaim" && r.looks > 0 && r.each > 0
	}},
	{"pods of two templates", func(r *record) bool { return r.kind == "Pod" && len(r.entries) > 1 }},
	{"pods of a template and a shared claim", func(r *record) bool {
		return r.kind == "Pod" && len(r.entries) > 0 && r.shares
	}},
	{"pods of a template and a resource", func(r *record) bool {
		return r.kind == "Pod" && len(r.entries) > 0 && r.each > 0
	}},
	{"pods of a template on nodes of a product", func(r *record) bool {
		return r.kind == "Pod" && len(r.entries) > 0 && r.label != ""
	}},
}

// counts is how often there was is looked for, in the order of that.
type counts []int

// counted counts the objects of a round that were looked for.
func counted(history []*record) counts {
	found, seen := make(counts, len(lookedFor)), map[types.UID]bool{}
	for _, r := range history {
		if seen[r.uid] {
			continue
		}
		seen[r.uid] = true
		for i, each := range lookedFor {
			if each.is(r) {
				found[i]++
			}
		}
	}
	return found
}

func (c counts) String() string {
	words := make([]string, len(c))
	for i, n := range c {
		words[i] = fmt.Sprintf("%d %s", n, lookedFor[i].what)
	}
	return strings.Join(words, ", ")
}

// occurred asserts that all that is drawn was stored.
func (c counts) occurred(t *testing.T) {
	t.Helper()
	for i, n := range c {
		if n == 0 {
			t.Errorf("%s: none were stored", lookedFor[i].what)
		}
	}
}

// selectors of the DeviceClass, which take turns. By the second one, claims that name no product are of h100, and
// are counted anew; under no limit here that makes a difference.
var selectors = []string{
	fmt.Sprintf("device.driver == %q", driver),
	fmt.Sprintf("device.driver == %q && device.attributes[%q].productName == %q", driver, driver, strings.ReplaceAll(h100, "-", " ")),
}

// classChanges is how often the DeviceClass was changed.
var classChanges atomic.Int64

// changeClass gives the DeviceClass other selectors once while a round storms, until it is stopped.
func changeClass(t *testing.T, r *rand.Rand) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	after := time.Duration(2+r.IntN(20)) * time.Second
	var running sync.WaitGroup
	running.Go(func() {
		select {
		case <-ctx.Done():
			return
		case <-time.After(after):
		}
		patch := fmt.Appendf(nil, `{"spec":{"selectors":[{"cel":{"expression":%q}}]}}`, selectors[(classChanges.Load()+1)%2])
		if _, err := client.Resource(deviceClasses).Patch(ctx, deviceClass, types.MergePatchType, patch, metav1.PatchOptions{}); err == nil {
			classChanges.Add(1)
		}
	})
	return func() {
		cancel()
		running.Wait()
	}
}
