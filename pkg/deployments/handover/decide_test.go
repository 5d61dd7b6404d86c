package handover

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/pkg/manifest"
)

const (
	deploymentUID = "d-uid"
	serviceUID    = "s-uid"
)

var own = manifest.Owner{Version: DeploymentVersion, Kind: DeploymentKind, Name: "app", UID: deploymentUID}

// observed is an autoscaled Deployment with replicas that run, in a cluster with Knative.
func observed(replicas int64, change ...func(*Observed)) Observed {
	o := Observed{Knative: true, Name: "app", Fixed: 2, Deployment: Deployment{
		Name: "app", UID: deploymentUID, OptedIn: true, Replicas: replicas, Running: replicas, Ready: true}}
	for _, c := range change {
		c(&o)
	}
	return o
}

func served(ready bool) func(*Observed) {
	return func(o *Observed) {
		o.Service = &Service{Name: o.Name, UID: serviceUID, Owner: own, Ready: ready, Message: "pods are starting"}
		o.Current = true
	}
}

func adopted(uid string, remembered int64) func(*Observed) {
	return func(o *Observed) { o.Deployment.AdoptedBy, o.Deployment.Remembered = uid, &remembered }
}

func unlabelled(o *Observed) { o.Deployment.OptedIn = false }

func TestDecide(t *testing.T) {
	other := Service{Name: "old", UID: "o-uid", Owner: own}
	with := func(change func(*Observed)) func(*Observed) { return change }
	for name, test := range map[string]struct {
		observed Observed
		step     Step
		replicas int64
		service  string
		reason   string
	}{
		"gone":     {Observed{}, Wait, 0, "", ""},
		"deleting": {observed(3, with(func(o *Observed) { o.Deployment.Deleting = true })), Wait, 0, "", ""},

		"nothing there yet":                        {observed(0), Apply, 0, "", Starting},
		"nothing there yet, running":               {observed(3), Apply, 0, "", Starting},
		"new, and nothing runs":                    {observed(0, served(false)), Adopt, 0, serviceUID, NotReady},
		"new, and the pods still stop":             {observed(0, served(false), func(o *Observed) { o.Deployment.Running = 1 }), Wait, 0, "", Starting},
		"running, and not ready yet":               {observed(3, served(false)), Wait, 0, "", Starting},
		"running, and ready":                       {observed(3, served(true)), Adopt, 3, serviceUID, Serving},
		"new, with a count that CREATE remembered": {observed(0, served(true), adopted("", 4)), Adopt, 4, serviceUID, Serving},
		"adopted, and ready":                       {observed(0, served(true), adopted(serviceUID, 3)), Wait, 0, "", Serving},
		"adopted, and not ready":                   {observed(0, served(false), adopted(serviceUID, 3)), Wait, 0, "", NotReady},
		"raised behind the webhook's back":         {observed(5, served(true), adopted(serviceUID, 3)), Empty, 0, "", Serving},
		"raised, but not ready":                    {observed(5, served(false), adopted(serviceUID, 3)), Wait, 0, "", Starting},
		"adopted by one that was made anew":        {observed(0, served(false), adopted("another", 3)), Adopt, 3, serviceUID, NotReady},
		"a change":                                 {observed(0, served(true), adopted(serviceUID, 3), func(o *Observed) { o.Current = false }), Apply, 0, "", Starting},
		"somebody deleted the Knative Service":     {observed(0, adopted(serviceUID, 3)), Apply, 0, "", Starting},
		"it is being deleted":                      {observed(0, served(true), func(o *Observed) { o.Service.Deleting = true }), Wait, 0, "", Starting},

		"another name, not ready yet":  {observed(0, served(false), adopted(other.UID, 3), func(o *Observed) { o.Others = []Service{other} }), Wait, 0, "", NotReady},
		"another name, ready":          {observed(0, served(true), adopted(other.UID, 3), func(o *Observed) { o.Others = []Service{other} }), Adopt, 3, serviceUID, Serving},
		"the one of the old name goes": {observed(0, served(true), adopted(serviceUID, 3), func(o *Observed) { o.Others = []Service{other} }), Remove, 0, other.UID, Serving},

		"refused":                   {observed(3, func(o *Observed) { o.Refused = "hostNetwork" }), Wait, 0, "", Refused},
		"refused after it served":   {observed(0, served(true), adopted(serviceUID, 3), func(o *Observed) { o.Refused = "hostNetwork" }), Wait, 0, "", Refused},
		"a core Service in the way": {observed(3, func(o *Observed) { o.NameTaken = true }), Wait, 0, "", NameTaken},
		"one that came after the Deployment was set to 0":   {observed(0, func(o *Observed) { o.NameTaken, o.Deployment.Remembered = true, new(int64(3)) }), Resume, 3, "", NameTaken},
		"one in the way of a Deployment that asks for none": {observed(0, func(o *Observed) { o.NameTaken, o.Deployment.Remembered = true, new(int64(0)) }), Wait, 0, "", NameTaken},
		"a foreign Knative Service":                         {observed(3, served(true), func(o *Observed) { o.Service.Owner = manifest.Owner{} }), Wait, 0, "", Foreign},
		"one of another Deployment": {observed(3, served(true), func(o *Observed) {
			o.Service.Owner = manifest.Owner{Version: DeploymentVersion, Kind: DeploymentKind, Name: "other", UID: "x"}
		}), Wait, 0, "", Foreign},
		"one that is left over":      {observed(0, served(true), func(o *Observed) { o.Service.Owner.UID = "x" }), Wait, 0, "", Starting},
		"a forged record of another": {observed(3, served(false), adopted("forged", 3)), Wait, 0, "", Starting},

		"no Knative, new":             {observed(0, func(o *Observed) { o.Knative = false }), Fix, 2, "", WithoutKnative},
		"no Knative, running":         {observed(5, func(o *Observed) { o.Knative = false }), Wait, 0, "", WithoutKnative},
		"no Knative any more":         {observed(0, adopted(serviceUID, 9), func(o *Observed) { o.Knative = false }), Fix, 2, "", WithoutKnative},
		"no Knative and a count of 0": {observed(0, func(o *Observed) { o.Knative, o.Fixed = false, 0 }), Fix, 1, "", WithoutKnative},

		"the label goes":                            {observed(0, unlabelled, served(true), adopted(serviceUID, 3)), Restore, 3, "", Returning},
		"the label goes, with a count":              {observed(5, unlabelled, served(true), adopted(serviceUID, 3)), Restore, 5, "", Returning},
		"the label goes, and the count is lost":     {observed(0, unlabelled, served(true), func(o *Observed) { o.Deployment.AdoptedBy = serviceUID }), Restore, 1, "", Returning},
		"the label goes, without Knative":           {observed(0, unlabelled, adopted("", 3), func(o *Observed) { o.Knative = false }), Restore, 3, "", Returning},
		"coming back":                               {observed(3, unlabelled, served(true), func(o *Observed) { o.Deployment.Ready = false }), Wait, 0, "", Returning},
		"is back":                                   {observed(3, unlabelled, served(true)), Remove, 0, serviceUID, Returned},
		"is back, and the Knative Service is going": {observed(3, unlabelled, served(true), func(o *Observed) { o.Service.Deleting = true }), Wait, 0, "", ""},
		"is back, with two of them":                 {observed(3, unlabelled, func(o *Observed) { o.Others = []Service{other} }), Remove, 0, other.UID, Returned},
		"is back for good":                          {observed(3, unlabelled), Wait, 0, "", ""},
		"never was, and a foreign one has its name": {observed(3, unlabelled, served(true), func(o *Observed) { o.Service.Owner = manifest.Owner{} }), Wait, 0, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := Decide(test.observed)
			assert.Equal(t, test.step, p.Step, p.State.Message)
			assert.Equal(t, test.replicas, p.Replicas)
			assert.Equal(t, test.service, p.Service.UID)
			assert.Equal(t, test.reason, p.State.Reason)
			assert.Equal(t, p, Decide(test.observed), "nothing but what was observed counts")
		})
	}
}

// TestNothingThatRunsIsTakenAway goes through all combinations of what can be observed.
func TestNothingThatRunsIsTakenAway(t *testing.T) {
	bools := []bool{false, true}
	owners := []manifest.Owner{{}, own, {Version: DeploymentVersion, Kind: DeploymentKind, Name: "app", UID: "earlier"}, {Version: DeploymentVersion, Kind: DeploymentKind, Name: "other", UID: "x"}}
	count := 0
	for i := range 1 << 9 {
		bit := func(n int) bool { return i>>n&1 == 1 }
		for _, owner := range owners {
			for _, adopted := range []string{"", serviceUID, "another"} {
				for _, replicas := range []int64{0, 3} {
					o := observed(replicas, func(o *Observed) {
						o.Knative, o.Deployment.OptedIn, o.Deployment.Ready = bit(0), bit(1), bit(2)
						o.Deployment.AdoptedBy = adopted
						if bit(3) {
							o.Service = &Service{Name: "app", UID: serviceUID, Owner: owner, Ready: bit(4), Deleting: bit(5)}
						}
						o.Current, o.NameTaken = bit(6), bit(7)
						if bit(8) {
							o.Others = []Service{{Name: "old", UID: "o-uid", Owner: own, Ready: true}}
						}
					})
					count++
					what := fmt.Sprintf("%+v", o)
					switch p := Decide(o); p.Step {
					case Adopt, Empty:
						ready := o.Service != nil && o.Service.Ready && o.Current && o.Service.Owner == own && !o.Service.Deleting
						idle := replicas == 0 && len(o.Others) == 0
						assert.True(t, ready || idle, "emptied before the Knative Service is ready: %s", what)
						assert.True(t, o.Deployment.OptedIn && o.Knative, what)
					case Fix, Restore:
						assert.GreaterOrEqual(t, p.Replicas, max(replicas, 1), "never fewer than run: %s", what)
					case Remove:
						assert.Equal(t, own, p.Service.Owner, "only one's own: %s", what)
						serves := o.Deployment.OptedIn && o.Service != nil && o.Service.Ready && p.Service.UID != o.Service.UID
						back := !o.Deployment.OptedIn && o.Deployment.Ready && adopted == ""
						assert.True(t, serves || back, "removed while it was needed: %s", what)
					case Apply:
						assert.True(t, o.Service == nil || o.Service.Owner == own, "written over somebody's: %s", what)
					}
				}
			}
		}
	}
	assert.Equal(t, 1<<9*len(owners)*3*len(bools), count)
}

func TestReadService(t *testing.T) {
	service := func(observed int64, status, created, ready string) map[string]any {
		return map[string]any{
			"metadata": map[string]any{"name": "app", "uid": serviceUID, "generation": int64(2)},
			"status": map[string]any{"observedGeneration": observed, "latestCreatedRevisionName": created, "latestReadyRevisionName": ready,
				"conditions": []any{map[string]any{"type": "Ready", "status": status, "message": "why"}}},
		}
	}
	assert.Nil(t, ReadService(nil))
	assert.True(t, ReadService(service(2, "True", "app-2", "app-2")).Ready)
	assert.False(t, ReadService(service(1, "True", "app-1", "app-1")).Ready, "Knative has not looked at it yet")
	assert.False(t, ReadService(service(2, "True", "app-2", "app-1")).Ready, "an earlier template serves")
	assert.False(t, ReadService(service(2, "Unknown", "app-2", "app-2")).Ready)
	assert.Equal(t, "why", ReadService(service(2, "False", "app-2", "app-1")).Message)
}

func TestReadDeployment(t *testing.T) {
	status := func(observed, replicas, updated, ready int64) map[string]any {
		return map[string]any{
			"metadata": map[string]any{"generation": int64(2)}, "spec": map[string]any{"replicas": int64(2)},
			"status": map[string]any{"observedGeneration": observed, "replicas": replicas, "updatedReplicas": updated, "readyReplicas": ready},
		}
	}
	assert.True(t, ReadDeployment(status(2, 2, 2, 2)).Ready)
	assert.False(t, ReadDeployment(status(1, 2, 2, 2)).Ready, "the controller has not looked at it yet")
	assert.False(t, ReadDeployment(status(2, 3, 2, 2)).Ready, "old pods are left")
	assert.False(t, ReadDeployment(status(2, 2, 2, 1)).Ready)
	assert.Equal(t, int64(1), ReadDeployment(map[string]any{}).Replicas, "the API server's default")
}
