package expand_test

import (
	"strings"
	"testing"
)

const (
	gpuTolerations = `[{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}, {key: dedicated, operator: Equal, value: gpu, effect: NoSchedule}]`
	askAdmin       = "; a cluster administrator can enable it in ConfigMap config-features of namespace knative-serving"
	noTolerations  = "the usual GPU tolerations are left out: the cluster's Knative has kubernetes.podspec-tolerations disabled" + askAdmin
)

// gpuCluster allows what GPU workloads ask for.
func gpuCluster() cluster {
	return inCluster("features", "kubernetes.podspec-tolerations", "enabled", "features", "kubernetes.podspec-nodeselector", "allowed")
}

// onePod is a pod with one container, to which fields are added.
func onePod(fields string) string {
	return `{containers: [{image: "ghcr.io/acme/inference:v1", ` + fields + `}]}`
}

func TestCasesExpansion(t *testing.T) {
	h1 := func() *manifestBuilder {
		return autoscaled("cpus", "4", "memory", "16Gi", "gpus", "1", "gpu-type", "NVIDIA-L4", "min-scale", "0", "max-scale", "4", "concurrency", "8",
			"target", "8", "scale-down-delay", "1m", "scale-to-zero-pod-retention-period", "10m", "progress-deadline", "20m")
	}
	runRows(t, map[string]row{
		"H1 everything a GPU workload asks for": {in: h1(), at: gpuCluster(),
			want: kpa("target", "8", "max-scale", "4", "progress-deadline", "20m"),
			pod: `{containerConcurrency: 8, nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, tolerations: ` + gpuTolerations + `,
				containers: [{image: "ghcr.io/acme/inference:v1", resources: {
					requests: {cpu: "4", memory: 16Gi, nvidia.com/gpu: "1"}, limits: {nvidia.com/gpu: "1"}}}]}`},
		"H2 a node selector that the cluster forbids is refused": {in: h1(),
			refused:  []string{param("gpu-type", "NVIDIA-L4", "the cluster's Knative has kubernetes.podspec-nodeselector disabled"+askAdmin)},
			warnings: []string{noTolerations}},
		"H2 without a GPU type the tolerations are left out with a warning": {in: autoscaled("gpus", "1"), want: kpa(),
			pod:      onePod(`resources: {requests: {nvidia.com/gpu: "1"}, limits: {nvidia.com/gpu: "1"}}`),
			warnings: []string{noTolerations}},
		"H3 a min-scale alone": {in: autoscaled("min-scale", "1"), want: kpa("min-scale", "1")},
		"H4 hpa on cpu": {in: autoscaled("autoscaler-class", "hpa", "metric", "cpu", "target", "80", "min-scale", "1", "max-scale", "5", "cpus", "2"),
			want: hpa("max-scale", "5"), pod: onePod(`resources: {requests: {cpu: "2"}}`)},
		"H5 hpa on memory": {in: autoscaled("autoscaler-class", "hpa", "metric", "memory", "target", "70", "memory", "4Gi"),
			want: hpa("metric", "memory", "target", "2867"), pod: onePod(`resources: {requests: {memory: 4Gi}}`)},
		"H6 a request above the cluster's default limit is refused": {in: autoscaled("cpus", "4"), at: inCluster("defaults", "revision-cpu-limit", "1000m"),
			refused: []string{param("cpus", "4", "is above the limit 1 (revision-cpu-limit of config-defaults); set resources.limits.cpu")}},
		"H6 also above a limit of the manifest": {in: autoscaled("cpus", "4").pod(onePod(`resources: {limits: {cpu: 1500m}}`)),
			refused: []string{param("cpus", "4", "is above the limit 1500m (manifest limits.cpu); set resources.limits.cpu")}},
		"a request below the limit is taken": {in: autoscaled("memory", "1Gi").pod(onePod(`resources: {limits: {memory: 2Gi}}`)), want: kpa(),
			pod: onePod(`resources: {requests: {memory: 1Gi}, limits: {memory: 2Gi}}`)},
		"H10 a timeout that Knative cuts short is warned of": {
			in: autoscaled().pod(`{timeoutSeconds: 600, containers: [{image: "ghcr.io/acme/inference:v1"}]}`), want: kpa(),
			warnings: []string{"timeoutSeconds is 600, yet Knative adds responseStartTimeoutSeconds: 300, which ends requests that have not answered by then; set it too"}},
		"every compute parameter lands in its place": {at: inCluster("features", "kubernetes.podspec-priorityclassname", "enabled"),
			in: autoscaled("cpus", "500m", "memory", "1Gi", "disk-size", "20Gi", "shared-memory-limit", "2Gi", "priority-class-name", "high", "service-account-name", "runner"),
			pod: `{priorityClassName: high, serviceAccountName: runner, volumes: [{name: dshm, emptyDir: {medium: Memory, sizeLimit: 2Gi}}],
				containers: [{image: "ghcr.io/acme/inference:v1", resources: {requests: {cpu: 500m, memory: 1Gi, ephemeral-storage: 20Gi}},
					volumeMounts: [{name: dshm, mountPath: /dev/shm}]}]}`,
			want: kpa()},
		"a priority class that the cluster forbids is refused": {in: autoscaled("priority-class-name", "high"),
			refused: []string{param("priority-class-name", "high", "the cluster's Knative has kubernetes.podspec-priorityclassname disabled"+askAdmin)}},
		"a GPU memory asks for one GPU": {in: autoscaled("gpu-memory", "20Gi"), at: gpuCluster(), want: withKey(kpa(), "gpu-memory", "20Gi"),
			pod: `{tolerations: ` + gpuTolerations + `, containers: [{image: "ghcr.io/acme/inference:v1", resources: {requests: {nvidia.com/gpu: "1"}, limits: {nvidia.com/gpu: "1"}}}]}`},
		"distributing and autoscaling are mutually exclusive": {in: autoscaled("distribute", "pytorch"),
			refused: []string{param("distribute", "pytorch", "autoscaling and distributed computing are mutually exclusive")}},
		"the serving container is the one with a port": {in: autoscaled("cpus", "2").pod(`{containers: [{image: "a/b:v1", name: sidecar}, {image: "c/d:v1", name: main, ports: [{containerPort: 8080}]}]}`),
			pod:  `{containers: [{image: "a/b:v1", name: sidecar}, {image: "c/d:v1", name: main, ports: [{containerPort: 8080}], resources: {requests: {cpu: "2"}}}]}`,
			want: kpa()},
	})
}

func TestCasesMetadata(t *testing.T) {
	rows := map[string]row{
		"I2 a key with the autoscaler's prefix on the Service's own metadata is refused": {in: autoscaled("autoscaling.knative.dev-foo", "x"),
			refused: []string{`metadata.annotations: Invalid value: invalid key name "autoscaling.knative.dev-foo": autoscaling annotations must be put under "spec.template.metadata.annotations" to work`}},
		"I2 so is a real one": {in: autoscaled("autoscaling.knative.dev/max-scale", "3"),
			refused: []string{`metadata.annotations: Invalid value: invalid key name "autoscaling.knative.dev/max-scale": autoscaling annotations must be put under "spec.template.metadata.annotations" to work`}},
		"I4 the visibility as an annotation of the template is refused": {in: autoscaled().native("networking.knative.dev/visibility", "cluster-local"),
			refused: []string{`spec.template.metadata.annotations: Invalid value: invalid key name "networking.knative.dev/visibility"`}},
		"I8 so is one with such a key": {in: autoscaled().with(`{"a b": c}`, "spec", "template", "metadata", "labels"),
			refused: []string{`spec.template.metadata.labels[a b]: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')`}},
		"I8 a template label that no Revision could carry is refused": {in: autoscaled().with(`{team: "has space!"}`, "spec", "template", "metadata", "labels"),
			refused: []string{`spec.template.metadata.labels[team]: Invalid value: "has space!": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')`}},
		"I10 a forged creator is Knative's business": {in: autoscaled("serving.knative.dev/creator", "somebody"), want: kpa()},
	}
	const dns1035 = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
	for _, name := range []string{"1svc", "My", "a.b", "a_b", "a-", strings.Repeat("x", 64)} {
		words := dns1035
		if len(name) > 63 {
			words = "must be no more than 63 characters"
		}
		rows["I6 a name that is no DNS-1035 label is refused/"+name] = row{in: autoscaled().put(name, "metadata", "name"),
			refused: []string{"metadata.name: Invalid value: not a DNS 1035 label: [" + words + "]"}}
	}
	runRows(t, rows)
}

func TestCasesPodSpec(t *testing.T) {
	const pod = "spec.template.spec."
	forbidden := func(path string) []string {
		return []string{pod + path + ": Invalid value: must not set the field(s)"}
	}
	disabled := func(path, flag string) []string {
		return []string{forbidden(path)[0] + "; the cluster's Knative has " + flag + " disabled" + askAdmin}
	}
	selecting := func() *manifestBuilder {
		return autoscaled().pod(`{nodeSelector: {pool: gpu}, containers: [{image: "ghcr.io/acme/inference:v1"}]}`)
	}
	capability := func() *manifestBuilder {
		return autoscaled().pod(onePod(`securityContext: {capabilities: {add: [SYS_PTRACE]}}`))
	}
	rows := map[string]row{
		"J2 a field whose feature is off is refused": {in: selecting(), refused: disabled("nodeSelector", "kubernetes.podspec-nodeselector")},
		"J2 so are tolerations": {in: autoscaled().pod(`{tolerations: [{key: dedicated, operator: Exists}], containers: [{image: "ghcr.io/acme/inference:v1"}]}`),
			refused: disabled("tolerations", "kubernetes.podspec-tolerations")},
		"J2 init containers are refused once": {in: autoscaled().pod(`{initContainers: [{name: i, image: "a/b:v1"}], containers: [{image: "ghcr.io/acme/inference:v1"}]}`),
			refused: []string{pod + "initContainers: Invalid value: pod spec support for init-containers is off, but found 1 init containers; the cluster's Knative has kubernetes.podspec-init-containers disabled" + askAdmin}},
		"J2 enabled it is taken":                           {in: selecting(), at: inCluster("features", "kubernetes.podspec-nodeselector", "enabled"), want: kpa()},
		"J2 allowed it is taken":                           {in: selecting(), at: inCluster("features", "kubernetes.podspec-nodeselector", "allowed"), want: kpa()},
		"J4 an added capability needs its feature enabled": {in: capability(), at: inCluster("features", "kubernetes.containerspec-addcapabilities", "enabled"), want: kpa()},
		"J4 allowed is not enough": {in: capability(), at: inCluster("features", "kubernetes.containerspec-addcapabilities", "allowed"),
			refused: disabled("containers[0].securityContext.capabilities.add", "kubernetes.containerspec-addcapabilities")},
		"J6 devices asked for through claims are refused": {in: autoscaled().pod(`{resourceClaims: [{name: gpu, resourceClaimTemplateName: one}],
			containers: [{image: "ghcr.io/acme/inference:v1", resources: {claims: [{name: gpu}]}}]}`),
			refused: append(forbidden("containers[0].resources.claims"), forbidden("resourceClaims")...)},
		"J7 what is no quantity is refused where it stands": {in: autoscaled().pod(onePod(`resources: {requests: {memory: 16GiB}, limits: {cpu: two, nvidia.com/gpu: "1e999999999"}}, env: [{name: A, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: "922E372036854775808"}}}]`)),
			at: inCluster("features", "kubernetes.podspec-fieldref", "enabled"),
			refused: []string{pod + `containers[0].resources.limits[nvidia.com/gpu]: Invalid value: "1e999999999": must be a whole number of GPUs from 0 to 2147483647`,
				pod + `containers[0].resources.requests[memory]: Invalid value: "16GiB": invalid value: 16GiB; allowed: a Kubernetes quantity, such as 500m, 2 or 16Gi`,
				pod + `containers[0].resources.limits[cpu]: Invalid value: "two": invalid value: two; allowed: a Kubernetes quantity, such as 500m, 2 or 16Gi`,
				pod + `containers[0].env[0].valueFrom.resourceFieldRef.divisor: Invalid value: "922E372036854775808": invalid value: 922E372036854775808; allowed: a Kubernetes quantity, such as 500m, 2 or 16Gi`}},
		"J7 in volumes and init containers too": {in: autoscaled().pod(`{initContainers: [{name: i, image: "a/b:v1", resources: {limits: {memory: [1]}}}], volumes: [{name: v, emptyDir: {sizeLimit: "1e999999999"}}],
			containers: [{image: "ghcr.io/acme/inference:v1", volumeMounts: [{name: v, mountPath: /cache}]}]}`), at: inCluster("features", "kubernetes.podspec-init-containers", "enabled"),
			refused: []string{pod + `volumes[0].emptyDir.sizeLimit: Invalid value: "1e999999999": invalid value: 1e999999999; allowed: a Kubernetes quantity, such as 500m, 2 or 16Gi`,
				pod + `initContainers[0].resources.limits[memory]: Invalid value: "a list": invalid value: a list; allowed: a Kubernetes quantity, such as 500m, 2 or 16Gi`}},
		"J7 a number of too many digits for the queue proxy is refused": {in: autoscaled().native("queue.sidecar.serving.knative.dev/cpu-resource-request", "1e999999999"),
			refused: []string{`spec.template.metadata.annotations[queue.sidecar.serving.knative.dev/cpu-resource-request]: Invalid value: "1e999999999": invalid value: 1e999999999; allowed: a Kubernetes quantity, such as 500m, 2 or 16Gi`}},
		"J8 a port called http is refused": {in: autoscaled().pod(onePod(`ports: [{name: http, containerPort: 8080}]`)),
			refused: []string{pod + "containers[0].ports: Invalid value: Port name http is not allowed: Name must be empty, or one of: 'h2c', 'http1'"}},
		"J12 the queue proxy's name is refused": {in: autoscaled().pod(onePod(`name: queue-proxy`)),
			refused: []string{pod + `containers[0].name: Invalid value: "queue-proxy" is a reserved container name; give the container another one`}},
		"J14 a reference to a field is refused": {in: autoscaled().pod(onePod(`env: [{name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]`)),
			refused: disabled("containers[0].env[0].valueFrom.fieldRef", "kubernetes.podspec-fieldref")},
		"J14 unless the cluster allows it": {in: autoscaled().pod(onePod(`env: [{name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]`)),
			at: inCluster("features", "kubernetes.podspec-fieldref", "enabled"), want: kpa()},
		"J16 a probe's timeout without a period is refused": {in: autoscaled().pod(onePod(`readinessProbe: {httpGet: {path: /}, timeoutSeconds: 5}`)),
			refused: []string{pod + "containers[0].readinessProbe.timeoutSeconds: Invalid value: timeoutSeconds is disallowed when periodSeconds is zero"}},
		"J18 a startup probe on a named port is refused": {in: autoscaled().pod(onePod(`ports: [{name: http1, containerPort: 8080}], startupProbe: {httpGet: {path: /, port: http1}}`)),
			refused: []string{pod + `containers[0].startupProbe.httpGet.port: Invalid value: "http1": Knative renames the port, so a startup probe on a named one never succeeds; give the port's number`}},
		"J20 a volume in memory on /dev/shm is kept": {in: autoscaled().pod(`{volumes: [{name: shm, emptyDir: {medium: Memory, sizeLimit: 1Gi}}],
			containers: [{image: "ghcr.io/acme/inference:v1", volumeMounts: [{name: shm, mountPath: /dev/shm}]}]}`), want: kpa()},
		"J20 one on /dev is refused": {in: autoscaled().pod(`{volumes: [{name: shm, emptyDir: {}}],
			containers: [{image: "ghcr.io/acme/inference:v1", volumeMounts: [{name: shm, mountPath: /dev}]}]}`),
			refused: []string{pod + `containers[0].volumeMounts[0].mountPath: Invalid value: mountPath "/dev" is a reserved path`}},
		"J22 a secret mounted without readOnly is taken": {in: autoscaled().pod(`{volumes: [{name: token, secret: {secretName: token}}],
			containers: [{image: "ghcr.io/acme/inference:v1", volumeMounts: [{name: token, mountPath: /token}]}]}`), want: kpa()},
		"J24 two containers without a port are refused": {in: autoscaled().pod(`{containers: [{image: "a/b:v1"}, {image: "c/d:v1"}]}`),
			refused: []string{pod + "containers[*].ports: Invalid value: missing field(s)"}},
		"J24 it is not clear then which one resources are for": {in: autoscaled("cpus", "2").pod(`{containers: [{image: "a/b:v1"}, {image: "c/d:v1"}]}`),
			refused: []string{pod + "containers: Invalid value: 2: it is not clear which container the compute parameters are for; give the serving one a port, or name it kubetorch",
				pod + "containers[*].ports: Invalid value: missing field(s)"}},
		"J26 mounting a service account's token is refused": {in: autoscaled().pod(`{automountServiceAccountToken: true, containers: [{image: "ghcr.io/acme/inference:v1"}]}`),
			refused: forbidden("automountServiceAccountToken")},
		"J26 not mounting it is taken": {in: autoscaled().pod(`{automountServiceAccountToken: false, containers: [{image: "ghcr.io/acme/inference:v1"}]}`), want: kpa()},
		"J28 a volume that nobody mounts is refused": {in: autoscaled().pod(`{volumes: [{name: v, emptyDir: {}}], containers: [{image: "ghcr.io/acme/inference:v1"}]}`),
			refused: []string{pod + `volumes[0].name: Invalid value: volume with name "v" not mounted`}},
		"O1 a flag that is misspelt keeps Knative's default": {in: selecting(), at: inCluster("features", "kubernetes.podspec-nodeselector", "Enabld"), refused: disabled("nodeSelector", "kubernetes.podspec-nodeselector")},
		"O1 a flag is read without regard to case":           {in: selecting(), at: inCluster("features", "kubernetes.podspec-nodeselector", "ENABLED"), want: kpa()},
		"O3 the cluster's utilization may be a fraction":     {in: autoscaled(), at: inCluster("autoscaler", "container-concurrency-target-percentage", "0.8"), want: kpa("target-utilization-percentage", "80")},
		"O3 or a percentage":                                 {in: autoscaled(), at: inCluster("autoscaler", "container-concurrency-target-percentage", "80"), want: kpa("target-utilization-percentage", "80")},
		"O4 a root container under secure defaults is warned of": {in: autoscaled().pod(onePod(`securityContext: {runAsUser: 0}`)),
			at: inCluster("features", "secure-pod-defaults", "enabled"), want: kpa(),
			warnings: []string{"spec.template.spec.containers[0] runs as user 0, yet the cluster's secure-pod-defaults adds runAsNonRoot: true, so it will not start"}},
		"O5 several containers where the cluster forbids them are refused": {in: autoscaled().pod(`{containers: [{image: "a/b:v1", ports: [{containerPort: 8080}]}, {image: "c/d:v1"}]}`),
			at:      inCluster("features", "multi-container", "disabled"),
			refused: []string{pod + "containers: Invalid value: multi-container is off, but found 2 containers; the cluster's Knative has multi-container disabled" + askAdmin}},
	}
	for _, port := range []string{"9090", "8022", "8012", "8013", "8008", "9091"} {
		rows["J10 a port that Knative uses itself is refused/"+port] = row{in: autoscaled().pod(onePod(`ports: [{containerPort: ` + port + `}]`)),
			refused: []string{pod + "containers[0].ports[0].containerPort: Invalid value: invalid value: " + port + " is a reserved port: " + port + " is a reserved port, please use a different value"}}
	}
	runRows(t, rows)
}
