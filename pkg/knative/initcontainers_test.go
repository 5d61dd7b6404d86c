package knative_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// Knative itself gives what is wrong about an init container the path of a container.
func TestWhatIsWrongAboutAnInitContainer(t *testing.T) {
	const volumes = `volumes: [{name: scratch, emptyDir: {}}, {name: keys, secret: {secretName: x}}]`
	for name, test := range map[string]struct {
		pod  string
		want []string // paths below spec.template.spec
	}{
		"nothing": {`initContainers: [{name: a, image: a/b, volumeMounts: [{name: scratch, mountPath: /a}, {name: keys, mountPath: /k, readOnly: true}]}], containers: [{image: a/b}], ` + volumes, nil},
		"its image": {`initContainers: [{image: a/b}, {image: "::"}], containers: [{image: a/b}]`,
			[]string{"initContainers[1].image"}},
		"the same as about the container": {`initContainers: [{image: "::"}], containers: [{image: "::"}]`,
			[]string{"containers[0].image", "initContainers[0].image"}},
		"only the container": {`initContainers: [{image: a/b}], containers: [{image: "::"}]`,
			[]string{"containers[0].image"}},
		"its name is taken, after another mistake": {`initContainers: [{name: a, image: "::"}, {name: web, image: a/b}], containers: [{name: web, image: a/b}]`,
			[]string{"initContainers[0].image", "initContainers[1].name"}},
		"names of containers are taken, after another mistake": {`initContainers: [{name: a, image: a/b}], containers: [{name: web, image: "::", ports: [{containerPort: 80}]}, {name: web, image: a/b}]`,
			[]string{"containers[0].image", "containers[1].name"}},
		"a reserved name": {`initContainers: [{name: queue-proxy, image: a/b}], containers: [{name: web, image: a/b}]`,
			[]string{"initContainers[0].name"}},
		"a reserved name of the container": {`initContainers: [{name: a, image: a/b}], containers: [{name: queue-proxy, image: a/b}]`,
			[]string{"containers[0].name"}},
		"what only others may have": {`initContainers: [{image: a/b, lifecycle: {preStop: {exec: {command: [a]}}}, readinessProbe: {httpGet: {path: /}}}], containers: [{image: a/b}]`,
			[]string{"initContainers[0].lifecycle", "initContainers[0].readinessProbe"}},
		"its mounts": {`initContainers: [{image: a/b, volumeMounts: [{name: scratch, mountPath: a}, {name: keys, mountPath: /k}, {name: none, mountPath: /n, readOnly: true}]}], containers: [{image: a/b}], ` + volumes,
			[]string{"initContainers[0].volumeMounts[0].mountPath", "initContainers[0].volumeMounts[1].readOnly", "initContainers[0].volumeMounts[2].name"}},
		"a volume that nobody mounts": {`initContainers: [{image: a/b}], containers: [{image: a/b, volumeMounts: [{name: scratch, mountPath: /a}]}], ` + volumes,
			[]string{"volumes[1].name"}},
		"a flag": {`initContainers: [{image: a/b, securityContext: {capabilities: {add: [NET_ADMIN]}}}], containers: [{image: a/b}]`,
			[]string{"initContainers[0].securityContext.capabilities.add"}},
		"several containers without a port": {`initContainers: [{image: a/b}], containers: [{image: a/b}, {image: a/b}]`,
			[]string{"containers[*].ports"}},
		"no container": {`initContainers: [{image: a/b}]`, []string{"containers"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := knative.ParseConfig(map[string]map[string]string{knative.FeaturesConfig: {"kubernetes.podspec-init-containers": "enabled"}})
			require.NoError(t, err)
			raw, err := yaml.YAMLToJSONStrict([]byte(`{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: app, namespace: ml}, spec: {template: {spec: {` + test.pod + `}}}}`))
			require.NoError(t, err)
			service, err := manifest.Decode(raw)
			require.NoError(t, err)
			var got []string
			for _, e := range c.Validate(service, true) {
				got = append(got, strings.TrimPrefix(e.Field, "spec.template.spec."))
				if name == "a flag" {
					assert.Equal(t, "kubernetes.containerspec-addcapabilities", knative.Flag(e))
				}
			}
			assert.ElementsMatch(t, test.want, got, "%v", c.Validate(service, true))
		})
	}
}
