package policytest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/budget/charge"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/offline"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/pkg/workload"
)

// answer is what admission made of an object.
type answer struct {
	allowed   bool
	expansion Object
	warnings  []string
	causes    []Cause
	claim     Claim
}

// admit does what the mutating and the validating webhook and the budgets do with a case.
func admit(s *Suite, c *Case, in offline.Inputs) (answer, error) {
	in.NoKnative = c.NoKnative
	namespace := manifest.Text(c.Object, "metadata", "namespace")
	if namespace == "" {
		namespace = corev1.NamespaceDefault
	}
	w := offline.World(c.others(s, namespace), in, namespace)
	raw, err := c.request(namespace)
	if err != nil {
		return answer{}, err
	}
	var a answer
	mutate, reply := review.Read(raw)
	if reply == nil {
		reply = mutate.Mutate(w)
	}
	if a.add(reply); !reply.Allowed {
		return a, nil
	}
	if len(reply.Patch) > 0 {
		patch, err := jsonpatch.DecodePatch(reply.Patch)
		if err != nil {
			return a, err
		}
		if raw.Object.Raw, err = patch.Apply(raw.Object.Raw); err != nil {
			return a, fmt.Errorf("applying the patch of the mutating webhook: %w", err)
		}
	}
	if a.expansion, err = manifest.Decode(raw.Object.Raw); err != nil {
		return a, err
	}
	validate, reply := review.Read(raw)
	if reply != nil { // of no kind that is judged
		a.add(reply)
		return a, nil
	}
	a.add(validate.Validate(w))
	claims := validate.Claims(w)
	a.claims(claims)
	if becomesService(a.expansion, w) {
		converted := validate.Convert(w, nil)
		a.expansion = converted.Service
		a.warnings = append(a.warnings, converted.Verdict.Warnings...)
	}
	if a.allowed {
		err = a.charge(c, validate, w, in, claims)
	}
	a.warnings = distinct(a.warnings)
	return a, err
}

// becomesService tells whether an object is a Deployment that a Knative Service is made of.
func becomesService(o Object, w review.World) bool {
	return manifest.Text(o, "kind") == "Deployment" && manifest.Text(o, "apiVersion") == "apps/v1" && w.Cluster == nil && expand.ReadIntent(o).Expands()
}

// others are the objects beside the case's, its namespace with labels among them.
func (c *Case) others(s *Suite, namespace string) []offline.Document {
	var docs []offline.Document
	found := false
	for _, n := range s.Namespaces {
		n = runtime.DeepCopyJSON(n)
		if manifest.Text(n, "metadata", "name") == namespace {
			found = true
			addLabels(n, c.NamespaceLabels)
		}
		docs = append(docs, offline.Document{Source: s.Source, Object: n})
	}
	if !found && c.NamespaceLabels != nil {
		n := Object{"apiVersion": "v1", "kind": "Namespace", "metadata": Object{"name": namespace}}
		addLabels(n, c.NamespaceLabels)
		docs = append(docs, offline.Document{Source: s.Source, Object: n})
	}
	for _, o := range c.Cluster {
		docs = append(docs, offline.Document{Source: s.Source, Object: runtime.DeepCopyJSON(o)})
	}
	return docs
}

func addLabels(o Object, labels map[string]string) {
	metadata := manifest.Map(o, "metadata")
	all := manifest.Map(metadata, "labels")
	if all == nil {
		all = Object{}
		metadata["labels"] = all
	}
	for k, v := range labels {
		all[k] = v
	}
}

// request is the admission request that the case stands for.
func (c *Case) request(namespace string) (*admissionv1.AdmissionRequest, error) {
	gv, err := schema.ParseGroupVersion(manifest.Text(c.Object, "apiVersion"))
	if err != nil {
		return nil, err
	}
	kind := manifest.Text(c.Object, "kind")
	raw := &admissionv1.AdmissionRequest{UID: "test", Operation: admissionv1.Create, Namespace: namespace, Name: manifest.Text(c.Object, "metadata", "name"),
		Kind:     metav1.GroupVersionKind{Group: gv.Group, Version: gv.Version, Kind: kind},
		Resource: metav1.GroupVersionResource{Group: gv.Group, Version: gv.Version, Resource: strings.ToLower(kind) + "s"},
		UserInfo: c.User.info()}
	if raw.Object.Raw, err = identified(c.Object, namespace, kind); err != nil {
		return nil, err
	}
	if c.OldObject != nil {
		raw.Operation = admissionv1.Update
		raw.OldObject.Raw, err = identified(c.OldObject, namespace, kind)
	}
	return raw, err
}

// identified is the object as JSON, with the namespace and UID that it has in a cluster.
func identified(o Object, namespace, kind string) ([]byte, error) {
	o = maps.Clone(o)
	metadata := maps.Clone(manifest.Map(o, "metadata"))
	if metadata == nil {
		metadata = Object{}
	}
	metadata["namespace"] = namespace
	if metadata["uid"] == nil {
		metadata["uid"] = "uid of " + kind + " " + manifest.Text(o, "metadata", "name")
	}
	o["metadata"] = metadata
	return json.Marshal(o)
}

func (u User) info() authenticationv1.UserInfo {
	info := authenticationv1.UserInfo{Username: u.Name, Groups: u.Groups}
	if namespace, name, ok := strings.Cut(u.ServiceAccount, "/"); ok {
		info.Username = "system:serviceaccount:" + namespace + ":" + name
		info.Groups = append([]string{"system:serviceaccounts", "system:serviceaccounts:" + namespace}, info.Groups...)
	}
	if info.Username == "" {
		info.Username = "test-user"
	}
	return info
}

// add takes a reply.
func (a *answer) add(reply *admissionv1.AdmissionResponse) {
	a.allowed = reply.Allowed
	a.warnings = append(a.warnings, reply.Warnings...)
	if reply.Allowed || reply.Result == nil {
		return
	}
	if reply.Result.Details == nil || len(reply.Result.Details.Causes) == 0 {
		a.causes = append(a.causes, Cause{Message: reply.Result.Message})
		return
	}
	for _, x := range reply.Result.Details.Causes {
		a.causes = append(a.causes, Cause{x.Field, x.Message})
	}
}

// claims adds up what the object claims.
func (a *answer) claims(claims []review.Claim) {
	for i := range claims {
		d := &claims[i].Demand
		a.claim.GPUs = workload.SaturatingAdd(a.claim.GPUs, d.Claim)
		if d.GPUs.PerPod > 0 || a.claim.PeakPods == 0 {
			a.claim.GPUsPerPod, a.claim.PeakPods = d.GPUs.PerPod, max(a.claim.PeakPods, d.PeakPods)
		}
	}
	for _, n := range []*int64{&a.claim.GPUs, &a.claim.GPUsPerPod, &a.claim.PeakPods} {
		if *n == workload.Unbounded {
			*n = -1
		}
	}
}

// charge charges the budgets.
func (a *answer) charge(c *Case, r *review.Request, w review.World, in offline.Inputs, claims []review.Claim) error {
	memory := charge.NewMemory(in.Budgets)
	for i, h := range c.Holds {
		if err := hold(memory, in, h, i); err != nil {
			return err
		}
	}
	budgets := policy.CompileBudgets(in.Budgets)
	labels, known := w.NamespaceLabels(r.Namespace())
	charges, refused := r.Charges(budgets, claims, labels, known, false)
	if len(refused) > 0 {
		a.add(r.Refuse(refused))
		return nil
	}
	demands := make([]charge.Demand, len(charges))
	for i, x := range charges {
		demands[i] = charge.Demand{Budget: x.Budget.Name, Charges: x.Charges}
		for _, claimed := range x.Claims { // the old object holds what it claimed
			memory.Hold(x.Budget.Name, r.Namespace(), claimed.Key, x.Budget.Claim(claimed.Old))
		}
	}
	for i, x := range memory.Charge(context.Background(), demands, false) {
		switch {
		case !x.Fits:
			a.add(r.Refuse([]policy.Violation{charges[i].NoRoom(x.Outcome, r.Namespace())}))
			return nil
		case x.Raised > 0:
			a.warnings = append(a.warnings, charges[i].Left(x.Outcome, r.Namespace()))
		}
	}
	return nil
}

// hold enters what somebody else holds.
func hold(memory *charge.Memory, in offline.Inputs, h Holding, i int) error {
	for _, b := range in.Budgets {
		if b.Name != h.Budget {
			continue
		}
		// As what exists already: whatever the budget allows.
		memory.Hold(h.Budget, h.Namespace, ledger.ForName("held", h.Namespace, fmt.Sprint(i)), h.GPUs)
		return nil
	}
	return fmt.Errorf("holds[%d].budget: there is no GPUBudget %s among the policies", i, h.Budget)
}

func distinct(all []string) []string {
	seen := map[string]bool{}
	kept := []string{}
	for _, s := range all {
		if !seen[s] {
			kept, seen[s] = append(kept, s), true
		}
	}
	return kept
}
