// Somebody else's exemption is borrowed by its record.

package review_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/kubetorch/webhook/pkg/deployments/handover"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/review"
)

const (
	self       = "system:serviceaccount:kubetorch-system:kubetorch-webhook"
	exemptPath = "/metadata/annotations/kubetorch.com~1exempt-from"
	// Two policies exempt eve; the third exempts a whole namespace.
	gpuLimit   = `{metadata: {name: gpus}, spec: {bounds: {gpusPerWorkload: {max: 4}}, exempt: [{users: [eve]}]}}`
	scaleClamp = `{metadata: {name: scale}, spec: {bounds: {maxScale: {max: 3, enforcement: Clamp}}, exempt: [{groups: [ops]}, {namespaces: [elsewhere], users: [ada]}]}}`
	namespaced = `{metadata: {name: space}, spec: {bounds: {minScale: {max: 9}}, exempt: [{namespaces: [ml]}]}}`
)

// gpuDeployment asks for GPUs, at most max-scale pods, with further annotations.
func gpuDeployment(replicas, gpus, maxScale, labels string, annotations ...string) string {
	annotations = append(annotations, `autoscale.kubetorch.com/max-scale: "`+maxScale+`"`)
	return strings.Replace(deployment(replicas, labels+`, annotations: {`+strings.Join(annotations, ", ")+`}`),
		"image:", "resources: {limits: {nvidia.com/gpu: "+gpus+"}}, image:", 1)
}

// as is a request of a user, with the World that it meets.
func as(user, object, old string) *admissionv1.AdmissionRequest {
	r := deploymentRequest(object, old)
	r.UserInfo.Username = user
	if user == "eve" {
		r.UserInfo.Groups = []string{"ops"}
	}
	return r
}

func exemptWorld(c review.Cluster) review.World {
	w := within(c, gpuLimit, scaleClamp, namespaced)
	w.Self = self
	return w
}

const (
	both2      = `kubetorch.com/exempt-from: "gpus,scale"`
	remembered = `kubetorch.com/replicas: "2"`
	plainLabel = "labels: {app: web}"
)

func TestWhoIsExemptIsRecorded(t *testing.T) {
	for name, test := range map[string]struct {
		user, object, old string
		record            any // nil for no change, "" for none
	}{
		"a new one":                        {"eve", gpuDeployment("1", "1", "9", on), "", "gpus,scale"},
		"by somebody else":                 {"ada", gpuDeployment("1", "1", "3", on), "", nil},
		"the compute label alone":          {"eve", gpuDeployment("1", "1", "3", `labels: {kubetorch.com/compute: "true"}`), "", nil},
		"a manifest that was copied":       {"ada", gpuDeployment("1", "1", "3", on, both2), "", ""},
		"an update by who is not exempt":   {"ada", strings.Replace(gpuDeployment("0", "1", "9", on, both2, remembered), "a/b:v1", "a/b:v2", 1), gpuDeployment("0", "1", "9", on, both2, remembered), nil},
		"one that lowers":                  {"ada", gpuDeployment("0", "1", "8", on, both2, remembered), gpuDeployment("0", "1", "9", on, both2, remembered), nil},
		"one that lacks it":                {"ada", gpuDeployment("0", "1", "9", on), gpuDeployment("0", "1", "9", on, both2, remembered), "gpus,scale"},
		"one that goes beyond a clamp":     {"ada", strings.Replace(gpuDeployment("0", "1", "9", on, both2, remembered), "nvidia.com/gpu: 1", "cpu: 1", 1), strings.Replace(gpuDeployment("0", "1", "8", on, both2, remembered), "nvidia.com/gpu: 1", "cpu: 1", 1), "gpus"},
		"one that takes the label off":     {"ada", gpuDeployment("0", "1", "9", plainLabel, both2, remembered), gpuDeployment("0", "1", "9", on, both2, remembered), nil},
		"the controller's":                 {self, gpuDeployment("0", "1", "9", on, both2, remembered, "kubetorch.com/adopted-by: s-1"), gpuDeployment("0", "1", "9", on, both2, remembered), nil},
		"the controller gives it back":     {self, gpuDeployment("2", "1", "9", plainLabel, both2), gpuDeployment("0", "1", "9", plainLabel, both2, remembered), ""},
		"a label that was taken off again": {"ada", gpuDeployment("0", "1", "9", plainLabel, both2), gpuDeployment("0", "1", "9", plainLabel, both2), ""},
		"one whose label is false":         {"eve", gpuDeployment("1", "1", "3", `labels: {kubetorch.com/autoscale: "false"}`), "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			mutated, _ := both(t, as(test.user, test.object, test.old), exemptWorld(knativeWith("")))
			require.True(t, mutated.Allowed, "%+v", mutated.Result)
			patched := patches(t, mutated)
			got, there := patched[exemptPath]
			switch {
			case test.record == nil:
				assert.False(t, there, "%v", patched)
			case test.record == "":
				assert.True(t, there, "%v", patched)
				assert.Nil(t, got, "it is removed")
			default:
				assert.Equal(t, test.record, got)
			}
		})
	}
}

// Nobody gets beyond a bound by the record of somebody else's exemption.
func TestTheRecordOfExemptionsCannotBeForged(t *testing.T) {
	admitted := gpuDeployment("0", "1", "9", on, both2, remembered)
	for name, test := range map[string]struct {
		user, object, old string
		status            bool
		says              string // empty admits
	}{
		"on a new one":                            {"ada", gpuDeployment("1", "1", "3", on, both2), "", false, "is kept by the webhook; policy gpus does not exempt you"},
		"on one without a label":                  {"ada", gpuDeployment("1", "1", "3", plainLabel, both2), "", false, "is kept by the webhook"},
		"before the label comes":                  {"ada", gpuDeployment("1", "1", "3", on, `kubetorch.com/exempt-from: gpus`), gpuDeployment("1", "1", "3", plainLabel), false, "is kept by the webhook"},
		"on a labelled one":                       {"ada", gpuDeployment("0", "1", "3", on, both2), gpuDeployment("0", "1", "3", on), false, "is kept by the webhook"},
		"by a status":                             {"ada", gpuDeployment("0", "1", "3", on, both2), gpuDeployment("0", "1", "3", on), true, "is kept by the webhook"},
		"of a policy that exempts somebody else":  {"eve", gpuDeployment("1", "1", "3", on, `kubetorch.com/exempt-from: "gpus,space"`), "", false, "policy space does not exempt you"},
		"of a policy that is not there":           {"eve", gpuDeployment("1", "1", "3", on, `kubetorch.com/exempt-from: other`), "", false, "policy other does not exempt you"},
		"where the exemption is of another place": {"ada", gpuDeployment("1", "1", "3", on, `kubetorch.com/exempt-from: scale`), "", false, "policy scale does not exempt you"},
		"under the name of a Revision's": {"eve", gpuDeployment("1", "1", "3", on+`, ownerReferences: [{apiVersion: serving.knative.dev/v1, kind: Revision, name: r, uid: r-1, controller: true}]`,
			`kubetorch.com/exempt-from: gpus`), "", false, "is kept by the webhook"},
		"who is exempt may name it": {"eve", gpuDeployment("1", "1", "9", on, both2), "", false, ""},
		"unchanged":                 {"ada", admitted, admitted, false, ""},

		"more pods":                                {"ada", gpuDeployment("0", "1", "10", on, both2, remembered), admitted, false, "policy gpus"},
		"more GPUs":                                {"ada", gpuDeployment("0", "2", "9", on, both2, remembered), admitted, false, "policy gpus"},
		"more pods, by a status":                   {"ada", gpuDeployment("0", "1", "10", on, both2, remembered), admitted, true, "policy gpus"},
		"a new initial-scale within what it was":   {"ada", gpuDeployment("0", "1", "9", on, both2, remembered, `autoscale.kubetorch.com/initial-scale: "5"`), admitted, false, ""},
		"more pods to come back to":                {"ada", gpuDeployment("0", "1", "9", on, both2, `kubetorch.com/replicas: "50"`), admitted, false, "policy gpus does not exempt you"},
		"more pods to come back to, unlabelled":    {"ada", gpuDeployment("0", "1", "9", plainLabel, both2, `kubetorch.com/replicas: "50"`), admitted, false, "policy gpus does not exempt you"},
		"more GPUs per pod to come back":           {"ada", gpuDeployment("0", "8", "9", plainLabel, both2, remembered), gpuDeployment("0", "1", "9", plainLabel, both2, remembered), false, "policy gpus does not exempt you"},
		"more pods of its own":                     {"ada", gpuDeployment("9", "1", "9", on, both2), gpuDeployment("2", "1", "9", on, both2), false, "policy gpus"},
		"beyond a clamp that the record hides":     {"ada", gpuDeployment("0", "0", "10", on, both2, remembered), gpuDeployment("0", "0", "9", on, both2, remembered), false, "policy scale does not exempt you"},
		"the controller's name in another cluster": {self + "2", gpuDeployment("0", "1", "10", on, both2, remembered), admitted, false, "policy gpus"},
	} {
		t.Run(name, func(t *testing.T) {
			raw := as(test.user, test.object, test.old)
			if test.status {
				raw.SubResource = "status"
			}
			_, validated := both(t, raw, exemptWorld(knativeWith("")))
			if test.says == "" {
				assert.True(t, validated.Allowed, "%+v", validated.Result)
				return
			}
			require.False(t, validated.Allowed)
			assert.Contains(t, validated.Result.Message, test.says)
		})
	}
}

// A record from before the present webhook configuration was written while nobody may have checked it.
func TestARecordFromBeforeIsNotBelieved(t *testing.T) {
	w := exemptWorld(knativeWith(""))
	w.Registered = "c-2"
	const under, underOther = "kubetorch.com/exempt-under: c-2", "kubetorch.com/exempt-under: c-1"
	for name, test := range map[string]struct {
		record   []string
		believed bool
	}{
		"of the present one":                 {[]string{both2, under}, true},
		"of another one":                     {[]string{both2, underOther}, false},
		"of none":                            {[]string{both2}, false},
		"of none, as it would be offline":    {[]string{both2, `kubetorch.com/exempt-under: ""`}, false},
		"the configuration without a record": {[]string{under}, false},
	} {
		t.Run(name, func(t *testing.T) {
			planted := gpuDeployment("0", "1", "9", on, append(test.record, remembered)...)
			ksvc, verdict, _ := become(w, decoded(planted), nil)
			require.False(t, verdict.Refused(), verdict.Reasons())
			want := "3" // clamped
			if test.believed {
				want = "9"
			}
			assert.Equal(t, want, manifest.Text(ksvc, "spec", "template", "metadata", "annotations", "autoscaling.knative.dev/max-scale"))
			assert.NotContains(t, manifest.Texts(ksvc, "metadata", "annotations"), handover.ExemptUnderAnnotation)
			_, verdict, _ = become(w, decoded(gpuDeployment("0", "5", "1", on, append(test.record, remembered)...)), nil)
			assert.Equal(t, !test.believed, verdict.Refused())

			update := strings.Replace(planted, "a/b:v1", "a/b:v2", 1)
			mutated, _ := both(t, as("ada", update, planted), w)
			patched := patches(t, mutated)
			if test.believed {
				assert.NotContains(t, patched, exemptPath, "the record stays")
			} else {
				assert.Nil(t, patched[exemptPath], "it is taken away")
			}

			back := gpuDeployment("9", "1", "9", plainLabel)
			_, validated := both(t, as(self, back, gpuDeployment("0", "1", "9", plainLabel, append(test.record, `kubetorch.com/replicas: "9"`)...)), w)
			assert.Equal(t, test.believed, validated.Allowed, "its own pods come back: %+v", validated.Result)
		})
	}

	t.Run("whoever is exempt has it written anew", func(t *testing.T) {
		stored := gpuDeployment("0", "1", "9", on, both2, underOther, remembered)
		mutated, validated := both(t, as("eve", strings.Replace(stored, "a/b:v1", "a/b:v2", 1), stored), w)
		require.True(t, mutated.Allowed && validated.Allowed, "%+v %+v", mutated.Result, validated.Result)
		assert.Equal(t, "c-2", patches(t, mutated)["/metadata/annotations/kubetorch.com~1exempt-under"])
	})
	t.Run("a status that states one from before says nothing", func(t *testing.T) {
		stored := gpuDeployment("0", "1", "3", on, both2, underOther, remembered)
		raw := as("system:serviceaccount:kube-system:deployment-controller", stored, stored)
		raw.SubResource = "status"
		_, validated := both(t, raw, w)
		assert.True(t, validated.Allowed, "%+v", validated.Result)
		raw = as("ada", strings.Replace(stored, underOther, under, 1), stored)
		raw.SubResource = "status"
		_, validated = both(t, raw, w)
		assert.False(t, validated.Allowed, "made to look like one of the present configuration")
	})
}

func TestTheControllerServesWhoIsExempt(t *testing.T) {
	owner := gpuDeployment("0", "1", "9", on, both2, remembered)
	ksvc, verdict, _ := become(exemptWorld(knativeWith("")), decoded(owner), nil)
	require.False(t, verdict.Refused(), verdict.Reasons())
	assert.Equal(t, "9", manifest.Text(ksvc, "spec", "template", "metadata", "annotations", "autoscaling.knative.dev/max-scale"), "not clamped")
	assert.NotContains(t, manifest.Texts(ksvc, "metadata", "annotations"), handover.ExemptAnnotation)
	ksvc, _, _ = become(exemptWorld(knativeWith("")), decoded(gpuDeployment("0", "1", "9", on)), nil)
	assert.Equal(t, "3", manifest.Text(ksvc, "spec", "template", "metadata", "annotations", "autoscaling.knative.dev/max-scale"), "clamped without a record")
	_, verdict, _ = become(exemptWorld(knativeWith("")), decoded(gpuDeployment("0", "5", "1", on)), nil)
	assert.True(t, verdict.Refused())

	const child = `{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: web, namespace: ml, uid: s-1, ownerReferences: [OWNER]},
		spec: {template: {metadata: {annotations: {autoscaling.knative.dev/max-scale: "9"}}, spec: {containers: [{image: "a/b:v1", resources: {limits: {nvidia.com/gpu: 1}}}]}}}}`
	const controller = `{apiVersion: apps/v1, kind: Deployment, name: web, uid: d-1, controller: true}`
	for name, test := range map[string]struct {
		user, reference, name string
		live                  string
		admit                 bool
	}{
		"the controller":                          {self, controller, "web", owner, true},
		"somebody else":                           {"ada", controller, "web", owner, false},
		"a Deployment of another UID":             {self, strings.Replace(controller, "d-1", "d-2", 1), "web", owner, false},
		"a Deployment that is not its controller": {self, strings.Replace(controller, "controller: true", "controller: false", 1), "web", owner, false},
		"no such Deployment":                      {self, controller, "web", "", false},
		"a Deployment without a record":           {self, controller, "web", gpuDeployment("0", "1", "9", on, remembered), false},
		"a Deployment that asks for another name": {self, controller, "web", gpuDeployment("0", "1", "9", on, both2, "autoscale.kubetorch.com/service-name: other"), false},
	} {
		t.Run(name, func(t *testing.T) {
			raw := request(strings.Replace(child, "OWNER", test.reference, 1), "")
			raw.Name, raw.UserInfo.Username = test.name, test.user
			c := knativeWith("")
			if test.live != "" {
				c.Deployment = decoded(test.live)
			}
			r, answer := review.Read(raw)
			require.Nil(t, answer)
			want := ""
			if test.user == self && strings.Contains(test.reference, "controller: true") {
				want = "web"
			}
			assert.Equal(t, want, r.Lookups(self).Deployment)
			_, validated := both(t, raw, exemptWorld(c))
			assert.Equal(t, test.admit, validated.Allowed, "%+v", validated.Result)
		})
	}

	// Its own pods come back under the same exemption, and under none that was not recorded.
	back := func(record ...string) bool {
		_, validated := both(t, as(self, gpuDeployment("9", "1", "9", plainLabel), gpuDeployment("0", "1", "9", plainLabel, append(record, `kubetorch.com/replicas: "9"`)...)), exemptWorld(knativeWith("")))
		return validated.Allowed
	}
	assert.True(t, back(both2))
	assert.False(t, back())
}
