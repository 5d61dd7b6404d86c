package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	"gopkg.in/evanphx/json-patch.v4"
)

const reviewUID = "2d5d4b8e-9a7d-45a3-9b1f-8a6d2c8b7e11"

// review is one request, and what has to come of it.
type review struct {
	name, path       string
	body             []byte
	refused, patched bool
}

// service is a labelled Knative Service as an API server sends it.
const service = `{"apiVersion":"serving.knative.dev/v1","kind":"Service","metadata":{"name":"inference","namespace":"default","uid":"0b1c9a3e-63fd-4b57-8a35-5b46a2ac3f0d","generation":1,"creationTimestamp":"2026-01-02T03:04:05Z",` +
	`"labels":{"kubetorch.com/autoscale":"true","team":"nlp"},"annotations":{"compute.kubetorch.com/gpus":"1","compute.kubetorch.com/cpus":"4","compute.kubetorch.com/memory":"16Gi","autoscale.kubetorch.com/max-scale":"10","autoscale.kubetorch.com/target":"5"},` +
	`"managedFields":[{"manager":"kubectl-create","operation":"Update","apiVersion":"serving.knative.dev/v1","time":"2026-01-02T03:04:05Z","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:annotations":{".":{},"f:compute.kubetorch.com/gpus":{},"f:compute.kubetorch.com/cpus":{},"f:compute.kubetorch.com/memory":{},"f:autoscale.kubetorch.com/max-scale":{},"f:autoscale.kubetorch.com/target":{}},"f:labels":{".":{},"f:kubetorch.com/autoscale":{},"f:team":{}}},"f:spec":{".":{},"f:template":{".":{},"f:spec":{".":{},"f:containers":{}}}}}}]},` +
	`"spec":{"template":{"metadata":{},"spec":{"containers":[{"name":"app","image":"pytorch/pytorch:2.0.0","args":["python","-m","serve"],"ports":[{"containerPort":8080}],"env":[{"name":"MODEL","value":"llama"}],"resources":{}}]}}},"status":{}}`

// reviews are what every subject is asked.
func reviews(subjects []*subject) ([]review, error) {
	plain := bytes.ReplaceAll([]byte(service), []byte("kubetorch.com/"), []byte("example.com/"))
	create := review{name: "full expansion", path: "/mutate", body: body("CREATE", "serving.knative.dev", "Service", "services", []byte(service), nil), patched: true}
	all := []review{
		{name: "another kind", path: "/mutate", body: body("CREATE", "", "ConfigMap", "configmaps", plain, nil)},
		{name: "unlabelled Service", path: "/mutate", body: body("CREATE", "serving.knative.dev", "Service", "services", plain, nil), patched: true},
		create,
		{name: "refusal", path: "/mutate", body: body("CREATE", "serving.knative.dev", "Service", "services",
			bytes.Replace([]byte(service), []byte(`gpus":"1"`), []byte(`gpus":"1.5"`), 1), nil), refused: true},
	}
	for _, s := range subjects {
		if s.name != "kubetorch" {
			continue
		}
		text, err := s.patchOf(create)
		if err != nil {
			return nil, err
		}
		patch, err := jsonpatch.DecodePatch(text)
		if err != nil {
			return nil, err
		}
		expanded, err := patch.Apply([]byte(service))
		if err != nil {
			return nil, err
		}
		relabelled := bytes.Replace(expanded, []byte(`"team":"nlp"`), []byte(`"team":"search"`), 1)
		all = append(all, review{name: "update, empty patch", path: "/mutate", body: body("UPDATE", "serving.knative.dev", "Service", "services", relabelled, expanded)})
	}
	for _, r := range all {
		if !json.Valid(r.body) {
			return nil, fmt.Errorf("%s is no JSON", r.name)
		}
	}
	return all, nil
}

func body(operation, group, kind, resource string, object, old []byte) []byte {
	if old == nil {
		old = []byte("null")
	}
	return fmt.Appendf(nil, `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":%q,"kind":{"group":%q,"version":"v1","kind":%q},"resource":{"group":%q,"version":"v1","resource":%q},`+
		`"requestKind":{"group":%q,"version":"v1","kind":%q},"requestResource":{"group":%q,"version":"v1","resource":%q},"name":"inference","namespace":"default","operation":%q,`+
		`"userInfo":{"username":"alice@example.com","groups":["ml-engineers","system:authenticated"]},"object":%s,"oldObject":%s,"dryRun":false,"options":{"kind":"CreateOptions","apiVersion":"meta.k8s.io/v1"}}}`,
		reviewUID, group, kind, group, resource, group, kind, group, resource, operation, object, old)
}
