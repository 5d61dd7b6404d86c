package review

import (
	"context"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/convert"
	"github.com/kubetorch/webhook/pkg/deployments/handover"
	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Conversion is the Knative Service that a Deployment becomes.
type Conversion struct {
	// Service is expanded; nil where the Deployment cannot be read.
	Service manifest.Object
	Notes   convert.Notes
	// Verdict on the Deployment: paths are those of the Deployment.
	Verdict Verdict
}

// Convert turns the request's Deployment, which is labelled for autoscaling, into its
// expanded Knative Service, and judges that. The Deployment is left as it is. live is the
// Knative Service as it is stored, nil where there is none yet.
func (r *Request) Convert(ctx context.Context, w World, live manifest.Object) (Conversion, error) {
	ksvc, notes, errs := convert.Service(withoutBookkeeping(r.object), convert.Surroundings{Knative: w.Knative, Services: w.coreServices()})
	c := Conversion{Service: ksvc, Notes: notes}
	if ksvc == nil {
		c.Verdict.Errors = slices.Concat(errs, expand.ReadIntent(r.object).Errors)
		return c, nil
	}
	raw := *r.raw
	raw.Name = manifest.Text(ksvc, "metadata", "name")
	raw.Kind.Group, raw.Kind.Version, raw.Kind.Kind = ServiceKind.Group, "v1", ServiceKind.Kind
	child := &Request{raw: &raw, of: ServiceKind, object: ksvc, old: live, name: raw.Name, exempt: r.exempt}
	v, err := child.Admit(ctx, w)
	if err != nil {
		return c, err
	}
	v.Patch = nil // of an object that nobody has sent
	if tooLarge := handover.CheckApplied(ksvc); tooLarge != nil {
		errs = append(errs, tooLarge)
	}
	v.Errors = slices.Concat(errs, without(expand.AsWritten(notes.Relate(r.place(v.Errors)), r.object), errs))
	for i, x := range v.Denied {
		v.Denied[i].Error = notes.Relate(r.place(field.ErrorList{x.Error}))[0]
	}
	v.Warnings = shorten(slices.Concat(notes.Warnings, withoutTimeout(v.Warnings, notes), misplaced(r.object), r.leftBehind(w, ksvc, v.Settings)))
	if s, ok := expand.ReadIntent(r.object).Stated[parameter.ServiceName.Name]; ok && !v.Refused() {
		v.Settings = append(v.Settings, expand.Setting{Name: s.Parameter.Name, Value: s.Text, From: s.From})
	}
	c.Verdict = v
	return c, nil
}

// planned is what the request's Deployment becomes, as its author wrote it, that has no Knative Service yet.
func (r *Request) planned(w World) Conversion {
	if r.plan == nil {
		c := r.with(r.object, r.carried(w)).Plan(w)
		r.plan = &c
	}
	return *r.plan
}

// Plan is the conversion of a Deployment that has no Knative Service yet. Nothing is read for it.
func (r *Request) Plan(w World) Conversion {
	w.Live = nil
	c, _ := r.Convert(context.Background(), w, nil) // without anything to read there is no error
	return c
}

// withoutTimeout leaves out the warning about a timeoutSeconds that the conversion wrote: a
// Deployment has no place for what it advises.
func withoutTimeout(warnings []string, notes convert.Notes) []string {
	const written = "spec.template.spec.timeoutSeconds"
	if notes.Path(written) == written {
		return warnings
	}
	return slices.DeleteFunc(warnings, func(w string) bool { return strings.HasPrefix(w, "timeoutSeconds is ") })
}

// place moves errors about annotations that an expansion wrote to the parameters that they
// come from.
func (r *Request) place(errs field.ErrorList) field.ErrorList {
	stated := expand.ReadIntent(r.object).Stated
	template := field.NewPath("spec", "template", "metadata", "annotations")
	native := manifest.Texts(r.object, "spec", "template", "metadata", "annotations")
	placed := slices.Clone(errs)
	for i, e := range placed {
		key, ok := strings.CutPrefix(e.Field, template.String()+"[")
		if key = strings.TrimSuffix(key, "]"); !ok || native[key] != "" {
			continue
		}
		if s, ok := stated[expand.ParameterOf(key)]; ok {
			copied := *e
			copied.Field = s.Path.String()
			placed[i] = &copied
		}
	}
	return placed
}

// AdmitFixed fills in the resources of the request's Deployment, in place, and judges it
// as one of fixed size: one that is not labelled for autoscaling, or is in a cluster
// without Knative.
func (r *Request) AdmitFixed(w World) Verdict {
	result := r.fix(w, r.object)
	v := Verdict{Patch: result.Patch, Warnings: result.Warnings, Errors: result.Errors, Denied: result.Denied, Clamped: result.Clamped, Settings: result.Settings}
	if v.Refused() {
		return v
	}
	selection := r.selection(w)
	d := workload.DeploymentUsage(r.object, workload.Controlled{}, selection.GPUResources())
	var old *workload.Usage
	if r.old != nil {
		o := workload.DeploymentUsage(r.old, workload.Controlled{}, selection.GPUResources())
		old = &o
	}
	judged := selection.Judge(d, old)
	v.Errors, v.Denied, v.Warned, v.Audited, v.Demand, v.Room = judged.Invalid, judged.Denied, judged.Warned, judged.Audited, d, selection.Room(d)
	for _, x := range judged.Warned {
		v.Warnings = append(v.Warnings, x.Error.Field+" "+x.Error.Detail)
	}
	v.Warnings = shorten(slices.Concat(v.Warnings, d.GPUs.Assumed, misplaced(r.object)))
	return v
}

func (r *Request) fix(w World, o manifest.Object) expand.Result {
	return expand.Deployment(expand.Input{Object: o, Old: r.old, Policies: r.selection(w)})
}

// ConcernsDeployment tells whether a Deployment is converted, filled in or judged: it
// carries one of the two labels, or its pods ask for GPUs. Parameters alone make no
// workload, and get a warning.
func ConcernsDeployment(o manifest.Object, w World) bool {
	intent := expand.ReadIntent(o)
	if intent.FillsResources() || intent.Autoscale.Off || intent.Compute.Off || len(intent.Stated) > 0 {
		return true
	}
	if len(misplaced(o)) > 0 {
		return true
	}
	n := workload.CountGPUs(manifest.Map(o, "spec", "template", "spec"), nil, w.Policies.GPUResources())
	return n.PerPod > 0 || len(n.Unknown)+len(n.Malformed) > 0
}
