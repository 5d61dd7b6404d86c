package convert_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/convert"
	"github.com/kubetorch/webhook/pkg/manifest"
)

func TestNames(t *testing.T) {
	const label = "the Knative Service is named after the Deployment and needs a DNS-1035 label (lower-case letters, digits and '-', starting with a letter, at most 63 characters); rename it, or set autoscale.kubetorch.com/service-name, to "
	long := "a23456789012345678901234567890123456789012345678901234567890123-x"
	for name, c := range map[string]struct {
		metadata, want, refused string
	}{
		"its own":                              {`{name: web}`, "web", ""},
		"service-name as an annotation":        {`{name: my.app, annotations: {autoscale.kubetorch.com/service-name: web}}`, "web", ""},
		"service-name as a label":              {`{name: my.app, labels: {autoscale.kubetorch.com/service-name: web}}`, "web", ""},
		"a bad service-name is left to others": {`{name: web, annotations: {autoscale.kubetorch.com/service-name: My_App}}`, "web", ""},
		"dots":                                 {`{name: my.app}`, "my-app", `metadata.name: Invalid value: "my.app": ` + label + "my-app say"},
		"a digit first":                        {`{name: 1svc}`, "app-1svc", `metadata.name: Invalid value: "1svc": ` + label + "app-1svc say"},
		"capitals":                             {`{name: My}`, "my", `metadata.name: Invalid value: "My": ` + label + "my say"},
		"more than 63 characters":              {`{name: ` + long + `}`, long[:63], `metadata.name: Invalid value: "` + long + `": ` + label + long[:63] + " say"},
		"a generated one":                      {`{generateName: web-}`, "", "metadata.name: Required value: the Knative Service is named after the Deployment, which therefore needs a name of its own; generateName does not do"},
	} {
		t.Run(name, func(t *testing.T) {
			d := web(t, "", "", "")
			d["metadata"] = parse(t, c.metadata)
			service, _, errs := convert.Service(d, convert.Surroundings{})
			require.NotNil(t, service)
			assert.Equal(t, c.want, manifest.Text(service, "metadata", "name"))
			var want []string
			if c.refused != "" {
				want = []string{c.refused}
			}
			assert.Equal(t, want, words(errs))
		})
	}
}

func TestMetadataOfTheServiceAndItsTemplate(t *testing.T) {
	d := parse(t, `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
  uid: abc
  generation: 4
  ownerReferences: [{kind: Shop, name: shop}]
  finalizers: [keep]
  labels: {app: web, kubetorch.com/autoscale: batch, kubetorch.com/compute: "true"}
  annotations:
    autoscale.kubetorch.com/max-scale: "5"
    compute.kubetorch.com/cpus: "2"
    kubectl.kubernetes.io/last-applied-configuration: "{}"
    deployment.kubernetes.io/revision: "4"
    argocd.argoproj.io/tracking-id: x
    internal.config.kubernetes.io/path: web.yaml
    team: shop
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata:
      name: ignored
      creationTimestamp: null
      labels: {app: web, kubetorch.com/autoscale: "true", kubetorch.com/compute: "true", autoscale.kubetorch.com/max-scale: "7", kubetorch.com/service: web}
      annotations: {compute.kubetorch.com/cpus: "9", autoscaling.knative.dev/min-scale: "1", checksum: abc}
    spec:
      containers: [{name: web, image: acme/web:1, ports: [{containerPort: 8080}]}]
`)
	want := parse(t, `
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: web
  namespace: shop
  labels: {app: web, kubetorch.com/autoscale: batch, kubetorch.com/compute: "true"}
  annotations: {autoscale.kubetorch.com/max-scale: "5", compute.kubetorch.com/cpus: "2", internal.config.kubernetes.io/path: web.yaml, team: shop}
spec:
  template:
    metadata:
      labels: {app: web, kubetorch.com/service: web}
      annotations: {autoscaling.knative.dev/min-scale: "1", checksum: abc}
    spec:
      containers: [{name: web, image: acme/web:1, ports: [{containerPort: 8080}]}]
`)
	for _, source := range []manifest.Object{d, defaulted(t, d)} {
		service, notes, errs := convert.Service(source, convert.Surroundings{})
		assert.Empty(t, errs)
		assert.Empty(t, notes.Warnings)
		assert.Equal(t, want, service)
	}
}

func TestATemplateWithoutMetadataGetsNone(t *testing.T) {
	d := parse(t, `{metadata: {name: web}, spec: {template: {metadata: {labels: {kubetorch.com/autoscale: "true"}}, spec: {containers: [{name: web, image: acme/web:1, ports: [{containerPort: 1}]}]}}}}`)
	service, _, errs := convert.Service(d, convert.Surroundings{})
	assert.Empty(t, errs)
	assert.Equal(t, []string{"spec"}, keys(manifest.Map(service, "spec", "template")))
}

func keys(o manifest.Object) []string {
	var all []string
	for k := range o {
		all = append(all, k)
	}
	return all
}

func TestPathsOfTheServiceAreThoseOfTheDeployment(t *testing.T) {
	d := web(t, `progressDeadlineSeconds: 900`,
		`serviceAccount: web, volumes: [{name: unused}, {name: used}]`,
		`env: [{name: PORT, value: "8080"}, {name: A}], volumeMounts: [{name: used, mountPath: /u}], ports: [{containerPort: 53, protocol: UDP}, {containerPort: 8080}]`)
	manifest.Map(d, "metadata")["annotations"] = manifest.Object{"autoscale.kubetorch.com/service-name": "other"}
	_, notes, _ := convert.Service(d, convert.Surroundings{})
	for service, deployment := range map[string]string{
		"metadata.name": "metadata.annotations[autoscale.kubetorch.com/service-name]",
		"spec.template.metadata.annotations[serving.knative.dev/progress-deadline]": "spec.progressDeadlineSeconds",
		"spec.template.metadata.annotations[autoscaling.knative.dev/max-scale]":     "spec.template.metadata.annotations[autoscaling.knative.dev/max-scale]",
		"spec.template.spec.volumes[0].emptyDir":                                    "spec.template.spec.volumes[1].emptyDir",
		"spec.template.spec.volumes[01]":                                            "spec.template.spec.volumes[01]",
		"spec.template.spec.containers[0].env[0].value":                             "spec.template.spec.containers[0].env[1].value",
		"spec.template.spec.containers[0].ports[0].name":                            "spec.template.spec.containers[0].ports[1].name",
		"spec.template.spec.containers[0].image":                                    "spec.template.spec.containers[0].image",
		"spec.template.spec.serviceAccountName":                                     "spec.template.spec.serviceAccount",
	} {
		assert.Equal(t, deployment, notes.Path(service), service)
	}
	related := notes.Relate(field.ErrorList{field.Invalid(field.NewPath("metadata", "annotations").Key("autoscale.kubetorch.com/progress-deadline"), "5m",
		"differs from spec.template.metadata.annotations[serving.knative.dev/progress-deadline]: 900s; state it once")})
	assert.Equal(t, []string{`metadata.annotations[autoscale.kubetorch.com/progress-deadline]: Invalid value: "5m": differs from spec.progressDeadlineSeconds: 900s; state it once`}, words(related))
}

func TestRevisionOwner(t *testing.T) {
	for name, c := range map[string]struct {
		owners string
		made   bool
	}{
		"nobody":                                {`[]`, false},
		"a Revision":                            {`[{apiVersion: serving.knative.dev/v1, kind: Revision, name: web-00001, uid: u, controller: true}]`, true},
		"a Revision of an old API":              {`[{apiVersion: serving.knative.dev/v1beta1, kind: Revision, name: web-00001, uid: u, controller: true}]`, true},
		"a Revision that is not the controller": {`[{apiVersion: serving.knative.dev/v1, kind: Revision, name: web-00001, uid: u}]`, false},
		"a Revision of somebody else's":         {`[{apiVersion: apps/v1, kind: Revision, name: web-00001, uid: u, controller: true}]`, false},
		"something else of Knative's":           {`[{apiVersion: serving.knative.dev/v1, kind: Service, name: web, uid: u, controller: true}]`, false},
		"a Revision beside somebody else":       {`[{apiVersion: v1, kind: A, name: a}, {apiVersion: serving.knative.dev/v1, kind: Revision, name: web-00001, uid: u, controller: true}]`, true},
	} {
		t.Run(name, func(t *testing.T) {
			revision, uid, made := convert.RevisionOwner(parse(t, `{metadata: {ownerReferences: `+c.owners+`}}`))
			assert.Equal(t, c.made, made)
			if c.made {
				assert.Equal(t, "web-00001 u", revision+" "+uid)
			}
		})
	}
}

func TestATakenNameIsRefusedWhereItStands(t *testing.T) {
	d := web(t, "", "", "")
	_, notes, _ := convert.Service(d, convert.Surroundings{})
	const want = `: Invalid value: "web": is the name of the core Service shop/web, so the Knative Service would never get ready; rename one of them, or set autoscale.kubetorch.com/service-name to another name`
	assert.Equal(t, "metadata.name"+want, notes.NameTaken("web", "the core Service shop/web").Error())
	manifest.Map(d, "metadata", "labels")["autoscale.kubetorch.com/service-name"] = "web"
	_, notes, _ = convert.Service(d, convert.Surroundings{})
	assert.Equal(t, "metadata.labels[autoscale.kubetorch.com/service-name]"+want, notes.NameTaken("web", "the core Service shop/web").Error())
}
