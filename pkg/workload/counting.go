package workload

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	resourcev1 "k8s.io/api/resource/v1"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// Counting says what policies and DeviceClasses add to the built-in names of GPUs.
type Counting struct {
	// Listed are the names that policies count as GPUs.
	Listed []ListedGPU
	// Not are names that count nothing, unless something above counts them. A trailing *
	// matches any suffix.
	Not []string
	// DeviceClasses and NotDeviceClasses are names of DeviceClasses, beside the built-in
	// ones, whose devices are GPUs, and are not.
	DeviceClasses, NotDeviceClasses []string
	// Classes are the cluster's DeviceClasses.
	Classes []DeviceClass
}

// ListedGPU is a name, or a pattern with a trailing *, that counts as GPUs.
type ListedGPU struct {
	Name string
	GPUs Weight
	// Weighted is whether the weight was stated: then the name counts even if it is a
	// built-in qualifier.
	Weighted bool
}

// GPUResources says which resource names count as GPUs, and how much each counts. The zero
// value knows the built-in names. It never changes, and may be copied.
type GPUResources struct {
	rules *rules
	// claims is what resource claims are looked up in; nil does not count them.
	claims *ClaimIndex
	// namespace of the pods that are counted, and pod the one pod, if it is a stored one: its claims
	// may have been made.
	namespace string
	pod       manifest.Object
}

// BuiltInGPUResources are the names that count without any policy.
var BuiltInGPUResources = GPUResources{}

type rules struct {
	exact map[string]counted
	// patterns by prefix, the longest first.
	patterns []pattern
	classes  classRules
	digest   string
}

type pattern struct {
	prefix string
	counted
}

// counted is what a resource name stands for.
type counted struct {
	kind   nameKind
	weight Weight
	// listed is whether a policy counts it.
	listed bool
	// shareOf is the GPU that a qualifier brings where it stands alone.
	shareOf string
	// class is the DeviceClass that claims the name; empty for none.
	class string
}

// nameKind is what a resource name is about.
type nameKind uint8

const (
	notGPU       nameKind = iota // something else than GPUs
	gpuName                      // counts
	qualifies                    // says something of a GPU
	accelerator                  // counts where a policy lists it
	unknownGPU                   // looks like a GPU and is not known
	unknownClass                 // devices of a class that is not known
)

var builtIn = Counting{}.compile()

// NewGPUResources compiles what counts.
func NewGPUResources(c Counting) GPUResources { return GPUResources{rules: c.compile()} }

// OnlyGPUs counts one resource name, and nothing else.
func OnlyGPUs(name string) GPUResources {
	only := map[string]counted{name: {kind: gpuName, listed: true}}
	return GPUResources{rules: &rules{exact: only, digest: "only " + name}}
}

func (g GPUResources) get() *rules {
	if g.rules == nil {
		return builtIn
	}
	return g.rules
}

// Match tells whether a resource name counts as GPUs.
func (g GPUResources) Match(name string) bool { return g.get().of(name).kind == gpuName }

// Uncounted tells whether a resource name is something that pods compute on, and counts as no
// GPUs: an accelerator, or what looks like a GPU, that no policy lists.
func (g GPUResources) Uncounted(name string) bool {
	kind := g.get().of(name).kind
	return kind == accelerator || kind == unknownGPU
}

// Digest names the rules: with another digest the same objects may ask for something else.
func (g GPUResources) Digest() string { return g.get().digest }

func (c Counting) compile() *rules {
	r := &rules{exact: map[string]counted{}, classes: c.classRules()}
	put := func(name string, what counted) {
		if prefix, ok := strings.CutSuffix(name, "*"); ok {
			r.patterns = append(r.patterns, pattern{prefix, what})
			return
		}
		r.exact[name] = what
	}
	for _, name := range builtInAccelerators {
		put(name, counted{kind: accelerator})
	}
	for _, q := range builtInQualifiers {
		put(q.name, counted{kind: qualifies, shareOf: q.shareOf})
	}
	for _, name := range c.Not {
		if IsBuiltInGPU(name) {
			continue
		}
		put(name, counted{kind: qualifies})
	}
	for _, name := range builtInGPUs {
		put(name, counted{kind: gpuName})
	}
	largest := map[string]ListedGPU{}
	for _, l := range c.Listed {
		had, ok := largest[l.Name]
		if ok && l.GPUs.compare(had.GPUs) < 0 {
			l.GPUs = had.GPUs
		}
		l.Weighted = l.Weighted || had.Weighted
		largest[l.Name] = l
	}
	for name, l := range largest {
		if IsQualifier(name) && !l.Weighted {
			continue
		}
		put(name, counted{kind: gpuName, weight: l.GPUs, listed: true})
	}
	// Of equal patterns the last one counts: what policies count comes after what is built in.
	slices.Reverse(r.patterns)
	slices.SortStableFunc(r.patterns, func(a, b pattern) int { return len(b.prefix) - len(a.prefix) })
	c.aliases(r)
	r.digest = c.digest(largest, &r.classes)
	return r
}

// of says what a resource name stands for.
func (r *rules) of(name string) counted {
	if class, ok := strings.CutPrefix(name, resourcev1.ResourceDeviceClassPrefix); ok {
		return r.implicit(name, class)
	}
	if what, ok := r.exact[name]; ok {
		return what
	}
	if !strings.Contains(name, "/") {
		return counted{}
	}
	return r.byName(name)
}

// byName says what a name stands for that no DeviceClass claims.
func (r *rules) byName(name string) counted {
	if what, ok := r.exact[name]; ok && what.class == "" {
		return what
	}
	what, found := r.matching(name)
	switch {
	case found && what.kind == qualifies && IsBuiltInGPU(name):
		return counted{kind: gpuName}
	case found && what.kind != accelerator:
		return what
	case ascendPart(name):
		return counted{kind: qualifies}
	case found:
		return what
	case looksLikeGPU(name):
		return counted{kind: unknownGPU}
	case looksLikeAccelerator(name):
		return counted{kind: accelerator}
	}
	return counted{}
}

func (r *rules) matching(name string) (counted, bool) {
	for i := range r.patterns {
		if strings.HasPrefix(name, r.patterns[i].prefix) {
			return r.patterns[i].counted, true
		}
	}
	return counted{}, false
}

// digest names what is counted. Of DeviceClasses those with GPUs count whole: with other selectors there
// are other devices behind the same claims.
func (c Counting) digest(listed map[string]ListedGPU, classes *classRules) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(listed)) {
		fmt.Fprintf(h, "gpu %q %s %v\n", name, listed[name].GPUs, listed[name].Weighted)
	}
	for i, names := range [][]string{c.Not, c.DeviceClasses, c.NotDeviceClasses} {
		sorted := slices.Sorted(slices.Values(names))
		fmt.Fprintf(h, "%d %q\n", i, slices.Compact(sorted))
	}
	for _, name := range slices.Sorted(maps.Keys(c.winners())) {
		fmt.Fprintf(h, "alias %q %q\n", name, c.winners()[name].Name)
	}
	var selecting []string
	for _, class := range c.Classes {
		if class.Selectors != "" && classes.class(class.Name) == gpuName {
			selecting = append(selecting, fmt.Sprintf("class %q %q\n", class.Name, class.Selectors))
		}
	}
	slices.Sort(selecting)
	fmt.Fprint(h, selecting)
	return hex.EncodeToString(h.Sum(nil)[:8])
}
