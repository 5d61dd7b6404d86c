package review_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/pkg/workload"
)

// storedObjects is a Reader of some objects, by kind.
type storedObjects map[schema.GroupKind][]manifest.Object

func (s storedObjects) Get(_ context.Context, kind schema.GroupKind, _, name string) (manifest.Object, error) {
	for _, o := range s[kind] {
		if manifest.Text(o, "metadata", "name") == name {
			return o, nil
		}
	}
	return nil, nil
}

func (s storedObjects) List(_ context.Context, kind schema.GroupKind, _ string, _ labels.Selector) ([]manifest.Object, error) {
	return s[kind], nil
}

// TestAPodWaitsForItsResourceClaimTemplate until that is there, and is then judged by it.
func TestAPodWaitsForItsResourceClaimTemplate(t *testing.T) {
	const job = `{apiVersion: batch/v1, kind: Job, metadata: {name: train, namespace: ml}, spec: {parallelism: 2, template: {spec: {resourceClaims: [{name: a, resourceClaimTemplateName: gpus}], containers: [{name: c}]}}}}`
	template := func(requests string) storedObjects {
		o, err := manifest.Decode(jsonOf(`{apiVersion: resource.k8s.io/v1, kind: ResourceClaimTemplate, metadata: {name: gpus, namespace: ml}, spec: {spec: {devices: {requests: [` + requests + `]}}}}`))
		require.NoError(t, err)
		return storedObjects{workload.ResourceClaimTemplateKind: {o}}
	}
	const house = `{metadata: {name: house}, spec: {bounds: {gpusPerPod: {max: 8}}}}`
	const missing = `spec.template.spec.resourceClaims[0].resourceClaimTemplateName: Not found: "gpus": there is no such ResourceClaimTemplate in the namespace, so the devices cannot be counted as GPUs; create it first; policy house bounds GPUs (bounds.gpusPerPod.max)`
	for name, test := range map[string]struct {
		policy  string
		stored  storedObjects
		offline bool
		code    int32
		message string
		warning []string
	}{
		"not there":                       {policy: house, stored: storedObjects{}, code: 429, message: `job.batch "train" is not admitted yet: ` + missing},
		"not there, and no bound on GPUs": {policy: `{metadata: {name: house}, spec: {bounds: {cpusPerPod: {max: 8}}}}`, stored: storedObjects{}},
		"not there, and only a warning":   {policy: `{metadata: {name: house}, spec: {bounds: {gpusPerPod: {max: 8, enforcement: Warn}}}}`, stored: storedObjects{}, warning: []string{missing[:len("spec.template.spec.resourceClaims[0].resourceClaimTemplateName")] + ` there is no such ResourceClaimTemplate in the namespace, so the devices cannot be counted as GPUs; create it first; policy house bounds GPUs (bounds.gpusPerPod.max)`}},
		"not among documents":             {policy: house, stored: storedObjects{}, offline: true, warning: []string{"spec.template.spec.resourceClaims[0].resourceClaimTemplateName: ResourceClaimTemplate gpus is not in the input; each claim of it is counted as one GPU"}},
		"there":                           {policy: house, stored: template(`{name: g, exactly: {deviceClassName: gpu.nvidia.com, count: 8}}`)},
		"with too much":                   {policy: house, stored: template(`{name: g, exactly: {deviceClassName: gpu.nvidia.com, count: 9}}`), code: 403, message: `job.batch "train" is forbidden: spec.template.spec.containers: Forbidden: asks for 9 GPUs per pod; policy house allows at most 8 (bounds.gpusPerPod.max)`},
		"of a class in neither list":      {policy: house, stored: template(`{name: g, exactly: {deviceClassName: secret}}`), code: 403, message: `job.batch "train" is forbidden: spec.template.spec.resourceClaims[0].resourceClaimTemplateName: Forbidden: ResourceClaimTemplate gpus: spec.spec.devices.requests[0].exactly.deviceClassName devices of DeviceClass secret, which no policy lists, cannot be counted as GPUs; the platform team lists it in gpuDeviceClasses, or in notGPUDeviceClasses if it has none; policy house bounds GPUs (bounds.gpusPerPod.max)`},
		"of a class that is none":         {policy: `{metadata: {name: house}, spec: {notGPUDeviceClasses: [secret], bounds: {gpusPerPod: {max: 8}}}}`, stored: template(`{name: g, exactly: {deviceClassName: secret, count: 16}}`)},
	} {
		t.Run(name, func(t *testing.T) {
			raw := request(job, "")
			raw.Name, raw.Kind = "train", metav1.GroupVersionKind{Group: "batch", Version: "v1", Kind: "Job"}
			w := world(test.policy)
			w.Reader = test.stored
			if !test.offline {
				w.Cluster = &review.Cluster{}
			}
			r, refused := review.Read(raw)
			require.Nil(t, refused)
			require.NoError(t, r.Resolve(t.Context(), w))
			got := validate(r, w)
			assert.Equal(t, test.warning, got.Warnings)
			if test.code == 0 {
				assert.True(t, got.Allowed, "%+v", got.Result)
				return
			}
			require.False(t, got.Allowed)
			assert.Equal(t, test.message, got.Result.Message)
			assert.Equal(t, test.code, got.Result.Code)
			assert.Equal(t, test.code == 429, got.Result.Details.RetryAfterSeconds > 0)
		})
	}
}

// TestAControllerIsNotHeldUpByATemplateThatIsNotThere: its client would wait with one of its few workers.
func TestAControllerIsNotHeldUpByATemplateThatIsNotThere(t *testing.T) {
	const job = `{apiVersion: batch/v1, kind: Job, metadata: {name: train, namespace: ml}, spec: {template: {spec: {resourceClaims: [{name: a, resourceClaimTemplateName: gpus}], containers: [{name: c}]}}}}`
	for user, seconds := range map[string]int32{
		"eve": 2, "system:serviceaccount:ml:cronjob-controller": 2, "system:serviceaccount:kube-system:cronjob-controller": 0, "system:kube-controller-manager": 0,
	} {
		raw := request(job, "")
		raw.Name, raw.Kind, raw.UserInfo.Username = "train", metav1.GroupVersionKind{Group: "batch", Version: "v1", Kind: "Job"}, user
		w := world(`{metadata: {name: house}, spec: {bounds: {gpusPerPod: {max: 8}}}}`)
		w.Reader, w.Cluster = storedObjects{}, &review.Cluster{}
		r, refused := review.Read(raw)
		require.Nil(t, refused)
		require.NoError(t, r.Resolve(t.Context(), w))
		got := validate(r, w)
		require.NotNil(t, got.Result, user)
		assert.EqualValues(t, 429, got.Result.Code, user)
		assert.Equal(t, seconds, got.Result.Details.RetryAfterSeconds, user)
	}
}

// TestAnOperatorsObjectWaitsForItsResourceClaimTemplate like a kind of Kubernetes' own: in any of its groups of
// pods.
func TestAnOperatorsObjectWaitsForItsResourceClaimTemplate(t *testing.T) {
	const pods = `{spec: {resourceClaims: [{name: a, resourceClaimTemplateName: gpus}], containers: [{name: c}]}}`
	for at, object := range map[string]string{
		"spec.replicatedJobs[0].template.spec.template.spec": `{apiVersion: jobset.x-k8s.io/v1alpha2, kind: JobSet, metadata: {name: o, namespace: ml}, spec: {replicatedJobs: [{name: w, template: {spec: {template: ` + pods + `}}}]}}`,
		"spec.leaderWorkerTemplate.workerTemplate.spec":      `{apiVersion: leaderworkerset.x-k8s.io/v1, kind: LeaderWorkerSet, metadata: {name: o, namespace: ml}, spec: {leaderWorkerTemplate: {workerTemplate: ` + pods + `}}}`,
		"spec.workerGroupSpecs[1].template.spec":             `{apiVersion: ray.io/v1, kind: RayCluster, metadata: {name: o, namespace: ml}, spec: {headGroupSpec: {template: {spec: {}}}, workerGroupSpecs: [{replicas: 1, template: {spec: {}}}, {replicas: 1, template: ` + pods + `}]}}`,
		"spec.pytorchReplicaSpecs[Worker].template.spec":     `{apiVersion: kubeflow.org/v1, kind: PyTorchJob, metadata: {name: o, namespace: ml}, spec: {pytorchReplicaSpecs: {Worker: {template: ` + pods + `}}}}`,
	} {
		t.Run(at, func(t *testing.T) {
			o, err := manifest.Decode(jsonOf(object))
			require.NoError(t, err)
			kind := workload.KindOf(o)
			answer := func(gpus string) *metav1.Status {
				raw := request(object, "")
				raw.Name, raw.Kind = "o", metav1.GroupVersionKind{Group: kind.Group, Version: "v1", Kind: kind.Kind}
				w := world(`{metadata: {name: house}, spec: {bounds: {gpusPerPod: {max: 8}}}}`)
				stored := storedObjects{}
				if gpus != "" {
					template, err := manifest.Decode(jsonOf(`{apiVersion: resource.k8s.io/v1, kind: ResourceClaimTemplate, metadata: {name: gpus, namespace: ml}, spec: {spec: {devices: {requests: [{name: g, exactly: {deviceClassName: gpu.nvidia.com, count: ` + gpus + `}}]}}}}`))
					require.NoError(t, err)
					stored[workload.ResourceClaimTemplateKind] = []manifest.Object{template}
				}
				w.Reader, w.Cluster = stored, &review.Cluster{}
				r, refused := review.Read(raw)
				require.Nil(t, refused)
				require.NoError(t, r.Resolve(t.Context(), w))
				return validate(r, w).Result
			}
			missing := answer("")
			require.NotNil(t, missing)
			assert.Contains(t, missing.Message, at+`.resourceClaims[0].resourceClaimTemplateName: Not found: "gpus": there is no such ResourceClaimTemplate`)
			assert.EqualValues(t, 429, missing.Code)
			assert.Nil(t, answer("8"), "as many as are allowed")
			tooMany := answer("9")
			require.NotNil(t, tooMany)
			assert.Contains(t, tooMany.Message, "asks for 9 GPUs per pod; policy house allows at most 8")
			assert.EqualValues(t, 403, tooMany.Code)
		})
	}
}
