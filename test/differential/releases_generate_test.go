package differential

import (
	"math/rand/v2"

	"github.com/kubetorch/webhook/pkg/knative"
)

// dice draws what a Service for releases has.
type dice struct{ *rand.Rand }

func (d dice) chance(p float64) bool { return d.Float64() < p }

func one[T any](d dice, from ...T) T { return from[d.IntN(len(from))] }

// releaseFlags are those on which it hangs what a release takes.
var releaseFlags = []string{
	"multi-container-probing", "kubernetes.podspec-hostnetwork", "kubernetes.podspec-hostpid", "kubernetes.podspec-hostipc",
	"kubernetes.podspec-volumes-hostpath", "kubernetes.podspec-volumes-csi", "kubernetes.podspec-volumes-image", "kubernetes.podspec-volumes-ephemeral",
	"kubernetes.podspec-volumes-mount-propagation", "kubernetes.podspec-volumes-emptydir", "kubernetes.podspec-persistent-volume-claim",
	"kubernetes.podspec-persistent-volume-write", "kubernetes.podspec-init-containers", "kubernetes.podspec-securitycontext", "kubernetes.containerspec-addcapabilities",
}

// releaseCase makes the configuration and the Service with the given number: what releases take
// differently, alone and together.
func releaseCase(number uint64) (config map[string]map[string]string, service object) {
	d := dice{rand.New(rand.NewPCG(1, number))}
	features := map[string]string{}
	for _, flag := range releaseFlags {
		if d.chance(0.9) {
			features[flag] = one(d, "enabled", "enabled", "enabled", "enabled", "enabled", "Enabled", "allowed", "disabled")
		}
	}
	if d.chance(0.5) {
		features["secure-pod-defaults"] = one(d, "enabled", "AllowRootBounded", "allowrootbounded", "allowed", "disabled")
	}
	pod := object{}
	d.containers(pod)
	d.volumes(pod)
	for _, key := range []string{"hostNetwork", "hostPID", "hostIPC"} {
		if d.chance(0.04) {
			pod[key] = one(d, true, true, false)
		}
	}
	if d.chance(0.1) {
		pod["securityContext"] = d.podSecurity()
	}
	if d.chance(0.06) {
		pod["imagePullSecrets"] = []any{object{"name": "a"}, object{"name": one(d, "a", "b", "c")}}
	}
	notes := object{}
	if d.chance(0.08) {
		notes[one(d, "networking.knative.dev/unknown", "networking.knative.dev/visibility", "networking.knative.dev/ingress-class", "networking.knative.dev/http-option")] = "x"
	}
	if d.chance(0.2) {
		notes["autoscaling.knative.dev/"+one(d, "max-scale", "min-scale", "initial-scale")] = one(d, "1", "1", "3", "3", "4", "-1")
	}
	service = object{"apiVersion": "serving.knative.dev/v1", "kind": "Service",
		"metadata": object{"name": "svc", "namespace": "team", "labels": object{"kubetorch.com/autoscale": "true"}},
		"spec":     object{"template": object{"metadata": object{"annotations": notes}, "spec": pod}}}
	return map[string]map[string]string{knative.FeaturesConfig: features}, service
}

func (d dice) containers(pod object) {
	serving := object{"image": "acme/web", "name": "web", "ports": []any{d.port()}}
	d.probes(serving, 0.15)
	all := []any{serving}
	if d.chance(0.3) {
		sidecar := object{"image": "acme/side", "name": "side"}
		d.probes(sidecar, 0.2)
		all = append(all, sidecar)
	}
	if d.chance(0.2) {
		pod["initContainers"] = []any{object{"image": "acme/init", "name": "init"}}
	}
	pod["containers"] = all
	for _, c := range append(all, list(pod, "initContainers")...) {
		d.container(c.(object))
	}
}

func list(o object, key string) []any {
	all, _ := o[key].([]any)
	return all
}

func (d dice) port() object {
	switch d.IntN(20) {
	case 0:
		return object{"name": "http1"}
	case 1:
		return object{"name": "h2c", "containerPort": 8080, "protocol": "TCP"}
	case 2:
		return object{"name": "web", "containerPort": 8080}
	}
	return object{"containerPort": 8080}
}

func (d dice) container(c object) {
	if d.chance(0.12) {
		c["env"] = []any{object{"name": "A", "value": "b"}, object{"name": one(d, "A", "B", "C", "D", "E"), "value": "c"}}
	}
	if d.chance(0.25) {
		c["securityContext"] = d.security()
	}
}

func (d dice) security() object {
	switch d.IntN(12) {
	case 0, 5:
		return object{"privileged": one(d, false, false, true)}
	case 1:
		return object{"capabilities": object{"add": one(d, []any{"NET_BIND_SERVICE"}, []any{"NET_BIND_SERVICE"}, []any{"NET_BIND_SERVICE"}, []any{"SYS_PTRACE"}, []any{"NET_BIND_SERVICE", "SYS_PTRACE"}, []any{})}}
	case 2:
		return object{"runAsNonRoot": one(d, true, false), "runAsUser": one(d, 0, 1000)}
	case 3:
		return object{"seccompProfile": object{"type": one(d, "RuntimeDefault", "Unconfined", "Localhost")}}
	case 4, 6, 7, 8, 9, 10:
		return object{"allowPrivilegeEscalation": one(d, true, false), "readOnlyRootFilesystem": true}
	}
	return object{"procMount": "Default"}
}

func (d dice) podSecurity() object {
	switch d.IntN(5) {
	case 0, 1:
		return object{"seccompProfile": object{"type": one(d, "RuntimeDefault", "RuntimeDefault", "Unconfined", "Localhost")}}
	case 2:
		return object{"runAsNonRoot": one(d, true, false)}
	case 3:
		return object{"fsGroup": 1000, "supplementalGroups": []any{1}}
	}
	return object{"sysctls": []any{object{"name": "a", "value": "b"}}}
}

func (d dice) probes(c object, chance float64) {
	for _, name := range []string{"livenessProbe", "readinessProbe", "startupProbe"} {
		if !d.chance(chance) {
			continue
		}
		probe := object{}
		for range one(d, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 2) {
			switch d.IntN(4) {
			case 0:
				probe["httpGet"] = one(d, object{"path": "/", "port": 8080}, object{"path": "/"}, object{"port": "http1"}, object{"port": 8080, "scheme": "HTTPS"})
			case 1:
				probe["tcpSocket"] = one(d, object{"port": 8080}, object{}, object{"port": "web"})
			case 2:
				probe["grpc"] = one(d, object{"port": 8080}, object{}, object{"port": 8080, "service": "s"})
			default:
				probe["exec"] = object{"command": []any{"true"}}
			}
		}
		if d.chance(0.2) {
			probe["terminationGracePeriodSeconds"] = 5
		}
		if d.chance(0.2) {
			probe["periodSeconds"] = one(d, 1, 10)
		}
		if d.chance(0.05) {
			probe[one(d, "failureThreshold", "timeoutSeconds", "successThreshold")] = one(d, 1, 2)
		}
		c[name] = probe
	}
}

var sources = []string{"secret", "configMap", "projected", "emptyDir", "persistentVolumeClaim", "hostPath", "csi", "ephemeral", "image", "nfs"}

func (d dice) source(kind string) object {
	switch kind {
	case "secret":
		return object{"secretName": "s"}
	case "configMap":
		return object{"name": "c"}
	case "projected":
		return object{"sources": []any{object{"secret": object{"name": "s"}}}}
	case "persistentVolumeClaim":
		return one(d, object{"claimName": "c"}, object{"claimName": "c", "readOnly": true})
	case "hostPath":
		return object{"path": "/x"}
	case "csi":
		return object{"driver": "d"}
	case "ephemeral":
		return object{"volumeClaimTemplate": object{"spec": object{"accessModes": []any{"ReadWriteOnce"}}}}
	case "image":
		return one(d, object{"reference": "acme/model"}, object{"reference": "acme/model", "pullPolicy": one(d, "Always", "Never", "Sometimes", "IfNotPresent")}, object{}, object{"pullPolicy": "Always"})
	case "nfs":
		return object{"server": "s", "path": "/p"}
	}
	return object{}
}

func (d dice) volumes(pod object) {
	if d.chance(0.3) {
		return
	}
	volume := object{"name": "v"}
	for range one(d, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 0) {
		kind := one(d, sources...)
		volume[kind] = d.source(kind)
	}
	pod["volumes"] = []any{volume}
	users := append([]any{}, list(pod, "containers")...)
	if d.chance(0.2) {
		users = append(users, list(pod, "initContainers")...)
	}
	mount := object{"name": "v", "mountPath": one(d, "/v", "/v", "/v", "/v", "/v", "/v", "/v", "/dev")}
	if d.chance(0.6) {
		mount["readOnly"] = one(d, true, true, true, false)
	}
	if d.chance(0.25) {
		mount["mountPropagation"] = one(d, "None", "HostToContainer", "HostToContainer", "None", "Bidirectional", "Foo", "")
	}
	if d.chance(0.03) {
		mount["recursiveReadOnly"] = "Enabled"
	}
	one(d, users...).(object)["volumeMounts"] = []any{mount}
}
