package simulate

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	knautoscaling "knative.dev/serving/pkg/apis/autoscaling"
	autoscalingv1alpha1 "knative.dev/serving/pkg/apis/autoscaling/v1alpha1"
	"knative.dev/serving/pkg/autoscaler/config/autoscalerconfig"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// ScalingSettings are what decides how a workload scales.
type ScalingSettings struct {
	// Annotations of the revision template, as they are after expansion.
	Annotations map[string]string
	// Concurrency is the limit of requests in one pod at a time; 0 is no limit.
	Concurrency int64
	// GPUs of one pod.
	GPUs int64
	// CPU is the request of one pod in cores, which class hpa scales by.
	CPU float64
	// Autoscaler and ProgressDeadline are the cluster's configuration.
	Autoscaler       *autoscalerconfig.Config
	ProgressDeadline time.Duration
	// MaxScaleFrom says who set the maximum, such as policy platform.
	MaxScaleFrom string
	// Limits are those that the result tells of.
	Limits []ReachedLimit
}

// SettingsOf reads the settings of an expanded Knative Service. GPUs of one pod are
// counted elsewhere, since policies say what counts.
func SettingsOf(service manifest.Object, gpus int64, config *knative.Config) (ScalingSettings, error) {
	template := manifest.Map(service, "spec", "template")
	s := ScalingSettings{Annotations: manifest.Texts(template, "metadata", "annotations"), GPUs: gpus,
		Autoscaler: config.Autoscaler(), ProgressDeadline: config.ProgressDeadline(), Concurrency: config.ConcurrencyDefault()}
	if limit, ok := manifest.Whole(template, "spec", "containerConcurrency"); ok {
		s.Concurrency = limit
	}
	for i, c := range manifest.Objects(template, "spec", "containers") {
		request := manifest.At(c, "resources", "requests", "cpu")
		if request == nil {
			continue
		}
		q, err := manifest.Quantity(request)
		if err != nil {
			return s, fmt.Errorf("spec.template.spec.containers[%d].resources.requests[cpu]: %w", i, err)
		}
		s.CPU += q.AsApproximateFloat64()
	}
	return s, s.validate()
}

func (s ScalingSettings) validate() error {
	if s.class() != knautoscaling.HPA {
		return nil
	}
	switch metric := s.Annotations[knative.MetricKey]; {
	case metric != knautoscaling.CPU:
		return fmt.Errorf("class hpa with metric %s: a load says nothing of it; of class hpa only metric cpu can be simulated", metric)
	case s.CPU <= 0:
		return errors.New("class hpa with metric cpu: the pod has no cpu request to take a percentage of; set compute.kubetorch.com/cpus")
	}
	return nil
}

func (s ScalingSettings) class() string {
	if class := s.Annotations[knative.ClassKey]; class != "" {
		return class
	}
	return s.Autoscaler.PodAutoscalerClass
}

// podAutoscaler is what Knative's revision reconciler makes of the template.
func (s ScalingSettings) podAutoscaler() *autoscalingv1alpha1.PodAutoscaler {
	return &autoscalingv1alpha1.PodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: "simulated", Name: "revision", Annotations: s.Annotations},
		Spec: autoscalingv1alpha1.PodAutoscalerSpec{
			ContainerConcurrency: s.Concurrency,
			Reachability:         autoscalingv1alpha1.ReachabilityReachable,
		},
	}
}

// target of class hpa, in percent of the request.
func (s ScalingSettings) percent() float64 {
	target, err := strconv.ParseFloat(s.Annotations[knative.TargetKey], 64)
	if err != nil {
		return hpaTarget
	}
	return target
}
