package review_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/review"
)

func TestListsThatAreTooLongToBeJudgedAreRefused(t *testing.T) {
	many := func(n int, entry string) string { return strings.TrimSuffix(strings.Repeat(entry+",", n), ",") }
	service := func(traffic, containers, env int) string {
		return fmt.Sprintf(`{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: svc}, spec: {traffic: [%s], template: {spec: {containers: [{image: a, env: [%s]}, %s]}}}}`,
			many(traffic, "{latestRevision: true}"), many(env, "{name: a, value: b}"), many(containers-1, "{image: b}"))
	}
	claim := func(kind, spec string, bytes int) string {
		of := fmt.Sprintf(`deviceClassName: gpu.nvidia.com, selectors: [{cel: {expression: "%s"}}]`, strings.Repeat("x", bytes/2))
		return fmt.Sprintf(`{apiVersion: resource.k8s.io/v1, kind: %s, metadata: {name: c}, spec: %s}`, kind,
			fmt.Sprintf(spec, `{devices: {requests: [{name: a, exactly: {`+of+`}}, {name: b, firstAvailable: [{name: x, `+of+`}]}]}}`))
	}
	for name, test := range map[string]struct{ object, old, says string }{
		"a claim of devices":        {object: claim("ResourceClaim", "%s", review.MaxSelectors)},
		"a template of such claims": {object: claim("ResourceClaimTemplate", "{spec: %s}", review.MaxSelectors)},
		"selectors of a claim":      {object: claim("ResourceClaim", "%s", review.MaxSelectors+2), says: `resourceclaim.resource.k8s.io "c" is invalid: spec.devices.requests: Too many: 65538: must have at most 65536 bytes of CEL expressions in all; use fewer`},
		"selectors of a template":   {object: claim("ResourceClaimTemplate", "{spec: %s}", review.MaxSelectors+2), says: `resourceclaimtemplate.resource.k8s.io "c" is invalid: spec.spec.devices.requests: Too many: 65538: must have at most 65536 bytes of CEL expressions in all; use fewer`},

		"as long as they may be": {object: service(review.MaxTraffic, review.MaxContainers, review.MaxEnv)},
		"traffic": {object: service(review.MaxTraffic+1, 2, 1),
			says: `service.serving.knative.dev "svc" is invalid: spec.traffic: Too many: 1001: must have at most 1000 entries; use fewer`},
		"all of it": {object: service(review.MaxTraffic+1, review.MaxContainers+1, review.MaxEnv+1),
			says: `service.serving.knative.dev "svc" is invalid: spec.traffic: Too many: 1001: must have at most 1000 entries; use fewer; ` +
				`spec.template.spec.containers: Too many: 251: must have at most 250 containers; use fewer; ` +
				`spec.template.spec.containers: Too many: 10001: must have at most 10000 environment variables in all; use fewer`},
		"an update of one that was as long": {object: service(review.MaxTraffic+1, 2, 1), old: service(review.MaxTraffic+1, 3, 1)},
		"and that gets longer": {object: service(review.MaxTraffic+2, 2, 1), old: service(review.MaxTraffic+1, 2, 1),
			says: `service.serving.knative.dev "svc" is invalid: spec.traffic: Too many: 1002: must have at most 1000 entries; use fewer`},
	} {
		t.Run(name, func(t *testing.T) {
			_, answer := review.Read(ask(test.object, test.old))
			if test.says == "" {
				assert.Nil(t, answer)
				return
			}
			require.NotNil(t, answer)
			assert.Equal(t, test.says, answer.Result.Message)
			assert.EqualValues(t, 422, answer.Result.Code)
		})
	}
}
