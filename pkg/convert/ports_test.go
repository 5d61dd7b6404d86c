package convert_test

import "testing"

func TestPorts(t *testing.T) {
	pod := func(port string) string {
		return `{containers: [{name: web, image: acme/web:1, ports: [` + port + `]}]}`
	}
	const one = "Knative sends requests to one port of one container; keep the one that serves them and remove the others: a container listens on a port whether or not it is listed"
	const node = "a Knative Service cannot use ports of its node; remove it"
	at := "spec.template.spec.containers[0].ports"
	rows := map[string]row{
		"no port is Knative's default": {container: `ports: []`, wantPod: `{containers: [{name: web, image: acme/web:1}]}`,
			warnings: []string{"spec.template.spec.containers[0] states no port, so Knative sends requests to 8080; state containerPort if the container listens on another one"}},
		"more than one is refused": {container: `ports: [{containerPort: 80, name: http}, {containerPort: 9000, name: metrics}, {containerPort: 81}]`, wantPod: pod(`{containerPort: 80}`),
			refused: []string{at + `: Invalid value: "http 80, metrics 9000, 81": ` + one}},
		"more than one over all containers are refused": {
			pod:     `containers: [{name: a, image: acme/a:1, ports: [{containerPort: 80}]}, {name: b, image: acme/b:1, ports: [{containerPort: 81}]}]`,
			wantPod: `{containers: [{name: a, image: acme/a:1, ports: [{containerPort: 80}]}, {name: b, image: acme/b:1}]}`,
			refused: []string{`spec.template.spec.containers: Invalid value: "80, 81": ` + one}},
		"one of several containers has the port": {
			pod:     `containers: [{name: a, image: acme/a:1, env: [{name: PORT, value: "5"}]}, {name: b, image: acme/b:1, ports: [{containerPort: 81}]}]`,
			wantPod: `{containers: [{name: a, image: acme/a:1, env: [{name: PORT, value: "5"}]}, {name: b, image: acme/b:1, ports: [{containerPort: 81}]}]}`},
		"several containers without a port are refused": {
			pod:     `containers: [{name: a, image: acme/a:1}, {name: b, image: acme/b:1}]`,
			wantPod: `{containers: [{name: a, image: acme/a:1, ports: [{containerPort: 8080}]}, {name: b, image: acme/b:1}]}`,
			refused: []string{`spec.template.spec.containers: Invalid value: 2: Knative sends requests to the container that states a port; state containerPort of the one that serves them`}},
		"UDP is refused and does not count": {container: `ports: [{containerPort: 53, protocol: UDP}, {containerPort: 8080}]`,
			refused: []string{at + `[0].protocol: Forbidden: Knative sends HTTP requests over TCP and nothing else; remove the port`}},
		"a port of the node is refused": {container: `ports: [{containerPort: 8080, hostPort: 80, hostIP: 10.0.0.1}]`,
			refused: []string{at + `[0].hostIP: Forbidden: ` + node, at + `[0].hostPort: Forbidden: ` + node}},
		"on the host's network the port of the node is a default": {pod: `hostNetwork: true`, container: `ports: [{containerPort: 8080, hostPort: 8080}]`,
			wantPod: `{hostNetwork: true, ` + plainPod[1:]},
		"a port that says TLS is refused": {container: `ports: [{containerPort: 8443, name: https}]`, wantPod: pod(`{containerPort: 8443}`),
			refused: []string{at + `[0].name: Invalid value: "https": Knative speaks plain HTTP to the container; have it serve HTTP, and leave TLS to the ingress`}},
		"a port that says it is no HTTP is warned of": {container: `ports: [{containerPort: 6379, name: tcp-redis}]`, wantPod: pod(`{containerPort: 6379}`),
			warnings: []string{at + `[0].name: Knative sends nothing but HTTP requests to the port tcp-redis`}},
		"a gRPC probe tells what an unnamed port speaks": {container: `ports: [{containerPort: 9000}], livenessProbe: {grpc: {port: 9000}}`,
			wantPod: `{containers: [{name: web, image: acme/web:1, ports: [{containerPort: 9000, name: h2c}], livenessProbe: {grpc: {port: 9000}}}]}`},
		"a gRPC probe of another port does not": {container: `livenessProbe: {grpc: {port: 9000}}`,
			wantPod: `{containers: [{name: web, image: acme/web:1, ports: [{containerPort: 8080}], livenessProbe: {grpc: {port: 9000}}}]}`},
	}
	for name, want := range map[string]string{"http": "http1", "http1": "http1", "http-api": "http1", "h2c": "h2c", "http2": "h2c", "http2-api": "h2c",
		"grpc": "h2c", "grpc-web": "h2c", "web": "", "serve": "", "httpx": ""} {
		port := `{containerPort: 8080, name: ` + want + `}`
		if want == "" {
			port = `{containerPort: 8080}`
		}
		rows["the name "+name+" becomes "+want] = row{container: `ports: [{containerPort: 8080, name: ` + name + `}]`, wantPod: pod(port)}
	}
	runAll(t, rows)
}

func TestProbes(t *testing.T) {
	named := func(probes string) string {
		return `ports: [{containerPort: 8080, name: web}], ` + probes
	}
	pod := func(probes string) string {
		return `{containers: [{name: web, image: acme/web:1, ports: [{containerPort: 8080}], ` + probes + `}]}`
	}
	const flag = "multi-container-probing: spec.template.spec.containers[0].livenessProbe."
	runAll(t, map[string]row{
		"the API server's defaults count as not stated": {
			container: `readinessProbe: {httpGet: {path: /, port: 8080, scheme: HTTP}, periodSeconds: 10, timeoutSeconds: 1, successThreshold: 1, failureThreshold: 3}, livenessProbe: {grpc: {port: 8080, service: ""}, initialDelaySeconds: 0, periodSeconds: 10}`,
			wantPod:   `{containers: [{name: web, image: acme/web:1, ports: [{containerPort: 8080, name: h2c}], readinessProbe: {httpGet: {port: 8080}}, livenessProbe: {grpc: {port: 8080}}}]}`},
		"named ports become numbers": {container: named(`readinessProbe: {httpGet: {port: web}}, livenessProbe: {tcpSocket: {port: web}}, startupProbe: {httpGet: {port: web, path: /s}}`),
			wantPod: pod(`readinessProbe: {httpGet: {port: 8080}}, livenessProbe: {tcpSocket: {port: 8080}}, startupProbe: {httpGet: {port: 8080, path: /s}}`)},
		"a name that no port has is refused": {container: `readinessProbe: {httpGet: {port: web}}`, wantPod: pod(`readinessProbe: {httpGet: {port: 8080}}`),
			refused: []string{`spec.template.spec.containers[0].readinessProbe.httpGet.port: Invalid value: "web": no port of this container has this name`}},
		"a longer timeout of the readiness probe keeps its period": {container: `readinessProbe: {httpGet: {port: 8080}, timeoutSeconds: 5}`,
			wantPod: pod(`readinessProbe: {httpGet: {port: 8080}, timeoutSeconds: 5, periodSeconds: 10}`)},
		"more failures of the readiness probe keep its period": {container: `readinessProbe: {exec: {command: [ok]}, failureThreshold: 30}`,
			wantPod: pod(`readinessProbe: {exec: {command: [ok]}, failureThreshold: 30, periodSeconds: 10}`)},
		"a period of its own is kept": {container: `readinessProbe: {httpGet: {port: 8080}, periodSeconds: 5, timeoutSeconds: 1}`,
			wantPod: pod(`readinessProbe: {httpGet: {port: 8080}, periodSeconds: 5}`)},
		"a readiness probe of another port is kept": {container: `readinessProbe: {httpGet: {port: 9000, path: /ready}}`, wantPod: pod(`readinessProbe: {httpGet: {port: 9000, path: /ready}}`)},
		"a liveness probe of another port needs a flag": {container: `livenessProbe: {httpGet: {port: 9000}}`, wantPod: pod(`livenessProbe: {httpGet: {port: 9000}}`),
			needs: []string{flag + `httpGet.port: Invalid value: 9000: Knative sends the liveness probe to the port that serves requests, 8080; answer it there`}},
		"a liveness probe hints at the port of a container that states none": {container: `ports: [], livenessProbe: {tcpSocket: {port: 9000}}`,
			wantPod:  `{containers: [{name: web, image: acme/web:1, livenessProbe: {tcpSocket: {port: 9000}}}]}`,
			needs:    []string{flag + `tcpSocket.port: Invalid value: 9000: Knative sends the liveness probe to the port that serves requests, 8080; answer it there, or state containerPort: 9000 if that is the port that serves requests`},
			warnings: []string{"spec.template.spec.containers[0] states no port, so Knative sends requests to 8080; state containerPort if the container listens on another one"}},
		"a liveness probe of the only default port is right": {container: `ports: [], livenessProbe: {tcpSocket: {port: 8080}}`,
			wantPod:  `{containers: [{name: web, image: acme/web:1, livenessProbe: {tcpSocket: {port: 8080}}}]}`,
			warnings: []string{"spec.template.spec.containers[0] states no port, so Knative sends requests to 8080; state containerPort if the container listens on another one"}},
		"parts of a probe that Knative cannot hold are refused": {
			container: `livenessProbe: {httpGet: {port: 8080}, terminationGracePeriodSeconds: 5}`, wantPod: pod(`livenessProbe: {httpGet: {port: 8080}}`),
			refused: []string{"spec.template.spec.containers[0].livenessProbe.terminationGracePeriodSeconds: Forbidden: a Knative Service cannot hold it; remove it"}},
	})
}
