// Package controller keeps the status of every ComputePolicy: whether it is in force, and what
// exists and breaks its bounds.
package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/record"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/audit"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
)

// Auditor audits in the replica that leads.
type Auditor struct {
	Client dynamic.Interface
	Lists  *cluster.Lists
	// Knative is the configuration in use; an error while there is none.
	Knative func() (*knative.Config, error)
	// Complete adds to the policies what else decides what counts; nil adds nothing.
	Complete func(*policy.Set) *policy.Set
	// Excluded are the namespaces that admission leaves alone.
	Excluded []string
	// Interval is the time from one audit to the next while nothing changes.
	Interval time.Duration
	// NotRegistered says why admissions are not sent to the webhook as they should be; empty
	// if they are. Nil is for tests that do not look at it.
	NotRegistered func() string
	// OpenReports is whether a ClusterReport is kept for each policy.
	OpenReports bool
	// Events tells of policies that turn; nil does not.
	Events  record.EventRecorder
	Metrics *AuditMetrics
	Log     logr.Logger

	changed chan struct{}
}

// New completes an auditor.
func New(a Auditor) *Auditor {
	a.changed = make(chan struct{}, 1)
	return &a
}

const (
	// rest is the least time between two audits: a burst of changes is one or two.
	rest = time.Second
	// again is how long to wait after an audit that failed.
	again = 10 * time.Second
)

// Changed has everything audited anew, after a change of policies or of Knative. It never
// blocks.
func (a *Auditor) Changed() {
	select {
	case a.changed <- struct{}{}:
	default: // already told
	}
}

// Run audits until the context ends.
func (a *Auditor) Run(ctx context.Context) error {
	defer a.Metrics.forget() // the next leader tells
	if !a.begun(ctx) {
		return nil
	}
	for {
		start := time.Now()
		err := a.audit(ctx, start)
		took := time.Since(start)
		if ctx.Err() != nil {
			return nil
		}
		next := a.Interval
		if err != nil {
			a.Log.Error(err, "audit failed, trying again")
			next = min(again, a.Interval)
		}
		a.Metrics.ended(took, time.Now(), err == nil)
		// An audit of a large cluster is work for the API server: never more than half the time.
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(max(rest, took)):
		}
		select {
		case <-ctx.Done():
			return nil
		case <-a.changed:
		case <-time.After(next):
		}
	}
}

// begun waits until there is a configuration to audit by: a replica that is starting has not
// failed. It is false if the context ends before.
func (a *Auditor) begun(ctx context.Context) bool {
	for {
		if _, err := a.Knative(); err == nil {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(rest / 4):
		}
	}
}

// audit looks at everything once. The policies' statuses are written even if nothing else
// could be read.
func (a *Auditor) audit(ctx context.Context, now time.Time) error {
	config, err := a.Knative()
	if err != nil {
		return err
	}
	stored, err := a.Lists.Policies(ctx)
	if err != nil {
		return err
	}
	set := policy.CompileStored(stored)
	if a.Complete != nil {
		set = a.Complete(set)
	}
	var report audit.Report
	err = a.Lists.Use(ctx, func(objects *cluster.Objects) {
		report = audit.Run(audit.Listing{Policies: set, Knative: config, Served: objects.Knative, Objects: objects.All(), Namespaces: objects.Namespaces, Excluded: a.Excluded})
	})
	if err != nil {
		return errors.Join(err, a.write(ctx, now, stored, set.Describe(), func(d policy.Description, generation int64, before v1alpha1.ComputePolicyStatus) v1alpha1.ComputePolicyStatus {
			return audit.Unaudited(d, generation, before, now)
		}))
	}
	a.Metrics.found(report, now)
	a.Log.V(1).Info("audited", "policies", len(report.Policies), "objects", report.Objects, "violations", len(report.Findings))
	return errors.Join(a.report(ctx, now, report), a.write(ctx, now, stored, report.Policies, func(d policy.Description, generation int64, before v1alpha1.ComputePolicyStatus) v1alpha1.ComputePolicyStatus {
		return audit.Listed(report.Status(d, generation, before, now))
	}))
}

// write stores the statuses that changed.
func (a *Auditor) write(ctx context.Context, moment time.Time, stored []manifest.Object, policies []policy.Description,
	status func(policy.Description, int64, v1alpha1.ComputePolicyStatus) v1alpha1.ComputePolicyStatus,
) error {
	byName := map[string]manifest.Object{}
	for _, o := range stored {
		byName[manifest.Text(o, "metadata", "name")] = o
	}
	var failed []error
	for _, d := range policies {
		o := byName[d.Name]
		var before v1alpha1.ComputePolicyStatus
		if s := manifest.Map(o, "status"); s != nil {
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(s, &before); err != nil {
				before = v1alpha1.ComputePolicyStatus{} // not ours; replaced
			}
		}
		generation, _ := manifest.Whole(o, "metadata", "generation")
		now := status(d, generation, before)
		if a.NotRegistered != nil {
			audit.Registered(&now, a.NotRegistered(), moment)
		}
		if !audit.Outdated(before, now) {
			continue
		}
		if err := a.patch(ctx, o, now); err == nil {
			a.tell(o, before, now)
		} else if !apierrors.IsNotFound(err) {
			failed = append(failed, fmt.Errorf("writing the status of ComputePolicy %s: %w", d.Name, err))
		}
	}
	return errors.Join(failed...)
}

// tell makes an event of every condition that has turned: what a policy became, not that it is
// what it was.
func (a *Auditor) tell(o manifest.Object, before, now v1alpha1.ComputePolicyStatus) {
	if a.Events == nil {
		return
	}
	policy := &corev1.ObjectReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "ComputePolicy", Name: manifest.Text(o, "metadata", "name"),
		UID: types.UID(manifest.Text(o, "metadata", "uid")),
	}
	for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionCompliant} {
		was, is := meta.FindStatusCondition(before.Conditions, kind), meta.FindStatusCondition(now.Conditions, kind)
		if is == nil || was != nil && was.Status == is.Status && was.Reason == is.Reason {
			continue
		}
		severity := corev1.EventTypeNormal
		if is.Status != metav1.ConditionTrue {
			severity = corev1.EventTypeWarning
		}
		const most = 1000 // events take 1024 bytes
		a.Events.Event(policy, severity, is.Reason, is.Message[:min(len(is.Message), most)])
	}
}

// patch replaces the status of this very policy, whatever else has become of it.
func (a *Auditor) patch(ctx context.Context, o manifest.Object, status v1alpha1.ComputePolicyStatus) error {
	patch, err := json.Marshal([]manifest.Object{
		{"op": "test", "path": "/metadata/uid", "value": manifest.Text(o, "metadata", "uid")},
		{"op": "add", "path": "/status", "value": status},
	})
	if err != nil {
		return err
	}
	_, err = a.Client.Resource(cluster.ComputePolicies).Patch(ctx, manifest.Text(o, "metadata", "name"), types.JSONPatchType, patch, metav1.PatchOptions{}, "status")
	return err
}
