package review

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

// TemplateUsers is what the objects of a namespace hold before and after a ResourceClaimTemplate is made.
type TemplateUsers struct {
	// Objects are those with pods that have resource claims.
	Objects []manifest.Object
	// Before and After are what their resource claims are counted by.
	Before, After *workload.ClaimIndex
	// Holders are what budgets count, as a count of all objects would find it.
	Holders []TemplateHolder
}

// TemplateHolder is an entry of a ledger.
type TemplateHolder struct {
	Key           ledger.Key
	Kind, Name    string
	Before, After []workload.Part
}

// templatePath is where a template says how many devices there are in a claim.
var templatePath = field.NewPath("spec", "spec", "devices", "requests")

// NeedsUsers tells whether the verdict depends on who names the request's ResourceClaimTemplate: it has
// devices that count as GPUs, or may.
func (r *Request) NeedsUsers(w World) bool {
	if r.of != workload.ResourceClaimTemplateKind || (!w.budgeted() && !r.selection(w).BoundsGPUs()) {
		return false
	}
	r.readNamespaceOf(w)
	u := workload.TemplateUsage(r.object, r.gpus)
	return u.Claim > 0 || len(u.GPUs.Unknown) > 0
}

// SetUsers hands over what NeedsUsers asks for.
func (r *Request) SetUsers(users TemplateUsers) { r.related.users = users }

// judgeTemplate holds what names a ResourceClaimTemplate against the bounds, with the devices that it would
// have from now on.
func (r *Request) judgeTemplate(w World) Verdict {
	users := &r.related.users
	var v Verdict
	for _, o := range users.Objects {
		user := ForObject(o, r.raw.Namespace)
		user.raw.UserInfo = r.raw.UserInfo
		selection := user.selection(w)
		before, ok := r.usageOf(o, selection.WithClaims(users.Before, r.raw.Namespace).GPUResources())
		after, _ := r.usageOf(o, selection.WithClaims(users.After, r.raw.Namespace).GPUResources())
		if !ok {
			continue
		}
		if after.GPUs.SameRequests(before.GPUs) {
			continue // it names others
		}
		judged := selection.Judge(after, &before)
		title := user.of.Kind + " " + manifest.Text(o, "metadata", "name")
		v.Denied = append(v.Denied, underTemplate(judged.Denied, title)...)
		v.Warned = append(v.Warned, underTemplate(judged.Warned, title)...)
		v.Audited = append(v.Audited, underTemplate(judged.Audited, title)...)
	}
	for _, x := range v.Warned {
		v.Warnings = append(v.Warnings, x.Error.Field+" "+x.Error.Detail)
	}
	return v
}

// usageOf measures an object with pods, of Kubernetes' own kinds or of an operator's; false for any other.
func (r *Request) usageOf(o manifest.Object, gpus workload.GPUResources) (workload.Usage, bool) {
	if kind, ok := workload.KindFor(workload.KindOf(o)); ok {
		return kind.Usage(o, gpus), true
	}
	if kind, ok := r.operators.For(workload.KindOf(o)); ok {
		return workload.OperatorUsage(o, kind, gpus), true
	}
	return workload.Usage{}, false
}

// underTemplate says of violations of what names a template that they are the template's, but for those of
// further templates that are not there.
func underTemplate(violations []policy.Violation, title string) []policy.Violation {
	var placed []policy.Violation
	for _, x := range violations {
		if workload.Awaits(x.Error) {
			continue
		}
		x.Error = field.Forbidden(templatePath, fmt.Sprintf("with it %s %s", title, x.Error.Detail))
		placed = append(placed, x)
	}
	return placed
}

// templateClaims are what rises with a ResourceClaimTemplate.
func (r *Request) templateClaims() []Claim {
	var claims []Claim
	for _, h := range r.related.users.Holders {
		asks := fmt.Sprintf("%s %s, which names this template", h.Kind, h.Name)
		c := Claim{Key: h.Key, Kind: h.Kind, Name: h.Name, New: h.After, Old: h.Before}
		c.Demand = workload.UsageOf(h.After, asks, templatePath)
		if Grows([]Claim{c}) {
			claims = append(claims, c)
		}
	}
	return append(claims, r.uncounted()...)
}

// uncounted refuses, where a budget counts it, a template whose devices cannot be counted while something
// names it.
func (r *Request) uncounted() []Claim {
	users := &r.related.users
	by := func(claims *workload.ClaimIndex) workload.GPUResources {
		return r.gpus.WithClaims(claims, r.raw.Namespace)
	}
	named := slices.ContainsFunc(users.Objects, func(o manifest.Object) bool {
		before, ok := r.usageOf(o, by(users.Before))
		after, _ := r.usageOf(o, by(users.After))
		return ok && !after.GPUs.SameRequests(before.GPUs)
	})
	if !named {
		return nil
	}
	u := workload.TemplateUsage(r.object, r.gpus)
	if len(u.GPUs.Unknown) == 0 {
		return nil
	}
	unknown := make(field.ErrorList, len(u.GPUs.Unknown))
	for i, e := range u.GPUs.Unknown {
		placed := *e
		placed.Field = "spec." + e.Field
		unknown[i] = &placed
	}
	return []Claim{{Key: key(r.object, r.of.Kind), Kind: r.of.Kind, Name: r.storedName(), Demand: u, Unknown: unknown}}
}
