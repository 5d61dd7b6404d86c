package simulate

import (
	"time"

	"knative.dev/serving/pkg/apis/autoscaling"
	"knative.dev/serving/pkg/autoscaler/scaling"
)

// scaleUnknown is what Knative has for a number of pods that was not decided yet.
const scaleUnknown = -1

// activationTimeoutBuffer is added to the progress deadline of a revision that never
// became active, as in Knative's kpa/scaler.go.
const activationTimeoutBuffer = 30 * time.Second

// condition is the PodAutoscaler's condition Active.
type condition int

const (
	activating condition = iota // Unknown
	active                      // True
	inactive                    // False
)

// bounds are the settings that a PodAutoscaler's scale is held to.
type bounds struct {
	minScale, maxScale, initialScale int32 // a maximum of 0 is none
	stableWindow                     time.Duration
	retention, grace                 time.Duration
	activationTimeout                time.Duration
	scaleToZero                      bool
	// alwaysProxied is whether the activator is always in the path (target burst
	// capacity -1).
	alwaysProxied bool
}

// autoscalerState is a PodAutoscaler between two reconciliations: what Knative's KPA reconciler
// keeps in its status and in that of the ServerlessService.
type autoscalerState struct {
	bounds
	active      condition
	since       time.Time // of the last change of active
	initialized bool      // the initial scale was reached
	proxied     bool      // the activator is in the path
	proxySince  time.Time
}

// reconcile restates kpa.Reconciler.ReconcileKind and scaler.scale for a revision that is
// reachable: replicas is what the Deployment is to have, or scaleUnknown if it stays.
func (a *autoscalerState) reconcile(now time.Time, decided scaling.DeciderStatus, ready int32) (replicas int32) {
	want, apply := a.scale(now, decided.DesiredScale)
	proxied := want <= 0 || decided.ExcessBurstCapacity < 0
	if proxied && !a.proxied {
		a.proxySince = now
	}
	a.proxied = proxied
	a.observe(now, want, ready)
	if !apply {
		return scaleUnknown
	}
	return want
}

// scale is the number of pods after scale bounds and the delays before zero; apply is
// false if the Deployment is left as it is.
func (a *autoscalerState) scale(now time.Time, desired int32) (want int32, apply bool) {
	if desired < 0 && a.active != activating {
		return desired, false
	}
	least := a.minScale
	if a.initialScale > 1 && !a.initialized {
		least = max(least, a.initialScale)
	}
	switch {
	case desired < least:
		desired = least
	case a.maxScale != 0 && desired > a.maxScale:
		desired = a.maxScale
	}
	if desired != 0 {
		return desired, true
	}
	return a.toZero(now)
}

// toZero restates scaler.handleScaleToZero. The activator's probe is taken to succeed as
// soon as the activator is in the path.
func (a *autoscalerState) toZero(now time.Time) (want int32, apply bool) {
	if !a.scaleToZero {
		return 1, true
	}
	held := now.Sub(a.since)
	switch a.active {
	case activating:
		if held >= a.activationTimeout {
			return 0, true
		}
		return scaleUnknown, false
	case active:
		if held >= a.stableWindow {
			return 0, false // becomes inactive first
		}
		return 1, true
	}
	switch {
	case !a.alwaysProxied && !a.proxied:
		return 0, false
	case held >= max(a.grace, a.retention):
		return 0, true
	case held < a.retention:
		return 0, false
	}
	return 0, now.Sub(a.proxySince) >= a.grace
}

// observe restates computeActiveCondition.
func (a *autoscalerState) observe(now time.Time, want, ready int32) {
	threshold := max(a.minScale, 1)
	if !a.initialized {
		threshold = max(a.minScale, a.initialScale)
	}
	if ready >= threshold {
		a.initialized = true
	}
	switch {
	case want == 0 || threshold == 0:
		a.become(inactive, now)
	case want <= 0 && a.active == inactive:
	case ready < threshold:
		a.become(activating, now)
	default:
		a.become(active, now)
	}
}

func (a *autoscalerState) become(c condition, now time.Time) {
	if a.active != c {
		a.active, a.since = c, now
	}
}

// boundsOf reads the bounds as Knative does.
func boundsOf(s ScalingSettings, d *scaling.Decider) bounds {
	pa := s.podAutoscaler()
	b := bounds{initialScale: d.Spec.InitialScale, stableWindow: d.Spec.StableWindow, retention: s.Autoscaler.ScaleToZeroPodRetentionPeriod,
		grace: s.Autoscaler.ScaleToZeroGracePeriod, activationTimeout: s.ProgressDeadline + activationTimeoutBuffer,
		scaleToZero: s.Autoscaler.EnableScaleToZero, alwaysProxied: d.Spec.TargetBurstCapacity == -1}
	b.minScale, b.maxScale = pa.ScaleBounds(s.Autoscaler)
	if retention, ok := pa.ScaleToZeroPodRetention(); ok {
		b.retention = retention
	}
	if deadline, ok := pa.ProgressDeadline(); ok {
		b.activationTimeout = deadline + activationTimeoutBuffer
	}
	return b
}

// isRPS tells whether a metric counts requests per second; else it is concurrency.
func isRPS(metric string) bool { return metric == autoscaling.RPS }
