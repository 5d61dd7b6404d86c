package workload

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// OperatorUsage measures an object of an operator's kind: the pods of all its groups. Its parts are
// one for each group. What a bound on one pod goes by is the largest of any.
func OperatorUsage(o manifest.Object, kind *OperatorKind, gpus GPUResources) Usage {
	spec := field.NewPath("spec")
	gpus = gpus.in(o)
	paths := map[string]*field.Path{PeakKey: spec, knative.MaxScaleKey: spec, knative.MinScaleKey: spec}
	d := Usage{Fixed: true, pod: spec, Paths: paths}
	var words []string
	for i := range kind.Pods {
		for _, g := range kind.Pods[i].groups(o) {
			words = append(words, d.addGroup(o, kind, &kind.Pods[i], g, gpus)...)
		}
	}
	d.MinScale = d.PeakPods
	d.asks = strings.Join(words, " + ")
	d.Warnings = d.GPUs.Assumed
	return d
}

// group is one element whose pods are alike.
type group struct {
	element manifest.Object // nil where the paths begin at the object itself
	key     string          // of the element, where it is one of an object
	at      *field.Path
}

// groups are the elements that have pods of their own.
func (p *OperatorPods) groups(o manifest.Object) []group {
	if p.Each == "" {
		return []group{{}}
	}
	path, list := strings.CutSuffix(p.Each, "[*]")
	if !list {
		path = strings.TrimSuffix(p.Each, "{*}")
	}
	names := strings.Split(path, ".")
	at := field.NewPath(names[0], names[1:]...)
	var all []group
	if list {
		for i, element := range manifest.Objects(o, names...) {
			all = append(all, group{element: element, at: at.Index(i)})
		}
		return all
	}
	elements := manifest.Map(o, names...)
	for _, name := range slices.Sorted(maps.Keys(elements)) {
		if element, ok := elements[name].(manifest.Object); ok {
			all = append(all, group{element, name, at.Key(name)})
		}
	}
	return all
}

// at is the value at a path of the table, and where that is.
func (g group) value(o manifest.Object, path string) (any, *field.Path) {
	if path == "" {
		return nil, nil
	}
	if below, ok := strings.CutPrefix(path, "."); ok {
		names := strings.Split(below, ".")
		return manifest.At(g.element, names...), g.at.Child(names[0], names[1:]...)
	}
	names := strings.Split(path, ".")
	return manifest.At(o, names...), field.NewPath(names[0], names[1:]...)
}

func (g group) object(o manifest.Object, path string) (manifest.Object, *field.Path) {
	v, at := g.value(o, path)
	object, _ := v.(manifest.Object)
	return object, at
}

func (g group) isTrue(o manifest.Object, paths []string) bool {
	return slices.ContainsFunc(paths, func(path string) bool { v, _ := g.value(o, path); b, _ := v.(bool); return b })
}

// Metadata are those of an object, of its pod templates and of what else the table names, in the order of that, and
// where they are.
func (k *OperatorKind) Metadata(o manifest.Object) iter.Seq2[*field.Path, manifest.Object] {
	return func(yield func(*field.Path, manifest.Object) bool) {
		if !yield(field.NewPath("metadata"), manifest.Map(o, "metadata")) {
			return
		}
		for i := range k.Pods {
			p := &k.Pods[i]
			for _, g := range p.groups(o) {
				if template, at := g.object(o, p.Template); template != nil && !yield(at.Child("metadata"), manifest.Map(template, "metadata")) {
					return
				}
				for _, path := range p.Metadata {
					if metadata, at := g.object(o, path); metadata != nil && !yield(at, metadata) {
						return
					}
				}
			}
		}
	}
}

// addGroup adds the pods of a group, and words what they ask for.
func (d *Usage) addGroup(o manifest.Object, kind *OperatorKind, p *OperatorPods, g group, gpus GPUResources) []string {
	podSpec, at := p.podSpec(o, g)
	if podSpec == nil {
		return nil
	}
	n := CountGPUs(podSpec, at, gpus)
	d.GPUs.join(n, at)
	if cpus := podQuantity(podSpec, nil, "cpu", plainKnative); cpus.Cmp(d.CPUs) > 0 {
		d.CPUs = cpus
	}
	if memory := podQuantity(podSpec, nil, "memory", plainKnative); memory.Cmp(d.Memory) > 0 {
		d.Memory = memory
	}
	first := len(d.types) == 0
	gpuType, product := typesOf(podSpec, n)
	if n.PerPod > 0 {
		if first {
			d.GPUType, d.product = gpuType, product
		}
		if !slices.Contains(d.types, gpuType) {
			d.types = append(d.types, gpuType)
		}
	}
	none := group{}
	if none.isTrue(o, kind.Suspend) || g.isTrue(o, p.Suspend) || deleting(o) || kind.HasFinished(o) || kind.ManagedElsewhere(o) {
		return nil
	}
	pods, where := p.pods(o, g)
	d.PeakPods = SaturatingAdd(d.PeakPods, pods)
	if where != nil && n.PerPod > 0 && d.Paths[PeakKey].String() == "spec" {
		d.Paths[PeakKey] = where
	}
	part := n.part(product).times(pods)
	d.claim(part)
	if part.GPUs == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s x %s", n.Text(), CountText(pods, "pod"))}
}

// podSpec is what one pod of a group is specified by, nil where there is none, and where.
func (p *OperatorPods) podSpec(o manifest.Object, g group) (manifest.Object, *field.Path) {
	switch {
	case p.Template != "":
		template, at := g.object(o, p.Template)
		spec := manifest.Map(template, "spec")
		return spec, at.Child("spec")
	case p.Spec != "":
		return g.object(o, p.Spec)
	case p.GPU != nil:
		return p.GPU.podSpec(o, g)
	}
	var containers, beside []any
	var at *field.Path
	for _, path := range p.Containers {
		if c, where := g.object(o, path); c != nil {
			containers = append(containers, c)
			if at == nil {
				at = where
			}
		}
	}
	for _, path := range p.Lists {
		v, where := g.value(o, path)
		list, _ := v.([]any)
		beside = append(beside, list...)
		if at == nil && len(list) > 0 {
			at = where
		}
	}
	if len(containers)+len(beside) == 0 {
		return nil, nil
	}
	spec := manifest.Object{"containers": append(containers, beside...)}
	if selector, _ := g.object(o, p.NodeSelector); selector != nil {
		spec["nodeSelector"] = selector
	}
	return spec, at
}

// podSpec is a pod that asks for a number of a resource.
func (gpu *OperatorGPU) podSpec(o manifest.Object, g group) (manifest.Object, *field.Path) {
	name, _ := g.value(o, gpu.Name)
	quantity, at := g.value(o, gpu.Quantity)
	resource, ok := name.(string)
	if !ok || quantity == nil {
		return nil, nil
	}
	limits := manifest.Object{"limits": manifest.Object{resource: quantity}}
	spec := manifest.Object{"containers": []any{manifest.Object{"resources": limits}}}
	if selector, _ := g.object(o, gpu.NodeSelector); selector != nil {
		spec["nodeSelector"] = selector
	}
	if affinity, _ := g.object(o, gpu.Affinity); affinity != nil {
		spec["affinity"] = affinity
	}
	return spec, at
}

// pods is the number of pods of a group, and where its first factor stands.
func (p *OperatorPods) pods(o manifest.Object, g group) (int64, *field.Path) {
	pods := int64(1)
	var where *field.Path
	for i := range p.Counts {
		n, at := p.Counts[i].number(o, g)
		pods = SaturatingMul(pods, n)
		if where == nil {
			where = at
		}
	}
	return pods, where
}

func (c *OperatorCount) number(o manifest.Object, g group) (int64, *field.Path) {
	n, at := g.number(o, c.Path, c.Absent)
	if least, _ := g.number(o, c.AtLeast, 0); c.AtLeast != "" {
		n = max(n, least)
	}
	if most, _ := g.number(o, c.AtMost, Unbounded); c.AtMost != "" {
		n = min(n, most)
	}
	if c.UpTo.applies(o, g) {
		most, _ := g.number(o, c.UpTo.Path, c.UpTo.Absent)
		n = max(n, most)
	}
	if c.OneLessWith != "" {
		if v, _ := g.value(o, c.OneLessWith); v != nil && n != Unbounded {
			n = max(0, n-1)
		}
	}
	return n, at
}

// applies tells whether an autoscaler may raise the number of a group.
func (m *OperatorMaximum) applies(o manifest.Object, g group) bool {
	return m != nil && (m.Element == "" || m.Element == g.key) && (m.When == "" || g.isTrue(o, []string{m.When}))
}

// number is a number of pods at a path; Unbounded for what is no such number.
func (g group) number(o manifest.Object, path string, absent int64) (int64, *field.Path) {
	v, at := g.value(o, path)
	if v == nil {
		return absent, at
	}
	if n, ok := v.(int64); ok && n >= 0 {
		return n, at
	}
	return Unbounded, at
}

// join adds what pods of another template ask for: the larger number, and all that is wrong.
func (c *GPUCount) join(other GPUCount, at *field.Path) {
	if other.Cmp(*c) > 0 {
		c.PerPod, c.less = other.PerPod, other.less
	}
	c.products = c.products.or(other.products)
	c.Malformed = append(c.Malformed, other.Malformed...)
	c.Unknown = append(c.Unknown, other.Unknown...)
	c.Assumed = append(c.Assumed, other.Assumed...)
	for _, e := range other.Unlisted {
		if !slices.ContainsFunc(c.Unlisted, func(had *field.Error) bool { return had.BadValue == e.BadValue }) {
			c.Unlisted = append(c.Unlisted, e)
		}
	}
	for _, r := range other.requests {
		r.containers = at.String() + "." + r.containers
		c.requests = append(c.requests, r)
	}
}
