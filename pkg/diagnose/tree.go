package diagnose

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/kubetorch/webhook/pkg/deployments/handover"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Node is an object in the tree of a workload.
type Node struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	// GPUs that it claims: of a pod those that it holds, of a Deployment those of its
	// replicas, of a revision those of its peak. -1 is without limit.
	GPUs int64 `json:"gpus"`
	// Claim words it: "2 x 5 pods".
	Claim string `json:"claim,omitempty"`
	// Condition is the one that says whether it is well, in words; empty if it has none.
	Condition string  `json:"condition,omitempty"`
	Children  []*Node `json:"children,omitempty"`
}

// Tree is what there is of a workload: the objects of its namespace whose owners, by UID, lead
// up to it.
func Tree(root manifest.Object, objects []manifest.Object, kn *knative.Config, gpus workload.GPUResources) *Node {
	children := map[string][]manifest.Object{}
	for _, o := range objects {
		seen := map[string]bool{}
		for _, reference := range manifest.Objects(o, "metadata", "ownerReferences") {
			if uid := manifest.Text(reference, "uid"); uid != "" && !seen[uid] {
				children[uid] = append(children[uid], o)
				seen[uid] = true
			}
		}
	}
	var grow func(o manifest.Object, above map[string]bool) *Node
	grow = func(o manifest.Object, above map[string]bool) *Node {
		n := node(o, kn, gpus)
		uid := manifest.Text(o, "metadata", "uid")
		if uid == "" || above[uid] {
			return n
		}
		above[uid] = true
		defer delete(above, uid)
		for _, child := range children[uid] {
			n.Children = append(n.Children, grow(child, above))
		}
		slices.SortFunc(n.Children, func(a, b *Node) int {
			return cmp.Or(cmp.Compare(order(a.Kind), order(b.Kind)), cmp.Compare(a.Name, b.Name))
		})
		return n
	}
	return grow(root, map[string]bool{})
}

// order puts what leads to pods first.
func order(kind string) int {
	i := slices.Index([]string{"Service", "Configuration", "Revision", "Deployment", "ReplicaSet", "Pod", "PodAutoscaler", "Route"}, kind)
	if i < 0 {
		return 100
	}
	return i
}

func node(o manifest.Object, kn *knative.Config, gpus workload.GPUResources) *Node {
	n := &Node{Kind: manifest.Text(o, "kind"), Name: manifest.Text(o, "metadata", "name"), Condition: condition(o)}
	switch n.Kind {
	case "Service":
		n.claims(workload.ServiceUsage(o, manifest.Text(o, "status", "latestCreatedRevisionName"), kn, gpus, nil))
	case "Configuration":
		n.claims(workload.ConfigurationUsage(o, kn, gpus, nil))
	case "Revision":
		n.claims(workload.RevisionUsage(o, kn, gpus))
	case "Deployment":
		n.claims(workload.DeploymentUsage(o, workload.Controlled{}, gpus))
	case "ReplicaSet":
		perPod := workload.ReplicaSetUsage(o, gpus).GPUs.PerPod
		replicas, _ := manifest.Whole(o, "spec", "replicas")
		n.claims(workload.Usage{GPUs: workload.GPUCount{PerPod: perPod}, PeakPods: replicas})
	case "Pod":
		n.GPUs = limited(workload.PodUsage(o, gpus).GPUs.PerPod)
	}
	return n
}

func (n *Node) claims(u workload.Usage) {
	n.GPUs = limited(workload.SaturatingMul(u.GPUs.PerPod, u.PeakPods))
	if u.GPUs.PerPod > 0 {
		n.Claim = fmt.Sprintf("%s x %s", workload.NumberText(u.GPUs.PerPod), workload.CountText(u.PeakPods, "pod"))
	}
}

func limited(n int64) int64 {
	if n == workload.Unbounded {
		return -1
	}
	return n
}

// condition is Ready, Active or Available; of a pod its phase if it is not ready.
func condition(o manifest.Object) string {
	for _, kind := range []string{"Ready", "Active", "Available"} {
		for _, c := range manifest.Objects(o, "status", "conditions") {
			if manifest.Text(c, "type") != kind {
				continue
			}
			text := kind + "=" + manifest.Text(c, "status")
			if manifest.Text(c, "status") == "True" {
				return text
			}
			if reason := manifest.Text(c, "reason"); reason != "" {
				text += " " + reason
			}
			if message := manifest.Text(c, "message"); message != "" {
				text += ": " + strings.Join(strings.Fields(message), " ")
			}
			return text
		}
	}
	if status := manifest.Text(o, "metadata", "annotations", handover.StatusAnnotation); status != "" {
		return status
	}
	return manifest.Text(o, "status", "phase")
}

// Write writes a tree for people.
func (n *Node) Write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "OBJECT\tGPUS\tCONDITION")
	n.write(t, "", "")
	return t.Flush()
}

func (n *Node) write(w io.Writer, first, rest string) {
	gpus := fmt.Sprint(n.GPUs)
	if n.GPUs < 0 {
		gpus = "unlimited"
	}
	if n.Claim != "" {
		gpus += " (" + n.Claim + ")"
	}
	fmt.Fprintf(w, "%s%s %s\t%s\t%s\n", first, n.Kind, n.Name, gpus, n.Condition)
	for i, c := range n.Children {
		if i == len(n.Children)-1 {
			c.write(w, rest+"`-- ", rest+"    ")
		} else {
			c.write(w, rest+"|-- ", rest+"|   ")
		}
	}
}
