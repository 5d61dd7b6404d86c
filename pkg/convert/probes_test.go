package convert_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// A probe that runs nothing is no default of the API server's: it is refused, and not left out.
func TestProbesOfNothingAreRefused(t *testing.T) {
	const at = "spec.template.spec.containers[0]."
	for probe, want := range map[string][]string{
		`livenessProbe: {exec: {}}`:                {at + "livenessProbe.exec.command: Required value: Kubernetes takes no probe that runs nothing; give the command"},
		`startupProbe: {exec: {command: []}}`:      {at + "startupProbe.exec.command: Required value: Kubernetes takes no probe that runs nothing; give the command"},
		`livenessProbe: {grpc: {}}`:                {at + "livenessProbe.grpc.port: Required value: Knative fills no port in here, and Kubernetes takes none without one; give the port's number"},
		`livenessProbe: {grpc: {port: 99999}}`:     {at + "livenessProbe.grpc.port: Invalid value: 99999: must be between 1 and 65535"},
		`readinessProbe: {tcpSocket: {port: 8e4}}`: {at + "readinessProbe.tcpSocket.port: Invalid value: 80000: must be between 1 and 65535"},
		`readinessProbe: {exec: null}`:             nil,
		`livenessProbe: {exec: {command: [x]}}`:    nil,
	} {
		t.Run(probe, func(t *testing.T) {
			v := verdict(t, parse(t, `{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, labels: {kubetorch.com/autoscale: "true"}}, spec: {selector: {matchLabels: {app: web}},
				template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: acme/web, ports: [{containerPort: 8080}], `+probe+`}]}}}}`), everyFlag)
			var got []string
			for _, e := range v.Errors {
				got = append(got, e.Error())
			}
			assert.Equal(t, want, got)
		})
	}
}
