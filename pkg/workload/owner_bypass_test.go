// Bypass class: an object says that somebody owns it who does not count it as its own.

package workload_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/pkg/workload"
)

// Of what an object says of its owner, the UID and the kind count, and what the owner's controller
// would ask for: nothing else.
func TestOnlyWhatAControllerCountsAsItsOwnBelongs(t *testing.T) {
	const (
		deployment  = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: d, namespace: a, uid: u}, spec: {selector: {matchLabels: {app: x}}}}`
		replicaSet  = `{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: d-1, namespace: a, uid: u}, spec: {selector: {matchExpressions: [{key: app, operator: In, values: [x]}]}}}`
		replication = `{apiVersion: v1, kind: ReplicationController, metadata: {name: rc, namespace: a, uid: u}, spec: {selector: {app: x}}}`
		set         = `{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: web, namespace: a, uid: u}, spec: {selector: {matchLabels: {app: x}}}}`
		job         = `{apiVersion: batch/v1, kind: Job, metadata: {name: j, namespace: a, uid: u}, spec: {selector: {matchLabels: {app: x}}}}`
		revision    = `{apiVersion: serving.knative.dev/v1, kind: Revision, metadata: {name: r, namespace: a, uid: u}}`
		service     = `{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: s, namespace: a, uid: u}}`
	)
	child := func(version, kind, name, labels, owner string) string {
		return `{apiVersion: ` + version + `, kind: ` + kind + `, metadata: {name: ` + name + `, namespace: a, labels: {` + labels + `}, ownerReferences: [` + owner + `]}}`
	}
	ref := func(version, kind string) string {
		return `{apiVersion: ` + version + `, kind: ` + kind + `, name: whatever, uid: u, controller: true}`
	}
	pod := func(name, labels, owner string) string { return child("v1", "Pod", name, labels, owner) }
	ours := pod("p", "app: x", ref("apps/v1", "ReplicaSet"))
	// selecting is a ReplicaSet of the Deployment with a selector.
	selecting := func(selector string) string {
		set := child("apps/v1", "ReplicaSet", "any", "app: x", ref("apps/v1", "Deployment"))
		return strings.TrimSuffix(set, "}") + `, spec: {selector: ` + selector + `}}`
	}
	selective := strings.Replace(deployment, "{matchLabels: {app: x}}", "{matchLabels: {app: x}, matchExpressions: [{key: tier, operator: NotIn, values: [b, c]}]}", 1)
	for name, test := range map[string]struct {
		child, owner string
		want         bool
	}{
		"a pod of a ReplicaSet":                       {ours, replicaSet, true},
		"in whatever version, with whatever name":     {pod("p", "app: x", ref("apps/v1beta9", "ReplicaSet")), replicaSet, true},
		"a pod of a ReplicationController":            {pod("p", "app: x", ref("v1", "ReplicationController")), replication, true},
		"a pod of a Job":                              {pod("p", "app: x", ref("batch/v1", "Job")), job, true},
		"a pod of a StatefulSet":                      {pod("web-12", "app: x", ref("apps/v1", "StatefulSet")), set, true},
		"a ReplicaSet of a Deployment":                {selecting(`{matchLabels: {app: x, pod-template-hash: abc}}`), deployment, true},
		"of one that selects by an expression":        {selecting(`{matchLabels: {app: x}, matchExpressions: [{key: tier, operator: NotIn, values: [c, b]}]}`), selective, true},
		"a ReplicaSet that takes other pods":          {selecting(`{matchLabels: {app: y}}`), deployment, false},
		"that takes more pods":                        {selecting(`{matchLabels: {pod-template-hash: abc}}`), deployment, false},
		"that takes more pods by an expression":       {selecting(`{matchLabels: {app: x}, matchExpressions: [{key: tier, operator: NotIn, values: [b]}]}`), selective, false},
		"that takes none":                             {child("apps/v1", "ReplicaSet", "any", "app: x", ref("apps/v1", "Deployment")), deployment, false},
		"a Deployment of a Revision":                  {child("apps/v1", "Deployment", "r-deployment", "", ref("serving.knative.dev/v1", "Revision")), revision, true},
		"a Configuration of a Service":                {child("serving.knative.dev/v1", "Configuration", "s", "", ref("serving.knative.dev/v1", "Service")), service, true},
		"of a group of another name":                  {pod("p", "app: x", ref("apps.example.com/v1", "ReplicaSet")), replicaSet, false},
		"of a version that is none":                   {pod("p", "app: x", ref("apps/v1/v2", "ReplicaSet")), replicaSet, false},
		"of another kind":                             {pod("p", "app: x", ref("apps/v1", "StatefulSet")), replicaSet, false},
		"of a kind whose controller makes no pods":    {pod("p", "app: x", ref("apps/v1", "Deployment")), deployment, false},
		"with another UID":                            {strings.Replace(ours, "uid: u", "uid: other", 1), replicaSet, false},
		"without a UID":                               {strings.Replace(ours, "uid: u,", "", 1), strings.Replace(replicaSet, ", uid: u", "", 1), false},
		"in another namespace":                        {strings.Replace(ours, "namespace: a", "namespace: b", 1), replicaSet, false},
		"that does not control it":                    {strings.Replace(ours, "controller: true", "controller: false", 1), replicaSet, false},
		"with labels that the selector does not take": {strings.Replace(ours, "app: x", "app: y", 1), replicaSet, false},
		"where the selector is empty":                 {ours, `{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: d-1, namespace: a, uid: u}, spec: {selector: {}}}`, false},
		"where the selector cannot be read":           {ours, `{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: d-1, namespace: a, uid: u}, spec: {selector: {matchLabels: [x]}}}`, false},
		"a selector with something else than text":    {pod("p", "app: x", ref("v1", "ReplicationController")), strings.Replace(replication, "{app: x}", "{app: x, b: 7}", 1), false},
		"a StatefulSet's pod of no ordinal":           {pod("web-x", "app: x", ref("apps/v1", "StatefulSet")), set, false},
		"a StatefulSet's pod of a place once more":    {pod("web-012", "app: x", ref("apps/v1", "StatefulSet")), set, false},
		"a StatefulSet's pod of another name":         {pod("other-1", "app: x", ref("apps/v1", "StatefulSet")), set, false},
		"a Deployment beside the Revision's own":      {child("apps/v1", "Deployment", "mine", "", ref("serving.knative.dev/v1", "Revision")), revision, false},
		"a Configuration beside the Service's own":    {child("serving.knative.dev/v1", "Configuration", "t", "", ref("serving.knative.dev/v1", "Service")), service, false},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, workload.Belongs(readAs(t, test.child), readAs(t, test.owner)))
		})
	}
}

func TestTheTableHasAllKindsOfPods(t *testing.T) {
	var resources []string
	for _, kind := range workload.Kinds() {
		gvr := kind.GVR()
		resources = append(resources, strings.TrimPrefix(gvr.Group+"/"+gvr.Version+"/"+gvr.Resource, "/"))
		for owner, account := range kind.Owners {
			assert.NotEmpty(t, account)
			_, known := workload.KindFor(owner)
			assert.True(t, known, owner)
		}
	}
	assert.Equal(t, []string{"batch/v1/cronjobs", "batch/v1/jobs", "apps/v1/deployments", "apps/v1/replicasets", "v1/replicationcontrollers",
		"apps/v1/statefulsets", "apps/v1/daemonsets", "v1/pods"}, resources)
}
