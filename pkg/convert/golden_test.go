package convert_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/convert"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Every Deployment under testdata/deployments becomes the Knative Service under
// testdata/services, which also says what is refused and warned of. The API server's
// defaults change nothing about it, and what is accepted is valid to Knative, before and
// after it is expanded.
func TestDeployments(t *testing.T) {
	files, err := filepath.Glob("testdata/deployments/*.yaml")
	require.NoError(t, err)
	require.Greater(t, len(files), 40)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			written := read(t, file)
			got := golden(t, written)
			path := filepath.Join("testdata/services", filepath.Base(file))
			if *update {
				require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
			}
			want, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.Equal(t, string(want), got)
			if _, _, errs := convert.Service(written, convert.Surroundings{}); len(errs) == 0 {
				assert.Equal(t, got, golden(t, defaulted(t, written)), "as the API server hands it over")
			}
		})
	}
}

// cannotRun are Deployments that no Knative can run as they are: they need the node's ports, its
// devices or disks, other protocols than HTTP, or containers that Knative does not know.
var cannotRun = map[string]bool{"comfyui": true, "coredns": true, "future-fields": true, "qdrant": true, "reserved-port": true, "tls-backend": true,
	"rails-native-sidecar": true, "edit-host-port": true, "edit-https-only": true, "edit-nfs": true, "edit-dns-server": true, "edit-reserved-port": true,
	"edit-native-sidecar": true}

func TestNineInTenDeploymentsThatKnativeCanRunNeedNoEdit(t *testing.T) {
	files, err := filepath.Glob("testdata/deployments/*.yaml")
	require.NoError(t, err)
	require.Greater(t, len(files), 160)
	var can, expanded int
	for _, file := range files {
		v := verdict(t, read(t, file), everyFlag)
		if name := strings.TrimSuffix(filepath.Base(file), ".yaml"); cannotRun[name] {
			assert.True(t, v.Refused(), name)
			continue
		}
		can++
		if !v.Refused() {
			expanded++
		}
	}
	assert.GreaterOrEqual(t, expanded*10, can*9, "%d of %d", expanded, can)
}

// golden words all that becomes of a Deployment.
func golden(t *testing.T, deployment manifest.Object) string {
	t.Helper()
	before := runtime.DeepCopyJSON(deployment)
	service, _, errs := convert.Service(deployment, convert.Surroundings{})
	assert.Equal(t, before, deployment, "the Deployment is left alone")
	var b strings.Builder
	say := func(what, text string) { b.WriteString("# " + what + ": " + text + "\n") }
	all := verdict(t, deployment, everyFlag)
	for _, w := range all.Warnings {
		say("Warning", w)
	}
	said := map[string]bool{}
	for _, e := range all.Errors {
		said[e.Error()] = true
		say("Refused", e.Error())
	}
	for _, e := range verdict(t, deployment, knative.Default()).Errors {
		if !said[e.Error()] {
			say("Refused by default", e.Error())
		}
	}
	if len(errs) > 0 {
		return b.String()
	}
	if !all.Refused() {
		assert.Empty(t, everyFlag.Validate(service, true), "the Knative Service is valid")
	}
	text, err := yaml.Marshal(service)
	require.NoError(t, err)
	return b.String() + string(text)
}

// verdict expands a Deployment in a cluster.
func verdict(t *testing.T, deployment manifest.Object, kn *knative.Config) review.Verdict {
	t.Helper()
	w := review.World{Policies: policy.Compile([]v1alpha1.ComputePolicy{profiles(t)}), Knative: kn,
		NamespaceLabels: func(string) (map[string]string, bool) { return map[string]string{}, true }}
	c := review.ForObject(deployment, manifest.Text(deployment, "metadata", "namespace")).Plan(w)
	if !c.Verdict.Refused() {
		assert.Empty(t, kn.Validate(c.Service, true), "the expansion is valid")
	}
	return c.Verdict
}

// everyFlag is a cluster that allows all that Knative can.
var everyFlag = func() *knative.Config {
	features := map[string]string{"multi-container-probing": "enabled", "kubernetes.containerspec-addcapabilities": "enabled"}
	for _, name := range []string{"affinity", "topologyspreadconstraints", "fieldref", "hostaliases", "nodeselector", "tolerations", "runtimeclassname",
		"securitycontext", "shareprocessnamespace", "priorityclassname", "schedulername", "init-containers", "dnspolicy", "dnsconfig", "hostipc", "hostpid",
		"hostnetwork", "persistent-volume-claim", "persistent-volume-write", "volumes-csi", "volumes-ephemeral", "volumes-hostpath", "volumes-image"} {
		features["kubernetes.podspec-"+name] = "enabled"
	}
	return config(features)
}()

func config(features map[string]string) *knative.Config {
	c, err := knative.ParseConfig(map[string]map[string]string{knative.FeaturesConfig: features})
	if err != nil {
		panic(err)
	}
	return c
}

func profiles(t *testing.T) (p v1alpha1.ComputePolicy) {
	t.Helper()
	raw, err := os.ReadFile("testdata/policy.yaml")
	require.NoError(t, err)
	require.NoError(t, yaml.UnmarshalStrict(raw, &p))
	return p
}

func read(t *testing.T, file string) manifest.Object {
	t.Helper()
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	return parse(t, string(raw))
}

func parse(t *testing.T, text string) manifest.Object {
	t.Helper()
	raw, err := yaml.YAMLToJSONStrict([]byte(text))
	require.NoError(t, err)
	o, err := manifest.Decode(raw)
	require.NoError(t, err)
	return o
}
