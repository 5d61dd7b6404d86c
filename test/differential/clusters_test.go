package differential

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"

	authenticationv1 "k8s.io/api/authentication/v1"
	"knative.dev/pkg/apis"
	"knative.dev/serving/pkg/apis/autoscaling"
	knconfig "knative.dev/serving/pkg/apis/config"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
	autoscalerconfig "knative.dev/serving/pkg/autoscaler/config"
	autoscalertypes "knative.dev/serving/pkg/autoscaler/config/autoscalerconfig"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// cluster is one Knative configuration, read by the project and, apart from that, by
// Knative's own parsers.
type cluster struct {
	maps       map[string]map[string]string
	ours       *knative.Config
	autoscaler *autoscalertypes.Config
	defaults   *knconfig.Defaults
	features   *knconfig.Features
}

// flagKeys are flags of config-features that the compiled-in Knative knows.
var flagKeys = []string{
	"multi-container", "multi-container-probing", "kubernetes.podspec-affinity", "kubernetes.podspec-fieldref",
	"kubernetes.podspec-nodeselector", "kubernetes.podspec-tolerations", "kubernetes.podspec-priorityclassname",
	"kubernetes.podspec-runtimeclassname", "kubernetes.podspec-securitycontext", "kubernetes.podspec-schedulername",
	"kubernetes.podspec-dnspolicy", "kubernetes.podspec-volumes-emptydir", "kubernetes.podspec-init-containers",
	"kubernetes.podspec-persistent-volume-claim", "kubernetes.podspec-persistent-volume-write",
	"kubernetes.containerspec-addcapabilities", "secure-pod-defaults",
}

// newCluster makes a random configuration that Knative itself takes. The first two of a
// run are Knative as it comes and one that allows everything.
func newCluster(r *rand.Rand, number int) *cluster {
	for {
		data := map[string]map[string]string{}
		switch number {
		case 0:
		case 1:
			data[knative.FeaturesConfig] = map[string]string{}
			for _, k := range flagKeys {
				data[knative.FeaturesConfig][k] = "enabled"
			}
		default:
			data = randomConfigMaps(r)
		}
		if c, err := parseCluster(data); err == nil {
			return c
		}
	}
}

func parseCluster(data map[string]map[string]string) (*cluster, error) {
	c := &cluster{maps: data}
	var err error
	if c.autoscaler, err = autoscalerconfig.NewConfigFromMap(data[knative.AutoscalerConfig]); err != nil {
		return nil, err
	}
	if c.defaults, err = knconfig.NewDefaultsConfigFromMap(data[knative.DefaultsConfig]); err != nil {
		return nil, err
	}
	if c.features, err = knconfig.NewFeaturesConfigFromMap(data[knative.FeaturesConfig]); err != nil {
		return nil, err
	}
	if c.ours, err = knative.ParseConfig(data); err != nil {
		return nil, fmt.Errorf("what Knative takes is refused here: %w", err)
	}
	return c, nil
}

func randomConfigMaps(r *rand.Rand) map[string]map[string]string {
	one := func(texts ...string) string { return texts[r.IntN(len(texts))] }
	autoscaler, defaults, features, deployment := map[string]string{}, map[string]string{}, map[string]string{}, map[string]string{}
	maybe := func(m map[string]string, chance float64, key string, texts ...string) {
		if r.Float64() < chance {
			m[key] = one(texts...)
		}
	}
	maybe(autoscaler, 0.3, "pod-autoscaler-class", "kpa.autoscaling.knative.dev", "hpa.autoscaling.knative.dev", "hpa.autoscaling.knative.dev", "keda.sh", "")
	maybe(autoscaler, 0.3, "enable-scale-to-zero", "true", "false")
	maybe(autoscaler, 0.4, "allow-zero-initial-scale", "true", "false")
	maybe(autoscaler, 0.3, "initial-scale", "0", "1", "3", "20")
	maybe(autoscaler, 0.3, "min-scale", "0", "1", "4")
	maybe(autoscaler, 0.4, "max-scale", "0", "5", "12", "100")
	maybe(autoscaler, 0.3, "max-scale-limit", "0", "6", "12", "200")
	maybe(autoscaler, 0.3, "container-concurrency-target-percentage", "0.7", "70", "55.5", "100", "0.5", "1")
	maybe(autoscaler, 0.3, "container-concurrency-target-default", "100", "30", "2.5")
	maybe(autoscaler, 0.3, "requests-per-second-target-default", "200", "12.5")
	maybe(autoscaler, 0.3, "stable-window", "60s", "6s", "1h", "90s", "0.1h")
	maybe(autoscaler, 0.3, "scale-down-delay", "0s", "15m", "2h")
	maybe(autoscaler, 0.3, "scale-to-zero-pod-retention-period", "0s", "30m", "5h", "1.5s")
	maybe(defaults, 0.3, "container-concurrency", "0", "7", "100")
	maybe(defaults, 0.3, "container-concurrency-max-limit", "1000", "100", "8")
	maybe(defaults, 0.2, "allow-container-concurrency-zero", "true", "false")
	maybe(defaults, 0.2, "revision-cpu-request", "400m", "1")
	maybe(defaults, 0.2, "revision-cpu-limit", "1000m", "8")
	maybe(defaults, 0.2, "revision-memory-request", "100M", "2Gi")
	maybe(defaults, 0.2, "revision-memory-limit", "200M", "64Gi")
	maybe(defaults, 0.1, "revision-ephemeral-storage-request", "500M")
	maybe(defaults, 0.1, "revision-ephemeral-storage-limit", "750M")
	maybe(defaults, 0.2, "revision-timeout-seconds", "300", "60")
	maybe(defaults, 0.2, "max-revision-timeout-seconds", "600", "3600")
	maybe(defaults, 0.2, "revision-idle-timeout-seconds", "0", "30")
	maybe(defaults, 0.2, "enable-service-links", "true", "false", "default")
	maybe(defaults, 0.1, "container-name-template", "{{.Name}}-main", "user-container")
	for _, k := range flagKeys {
		maybe(features, 0.7, k, "enabled", "Enabled", "enabled", "allowed", "disabled", "Enabld")
	}
	maybe(deployment, 0.3, "progress-deadline", "600s", "120s", "45m", "30h")
	return map[string]map[string]string{
		knative.AutoscalerConfig: autoscaler, knative.DefaultsConfig: defaults,
		knative.FeaturesConfig: features, knative.DeploymentConfig: deployment,
	}
}

// states tells whether a ConfigMap has a key with a text.
func (c *cluster) states(configMap, key string) (string, bool) {
	text, ok := c.maps[configMap][key]
	return text, ok && text != ""
}

func (c *cluster) number(configMap, key string) (float64, bool) {
	text, ok := c.states(configMap, key)
	v, err := strconv.ParseFloat(text, 64)
	return v, ok && err == nil
}

// admit does what Knative's two webhooks do to an object on its way into the store: old
// is the stored object on UPDATE. It returns the object as Knative completes it, and why
// Knative refuses it.
func (c *cluster) admit(raw []byte, old *servingv1.Service) (*servingv1.Service, error) {
	o, err := manifest.Decode(raw)
	if err != nil {
		return nil, err
	}
	dropNulls(o)
	service := &servingv1.Service{}
	if err := json.Unmarshal(encode(o), service); err != nil {
		return nil, err
	}
	ctx := knconfig.ToContext(context.Background(), &knconfig.Config{Autoscaler: c.autoscaler, Defaults: c.defaults, Features: c.features})
	ctx = apis.WithUserInfo(ctx, &authenticationv1.UserInfo{Username: "somebody"})
	if old == nil {
		ctx = apis.WithinCreate(ctx)
		service.SetDefaults(ctx)
	} else {
		completed := old.DeepCopy()
		completed.SetDefaults(ctx)
		service.SetDefaults(apis.WithinUpdate(ctx, completed))
		ctx = apis.WithinUpdate(ctx, old)
	}
	if err := service.Validate(ctx).Filter(apis.ErrorLevel); err != nil {
		return service, err
	}
	if err := autoscaling.ValidateAnnotations(ctx, c.autoscaler, service.Spec.Template.Annotations).Filter(apis.ErrorLevel); err != nil {
		return service, err
	}
	return service, nil
}

// dropNulls does what the API server does to custom resources before any webhook.
func dropNulls(v any) {
	switch v := v.(type) {
	case object:
		for k, x := range v {
			if x == nil {
				delete(v, k)
			}
			dropNulls(x)
		}
	case []any:
		for _, x := range v {
			dropNulls(x)
		}
	}
}

// stored is an object as the API server would hold it after Knative completed it.
func stored(service *servingv1.Service) []byte {
	return encode(service)
}

func (c *cluster) String() string {
	text, _ := json.Marshal(maps.Clone(c.maps))
	return string(text)
}
