package knative_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// Each row is what Knative takes from a release on, with the flags that it asks for, and
// refuses before; with until it is the other way round.
func TestEachReleaseTakesWhatItTakes(t *testing.T) {
	pod := func(container, pod string) string {
		return `{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: web}, spec: {template: {spec: {containers: [{image: acme/web, ` + container + `}]` + pod + `}}}}`
	}
	volume := func(source string) string {
		return pod(`volumeMounts: [{name: v, mountPath: /v, readOnly: true}]`, `, volumes: [{name: v, `+source+`}]`)
	}
	all := map[string]string{"secure-pod-defaults": "AllowRootBounded"}
	for _, flag := range []string{"hostnetwork", "hostpid", "hostipc", "volumes-hostpath", "volumes-csi", "volumes-image", "volumes-ephemeral", "volumes-mount-propagation"} {
		all["kubernetes.podspec-"+flag] = "enabled"
	}
	for name, c := range map[string]struct {
		object       string
		since, until int
	}{
		"the network of the node":       {object: pod(`name: a`, `, hostNetwork: true`), since: 16},
		"the processes of the node":     {object: pod(`name: a`, `, hostPID: true`), since: 16},
		"folders of the node":           {object: volume(`hostPath: {path: /x}`), since: 17},
		"privileged false":              {object: pod(`securityContext: {privileged: false}`, ``), since: 17},
		"CSI volumes":                   {object: volume(`csi: {driver: d}`), since: 18},
		"propagation of mounts":         {object: pod(`volumeMounts: [{name: v, mountPath: /v, mountPropagation: HostToContainer}]`, `, volumes: [{name: v, emptyDir: {}}]`), since: 18},
		"images as volumes":             {object: volume(`image: {reference: acme/model}`), since: 19},
		"the one capability":            {object: pod(`securityContext: {capabilities: {add: [NET_BIND_SERVICE]}}`, ``), since: 20},
		"grace periods of probes":       {object: pod(`livenessProbe: {httpGet: {path: /}, terminationGracePeriodSeconds: 5}`, ``), since: 21},
		"ephemeral volumes":             {object: volume(`ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce]}}}`), since: 23},
		"unknown keys of networking":    {object: `{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: web}, spec: {template: {metadata: {annotations: {networking.knative.dev/unknown: x}}, spec: {containers: [{image: acme/web}]}}}}`, until: 21},
		"startup probes of sidecars":    {object: `{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: web}, spec: {template: {spec: {containers: [{image: acme/web, ports: [{containerPort: 80}]}, {name: side, image: acme/side, startupProbe: {tcpSocket: {port: 5}}}]}}}}`, until: 23},
		"privileged true, in none":      {object: pod(`securityContext: {privileged: true}`, ``), since: 99},
		"other capabilities, in none":   {object: pod(`securityContext: {capabilities: {add: [SYS_PTRACE]}}`, ``), since: 99},
		"mounts in both ways, in none":  {object: pod(`volumeMounts: [{name: v, mountPath: /v, mountPropagation: Bidirectional}]`, `, volumes: [{name: v, emptyDir: {}}]`), since: 99},
		"what every release takes":      {object: pod(`env: [{name: A, value: b}]`, ``)},
		"volumes of nobody, in none":    {object: volume(`nfs: {server: a, path: /b}`), since: 99},
		"a volume of two kinds":         {object: volume(`emptyDir: {}, hostPath: {path: /x}`), since: 99},
		"a secret and a CSI volume":     {object: volume(`secret: {secretName: a}, csi: {driver: d}`), since: 99},
		"an image and a CSI volume":     {object: volume(`image: {reference: acme/model}, csi: {driver: d}`), since: 99},
		"two kinds that all know":       {object: volume(`emptyDir: {}, secret: {secretName: a}`), since: 99},
		"an image of nothing":           {object: volume(`image: {}`), since: 99},
		"an image pulled at times":      {object: volume(`image: {reference: a, pullPolicy: Sometimes}`), since: 99},
		"an image pulled always":        {object: volume(`image: {reference: a, pullPolicy: Always}`), since: 19},
		"mounts in no known way":        {object: pod(`volumeMounts: [{name: v, mountPath: /v, mountPropagation: Foo}]`, `, volumes: [{name: v, emptyDir: {}}]`), since: 99},
		"mounts in an empty way":        {object: pod(`volumeMounts: [{name: v, mountPath: /v, mountPropagation: ""}]`, `, volumes: [{name: v, emptyDir: {}}]`), since: 99},
		"a seccomp profile of the pod":  {object: pod(`name: a`, `, securityContext: {seccompProfile: {type: RuntimeDefault}}`), since: 20},
		"another profile of the pod":    {object: pod(`name: a`, `, securityContext: {seccompProfile: {type: Localhost, localhostProfile: a}}`), since: 99},
		"an environment name twice":     {object: pod(`env: [{name: A, value: b}, {name: A, value: c}]`, ``), until: 16},
		"a pull secret twice":           {object: pod(`name: a`, `, imagePullSecrets: [{name: a}, {name: a}]`), until: 16},
		"a port without its number":     {object: pod(`ports: [{name: http1}]`, ``)},     // Knative fills it in before its CRD is held against it
		"gRPC without its port":         {object: pod(`readinessProbe: {grpc: {}}`, ``)}, // likewise
		"readiness with a grace period": {object: pod(`readinessProbe: {httpGet: {path: /}, terminationGracePeriodSeconds: 5}`, ``), since: 99},
	} {
		for release := knative.OldestRelease; release <= knative.NewestRelease; release++ {
			t.Run(fmt.Sprintf("%s in 1.%d", name, release), func(t *testing.T) {
				var o manifest.Object
				raw, err := yaml.YAMLToJSON([]byte(c.object))
				require.NoError(t, err)
				o, err = manifest.Decode(raw)
				require.NoError(t, err)
				config, err := knative.ParseConfig(map[string]map[string]string{knative.FeaturesConfig: all})
				require.NoError(t, err)
				errs := config.WithRelease(release).Validate(o, true)
				if taken := release >= c.since && (c.until == 0 || release < c.until); taken {
					assert.Empty(t, errs)
				} else {
					assert.NotEmpty(t, errs)
				}
			})
		}
	}
}

func TestReleasesAreRead(t *testing.T) {
	for text, want := range map[string]int{"1.15": 15, "v1.18.2": 18, "1.24.0": 24, "1.22.1-gke.5": 22, "1.99": 99} {
		n, err := knative.ParseRelease(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, n, text)
	}
	for _, text := range []string{"", "latest", "1", "2.0", "1.x", "devel", "1.15.", " 1.15"} {
		_, err := knative.ParseRelease(text)
		assert.Error(t, err, text)
	}
	assert.Equal(t, "1.18", knative.Default().OfRelease(map[string]string{knative.VersionLabel: "1.18.2"}).Release())
	assert.Equal(t, "1.24", knative.Default().OfRelease(map[string]string{knative.VersionLabel: "devel"}).Release())
	assert.Equal(t, "1.15", knative.Default().OfRelease(map[string]string{knative.VersionLabel: "1.9.0"}).Release(), "the nearest that is known")
}
