package policytest

import (
	"context"
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubetorch/webhook/pkg/budget/charge"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/dryrun"
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
	expansion KubernetesObject
	warnings  []string
	causes    []Cause
	claim     CaseClaim
}

// admit does what the mutating and the validating webhook and the budgets do with a case.
func admit(s *Suite, c *Case, in offline.Inputs) (answer, error) {
	in.NoKnative = c.NoKnative
	namespace := manifest.Text(c.Object, "metadata", "namespace")
	if namespace == "" {
		namespace = corev1.NamespaceDefault
	}
	w := offline.World(c.others(s, namespace), in, namespace)
	w.Policies = w.Policies.WithClock(s.clock(c))
	raw, err := dryrun.Request(c.Object, c.OldObject, namespace, c.User.info())
	if err != nil {
		return answer{}, err
	}
	r, err := dryrun.Admit(w, raw)
	if err != nil {
		return answer{}, err
	}
	a := answer{expansion: r.Object}
	a.claims(r.Claims)
	if r.Request != nil && becomesService(r.Object, w) {
		converted := r.Request.Plan(w)
		a.expansion = converted.Service
		for _, warning := range converted.Verdict.Warnings {
			r.Warn(warning)
		}
	}
	if r.Request != nil {
		err = charged(c, &r, w, in)
	}
	a.allowed, a.warnings = r.Allowed, append([]string{}, r.Warnings...)
	for _, x := range r.Causes {
		a.causes = append(a.causes, Cause{x.Field, x.Message})
	}
	return a, err
}

// becomesService tells whether an object is a Deployment that a Knative Service is made of.
func becomesService(o KubernetesObject, w review.World) bool {
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
		n := KubernetesObject{"apiVersion": "v1", "kind": "Namespace", "metadata": KubernetesObject{"name": namespace}}
		addLabels(n, c.NamespaceLabels)
		docs = append(docs, offline.Document{Source: s.Source, Object: n})
	}
	for _, o := range c.Cluster {
		docs = append(docs, offline.Document{Source: s.Source, Object: runtime.DeepCopyJSON(o)})
	}
	return docs
}

func addLabels(o KubernetesObject, labels map[string]string) {
	metadata := manifest.Map(o, "metadata")
	all := manifest.Map(metadata, "labels")
	if all == nil {
		all = KubernetesObject{}
		metadata["labels"] = all
	}
	for k, v := range labels {
		all[k] = v
	}
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

// charged charges the budgets, which may refuse what is admitted so far, and ends a refusal with what would fit.
func charged(c *Case, a *dryrun.Response, w review.World, in offline.Inputs) error {
	memory := charge.NewMemory(in.Budgets)
	for i, h := range c.Holds {
		if err := hold(memory, in, h, i); err != nil {
			return err
		}
	}
	r := a.Request
	labels, known := w.NamespaceLabels(r.Namespace())
	budgets, ledgers := policy.CompileBudgets(in.Budgets), dryrun.Ledgers{Ask: memory.Charge}
	search := dryrun.Search{World: w, Budgets: budgets, Labels: labels, Known: known, Room: ledgers.Room}
	charges, refused := r.Charges(budgets, a.Claims, labels, known, false)
	if a.Allowed && len(refused) > 0 {
		a.Add(r.Refuse(refused))
		return nil
	}
	demands := make([]charge.Demand, len(charges))
	for i, x := range charges {
		demands[i] = charge.Demand{Budget: x.Budget.Name, Charges: x.Charges}
		for _, claimed := range x.Claims { // the old object holds what it claimed
			memory.Hold(x.Budget.Name, r.Namespace(), claimed.Key, x.Budget.Claim(claimed.Old))
		}
	}
	if !a.Allowed {
		if r.RefusedForPods() {
			a.Causes = nil
			a.Add(r.RefuseWith(search.Fitting(context.Background(), r)))
		}
		return nil
	}
	for i, x := range memory.Charge(context.Background(), demands, false) {
		switch {
		case !x.Admits():
			a.Add(r.Refuse([]policy.Violation{charges[i].NoRoom(x, r.Namespace(), search.Fitting(context.Background(), r))}))
			return nil
		case !x.Fits: // the budget warns or audits
			reply := &admissionv1.AdmissionResponse{Allowed: true}
			r.AdmitBeyond(reply, charges[i].NoRoom(x, r.Namespace(), review.Fitting{}))
			a.Add(reply)
		case x.Raised > 0:
			a.Warn(charges[i].Left(x.Outcome, r.Namespace()))
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
