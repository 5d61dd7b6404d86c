package review

import (
	"slices"
	"strings"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

const (
	// sharedController is the user of all controllers of Kubernetes where they have no accounts of
	// their own.
	sharedController = "system:kube-controller-manager"
	accountsPrefix   = "system:serviceaccount:kube-system:"
	nodePrefix       = "system:node:"
	nodesGroup       = "system:nodes"
	// ownJobs is the value of spec.managedBy that stands for the job controller of Kubernetes.
	ownJobs = "kubernetes.io/job-controller"
)

// byMaker tells whether the controller asks that makes such objects for the owner that the object
// states. That decides by what a request is charged, and never what is counted.
func (r *Request) byMaker() bool {
	kind, ok := workload.KindFor(r.of)
	if !ok {
		return false
	}
	owner, ok := workload.Owner(r.object)
	return ok && kind.Owners[owner.GroupKind] != "" && r.isController(kind.Owners[owner.GroupKind])
}

// isController tells whether one of some controllers of Kubernetes asks.
func (r *Request) isController(names ...string) bool {
	user := r.raw.UserInfo.Username
	account, ok := strings.CutPrefix(user, accountsPrefix)
	return user == sharedController || (ok && slices.Contains(names, account))
}

// byKubernetes tells whether a controller of Kubernetes, its garbage collector included, or a node asks.
func (r *Request) byKubernetes() bool {
	return r.raw.UserInfo.Username == sharedController || strings.HasPrefix(r.raw.UserInfo.Username, accountsPrefix) || r.byNode()
}

// byNode tells whether a node asks.
func (r *Request) byNode() bool {
	return strings.HasPrefix(r.raw.UserInfo.Username, nodePrefix) && slices.Contains(r.raw.UserInfo.Groups, nodesGroup)
}

// isMirror tells whether a node shows a pod that it runs already, from a file of its own.
func (r *Request) isMirror() bool {
	_, mirror := manifest.Texts(r.object, "metadata", "annotations")["kubernetes.io/config.mirror"]
	return r.of == workload.PodKind && mirror && r.byNode()
}
