package review

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"knative.dev/pkg/kmeta"

	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/workload"
)

// superseded is what an earlier revision holds.
type superseded struct {
	parts []workload.Part
	// stays is whether it keeps pods for as long as it is there.
	stays bool
}

func (w World) superseded(class string, parts []workload.Part) superseded {
	return superseded{parts: parts, stays: class != parameter.KPA || !w.Knative.ScaleToZero()}
}

// split tells what of earlier revisions overlaps with those that replaced them, and what is a claim: what
// keeps its pods, and all but the largest of the others. No more than one rollout at a time is beside a
// budget.
func split(earlier []superseded) (overlap, claim []workload.Part) {
	var goes []workload.Part
	for _, s := range earlier {
		if s.stays {
			claim = append(claim, s.parts...)
		} else {
			goes = append(goes, s.parts...)
		}
	}
	slices.SortStableFunc(goes, func(a, b workload.Part) int { return cmp.Compare(b.GPUs, a.GPUs) })
	if len(goes) > 0 {
		overlap, claim = goes[:1:1], append(claim, goes[1:]...)
	}
	return overlap, claim
}

// addSuperseded adds to a claim what earlier revisions hold that nothing names. The one of the stored
// template, which may not be made yet, becomes one of them where the update changes the template.
func (r *Request) addSuperseded(ctx context.Context, w World, c *Claim, old *workload.Usage) error {
	changed := !expand.SameTemplate(r.old, r.object)
	if !changed && !Grows([]Claim{*c}) {
		return nil
	}
	latest, err := r.latestMade(ctx, w)
	if err != nil {
		return err
	}
	named := func(name string) bool {
		return slices.ContainsFunc(c.New, func(n workload.Part) bool { return name != "" && n.Revision == name })
	}
	// The latest one is what the stored template claims, as far as it asks for no more than that.
	var own int64
	for _, p := range old.Parts {
		if p.Revision == "" {
			own = p.GPUs
		}
	}
	var earlier []superseded
	if len(old.Parts)+len(c.New) > 0 {
		earlier, err = r.supersededRevisions(ctx, w, func(name string, gpus int64) bool {
			return (name == latest && gpus <= own) || named(name)
		})
		if err != nil {
			return err
		}
	}
	_, was := split(earlier)
	now := was
	if changed {
		for _, p := range old.Parts {
			if p.Revision == "" && !named(latest) {
				p.Revision = latest
				earlier = append([]superseded{w.superseded(old.Class, []workload.Part{p})}, earlier...)
			}
		}
		c.Overlap, now = split(earlier)
	}
	c.New, c.Old = append(slices.Clip(c.New), now...), append(slices.Clip(c.Old), was...)
	return nil
}

// supersededRevisions are the revisions of the request's object that were not seen without pods, but for
// some by name.
func (r *Request) supersededRevisions(ctx context.Context, w World, but func(name string, gpus int64) bool) ([]superseded, error) {
	revisions, err := r.live(w).all(ctx, RevisionKind)
	if err != nil {
		return nil, err
	}
	var earlier []superseded
	controls := r.controls(w)
	for _, revision := range revisions {
		d := workload.RevisionUsage(revision, w.Knative, r.selection(w).GPUResources())
		if d.Claim == 0 || but(manifest.Text(revision, "metadata", "name"), d.Claim) {
			continue
		}
		if controlled, err := controls(ctx, revision); err != nil || !controlled {
			if err != nil {
				return nil, err
			}
			continue
		}
		empty, err := r.withoutPods(ctx, w, revision)
		if err != nil {
			return nil, err
		}
		if !empty {
			earlier = append(earlier, w.superseded(d.Class, d.Parts))
		}
	}
	return earlier, nil
}

// withoutPods tells whether a revision says that it has none, and its Deployment is not to have any: a
// tenant may write the revision's status.
func (r *Request) withoutPods(ctx context.Context, w World, revision manifest.Object) (bool, error) {
	if !workload.AtZero(revision) {
		return false, nil
	}
	deployment, err := r.live(w).get(ctx, DeploymentKind, kmeta.ChildName(manifest.Text(revision, "metadata", "name"), "-deployment"))
	return deployment == nil || workload.Replicas(deployment) == 0, err
}

// revisionOf is what Knative calls the revision that the present template of a Configuration makes.
func revisionOf(configuration manifest.Object) string {
	if chosen := manifest.Text(configuration, "spec", "template", "metadata", "name"); chosen != "" {
		return chosen
	}
	generation, _ := manifest.Whole(configuration, "metadata", "generation")
	return kmeta.ChildName(manifest.Text(configuration, "metadata", "name"), fmt.Sprintf("-%05d", generation))
}

// latestMade is the revision that the stored object's template made, empty for one that is not known. The
// live Configuration tells by its generation, which nobody can write, even before a status does, if it has
// the stored template already; the status of the object only does where there is nothing to ask.
func (r *Request) latestMade(ctx context.Context, w World) (string, error) {
	configuration, err := r.live(w).get(ctx, ConfigurationKind, manifest.Text(r.old, "metadata", "name"))
	return LatestMade(r.old, configuration), err
}

// LatestMade is the revision that the template of a stored object made, given its Configuration, nil for none.
func LatestMade(o, configuration manifest.Object) string {
	latest := expand.LatestRevision(o)
	if configuration != nil && (latest != "" || expand.SameTemplate(o, configuration)) {
		return revisionOf(configuration)
	}
	return latest
}

// had is the stored object as an update is compared with it: without the revisions that only its status
// names, and that the update's spec names now. Whoever may write the status gets no right to them.
func (r *Request) had() manifest.Object {
	names := specNames(r.object)
	if len(names) == 0 {
		return r.old
	}
	before := specNames(r.old)
	var kept []any
	dropped := false
	for _, t := range manifest.List(r.old, "status", "traffic") {
		target, _ := t.(manifest.Object)
		if name := manifest.Text(target, "revisionName"); names[name] && !before[name] {
			dropped = true
			continue
		}
		kept = append(kept, t)
	}
	if !dropped {
		return r.old
	}
	had, status := shallow(r.old), shallow(manifest.Map(r.old, "status"))
	status["traffic"], had["status"] = kept, status
	return had
}

func shallow(o manifest.Object) manifest.Object {
	c := make(manifest.Object, len(o))
	maps.Copy(c, o)
	return c
}

// specNames are the revisions that the traffic of an object's spec names.
func specNames(o manifest.Object) map[string]bool {
	names := map[string]bool{}
	for _, t := range manifest.Objects(o, "spec", "traffic") {
		if name := manifest.Text(t, "revisionName"); name != "" {
			names[name] = true
		}
	}
	return names
}
