package knative

import (
	"math"
	"time"

	knconfig "knative.dev/serving/pkg/apis/config"
	"knative.dev/serving/pkg/apis/serving"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
)

// plain tells whether a Service is of the ordinary kind of which it is known, without asking
// Knative's own code, that it refuses nothing: each field is one of those below, of its type
// and with a value that is always taken. What it is false for may be fine as well.
// Its tests hold it to Knative's own code.
func (c *Config) plain(service manifest.Object) bool {
	if c.features.SecurePodDefaults != knconfig.Disabled {
		return false // which fills in more than is looked at here
	}
	name := manifest.Text(service, "metadata", "name")
	return serviceShape.fits(service) && isLabel(name, isLower) && c.plainTemplate(manifest.Map(service, "spec", "template"))
}

func (c *Config) plainTemplate(template manifest.Object) bool {
	spec := manifest.Map(template, "spec")
	if spec == nil || !c.plainScaling(manifest.Map(template, "metadata", "annotations")) {
		return false
	}
	d := c.defaults
	limit, stated := manifest.Whole(spec, "containerConcurrency")
	if !stated {
		limit = d.ContainerConcurrency
	}
	if limit < 0 || limit > d.ContainerConcurrencyMaxLimit || (limit == 0 && !d.AllowContainerConcurrencyZero) {
		return false
	}
	timeout, _ := manifest.Whole(spec, "timeoutSeconds")
	if timeout == 0 {
		timeout = d.RevisionTimeoutSeconds
	}
	if timeout < 0 || timeout > d.MaxRevisionTimeoutSeconds {
		return false
	}
	for _, needs := range []struct {
		field string
		flag  knconfig.Flag
	}{
		{"nodeSelector", c.features.PodSpecNodeSelector}, {"tolerations", c.features.PodSpecTolerations},
		{"priorityClassName", c.features.PodSpecPriorityClassName},
	} {
		if _, ok := spec[needs.field]; ok && needs.flag == knconfig.Disabled {
			return false
		}
	}
	containers := manifest.List(spec, "containers")
	if len(containers) != 1 {
		return false
	}
	container, _ := containers[0].(manifest.Object)
	return c.plainVolumes(manifest.List(spec, "volumes"), manifest.List(container, "volumeMounts"))
}

// plainVolumes tells so of volumes and of what mounts them, whose shapes are checked already.
func (c *Config) plainVolumes(volumes, mounts []any) bool {
	named := func(list []any, key, value string) manifest.Object {
		for _, v := range list {
			if o, _ := v.(manifest.Object); manifest.Text(o, key) == value {
				return o
			}
		}
		return nil
	}
	for i, v := range volumes {
		volume, _ := v.(manifest.Object)
		name := manifest.Text(volume, "name")
		if named(volumes[:i], "name", name) != nil || named(mounts, "name", name) == nil || len(volume) != 2 {
			return false
		}
		if _, ok := volume["emptyDir"]; ok && c.features.PodSpecVolumesEmptyDir != knconfig.Enabled {
			return false
		}
	}
	for i, v := range mounts {
		mount, _ := v.(manifest.Object)
		path := manifest.Text(mount, "mountPath")
		if named(volumes, "name", manifest.Text(mount, "name")) == nil || path == "" || named(mounts[:i], "mountPath", path) != nil {
			return false
		}
	}
	return true
}

// plainScaling tells so of the annotations of a template, whose shape is checked already.
// Knative's other spellings are none of them.
func (c *Config) plainScaling(annotations manifest.Object) bool {
	number := func(key string) (int64, bool) {
		text, ok := annotations[key].(string)
		if !ok {
			return 0, true
		}
		n, err := parameter.ParseScale(text)
		return n, err == nil
	}
	least, okMin := number(MinScaleKey)
	most, okMax := number(MaxScaleKey)
	initial, okInitial := number(InitialScaleKey)
	if !okMin || !okMax || !okInitial || (most != 0 && most < least) {
		return false
	}
	if _, stated := annotations[MaxScaleKey]; stated && c.MaxScaleLimit() != 0 && (most == 0 || most > c.MaxScaleLimit()) {
		return false
	}
	if _, stated := annotations[InitialScaleKey]; stated && initial == 0 && !c.AllowZeroInitialScale() {
		return false
	}
	metric, stated := annotations[MetricKey].(string)
	if !stated {
		return true
	}
	class, ok := annotations[ClassKey].(string)
	if !ok {
		class = c.Class()
	}
	return (class == parameter.KPA && (metric == "concurrency" || metric == "rps")) || (class == parameter.HPA && metric != "")
}

var texts = mapOf(anyKey, isText)

var serviceShape = shape{
	"apiVersion": isText, "kind": isText, "status": anything,
	"metadata": shape{
		"name": isText, "namespace": isText, "uid": isText, "resourceVersion": isText, "generation": isLong,
		"creationTimestamp": isTime, "labels": texts, "finalizers": listOf(isText),
		"annotations": annotations(shape{serving.CreatorAnnotation: isText, serving.UpdaterAnnotation: isText}),
		"ownerReferences": listOf(shape{"apiVersion": isText, "kind": isText, "name": isText, "uid": isText,
			"controller": isBool, "blockOwnerDeletion": isBool}.object),
		"managedFields": listOf(shape{"manager": isText, "operation": isText, "apiVersion": isText, "time": isTime,
			"fieldsType": isText, "fieldsV1": anything, "subresource": isText}.object),
	}.object,
	"spec": shape{
		"template": shape{"metadata": templateMetadata.object, "spec": templateSpec.object}.object,
		"traffic":  func(v any) bool { l, ok := v.([]any); return ok && len(l) == 1 && latest(l[0]) },
	}.object,
}

var latest = shape{"latestRevision": isTrue, "percent": isHundred}.with("latestRevision", "percent")

var templateMetadata = shape{
	"creationTimestamp": isTime, "labels": texts,
	"annotations": annotations(shape{
		ClassKey:  isOneOf(parameter.KPA, parameter.HPA),
		MetricKey: isText, MinScaleKey: isText, MaxScaleKey: isText, InitialScaleKey: isText, // looked at together
		TargetKey: isDecimal(0.01, math.MaxFloat64), UtilizationKey: isDecimal(1, 100),
		WindowKey: isDuration(6*time.Second, time.Hour), ScaleDownDelayKey: isDuration(0, time.Hour),
		RetentionKey: isDuration(0, time.Hour), ProgressDeadlineKey: isDuration(0, math.MaxInt64),
	}),
}

var templateSpec = shape{
	"containerConcurrency": isLong, "timeoutSeconds": isLong, "responseStartTimeoutSeconds": isCount, "idleTimeoutSeconds": isCount,
	"serviceAccountName": isSubdomain, "priorityClassName": isText, "enableServiceLinks": isBool,
	"nodeSelector": texts, "imagePullSecrets": listOf(shape{"name": isText}.object),
	"tolerations": listOf(shape{"key": isText, "operator": isText, "value": isText, "effect": isText, "tolerationSeconds": isLong}.object),
	"containers":  listOf(containerShape.with("image")),
	"volumes": listOf(shape{
		"name":      isName,
		"emptyDir":  shape{"medium": isOneOf("", "Memory"), "sizeLimit": isQuantity}.object,
		"secret":    shape{"secretName": isText, "optional": isBool, "defaultMode": isCount}.object,
		"configMap": shape{"name": isText, "optional": isBool, "defaultMode": isCount}.object,
	}.with("name")),
}

var (
	fromKey  = shape{"name": isText, "key": isText, "optional": isBool}.object
	fromAll  = shape{"name": isText, "optional": isBool}.object
	quantity = mapOf(anyKey, isQuantity)
	scheme   = isOneOf("", "HTTP", "HTTPS")
	handlers = shape{"httpGet": shape{"path": isText, "port": isCount, "scheme": scheme}.object, "tcpSocket": shape{"port": isCount}.object}
)

var containerShape = shape{
	"name": isNot("queue-proxy"), "image": isImage, "imagePullPolicy": isText, "workingDir": isText,
	"args": listOf(isText), "command": listOf(isText),
	"terminationMessagePath": isText, "terminationMessagePolicy": isOneOf("", "File", "FallbackToLogsOnError"),
	"env": listOf(shape{
		"name": isNot("PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION"), "value": isText,
		"valueFrom": shape{"secretKeyRef": fromKey, "configMapKeyRef": fromKey}.one,
	}.with("name")),
	"envFrom": listOf(shape{"secretRef": fromAll, "configMapRef": fromAll}.one),
	"ports": func(v any) bool {
		l, ok := v.([]any)
		return ok && len(l) == 1 && portShape.object(l[0])
	},
	"resources":    shape{"requests": quantity, "limits": quantity}.object,
	"volumeMounts": listOf(shape{"name": isText, "mountPath": isMountPath, "readOnly": isTrue, "subPath": isText}.with("name", "mountPath")),
	"securityContext": shape{
		"runAsNonRoot": isBool, "allowPrivilegeEscalation": isBool, "readOnlyRootFilesystem": isBool, "runAsUser": isCount, "runAsGroup": isCount,
		"capabilities": shape{"drop": listOf(isText)}.object, "seccompProfile": shape{"type": isText, "localhostProfile": isText}.object,
	}.object,
	"readinessProbe": probe(true), "livenessProbe": probe(false), "startupProbe": probe(false),
}

var portShape = shape{"containerPort": isPort, "name": isOneOf("", "h2c", "http1"), "protocol": isOneOf("", "TCP")}

// probe has one handler. Without a period, Knative's own readiness probe has neither a
// timeout nor a threshold of failures.
func probe(readiness bool) func(v any) bool {
	fields := shape{"initialDelaySeconds": isCount, "timeoutSeconds": isCount, "periodSeconds": isCount, "successThreshold": isCount, "failureThreshold": isCount,
		"httpGet": handlers["httpGet"], "tcpSocket": handlers["tcpSocket"]}
	return func(v any) bool {
		o, ok := v.(manifest.Object)
		if !ok || !fields.fits(o) || (o["httpGet"] == nil) == (o["tcpSocket"] == nil) {
			return false
		}
		period, _ := manifest.Whole(o, "periodSeconds")
		timeout, _ := manifest.Whole(o, "timeoutSeconds")
		failures, _ := manifest.Whole(o, "failureThreshold")
		return !readiness || period > 0 || timeout == 0 && failures == 0
	}
}
