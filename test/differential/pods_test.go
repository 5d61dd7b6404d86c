package differential

import (
	"fmt"

	knconfig "knative.dev/serving/pkg/apis/config"
)

// pod makes a pod spec. A careful author uses only what the cluster allows.
func (g *generator) pod() object {
	spec := object{}
	f := g.cluster.features
	count := 1
	if (f.MultiContainer == knconfig.Enabled || g.mood != careful) && g.chance(0.15) {
		count = 2 + g.IntN(2)
	}
	if g.slip(0.005) {
		count = 0
	}
	var containers []any
	serving := g.IntN(max(count, 1))
	for i := range count {
		containers = append(containers, g.container(i, count, i == serving))
	}
	spec["containers"] = containers
	g.volumes(spec, containers)
	use := func(flag knconfig.Flag, chance float64, key string, value any) {
		if (flag != knconfig.Disabled && g.chance(chance)) || g.slip(0.01) {
			spec[key] = value
		}
	}
	use(f.PodSpecNodeSelector, 0.1, "nodeSelector", object{"zone": "a"})
	use(f.PodSpecNodeSelector, 0.05, "nodeSelector", object{"nvidia.com/gpu.product": "NVIDIA-L4"})
	use(f.PodSpecTolerations, 0.1, "tolerations", []any{object{"key": "spot", "operator": "Exists"}})
	use(f.PodSpecTolerations, 0.05, "tolerations", []any{object{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}})
	use(f.PodSpecPriorityClassName, 0.05, "priorityClassName", "high")
	use(f.PodSpecRuntimeClassName, 0.05, "runtimeClassName", "nvidia")
	use(f.PodSpecSchedulerName, 0.05, "schedulerName", "volcano")
	use(f.PodSpecDNSPolicy, 0.05, "dnsPolicy", "ClusterFirst")
	use(f.PodSpecSecurityContext, 0.05, "securityContext", object{"runAsUser": 1000})
	use(f.PodSpecAffinity, 0.05, "affinity", object{"nodeAffinity": object{}})
	if (f.PodSpecInitContainers == knconfig.Enabled && g.chance(0.1)) || g.slip(0.01) {
		spec["initContainers"] = []any{object{"name": "fetch", "image": "busybox"}}
	}
	if g.chance(0.1) {
		spec["timeoutSeconds"] = pick(g, 10, 60, 300)
	}
	if g.slip(0.02) {
		spec["timeoutSeconds"] = pick[any](g, 0, -1, 600, 601, "60", 1.5)
	}
	if g.chance(0.1) {
		spec["containerConcurrency"] = pick(g, 0, 1, 4, 8)
	}
	if g.slip(0.03) {
		spec["containerConcurrency"] = pick[any](g, -1, 1001, "5", 1.5, nil, 4, 0, true, int64(1)<<40)
	}
	if g.chance(0.05) {
		spec["serviceAccountName"] = "runner"
	}
	if g.slip(0.02) {
		spec[pick(g, "terminationGracePeriodSeconds", "restartPolicy", "serviceAccountName", "nodeName", "enableServiceLinks")] = pick[any](g, 30, "Always", "Not_A_Name", nil, true)
	}
	return spec
}

func (g *generator) container(i, count int, serving bool) any {
	c := object{"image": pick(g, "model:v1", "ghcr.io/team/model@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")}
	if count > 1 || g.chance(0.3) {
		c["name"] = fmt.Sprintf("c%d", i)
		if serving {
			c["name"] = "kubetorch"
		}
	}
	if serving && (count > 1 || g.chance(0.5)) {
		port := object{"containerPort": pick(g, 8080, 32300)}
		if g.chance(0.2) {
			port["name"] = pick(g, "http1", "h2c")
		}
		c["ports"] = []any{port}
	}
	g.resources(c)
	if serving {
		g.probes(c)
	}
	if g.chance(0.1) {
		c["env"] = []any{object{"name": "A", "value": "b"}}
	}
	if g.chance(0.05) {
		c["securityContext"] = object{"runAsUser": pick(g, 0, 1000), "runAsNonRoot": false}
	}
	if g.slip(0.03) {
		g.spoil(c)
	}
	if g.slip(0.003) {
		return pick[any](g, nil, "text", object{}, []any{})
	}
	return c
}

// spoil breaks one of Knative's rules for containers.
func (g *generator) spoil(c object) {
	switch g.IntN(12) {
	case 0:
		c["name"] = pick(g, "queue-proxy", "kubetorch", "c0")
	case 1:
		c["image"] = pick(g, "", "::", "Upper/Case")
	case 2:
		c["ports"] = []any{object{"containerPort": pick(g, 9090, 8022, 70000, 8080), "name": pick(g, "http", "", "metrics")}}
	case 3:
		c["ports"] = []any{object{"containerPort": 8080}, object{"containerPort": 8081}}
	case 4:
		c["ports"] = pick[any](g, []any{}, nil, "8080")
	case 5:
		c["env"] = []any{object{"name": pick(g, "PORT", "K_SERVICE", "")}}
	case 6:
		c["env"] = []any{object{"name": "IP", "valueFrom": object{"fieldRef": object{"fieldPath": "status.podIP"}}}}
	case 7:
		c["lifecycle"] = object{"preStop": object{"exec": object{"command": []any{"true"}}}}
	case 8:
		c["securityContext"] = pick(g, object{"privileged": true}, object{"capabilities": object{"add": []any{"SYS_PTRACE"}}})
	case 9:
		c["readinessProbe"] = object{"timeoutSeconds": 5, "httpGet": object{"path": "/", "port": pick[any](g, 8080, "http", "http1")}}
	case 10:
		c["stdin"] = true
	default:
		c["terminationMessagePolicy"] = pick(g, "File", "Nowhere")
	}
}

func (g *generator) resources(c object) {
	if g.chance(0.6) {
		return
	}
	r := object{}
	list := func(name string) object {
		if r[name] == nil {
			r[name] = object{}
		}
		return r[name].(object)
	}
	if g.chance(0.2) {
		list("requests")["cpu"] = pick[any](g, "250m", "1", 1, 0.5)
	}
	if g.chance(0.2) {
		list("requests")["memory"] = pick[any](g, "128Mi", "100M", 104857600)
	}
	if g.chance(0.1) {
		list("limits")["cpu"] = pick[any](g, "2", 4)
	}
	if g.chance(0.1) {
		list("limits")["memory"] = pick(g, "1Gi", "4Gi", "3000M")
	}
	if g.chance(0.05) {
		list("limits")["nvidia.com/gpu"] = pick[any](g, "1", 2)
	}
	if g.slip(0.15) {
		name := pick(g, "cpu", "memory", "ephemeral-storage", "nvidia.com/gpu", "amd.com/gpu", "nvidia.com/mig-1g.5gb", "example.com/gpu")
		list(pick(g, "requests", "limits"))[name] = pick[any](g, "1", "2", 1, "500m", "1e100", "-1", 0.5, "1k", "9223372036854775808", "64Gi", "NaN", true, nil, "0")
	}
	if g.slip(0.01) {
		r[pick(g, "requests", "limits")] = pick[any](g, nil, "text", []any{})
	}
	c["resources"] = r
	if g.slip(0.01) {
		c["resources"] = pick[any](g, nil, []any{}, "text")
	}
}

func (g *generator) probes(c object) {
	if g.chance(0.15) {
		c["startupProbe"] = object{"httpGet": object{"path": "/health", "port": pick(g, 8080, 32300)}, "periodSeconds": pick(g, 5, 10), "failureThreshold": pick(g, 3, 60, 90)}
	}
	if g.slip(0.03) {
		c["startupProbe"] = object{"tcpSocket": object{"port": pick[any](g, "http1", "8080", 8080)}, "periodSeconds": pick[any](g, 10, 100000, -1, "10", int64(1)<<40), "failureThreshold": pick(g, 3, 2147483647)}
	}
	if g.chance(0.15) {
		c["readinessProbe"] = object{"httpGet": object{"path": "/ready", "port": 8080}, "periodSeconds": 5}
	}
}

func (g *generator) volumes(spec object, containers []any) {
	if (g.chance(0.8) && !g.shm) || len(containers) == 0 {
		return
	}
	f := g.cluster.features
	name, volume := "data", object{"secret": object{"secretName": "token"}}
	path := pick(g, "/data", "/dev/shm/x", "/etc/token")
	switch g.IntN(4) {
	case 0:
		if f.PodSpecVolumesEmptyDir == knconfig.Enabled || g.mood != careful {
			volume = object{"emptyDir": object{"medium": "Memory", "sizeLimit": pick(g, "1Gi", "512Mi", "2Gi")}}
			path = pick(g, "/dev/shm", "/cache", "/dev/shm/")
			name = pick(g, "data", "shm")
		}
	case 1:
		if f.PodSpecPersistentVolumeClaim == knconfig.Enabled && f.PodSpecPersistentVolumeWrite == knconfig.Enabled || g.mood != careful {
			volume = object{"persistentVolumeClaim": object{"claimName": "data"}}
		}
	}
	if g.shm {
		name, path = "dshm", "/elsewhere"
	} else if g.slip(0.05) {
		name = pick(g, "dshm", "Bad_Name", "")
	}
	volume["name"] = name
	spec["volumes"] = []any{volume}
	c, ok := containers[g.IntN(len(containers))].(object)
	if !ok || g.slip(0.05) {
		return
	}
	c["volumeMounts"] = []any{object{"name": name, "mountPath": path}}
	if g.slip(0.05) {
		c["volumeMounts"] = pick[any](g, []any{object{"name": "nobody", "mountPath": "/dev"}}, []any{nil}, []any{"text"}, "text", nil)
	}
}
