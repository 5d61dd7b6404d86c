package differential

import (
	"math"
	"math/big"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/serving/pkg/apis/autoscaling"
	"knative.dev/serving/pkg/apis/autoscaling/v1alpha1"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
	hparesources "knative.dev/serving/pkg/reconciler/autoscaling/hpa/resources"
	"knative.dev/serving/pkg/reconciler/autoscaling/resources"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/parameter"
)

// meaning compares what Knative's controllers will read from an accepted Service with
// what its author states and the documentation promises.
type meaning struct {
	*trial
	author  object // as the author wrote it
	service *servingv1.Service
	pa      *v1alpha1.PodAutoscaler
	updated bool
}

// judgeMeaning holds the effective values against the intent. It is for workloads that
// no policy touches.
func (t *trial) judgeMeaning(author object, service *servingv1.Service, updated bool) {
	m := &meaning{trial: t, author: author, service: service, updated: updated, pa: &v1alpha1.PodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: "svc-00001", Annotations: service.Spec.Template.Annotations},
		Spec:       v1alpha1.PodAutoscalerSpec{ContainerConcurrency: service.Spec.Template.Spec.GetContainerConcurrency()},
	}}
	m.classAndMetric()
	m.scales()
	m.durations()
	m.deadline()
	if m.pa.Class() == autoscaling.HPA {
		m.hpa()
	} else {
		m.kpa()
	}
	m.compute()
}

// stated is what the author states for a parameter, either way.
func (m *meaning) stated(p *parameter.Parameter) (string, bool) {
	if text, ok := statedParameter(m.author, p); ok {
		return text, true
	}
	return statedNatively(m.author, p)
}

func (m *meaning) equal(what string, got, want any) {
	if got != want {
		m.fault("%s is %v, and should be %v", what, got, want)
	}
}

func (m *meaning) classAndMetric() {
	class, ok := m.stated(parameter.AutoscalerClass)
	if ok {
		full := map[string]string{"kpa": autoscaling.KPA, "hpa": autoscaling.HPA}[class]
		if full == "" {
			full = class
		}
		m.equal("the class", m.pa.Class(), full)
	}
	if c := m.pa.Annotations[knative.ClassKey]; c != autoscaling.KPA && c != autoscaling.HPA {
		m.fault("the class %q is nobody's", c)
	}
	if metric, ok := m.stated(parameter.Metric); ok {
		m.equal("the metric", m.pa.Metric(), metric)
	}
}

func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return -1
	}
	return n
}

func (m *meaning) scales() {
	low32, high32 := m.pa.ScaleBounds(m.cluster.autoscaler)
	low, high := int64(low32), int64(high32)
	initial32, found := m.pa.InitialScale()
	initial := int64(initial32)
	if high <= 0 || low > high || !found || initial > high {
		m.fault("scales from %d to %d, starting with %d", low, high, initial)
	}
	limit := int64(m.cluster.autoscaler.MaxScaleLimit)
	want := int64(10)
	if n := int64(m.cluster.autoscaler.MaxScale); n > 0 {
		want = n
	}
	if limit > 0 {
		want = min(want, limit)
	}
	if text, ok := m.stated(parameter.MaxScale); ok {
		want = number(text)
	}
	m.equal("max-scale", high, want)

	floor := int64(0)
	if m.pa.Class() == autoscaling.HPA {
		floor = 1
	}
	want = max(floor, min(high, int64(m.cluster.autoscaler.MinScale)))
	if n, ok := m.pa.ActivationScale(); ok {
		want = max(floor, min(want, int64(n)))
	}
	if text, ok := m.stated(parameter.MinScale); ok {
		want = number(text)
	}
	m.scale(parameter.MinScale, low, want)

	want = max(low, 1)
	if n, ok := m.cluster.number(knative.AutoscalerConfig, "initial-scale"); ok {
		want = min(int64(n), high)
	}
	if text, ok := m.stated(parameter.InitialScale); ok {
		want = number(text)
	}
	m.scale(parameter.InitialScale, initial, want)
}

// scale compares a number of pods. On an update a default that its source still gives
// stays what it was when it was first lowered to max-scale.
func (m *meaning) scale(p *parameter.Parameter, got, want int64) {
	if _, ok := m.stated(p); ok || !m.updated {
		m.equal(p.Name, got, want)
	}
}

func parsed(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		return -1
	}
	return d
}

func (m *meaning) durations() {
	check := func(p *parameter.Parameter, read func() (time.Duration, bool), configKey, builtIn string, kpaOnly bool) {
		got, found := read()
		if kpaOnly && m.pa.Class() == autoscaling.HPA {
			if found {
				m.fault("%s is written for hpa, which ignores it", p.Name)
			}
			return
		}
		want := parsed(builtIn)
		if text, ok := m.cluster.states(knative.AutoscalerConfig, configKey); ok {
			want = min(parsed(text), time.Hour)
		}
		if text, ok := m.stated(p); ok {
			want = parsed(text)
		}
		m.equal(p.Name, got, want)
	}
	check(parameter.Window, m.pa.Window, "stable-window", "60s", false)
	check(parameter.ScaleDownDelay, m.pa.ScaleDownDelay, "scale-down-delay", "1m", true)
	check(parameter.Retention, m.pa.ScaleToZeroPodRetention, "scale-to-zero-pod-retention-period", "10m", true)
}

func (m *meaning) deadline() {
	budget := time.Duration(0)
	for _, c := range m.service.Spec.Template.Spec.Containers {
		if p := c.StartupProbe; p != nil {
			or := func(n, absent int32) float64 {
				if n <= 0 {
					n = absent
				}
				return float64(n)
			}
			seconds := or(p.InitialDelaySeconds, 0) + or(p.PeriodSeconds, 10)*or(p.FailureThreshold, 3)
			budget = max(budget, time.Duration(min(seconds, 1e9))*time.Second)
		}
	}
	forLaunch := func(t time.Duration) time.Duration {
		d := max(t+time.Minute, t*6/5, 10*time.Minute)
		return (d + time.Second - 1).Truncate(time.Second)
	}
	want := forLaunch(budget)
	if text, ok := m.cluster.states(knative.DeploymentConfig, "progress-deadline"); ok && parsed(text) >= budget {
		want = parsed(text)
	}
	want = min(want, 24*time.Hour)
	if text, ok := statedParameter(m.author, parameter.LaunchTimeout); ok {
		want = forLaunch(parsed(text))
	}
	if text, ok := m.stated(parameter.ProgressDeadline); ok {
		want = parsed(text)
	}
	got, _ := m.pa.ProgressDeadline()
	m.equal("progress-deadline", got, want)
	if seconds := int32(got.Seconds()); seconds < 1 || (got < budget && budget <= 24*time.Hour) {
		m.fault("the deployment's progressDeadlineSeconds would be %d, with a startup budget of %s", seconds, budget)
	}
}

func float(text string) float64 {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return math.NaN()
	}
	return v
}

func (m *meaning) kpa() {
	concurrency := float64(m.pa.Spec.ContainerConcurrency)
	target, total := resources.ResolveMetricTarget(m.pa, m.cluster.autoscaler)
	var want float64
	percent := 70.0
	switch {
	case m.pa.Metric() == autoscaling.RPS:
		want = m.cluster.autoscaler.RPSTargetDefault
	case concurrency > 0:
		want = concurrency
	default:
		want = m.cluster.autoscaler.ContainerConcurrencyTargetDefault
	}
	if text, ok := m.stated(parameter.Target); ok {
		want = float(text)
		if m.pa.Metric() == autoscaling.Concurrency && concurrency > 0 {
			want = min(want, concurrency)
		}
	}
	if share := m.cluster.autoscaler.ContainerConcurrencyTargetFraction * 100; m.pa.Metric() == autoscaling.Concurrency && share >= 1 {
		percent = share
	}
	if text, ok := m.stated(parameter.Utilization); ok {
		percent = float(text)
	}
	m.equal("the total target", total, want)
	if aimed := max(0.01, want*percent/100); math.Abs(target-aimed) > 1e-9*aimed {
		m.fault("the target is %v, and should be %v", target, aimed)
	}
	if math.IsNaN(target) || math.IsInf(target, 0) {
		m.fault("the target %v switches scaling off", target)
	}
}

func (m *meaning) hpa() {
	made := hparesources.MakeHPA(m.pa, m.cluster.autoscaler).Spec
	if made.MinReplicas == nil || *made.MinReplicas < 1 || made.MaxReplicas < *made.MinReplicas || len(made.Metrics) != 1 {
		m.fault("the hpa cannot work: %v", made)
		return
	}
	text, stated := statedParameter(m.author, parameter.Target)
	native, isNative := statedNatively(m.author, parameter.Target)
	want := func(builtIn int64) int64 {
		switch {
		case stated:
			return int64(float(text))
		case isNative:
			return int64(float(native))
		}
		return builtIn
	}
	metric := made.Metrics[0]
	switch m.pa.Metric() {
	case autoscaling.CPU:
		m.equal("cpu utilization", int64(*metric.Resource.Target.AverageUtilization), want(80))
		for i, c := range m.service.Spec.Template.Spec.Containers {
			if q := request(c, corev1.ResourceCPU); q.Sign() <= 0 {
				m.fault("container %d has no cpu request, so the hpa cannot compute a percentage", i)
			}
		}
	case autoscaling.Memory:
		share := new(big.Int)
		for _, c := range m.service.Spec.Template.Spec.Containers {
			q := request(c, corev1.ResourceMemory)
			if q.CmpInt64(math.MaxInt64) > 0 {
				q = *resource.NewQuantity(math.MaxInt64, resource.BinarySI)
			}
			share.Add(share, big.NewInt(q.Value()))
		}
		share.Mul(share, big.NewInt(want(70)))
		share.Quo(share, big.NewInt(100<<20))
		if !stated && isNative {
			share.SetInt64(want(0))
		} else if !stated && share.Sign() == 0 {
			share.SetInt64(1)
		}
		got := metric.Resource.Target.AverageValue
		m.equal("the memory target in Mi", big.NewInt(got.Value()>>20).String(), share.String())
	default:
		m.equal("the custom metric", metric.Pods.Metric.Name, m.pa.Metric())
		m.equal("the custom target", metric.Pods.Target.AverageValue.Value(), want(-1))
	}
	m.equal("the hpa's window", time.Duration(*made.Behavior.ScaleDown.StabilizationWindowSeconds)*time.Second, func() time.Duration { d, _ := m.pa.Window(); return d }())
}

// request is what Kubernetes takes for a container's request: its own, else its limit.
func request(c corev1.Container, name corev1.ResourceName) resource.Quantity {
	if q, ok := c.Resources.Requests[name]; ok {
		return q
	}
	return c.Resources.Limits[name]
}
