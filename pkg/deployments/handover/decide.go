package handover

import "fmt"

// Step is what a controller does next. Every step is one write, or none.
type Step string

const (
	// Wait does nothing: the next event tells more.
	Wait Step = "Wait"
	// Apply writes the expansion as a Knative Service.
	Apply Step = "Apply"
	// Adopt records that the Knative Service serves, and scales the Deployment to 0.
	Adopt Step = "Adopt"
	// Empty scales an adopted Deployment to 0 once more.
	Empty Step = "Empty"
	// Fix gives a Deployment a fixed count, for want of Knative.
	Fix Step = "Fix"
	// Resume gives a Deployment its own count back while its Knative Service cannot be made.
	Resume Step = "Resume"
	// Restore gives a Deployment its own count back and drops the record.
	Restore Step = "Restore"
	// Remove deletes a Knative Service that is no longer needed.
	Remove Step = "Remove"
)

// Plan is the next step and the state that the Deployment is in.
type Plan struct {
	Step Step
	// Replicas to set (Fix, Resume, Restore) or to remember (Adopt).
	Replicas int64
	// Service that is adopted or removed.
	Service Service
	// State; empty drops what was recorded.
	State State
}

// Reasons of states.
const (
	Serving        = "Serving"
	Starting       = "Starting"
	NotReady       = "ServiceNotReady"
	Refused        = "Refused"
	Foreign        = "ForeignService"
	NameTaken      = "NameTaken"
	WithoutKnative = "KnativeNotInstalled"
	Returning      = "Returning"
	Returned       = "Returned"
)

func state(status, reason, format string, args ...any) State {
	return State{Type: "Autoscaled", Status: status, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Decide finds the next step. Whatever runs keeps running until what replaces it is
// ready; what cannot be done is reported and touches nothing.
func Decide(o Observed) Plan {
	d := o.Deployment
	switch {
	case d.UID == "" || d.Deleting:
		return Plan{Step: Wait} // the garbage collector takes the Knative Service along
	case !d.OptedIn:
		return goBack(o)
	case !o.Knative:
		return withoutKnative(o)
	case o.Refused != "":
		return Plan{Step: Wait, State: state("False", Refused, "cannot become a Knative Service, and is left as it is: %s", o.Refused)}
	case o.Service == nil && o.NameTaken:
		return nameTaken(o)
	case o.Service == nil:
		return Plan{Step: Apply, State: state("Unknown", Starting, "Knative Service %s is being made", o.Name)}
	case o.Service.Deleting:
		return Plan{Step: Wait, State: state("Unknown", Starting, "waiting until the earlier Knative Service %s is gone", o.Name)}
	case !d.owns(o.Service) && Leftover(d.Name, o.Service.Owner):
		return Plan{Step: Wait, State: state("Unknown", Starting, "waiting until Knative Service %s of an earlier Deployment %s is gone", o.Name, d.Name)}
	case !d.owns(o.Service):
		return Plan{Step: Wait, State: state("False", Foreign, "Knative Service %s exists and was not made from this Deployment; rename one of them, or set autoscale.kubetorch.com/service-name", o.Name)}
	case !o.Current:
		return Plan{Step: Apply, State: progress(o)}
	}
	return takeOver(o)
}

// nameTaken is for a Deployment whose Knative Service cannot be made, since a core Service that
// came after the Deployment has its name. Its own pods serve until the name is free.
func nameTaken(o Observed) Plan {
	p := Plan{Step: Wait, State: state("False", NameTaken, "core Service %s, which is not Knative's, has the name that the Knative Service needs; rename one of them, or set autoscale.kubetorch.com/service-name; until then the Deployment's own pods serve", o.Name)}
	if d := o.Deployment; d.Replicas == 0 && d.Remembered != nil && *d.Remembered > 0 {
		p.Step, p.Replicas = Resume, *d.Remembered
	}
	return p
}

// takeOver is for a Knative Service that is as it should be.
func takeOver(o Observed) Plan {
	d, s := o.Deployment, *o.Service
	if d.AdoptedBy != s.UID {
		// With nothing running nothing can be lost.
		idle := d.Replicas == 0 && d.Running == 0 && len(o.Others) == 0
		if !s.Ready && !idle {
			return Plan{Step: Wait, State: progress(o)}
		}
		keep := d.Replicas
		if d.Replicas == 0 && d.Remembered != nil {
			keep = *d.Remembered
		}
		return Plan{Step: Adopt, Replicas: keep, Service: s, State: progress(o)}
	}
	if s.Ready && d.Replicas > 0 {
		return Plan{Step: Empty, State: progress(o)}
	}
	if s.Ready {
		for _, other := range o.Others {
			if !other.Deleting {
				return Plan{Step: Remove, Service: other, State: progress(o)}
			}
		}
	}
	return Plan{Step: Wait, State: progress(o)}
}

// progress words how far a Knative Service is.
func progress(o Observed) State {
	d, s := o.Deployment, o.Service
	switch {
	case !o.Current:
		return state("Unknown", Starting, "Knative Service %s is being changed", s.Name)
	case s.Ready:
		return state("True", Serving, "Knative Service %s serves; replicas of this Deployment stay 0", s.Name)
	case d.Replicas > 0 || d.Running > 0:
		return state("Unknown", Starting, "the Deployment's own pods serve until Knative Service %s is ready%s", s.Name, because(s.Message))
	}
	return state("Unknown", NotReady, "Knative Service %s is not ready yet%s", s.Name, because(s.Message))
}

func because(message string) string {
	if message == "" {
		return ""
	}
	return ": " + message
}

// withoutKnative keeps a fixed count of pods.
func withoutKnative(o Observed) Plan {
	d := o.Deployment
	s := state("False", WithoutKnative, "the cluster does not serve Knative Services; the Deployment keeps a fixed number of replicas until it does")
	if o.Refused != "" {
		s.Message += "; it could not become one as it is: " + o.Refused
	}
	if d.Replicas == 0 || d.AdoptedBy != "" {
		return Plan{Step: Fix, Replicas: max(d.Replicas, o.Fixed, 1), State: s}
	}
	return Plan{Step: Wait, State: s}
}

// goBack returns a Deployment that is no longer autoscaled to its own pods, and only
// then removes what served in their place.
func goBack(o Observed) Plan {
	d := o.Deployment
	owned := o.Others
	if d.owns(o.Service) {
		owned = append([]Service{*o.Service}, owned...)
	}
	if d.AdoptedBy != "" || d.Remembered != nil {
		return Plan{Step: Restore, Replicas: restored(d), State: state("Unknown", Returning, "no longer autoscaled; the Deployment gets its %d replicas back", restored(d))}
	}
	if len(owned) == 0 {
		return Plan{Step: Wait}
	}
	if !d.Ready {
		return Plan{Step: Wait, State: state("Unknown", Returning, "no longer autoscaled; Knative Service %s serves until all %d replicas are ready", owned[0].Name, d.Replicas)}
	}
	for _, s := range owned {
		if !s.Deleting {
			return Plan{Step: Remove, Service: s, State: state("True", Returned, "the Deployment serves by itself; Knative Service %s is removed", s.Name)}
		}
	}
	return Plan{Step: Wait}
}

// restored is the count that a Deployment gets back: what somebody set meanwhile, else
// what it had.
func restored(d Deployment) int64 {
	switch {
	case d.Replicas > 0:
		return d.Replicas
	case d.Remembered != nil:
		return *d.Remembered
	}
	return 1
}
