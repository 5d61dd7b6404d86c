package cluster

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// drawn writes values at paths of a table of operators' kinds.
type drawn struct {
	*rand.Rand
	object manifest.Object
}

// put writes a value below an element of a list or an object, or of the whole.
func (d *drawn) put(each, path string, value any) {
	if path == "" || d.IntN(4) == 0 {
		return
	}
	parent := d.object
	if below, ok := strings.CutPrefix(path, "."); ok {
		parent, path = d.element(each), below
	}
	names := strings.Split(path, ".")
	for _, name := range names[:len(names)-1] {
		next, ok := parent[name].(manifest.Object)
		if !ok {
			next = manifest.Object{"noise": "x"}
			parent[name] = next
		}
		parent = next
	}
	last := names[len(names)-1]
	had, isObject := parent[last].(manifest.Object)
	if more, ok := value.(manifest.Object); ok && isObject {
		maps.Copy(had, more)
		return
	}
	if !isObject {
		parent[last] = value
	}
}

// element is one of those that each names, of which there are up to three.
func (d *drawn) element(each string) manifest.Object {
	path, list := strings.CutSuffix(each, "[*]")
	names := strings.Split(strings.TrimSuffix(path, "{*}"), ".")
	parent := d.object
	for _, name := range names[:len(names)-1] {
		if parent[name] == nil {
			parent[name] = manifest.Object{}
		}
		parent = parent[name].(manifest.Object)
	}
	last := names[len(names)-1]
	if list {
		elements, _ := parent[last].([]any)
		for len(elements) < 3 {
			elements = append(elements, manifest.Object{"name": "noise"})
		}
		parent[last] = elements
		return elements[d.IntN(3)].(manifest.Object)
	}
	elements, _ := parent[last].(manifest.Object)
	if elements == nil {
		elements = manifest.Object{"A": manifest.Object{}, "B": manifest.Object{"noise": "x"}, "C": manifest.Object{}}
		parent[last] = elements
	}
	return elements[string(rune('A'+d.IntN(3)))].(manifest.Object)
}

func (d *drawn) container() manifest.Object {
	return manifest.Object{"name": "c", "env": []any{manifest.Object{"name": "A", "value": "x"}},
		"resources": manifest.Object{"limits": manifest.Object{"nvidia.com/gpu": int64(d.IntN(3)), "cpu": int64(1 + d.IntN(3))}}}
}

func (d *drawn) podSpec() manifest.Object {
	spec := manifest.Object{"containers": []any{d.container()}, "volumes": []any{manifest.Object{"name": "v"}}}
	if d.IntN(2) == 0 {
		spec["nodeSelector"] = manifest.Object{"nvidia.com/gpu.product": "NVIDIA-L4"}
	}
	if d.IntN(3) == 0 {
		spec["initContainers"] = []any{d.container()}
	}
	return spec
}

// of draws an object of a row's kind, with what the row speaks of and more.
func (d *drawn) of(row *workload.OperatorKind) {
	d.object = manifest.Object{"apiVersion": row.Group + "/v1", "kind": row.Kind,
		"metadata": manifest.Object{"name": "a", "namespace": "b", "uid": "c", "annotations": manifest.Object{"noise": "x"}}}
	for i := range row.Pods {
		p := &row.Pods[i]
		for range 3 {
			d.put(p.Each, p.Template, manifest.Object{"metadata": manifest.Object{"labels": manifest.Object{"a": "b"}}, "spec": d.podSpec()})
			d.put(p.Each, p.Spec, d.podSpec())
			for _, path := range p.Containers {
				d.put(p.Each, path, d.container())
			}
			for _, path := range p.Lists {
				d.put(p.Each, path, []any{d.container()})
			}
			d.put(p.Each, p.NodeSelector, manifest.Object{"nvidia.com/gpu.product": "NVIDIA-H100-NVL"})
			if p.GPU != nil {
				d.put(p.Each, p.GPU.Name, "nvidia.com/gpu")
				d.put(p.Each, p.GPU.Quantity, int64(d.IntN(3)))
				d.put(p.Each, p.GPU.NodeSelector, manifest.Object{"nvidia.com/gpu.product": "NVIDIA-L4"})
			}
			for _, path := range p.Suspend {
				d.put(p.Each, path, d.IntN(3) == 0)
			}
			for _, c := range p.Counts {
				for _, path := range []string{c.Path, c.AtLeast, c.AtMost} {
					d.put(p.Each, path, int64(d.IntN(4)))
				}
				if c.UpTo != nil {
					d.put(p.Each, c.UpTo.Path, int64(d.IntN(9)))
					d.put(p.Each, c.UpTo.When, d.IntN(2) == 0)
				}
			}
		}
	}
	for _, path := range row.Suspend {
		d.put("", path, d.IntN(8) == 0)
	}
	if m := row.ManagedBy; m != nil && d.IntN(4) == 0 {
		d.put("", m.Path, []any{m.Own[0], "kueue.x-k8s.io/multikueue"}[d.IntN(2)])
	}
	if f := row.Finished; f != nil && d.IntN(6) == 0 {
		if f.Path != "" {
			d.put("", f.Path, f.Values[0])
		}
		if len(f.Conditions) > 0 {
			d.put("", "status.conditions", []any{manifest.Object{"type": f.Conditions[0], "status": "True", "message": "x"}})
		}
	}
}

// What is kept of an object of an operator's kind is all that the table speaks of, and little else.
func TestOfOperatorsKindsWhatTheirRowsSpeakOfIsKept(t *testing.T) {
	operators := workload.BuiltInOperators()
	for n := range operators.Kinds {
		row := &operators.Kinds[n]
		t.Run(row.GroupKind().String(), func(t *testing.T) {
			k := keepOperated(Resource{Group: row.Group, Version: "v1", Resource: row.Resource}, row)
			r := &reading{}
			asked, claimed := 0, 0
			for seed := range uint64(50) {
				d := &drawn{Rand: rand.New(rand.NewPCG(seed, uint64(n)))}
				d.of(row)
				raw, err := json.Marshal(d.object)
				require.NoError(t, err)
				whole, err := decode(raw)
				require.NoError(t, err)
				item, err := r.item(raw, k)
				require.NoError(t, err)
				want := workload.OperatorUsage(whole, row, workload.BuiltInGPUResources)
				assert.Equal(t, want, workload.OperatorUsage(item.Object(), row, workload.BuiltInGPUResources), "%s", raw)
				if want.GPUs.PerPod > 0 {
					asked++
				}
				if want.Claim > 0 {
					claimed++
				}
				kept, err := json.Marshal(item.Object())
				require.NoError(t, err)
				for _, noise := range []string{"noise", "env", "volumes", "message"} {
					assert.NotContains(t, string(kept), `"`+noise+`"`)
				}
			}
			assert.Positive(t, asked)
			assert.Positive(t, claimed)
		})
	}
}
