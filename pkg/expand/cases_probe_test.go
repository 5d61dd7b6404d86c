package expand_test

import (
	"testing"

	"github.com/kubetorch/webhook/pkg/parameter"
)

// Probes that Knative takes, and that Kubernetes refuses in the pod or nobody can ask.
func TestCasesProbesOfNoUse(t *testing.T) {
	const (
		container = "spec.template.spec.containers[0]."
		nothing   = "exec.command: Required value: Kubernetes takes no probe that runs nothing; give the command"
		range_    = "must be between 1 and 65535"
		filled    = "Knative fills no port in here, and Kubernetes takes none without one; give the port's number"
		schemes   = "; allowed: HTTP, HTTPS"
		header    = `Invalid value: "a b": invalid value: "a b"; allowed: a header's name, of letters, digits and -, such as X-Probe`
		beside    = "spec.template.spec.containers[1].readinessProbe."
	)
	probing := func() cluster { return inCluster("features", "multi-container-probing", "enabled") }
	sidecar := func(probe string) *manifestBuilder {
		return autoscaled().pod(`{containers: [{image: a/b, ports: [{containerPort: 8080}]}, {name: side, image: c/d, readinessProbe: ` + probe + `}]}`)
	}
	rows := map[string]row{
		"a sidecar's readiness by a command": {in: sidecar(`{exec: {command: [x]}}`), at: probing(),
			refused: []string{beside + `exec: Invalid value: "exec": Knative makes no Revision with it: it asks containers beside the serving one by their port; use httpGet, tcpSocket or grpc`}},
		"a sidecar's readiness by a named port": {in: sidecar(`{tcpSocket: {port: web}}`), at: probing(),
			refused: []string{beside + `tcpSocket.port: Invalid value: "web": Knative makes no Revision with it: it asks containers beside the serving one by a number; give the port's number`}},
		"a sidecar's readiness by a number": {in: sidecar(`{tcpSocket: {port: 5000}}`), at: probing(), want: kpa()},
	}
	for probe, refused := range map[string][]string{
		`livenessProbe: {exec: {}}`:                                             {"livenessProbe." + nothing},
		`readinessProbe: {exec: {command: []}}`:                                 {"readinessProbe." + nothing},
		`startupProbe: {exec: {}}`:                                              {"startupProbe." + nothing},
		`livenessProbe: {exec: {command: [x]}}`:                                 nil,
		`livenessProbe: {grpc: {port: 99999}}`:                                  {"livenessProbe.grpc.port: Invalid value: 99999: " + range_},
		`livenessProbe: {grpc: {}}`:                                             {"livenessProbe.grpc.port: Required value: " + filled},
		`livenessProbe: {grpc: {port: 8080}}`:                                   nil,
		`livenessProbe: {tcpSocket: {}}`:                                        nil,
		`readinessProbe: {grpc: {}}`:                                            nil,
		`readinessProbe: {tcpSocket: {port: 70000}}`:                            {"readinessProbe.tcpSocket.port: Invalid value: 70000: " + range_},
		`readinessProbe: {httpGet: {port: -1}}`:                                 {"readinessProbe.httpGet.port: Invalid value: -1: " + range_},
		`readinessProbe: {httpGet: {}}`:                                         nil,
		`startupProbe: {httpGet: {scheme: ftp, port: 8080}}`:                    {`startupProbe.httpGet.scheme: Invalid value: "ftp": invalid value: ftp` + schemes},
		`livenessProbe: {httpGet: {scheme: http}}`:                              {`livenessProbe.httpGet.scheme: Invalid value: "http": invalid value: http` + schemes},
		`livenessProbe: {httpGet: {scheme: HTTPS}}`:                             nil,
		`readinessProbe: {httpGet: {scheme: http}}`:                             nil,
		`readinessProbe: {httpGet: {scheme: ftp}}`:                              {`readinessProbe.httpGet.scheme: Invalid value: "ftp": invalid value: ftp` + schemes},
		`livenessProbe: {httpGet: {httpHeaders: [{name: "a b", value: c}]}}`:    {"livenessProbe.httpGet.httpHeaders[0].name: " + header},
		`readinessProbe: {httpGet: {httpHeaders: [{name: "a b", value: c}]}}`:   {"readinessProbe.httpGet.httpHeaders[0].name: " + header},
		`readinessProbe: {httpGet: {httpHeaders: [{name: a_b, value: c}]}}`:     nil,
		`livenessProbe: {httpGet: {httpHeaders: [{name: X-Probe, value: c}]}}`:  nil,
		`livenessProbe: {httpGet: {}, terminationGracePeriodSeconds: 0}`:        {"livenessProbe.terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0; without it the pod's own counts"},
		`livenessProbe: {httpGet: {}, terminationGracePeriodSeconds: 5}`:        nil,
		`startupProbe: {grpc: {port: 8080}, terminationGracePeriodSeconds: -1}`: {"startupProbe.terminationGracePeriodSeconds: Invalid value: -1: must be greater than 0; without it the pod's own counts"},
	} {
		all := make([]string, len(refused))
		for i, words := range refused {
			all[i] = container + words
		}
		if refused == nil {
			all = nil
		}
		compute := plain().label(parameter.ComputeLabel, "true").pod(onePod(probe))
		r := row{in: autoscaled().pod(onePod(probe)), refused: all}
		c := row{in: compute, refused: all}
		if refused == nil {
			r.want = kpa()
		}
		rows[probe], rows[probe+" of a computing Service"] = r, c
	}
	runRows(t, rows)
}

// A Knative Service that only computes has a deadline too: Knative's, which ends it.
func TestCasesDeadlineOfComputing(t *testing.T) {
	const slow = `startupProbe: {httpGet: {path: /health, port: 8080}, periodSeconds: 5, failureThreshold: 300}`
	computing := func(probe string) *manifestBuilder {
		return plain().label(parameter.ComputeLabel, "true").pod(onePod(probe))
	}
	deadline := func(text string) map[string]string {
		return map[string]string{"serving.knative.dev/progress-deadline": text}
	}
	const quick = `startupProbe: {httpGet: {path: /health, port: 8080}, periodSeconds: 5, failureThreshold: 100}`
	runRows(t, map[string]row{
		"a start of 25 minutes gets the time":                   {in: computing(slow), want: deadline("1800s")},
		"a delay of readiness does too":                         {in: computing(`readinessProbe: {httpGet: {}, initialDelaySeconds: 900}`), want: deadline("1080s")},
		"a start within the cluster's deadline asks for none":   {in: computing(quick)},
		"unless the cluster's is shorter":                       {in: computing(quick), at: inCluster("deployment", "progress-deadline", "120s"), want: deadline("10m")},
		"a longer deadline of the cluster's is enough":          {in: computing(slow), at: inCluster("deployment", "progress-deadline", "30m")},
		"a deadline of the user's that is too short is refused": {in: computing(slow).native("progress-deadline", "10m"), refused: []string{`spec.template.metadata.annotations[serving.knative.dev/progress-deadline]: Invalid value: "10m": is shorter than the 25m that the startup probe allows (initialDelaySeconds + failureThreshold x periodSeconds), so a slow start would be cut off`}},
		"a longer deadline of the user's stays":                 {in: computing(slow).native("progress-deadline", "26m"), want: deadline("26m")},
		"a default that is too short gives way":                 {in: computing(slow), at: inCluster().under(`{metadata: {name: house}, spec: {defaults: {compute: {launchTimeout: 2m}}}}`), want: deadline("1800s")},
		"a default that is long enough counts":                  {in: computing(slow), at: inCluster().under(`{metadata: {name: house}, spec: {defaults: {compute: {launchTimeout: 40m}}}}`), want: deadline("2880s")},
		"a bound lowers it, with a warning":                     {in: computing(slow), at: inCluster().under(`{metadata: {name: house}, spec: {bounds: {progressDeadline: {max: 20m}}}}`), want: deadline("20m"), warnings: []string{"progress-deadline 20m (policy house (bounds.progressDeadline.max)) is shorter than the 25m that the startup probe allows (initialDelaySeconds + failureThreshold x periodSeconds)"}},
	})
}
