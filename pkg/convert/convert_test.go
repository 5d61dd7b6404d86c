package convert_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/convert"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// web is a Deployment, with fields of its spec, its pod and its container in YAML's flow
// style; container and pod are merged over what every web has.
func web(t *testing.T, spec, pod, container string) manifest.Object {
	t.Helper()
	d := parse(t, `{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, labels: {kubetorch.com/autoscale: "true"}}, spec: {template: {metadata: {labels: {app: web}}, spec: {}}}}`)
	merge(manifest.Map(d, "spec"), parse(t, "{"+spec+"}"))
	podSpec := manifest.Map(d, "spec", "template", "spec")
	merge(podSpec, parse(t, "{"+pod+"}"))
	if podSpec["containers"] == nil {
		c := parse(t, `{name: web, image: acme/web:1, ports: [{containerPort: 8080}]}`)
		merge(c, parse(t, "{"+container+"}"))
		podSpec["containers"] = []any{c}
	}
	return d
}

func merge(into, from manifest.Object) {
	maps.Copy(into, from)
}

// row is one Deployment and all that comes of it.
type row struct {
	spec, pod, container string
	// parameters are annotations of the Deployment, services core Services of its namespace
	// and defaults Knative's ConfigMap config-defaults, each in YAML's flow style.
	parameters, services, defaults string
	// wantPod is the whole pod spec; empty is that of a plain web.
	wantPod string
	// annotations of the template.
	annotations map[string]string
	refused     []string
	warnings    []string
}

const plainPod = `{containers: [{name: web, image: acme/web:1, ports: [{containerPort: 8080}]}]}`

// run converts the Deployment as it is written and, unless it is refused, as the API
// server hands it over.
func (r row) run(t *testing.T) {
	t.Helper()
	d := web(t, r.spec, r.pod, r.container)
	if r.parameters != "" {
		manifest.Map(d, "metadata")["annotations"] = parse(t, r.parameters)
	}
	r.check(t, d)
	if len(r.refused) == 0 {
		r.check(t, defaulted(t, d))
	}
}

func (r row) check(t *testing.T, d manifest.Object) {
	t.Helper()
	service, notes, errs := convert.Service(d, r.around(t))
	assert.Equal(t, r.refused, words(errs))
	assert.Equal(t, r.warnings, notes.Warnings)
	require.NotNil(t, service)
	want := r.wantPod
	if want == "" {
		want = plainPod
	}
	assert.Equal(t, parse(t, want), manifest.Map(service, "spec", "template", "spec"))
	assert.Equal(t, r.annotations, manifest.Texts(service, "spec", "template", "metadata", "annotations"))
}

func (r row) around(t *testing.T) (around convert.Surroundings) {
	t.Helper()
	if r.services != "" {
		around.Services = manifest.Objects(parse(t, "{items: ["+r.services+"]}"), "items")
	}
	if r.defaults != "" {
		data := map[string]string{}
		for key, value := range parse(t, r.defaults) {
			data[key] = value.(string)
		}
		var err error
		around.Knative, err = knative.ParseConfig(map[string]map[string]string{knative.DefaultsConfig: data})
		require.NoError(t, err)
	}
	return around
}

func words(errs field.ErrorList) []string {
	var all []string
	for _, e := range errs {
		all = append(all, e.Error())
	}
	return all
}

func runAll(t *testing.T, rows map[string]row) {
	t.Helper()
	for name, r := range rows {
		t.Run(name, r.run)
	}
}

func TestWhatADeploymentStatesBesideItsPods(t *testing.T) {
	const (
		rollout = "Knative starts a new revision beside the old one and moves requests over once it is ready"
		scales  = "the autoscaler decides how many pods run; state autoscale.kubetorch.com/min-scale and autoscale.kubetorch.com/initial-scale instead"
	)
	deadline := func(text string) map[string]string {
		return map[string]string{"serving.knative.dev/progress-deadline": text}
	}
	runAll(t, map[string]row{
		"the API server's defaults count as not stated": {
			spec: `replicas: 1, revisionHistoryLimit: 10, progressDeadlineSeconds: 600, minReadySeconds: 0, paused: false, selector: {matchLabels: {app: web}},
				strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 25%, maxUnavailable: 25%}}`},
		"replicas mean nothing, whatever they are":           {spec: `replicas: 3`, warnings: []string{"spec.replicas has no effect: " + scales}},
		"replicas 0 is what the webhook itself leaves there": {spec: `replicas: 0`},
		"a progress deadline becomes the annotation":         {spec: `progressDeadlineSeconds: 900`, annotations: deadline("900s")},
		"a progress deadline of 601 seconds is one too":      {spec: `progressDeadlineSeconds: 601`, annotations: deadline("601s")},
		"a progress deadline that the template states too is stated once": {
			spec:        `progressDeadlineSeconds: 900, template: {metadata: {annotations: {serving.knative.dev/progress-deadline: 15m}}, spec: {containers: [{name: web, image: acme/web:1, ports: [{containerPort: 8080}]}]}}`,
			annotations: deadline("15m")},
		"a progress deadline that the template contradicts is refused": {
			spec:        `progressDeadlineSeconds: 900, template: {metadata: {annotations: {serving.knative.dev/progress-deadline: 20m}}, spec: {containers: [{name: web, image: acme/web:1, ports: [{containerPort: 8080}]}]}}`,
			annotations: deadline("20m"),
			refused:     []string{"spec.progressDeadlineSeconds: Invalid value: 900: differs from spec.template.metadata.annotations[serving.knative.dev/progress-deadline]: 20m; state it once"}},
		"a pause is refused": {spec: `paused: true`,
			refused: []string{"spec.paused: Forbidden: a Knative Service cannot be paused; remove it, or keep the label off until the rollout may go on"}},
		"time to get ready is warned of": {spec: `minReadySeconds: 10`,
			warnings: []string{"spec.minReadySeconds has no effect: a revision takes requests as soon as its pods are ready; let the readiness probe say so later"}},
		"a history limit is warned of": {spec: `revisionHistoryLimit: 3`,
			warnings: []string{"spec.revisionHistoryLimit has no effect: Knative keeps superseded revisions as the cluster's ConfigMap config-gc says"}},
		"the pace of a rollout is warned of": {spec: `strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}`,
			warnings: []string{"spec.strategy.rollingUpdate.maxSurge has no effect: " + rollout, "spec.strategy.rollingUpdate.maxUnavailable has no effect: " + rollout}},
		"Recreate is warned of": {spec: `strategy: {type: Recreate}`, wantPod: plainPod,
			warnings: []string{"spec.strategy.type Recreate has no effect: Knative starts the pods of a new version beside those of the old one, so that a rollout needs the resources of both, and a volume that one node at a time can mount holds it up"}},
		"a field that no Deployment has is refused": {spec: `serviceName: web, replica: 2`,
			refused: []string{"spec.replica: Forbidden: is not a field of a Deployment; correct or remove it", "spec.serviceName: Forbidden: is not a field of a Deployment; correct or remove it"}},
	})
}

func TestFieldsOfThePod(t *testing.T) {
	forbidden := func(path, why string) []string {
		return []string{"spec.template.spec." + path + ": Forbidden: " + why}
	}
	const held = "a Knative Service cannot hold it; remove it"
	runAll(t, map[string]row{
		"the API server's defaults count as not stated": {
			pod: `restartPolicy: Always, terminationGracePeriodSeconds: 30, dnsPolicy: ClusterFirst, schedulerName: default-scheduler, securityContext: {},
				automountServiceAccountToken: true, shareProcessNamespace: false, preemptionPolicy: PreemptLowerPriority, os: {name: linux}, hostUsers: true,
				setHostnameAsFQDN: false, hostNetwork: false, tolerations: [], nodeSelector: {}, affinity: null, volumes: [], initContainers: []`},
		"what Knative takes is kept": {
			pod:     `serviceAccountName: web, automountServiceAccountToken: false, enableServiceLinks: true, imagePullSecrets: [{name: registry}]`,
			wantPod: `{serviceAccountName: web, automountServiceAccountToken: false, enableServiceLinks: true, imagePullSecrets: [{name: registry}], ` + plainPod[1:]},
		"what Knative takes behind a flag is kept for it to judge": {
			pod: `dnsPolicy: Default, schedulerName: binpack, hostNetwork: true, nodeSelector: {a: b}, tolerations: [{operator: Exists}], affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{labelSelector: {}, topologyKey: zone}]}},
				runtimeClassName: nvidia, priorityClassName: high, shareProcessNamespace: true, hostAliases: [{ip: 10.0.0.1, hostnames: [db]}], securityContext: {runAsUser: 0, supplementalGroups: [5]}`,
			wantPod: `{dnsPolicy: Default, schedulerName: binpack, hostNetwork: true, nodeSelector: {a: b}, tolerations: [{operator: Exists}], affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{labelSelector: {}, topologyKey: zone}]}},
				runtimeClassName: nvidia, priorityClassName: high, shareProcessNamespace: true, hostAliases: [{ip: 10.0.0.1, hostnames: [db]}], securityContext: {runAsUser: 0, supplementalGroups: [5]}, ` + plainPod[1:]},
		"the old name of the service account counts":      {pod: `serviceAccount: web`, wantPod: `{serviceAccountName: web, ` + plainPod[1:]},
		"the new name of the service account counts more": {pod: `serviceAccount: old, serviceAccountName: web`, wantPod: `{serviceAccountName: web, ` + plainPod[1:]},
		"pods that end are refused":                       {pod: `restartPolicy: Never`, refused: forbidden("restartPolicy", "Knative always restarts containers; what ends by itself belongs in a Job")},
		"device claims are refused":                       {pod: `resourceClaims: [{name: gpu, resourceClaimName: gpu}]`, refused: forbidden("resourceClaims", "a Knative Service cannot claim devices; ask for a resource such as nvidia.com/gpu, or use compute.kubetorch.com/gpus")},
		"resources of the pod are too":                    {pod: `resources: {limits: {cpu: 1}}`, refused: forbidden("resources", "a Knative Service cannot hold resources of the pod; state them for each container")},
		"parts of the security context are refused by themselves": {
			pod:     `securityContext: {runAsUser: 5, fsGroupChangePolicy: OnRootMismatch, sysctls: [{name: a, value: b}]}`,
			wantPod: `{securityContext: {runAsUser: 5}, ` + plainPod[1:],
			refused: append(forbidden("securityContext.fsGroupChangePolicy", held+", and Kubernetes changes the owner of every file at each start"),
				forbidden("securityContext.sysctls", "a Knative Service cannot set kernel parameters; set them on the nodes")...)},
		"everything is refused at once": {
			pod:       `hostname: a, subdomain: b, nodeName: c, activeDeadlineSeconds: 5, readinessGates: [{conditionType: x}]`,
			container: `tty: true, lifecycle: {preStop: {sleep: {seconds: 5}}}, volumeDevices: [{name: a, devicePath: /b}]`,
			refused: []string{
				"spec.template.spec.activeDeadlineSeconds: Forbidden: a Knative Service has no end; what ends by itself belongs in a Job",
				"spec.template.spec.hostname: Forbidden: Knative names the pods; remove it",
				"spec.template.spec.nodeName: Forbidden: the pods of a Knative Service are placed by the scheduler; use nodeSelector",
				"spec.template.spec.readinessGates: Forbidden: Knative decides by the readiness probe alone; remove it",
				"spec.template.spec.subdomain: Forbidden: the pods of a Knative Service have no names in DNS; remove it",
				"spec.template.spec.containers[0].lifecycle.preStop: Forbidden: Knative puts a preStop hook of its own on each container, which lets requests end before it is stopped; remove it, and do the rest when the process gets SIGTERM",
				"spec.template.spec.containers[0].tty: Forbidden: nothing can attach to the pods of a Knative Service; remove it",
				"spec.template.spec.containers[0].volumeDevices: Forbidden: a Knative Service cannot use raw block devices; mount a file system",
			}},
	})
}

func TestFieldsOfAContainer(t *testing.T) {
	container := func(fields string) string {
		return `{containers: [{name: web, image: acme/web:1, ports: [{containerPort: 8080}]` + fields + `}]}`
	}
	runAll(t, map[string]row{
		"the API server's defaults count as not stated": {
			container: `imagePullPolicy: IfNotPresent, terminationMessagePath: /dev/termination-log, terminationMessagePolicy: File, resources: {}, stdin: false, tty: false,
				securityContext: {privileged: false, procMount: Default}, ports: [{containerPort: 8080, protocol: TCP}], env: [], args: []`},
		"another pull policy than the tag's own is kept":       {container: `imagePullPolicy: Always`, wantPod: container(`, imagePullPolicy: Always`)},
		"without a tag the policy Always is the default":       {container: `image: acme/web, imagePullPolicy: Always`, wantPod: strings.Replace(plainPod, ":1", "", 1)},
		"with the tag latest the policy Always is the default": {container: `image: "host:5000/web:latest", imagePullPolicy: Always`, wantPod: strings.Replace(plainPod, "acme/web:1", `"host:5000/web:latest"`, 1)},
		"a port of the registry is no tag":                     {container: `image: "host:5000/web", imagePullPolicy: IfNotPresent`, wantPod: `{containers: [{name: web, image: "host:5000/web", imagePullPolicy: IfNotPresent, ports: [{containerPort: 8080}]}]}`},
		"with a digest the policy IfNotPresent is the default": {container: `image: "acme/web@sha256:0011223344556677889900112233445566778899001122334455667788990011", imagePullPolicy: IfNotPresent`,
			wantPod: strings.Replace(plainPod, "acme/web:1", `"acme/web@sha256:0011223344556677889900112233445566778899001122334455667788990011"`, 1)},
		"quantities take the API server's form": {container: `resources: {requests: {cpu: 0.5, memory: 1024Mi, ephemeral-storage: 1.5Gi}, limits: {cpu: 100u, nvidia.com/gpu: 1}}`,
			wantPod: container(`, resources: {requests: {cpu: 500m, memory: 1Gi, ephemeral-storage: 1536Mi}, limits: {cpu: 1m, nvidia.com/gpu: "1"}}`)},
		"a security context is kept as far as Knative takes it": {
			container: `securityContext: {privileged: true, runAsNonRoot: false, allowPrivilegeEscalation: false, capabilities: {add: [SYS_PTRACE], drop: [ALL]}, seLinuxOptions: {type: x}, seccompProfile: {type: RuntimeDefault}}`,
			wantPod:   container(`, securityContext: {runAsNonRoot: false, allowPrivilegeEscalation: false, capabilities: {add: [SYS_PTRACE], drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}`),
			refused: []string{
				"spec.template.spec.containers[0].securityContext.privileged: Forbidden: a Knative Service cannot run privileged containers; ask for the capabilities that are needed",
				"spec.template.spec.containers[0].securityContext.seLinuxOptions: Forbidden: a Knative Service cannot hold it; remove it",
			}},
		"a field that no container has is refused": {container: `port: 80`,
			refused: []string{"spec.template.spec.containers[0].port: Forbidden: is not a field of a Deployment; correct or remove it"}},
		"init containers are converted by the same rules": {
			pod:     `initContainers: [{name: migrate, image: acme/web:1, imagePullPolicy: IfNotPresent, terminationMessagePolicy: File, command: [migrate], env: [{name: PORT, value: "1"}]}, {name: proxy, image: acme/proxy:1, restartPolicy: Always}]`,
			wantPod: `{initContainers: [{name: migrate, image: acme/web:1, command: [migrate], env: [{name: PORT, value: "1"}]}, {name: proxy, image: acme/proxy:1}], ` + plainPod[1:],
			refused: []string{"spec.template.spec.initContainers[1].restartPolicy: Forbidden: Knative always restarts containers, and has no init containers that go on running; make it one of containers"}},
	})
}

func TestVariables(t *testing.T) {
	container := func(env string) string {
		return `{containers: [{name: web, image: acme/web:1, ports: [{containerPort: 8080}], env: ` + env + `}]}`
	}
	runAll(t, map[string]row{
		"sources are kept, without their defaults": {
			container: `env: [{name: A, value: ""}, {name: B, valueFrom: {fieldRef: {apiVersion: v1, fieldPath: status.podIP}}}, {name: C, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: "0"}}},
				{name: D, valueFrom: {secretKeyRef: {name: s, key: k}}}, {name: E, valueFrom: {configMapKeyRef: {name: c, key: k, optional: false}}}]`,
			wantPod: container(`[{name: A}, {name: B, valueFrom: {fieldRef: {fieldPath: status.podIP}}}, {name: C, valueFrom: {resourceFieldRef: {resource: limits.cpu}}},
				{name: D, valueFrom: {secretKeyRef: {name: s, key: k}}}, {name: E, valueFrom: {configMapKeyRef: {name: c, key: k, optional: false}}}]`)},
		"another version of the API is kept": {container: `env: [{name: A, valueFrom: {fieldRef: {apiVersion: v2, fieldPath: x}}}]`,
			wantPod: container(`[{name: A, valueFrom: {fieldRef: {apiVersion: v2, fieldPath: x}}}]`)},
		"PORT is left out where it says what Knative says": {container: `env: [{name: A, value: a}, {name: PORT, value: "8080"}, {name: B, value: b}]`,
			wantPod: container(`[{name: A, value: a}, {name: B, value: b}]`)},
		"PORT that says something else is refused": {container: `env: [{name: PORT, value: "5000"}]`,
			refused: []string{`spec.template.spec.containers[0].env[0]: Invalid value: "5000": Knative sets PORT to the port that serves requests, 8080; remove it, or set autoscale.kubetorch.com/port to "5000" if the container listens there`}},
		"PORT that is no port is refused": {container: `env: [{name: PORT, value: "tcp://10.0.0.1:80"}]`,
			refused: []string{`spec.template.spec.containers[0].env[0]: Invalid value: "tcp://10.0.0.1:80": Knative sets PORT to the port that serves requests, 8080; remove it, or have the container read another variable`}},
		"PORT from elsewhere is refused": {container: `env: [{name: PORT, valueFrom: {configMapKeyRef: {name: c, key: port}}}]`,
			refused: []string{`spec.template.spec.containers[0].env[0]: Forbidden: Knative sets PORT to the port that serves requests, 8080; remove it`}},
		"PORT stands for the port of a container that states none": {container: `ports: [], env: [{name: PORT, value: "5000"}]`,
			wantPod: `{containers: [{name: web, image: acme/web:1, ports: [{containerPort: 5000}]}]}`},
		"variables behind PORT have what they say of it written out": {
			container: `env: [{name: BEFORE, value: "$(PORT)"}, {name: PORT, value: "8080"}, {name: URL, value: "http://localhost:$(PORT)/$$(PORT)"}]`,
			wantPod:   container(`[{name: BEFORE, value: "$(PORT)"}, {name: URL, value: "http://localhost:8080/$$(PORT)"}]`)},
		"a variable that is stated twice is refused": {container: `env: [{name: A, value: "1"}, {name: B}, {name: A, value: "2"}]`,
			wantPod: container(`[{name: B}, {name: A, value: "2"}]`),
			refused: []string{`spec.template.spec.containers[0].env[0].name: Invalid value: "A": is stated again at spec.template.spec.containers[0].env[2], which is the one that counts; state it once`}},
	})
}

func TestVolumes(t *testing.T) {
	pod := func(mounts, volumes string) string {
		return `{containers: [{name: web, image: acme/web:1, ports: [{containerPort: 8080}], volumeMounts: ` + mounts + `}], volumes: ` + volumes + `}`
	}
	runAll(t, map[string]row{
		"a volume that nobody mounts is left out": {pod: `volumes: [{name: old, nfs: {server: a, path: /b}}, {name: data, emptyDir: {}}]`, container: `volumeMounts: [{name: data, mountPath: /data}]`,
			wantPod: pod(`[{name: data, mountPath: /data}]`, `[{name: data, emptyDir: {}}]`)},
		"a volume without a source is an emptyDir": {pod: `volumes: [{name: data}]`, container: `volumeMounts: [{name: data, mountPath: /data}]`,
			wantPod: pod(`[{name: data, mountPath: /data}]`, `[{name: data, emptyDir: {}}]`)},
		"defaults of files count as not stated": {
			pod: `volumes: [{name: a, configMap: {name: c, defaultMode: 420, items: [{key: k, path: p, mode: 256}]}}, {name: b, secret: {secretName: s, defaultMode: 256}},
				{name: p, projected: {defaultMode: 420, sources: [{serviceAccountToken: {path: t, expirationSeconds: 3600}}, {downwardAPI: {items: [{path: l, fieldRef: {apiVersion: v1, fieldPath: metadata.labels}}]}}]}}]`,
			container: `volumeMounts: [{name: a, mountPath: /a}, {name: b, mountPath: /b, readOnly: false}, {name: p, mountPath: /p, recursiveReadOnly: Disabled, mountPropagation: None}]`,
			wantPod: pod(`[{name: a, mountPath: /a}, {name: b, mountPath: /b}, {name: p, mountPath: /p}]`,
				`[{name: a, configMap: {name: c, items: [{key: k, path: p, mode: 256}]}}, {name: b, secret: {secretName: s, defaultMode: 256}},
				{name: p, projected: {sources: [{serviceAccountToken: {path: t}}, {downwardAPI: {items: [{path: l, fieldRef: {fieldPath: metadata.labels}}]}}]}}]`)},
		"init containers say that they only read": {
			pod:     `volumes: [{name: s, secret: {secretName: s}}, {name: d, emptyDir: {}}], initContainers: [{name: i, image: acme/i:1, volumeMounts: [{name: s, mountPath: /s}, {name: d, mountPath: /d}]}]`,
			wantPod: `{volumes: [{name: s, secret: {secretName: s}}, {name: d, emptyDir: {}}], initContainers: [{name: i, image: acme/i:1, volumeMounts: [{name: s, mountPath: /s, readOnly: true}, {name: d, mountPath: /d}]}], ` + plainPod[1:]},
		"a claim that is read only is mounted so": {pod: `volumes: [{name: m, persistentVolumeClaim: {claimName: m, readOnly: true}}]`, container: `volumeMounts: [{name: m, mountPath: /m}]`,
			wantPod: pod(`[{name: m, mountPath: /m, readOnly: true}]`, `[{name: m, persistentVolumeClaim: {claimName: m, readOnly: true}}]`)},
		"a folder of the node is warned of": {pod: `volumes: [{name: h, hostPath: {path: /h, type: ""}}]`, container: `volumeMounts: [{name: h, mountPath: /h}]`,
			wantPod:  pod(`[{name: h, mountPath: /h}]`, `[{name: h, hostPath: {path: /h}}]`),
			warnings: []string{"spec.template.spec.containers[0].volumeMounts[0]: Knative mounts volumes of this kind read-only"}},
		"kinds that Knative does not have are refused, with their mounts": {
			pod:       `volumes: [{name: nas, nfs: {server: a, path: /b}}, {name: d, downwardAPI: {items: [{path: l, fieldRef: {fieldPath: metadata.labels}}]}}, {name: e, emptyDir: {}}]`,
			container: `volumeMounts: [{name: nas, mountPath: /nas}, {name: d, mountPath: /d}, {name: e, mountPath: /e, subPathExpr: $(A)}]`,
			wantPod:   pod(`[{name: e, mountPath: /e}]`, `[{name: e, emptyDir: {}}]`),
			refused: []string{
				"spec.template.spec.volumes[0].nfs: Forbidden: a Knative Service cannot use this kind of volume; make a PersistentVolume of it and use its claim",
				"spec.template.spec.volumes[1].downwardAPI: Forbidden: write it as a projected volume with a downwardAPI source",
				"spec.template.spec.containers[0].volumeMounts[2].subPathExpr: Forbidden: a Knative Service cannot hold it; use subPath",
			}},
	})
}

func TestWhatIsNoDeployment(t *testing.T) {
	for name, c := range map[string]struct{ text, refused string }{
		"no template":                    {`{metadata: {name: a}}`, "spec.template.spec: Required value: a Deployment needs a pod template"},
		"a template that is a list":      {`{metadata: {name: a}, spec: {template: []}}`, "spec.template.spec: Required value: a Deployment needs a pod template"},
		"a number where text belongs":    {`{metadata: {name: a}, spec: {template: {spec: {containers: [{name: 5}]}}}}`, "spec.template.spec.containers[0].name: Invalid value: 5: must be a string; put it in quotes: \"5\""},
		"text where a number belongs":    {`{metadata: {name: a}, spec: {replicas: "3", template: {spec: {}}}}`, "spec.replicas: Invalid value: \"3\": must be a whole number; write it without quotes"},
		"an object where a list belongs": {`{metadata: {name: a}, spec: {template: {spec: {containers: {name: a}}}}}`, "spec.template.spec.containers: Invalid value: \"an object\": must be a list"},
		"a list where an object belongs": {`{metadata: {name: a}, spec: {template: {spec: {containers: [{resources: []}]}}}}`, "spec.template.spec.containers[0].resources: Invalid value: \"a list\": must be an object with claims, limits, requests"},
		"a quantity that is none":        {`{metadata: {name: a}, spec: {template: {spec: {containers: [{name: a, resources: {limits: {cpu: lots}}}]}}}}`, "spec.template.spec.containers[0].resources.limits[cpu]: Invalid value: \"lots\": invalid value: lots; allowed: a Kubernetes quantity, such as 500m, 2 or 16Gi"},
	} {
		t.Run(name, func(t *testing.T) {
			service, _, errs := convert.Service(parse(t, c.text), convert.Surroundings{})
			assert.Nil(t, service)
			assert.Equal(t, []string{c.refused}, words(errs))
		})
	}
}

// The conversion never shares memory with the Deployment: the expansion writes into it.
func TestTheServiceSharesNothingWithTheDeployment(t *testing.T) {
	d := web(t, "", `nodeSelector: {a: b}`, `resources: {limits: {memory: 1Gi}}`)
	before, err := json.Marshal(d)
	require.NoError(t, err)
	service, _, errs := convert.Service(d, convert.Surroundings{})
	require.Empty(t, errs)
	scribble(service)
	after, err := json.Marshal(d)
	require.NoError(t, err)
	assert.JSONEq(t, string(before), string(after))
}

func scribble(v any) {
	switch v := v.(type) {
	case manifest.Object:
		for _, x := range v {
			scribble(x)
		}
		v["scribble"] = true
	case []any:
		for i, x := range v {
			scribble(x)
			v[i] = nil
		}
	}
}
