package convert_test

import "testing"

func TestPorts(t *testing.T) {
	pod := func(port string) string {
		return `{containers: [{name: web, image: acme/web:1, ports: [` + port + `]}]}`
	}
	const one = "Knative sends requests to one port, and it is not clear which of these serves them; set autoscale.kubetorch.com/port to its number or name"
	out := func(ports ...string) (warnings []string) {
		for i := 0; i < len(ports); i += 2 {
			warnings = append(warnings, "spec.template.spec.containers"+ports[i]+" is left out: requests go to port "+ports[i+1]+" alone; what the container listens on besides is reached at the pod's own address")
		}
		return warnings
	}
	const node = "a Knative Service cannot use ports of its node; remove it"
	at := "spec.template.spec.containers[0].ports"
	rows := map[string]row{
		"no port is Knative's default": {container: `ports: []`, wantPod: `{containers: [{name: web, image: acme/web:1}]}`,
			warnings: []string{"spec.template.spec.containers[0] states no port, so Knative sends requests to 8080, and without an answer there the revision never gets ready; set autoscale.kubetorch.com/port if the container listens on another one, and keep what serves no requests a Deployment without the label"}},
		"more than one is refused": {container: `ports: [{containerPort: 80, name: web}, {containerPort: 9000, name: metrics}, {containerPort: 81}]`, wantPod: pod(`{containerPort: 80}`),
			refused: []string{at + `: Invalid value: "web 80, metrics 9000, 81": ` + one}},
		"the only one that is named for requests serves them": {container: `ports: [{containerPort: 9000, name: metrics}, {containerPort: 80, name: http}, {containerPort: 81}]`, wantPod: pod(`{containerPort: 80, name: http1}`),
			warnings: out("[0].ports[0] (metrics 9000)", "80", "[0].ports[2] (81)", "80")},
		"names behind http- count": {container: `ports: [{containerPort: 9000}, {containerPort: 80, name: http-api}]`, wantPod: pod(`{containerPort: 80, name: http1}`), warnings: out("[0].ports[0] (9000)", "80")},
		"those that are of operators do not": {container: `ports: [{containerPort: 80, name: http}, {containerPort: 9000, name: http-metrics}, {containerPort: 9001, name: http-admin}]`, wantPod: pod(`{containerPort: 80, name: http1}`),
			warnings: out("[0].ports[1] (http-metrics 9000)", "80", "[0].ports[2] (http-admin 9001)", "80")},
		"gRPC is for requests": {container: `ports: [{containerPort: 9000, name: debug}, {containerPort: 50051, name: grpc}]`, wantPod: pod(`{containerPort: 50051, name: h2c}`), warnings: out("[0].ports[0] (debug 9000)", "50051")},
		"two that are named for requests are refused": {container: `ports: [{containerPort: 8000, name: http}, {containerPort: 8001, name: grpc}]`, wantPod: pod(`{containerPort: 8000}`),
			refused: []string{at + `: Invalid value: "http 8000, grpc 8001": ` + one}},
		"a Service of port 80 decides between them": {container: `ports: [{containerPort: 8000, name: http}, {containerPort: 8001, name: grpc}]`, services: `{spec: {selector: {app: web}, ports: [{port: 80, targetPort: grpc}, {port: 9000, targetPort: http}]}}`,
			wantPod: pod(`{containerPort: 8001, name: h2c}`), warnings: out("[0].ports[0] (http 8000)", "8001")},
		"so does one of port 443": {container: `ports: [{containerPort: 8000}, {containerPort: 8001}]`, services: `{spec: {selector: {app: web}, ports: [{port: 443, targetPort: 8001}]}}`,
			wantPod: pod(`{containerPort: 8001}`), warnings: out("[0].ports[0] (8000)", "8001")},
		"and one whose port is called http": {container: `ports: [{containerPort: 8000}, {containerPort: 8001}]`, services: `{spec: {selector: {app: web}, ports: [{name: http, port: 8001}, {name: admin, port: 8000}]}}`,
			wantPod: pod(`{containerPort: 8001}`), warnings: out("[0].ports[0] (8000)", "8001")},
		"that of other pods does not": {container: `ports: [{containerPort: 8000}, {containerPort: 8001}]`, services: `{spec: {selector: {app: db}, ports: [{port: 80, targetPort: 8001}]}}, {spec: {ports: [{port: 80, targetPort: 8001}]}}`,
			wantPod: pod(`{containerPort: 8000}`), refused: []string{at + `: Invalid value: "8000, 8001": ` + one}},
		"nor do two that differ": {container: `ports: [{containerPort: 8000}, {containerPort: 8001}]`, services: `{spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8001}]}}, {spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8000}]}}`,
			wantPod: pod(`{containerPort: 8000}`), refused: []string{at + `: Invalid value: "8000, 8001": ` + one}},
		"a Service tells the port of a container that states none": {container: `ports: []`, services: `{spec: {selector: {app: web}, ports: [{port: 80, targetPort: 5000}]}}`, wantPod: pod(`{containerPort: 5000}`)},
		"PORT decides last":          {container: `ports: [{containerPort: 8000}, {containerPort: 8001}], env: [{name: PORT, value: "8001"}]`, wantPod: pod(`{containerPort: 8001}`), warnings: out("[0].ports[0] (8000)", "8001")},
		"the parameter names one":    {container: `ports: [{containerPort: 8000, name: http}, {containerPort: 8001, name: web}]`, parameters: `{autoscale.kubetorch.com/port: web}`, wantPod: pod(`{containerPort: 8001}`), warnings: out("[0].ports[0] (http 8000)", "8001")},
		"or numbers one":             {container: `ports: [{containerPort: 8000, name: http}, {containerPort: 8001, name: web}]`, parameters: `{autoscale.kubetorch.com/port: "8001"}`, wantPod: pod(`{containerPort: 8001}`), warnings: out("[0].ports[0] (http 8000)", "8001")},
		"one that is not stated too": {container: `ports: [{containerPort: 8000, name: http}], env: [{name: PORT, value: "3000"}]`, parameters: `{autoscale.kubetorch.com/port: "3000"}`, wantPod: pod(`{containerPort: 3000}`), warnings: out("[0].ports[0] (http 8000)", "3000")},
		"a name that no port has": {container: `ports: [{containerPort: 8000, name: http}]`, parameters: `{autoscale.kubetorch.com/port: web}`, wantPod: pod(`{containerPort: 8000}`),
			refused: []string{`metadata.annotations[autoscale.kubetorch.com/port]: Invalid value: "web": no container has a port of this name; there are: http 8000`}},
		"a port of two containers": {pod: `containers: [{name: a, image: acme/a:1, ports: [{containerPort: 80}]}, {name: b, image: acme/b:1, ports: [{containerPort: 80}]}]`, parameters: `{autoscale.kubetorch.com/port: "80"}`,
			wantPod: `{containers: [{name: a, image: acme/a:1, ports: [{containerPort: 80}]}, {name: b, image: acme/b:1}]}`,
			refused: []string{`metadata.annotations[autoscale.kubetorch.com/port]: Invalid value: "80": is a port of several containers: 80, 80; keep it on the one that serves requests`}},
		"one that none of several containers states": {pod: `containers: [{name: a, image: acme/a:1}, {name: b, image: acme/b:1}]`, parameters: `{autoscale.kubetorch.com/port: "80"}`,
			wantPod: `{containers: [{name: a, image: acme/a:1, ports: [{containerPort: 8080}]}, {name: b, image: acme/b:1}]}`,
			refused: []string{`metadata.annotations[autoscale.kubetorch.com/port]: Invalid value: "80": no container states this port, so it is not clear which one serves requests; state containerPort: 80 there`}},
		"a port of a sidecar is left out": {pod: `containers: [{name: proxy, image: acme/p:1, ports: [{containerPort: 9901, name: admin}]}, {name: web, image: acme/web:1, ports: [{containerPort: 80, name: http}]}]`,
			wantPod:  `{containers: [{name: proxy, image: acme/p:1}, {name: web, image: acme/web:1, ports: [{containerPort: 80, name: http1}]}]}`,
			warnings: out("[0].ports[0] (admin 9901)", "80")},
		"a port that is stated twice is one": {container: `ports: [{containerPort: 80, name: web}, {containerPort: 80, name: probe}]`, wantPod: pod(`{containerPort: 80}`)},
		"a port that Knative takes for itself": {container: `ports: [{containerPort: 80, name: http}, {containerPort: 9090, name: metrics}]`, wantPod: pod(`{containerPort: 80, name: http1}`),
			warnings: []string{at + `[1] (metrics 9090) is left out: requests go to port 80 alone, and Knative's queue proxy listens on 9090 in every pod, so that the container must not`}},
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
		"UDP is left out and does not count": {container: `ports: [{containerPort: 53, protocol: UDP}, {containerPort: 8080}]`,
			warnings: []string{at + `[0] (UDP 53) is left out: Knative sends HTTP requests over TCP and nothing else`}},
		"UDP alone is refused": {container: `ports: [{containerPort: 53, protocol: UDP}]`, wantPod: `{containers: [{name: web, image: acme/web:1}]}`,
			warnings: []string{at + `[0] (UDP 53) is left out: Knative sends HTTP requests over TCP and nothing else`},
			refused:  []string{at + `[0].protocol: Invalid value: "UDP": Knative sends HTTP requests over TCP and nothing else, and no TCP port is stated; state the containerPort that serves HTTP`}},
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
	runAll(t, map[string]row{
		"the API server's defaults count as not stated": {
			container: `readinessProbe: {httpGet: {path: /, port: 8080, scheme: HTTP}, periodSeconds: 10, timeoutSeconds: 1, successThreshold: 1, failureThreshold: 3}, livenessProbe: {grpc: {port: 8080, service: ""}, initialDelaySeconds: 0, periodSeconds: 10}`,
			wantPod:   `{containers: [{name: web, image: acme/web:1, ports: [{containerPort: 8080, name: h2c}], readinessProbe: {httpGet: {port: 8080}}, livenessProbe: {grpc: {port: 8080}}}]}`},
		"named ports become numbers": {container: named(`readinessProbe: {httpGet: {port: web}}, livenessProbe: {tcpSocket: {port: web}}, startupProbe: {httpGet: {port: web, path: /s}}`),
			wantPod: pod(`readinessProbe: {httpGet: {port: 8080}}, livenessProbe: {tcpSocket: {port: 8080}}, startupProbe: {httpGet: {port: 8080, path: /s}}`)},
		"a name that no port has is refused": {container: `readinessProbe: {httpGet: {port: web}}`, wantPod: pod(`readinessProbe: {httpGet: {port: 8080}}`),
			refused: []string{`spec.template.spec.containers[0].readinessProbe.httpGet.port: Invalid value: "web": no port of this container has this name; give the port's number`}},
		"a longer timeout of the readiness probe keeps its period": {container: `readinessProbe: {httpGet: {port: 8080}, timeoutSeconds: 5}`,
			wantPod: pod(`readinessProbe: {httpGet: {port: 8080}, timeoutSeconds: 5, periodSeconds: 10}`)},
		"more failures of the readiness probe keep its period": {container: `readinessProbe: {exec: {command: [ok]}, failureThreshold: 30}`,
			wantPod: pod(`readinessProbe: {exec: {command: [ok]}, failureThreshold: 30, periodSeconds: 10}`)},
		"a period of its own is kept": {container: `readinessProbe: {httpGet: {port: 8080}, periodSeconds: 5, timeoutSeconds: 1}`,
			wantPod: pod(`readinessProbe: {httpGet: {port: 8080}, periodSeconds: 5}`)},
		"a readiness probe of another port is kept":                      {container: `readinessProbe: {httpGet: {port: 9000, path: /ready}}`, wantPod: pod(`readinessProbe: {httpGet: {port: 9000, path: /ready}}`)},
		"a liveness probe of another port is for the expansion to judge": {container: `livenessProbe: {httpGet: {port: 9000}}`, wantPod: pod(`livenessProbe: {httpGet: {port: 9000}}`)},
		"so is that of a container that states none": {container: `ports: [], livenessProbe: {tcpSocket: {port: 9000}}`,
			wantPod:  `{containers: [{name: web, image: acme/web:1, livenessProbe: {tcpSocket: {port: 9000}}}]}`,
			warnings: []string{"spec.template.spec.containers[0] states no port, so Knative sends requests to 8080, and without an answer there the revision never gets ready; set autoscale.kubetorch.com/port if the container listens on another one, and keep what serves no requests a Deployment without the label"}},
		"a liveness probe of the only default port is right": {container: `ports: [], livenessProbe: {tcpSocket: {port: 8080}}`,
			wantPod:  `{containers: [{name: web, image: acme/web:1, livenessProbe: {tcpSocket: {port: 8080}}}]}`,
			warnings: []string{"spec.template.spec.containers[0] states no port, so Knative sends requests to 8080, and without an answer there the revision never gets ready; set autoscale.kubetorch.com/port if the container listens on another one, and keep what serves no requests a Deployment without the label"}},
		"what only later releases of Knative take is kept": {
			container: `livenessProbe: {httpGet: {port: 8080}, terminationGracePeriodSeconds: 5}`, wantPod: pod(`livenessProbe: {httpGet: {port: 8080}, terminationGracePeriodSeconds: 5}`)},
	})
}

func TestTimeToStop(t *testing.T) {
	const at, same = "spec.template.spec.terminationGracePeriodSeconds ", ": Knative gives a pod as long to stop as a request may take"
	runAll(t, map[string]row{
		"the API server's default is not stated": {pod: `terminationGracePeriodSeconds: 30`},
		"up to the revision's it is left out":    {pod: `terminationGracePeriodSeconds: 300`, warnings: []string{at + "300 is left out" + same + ", 300 seconds"}},
		"none at all is left out":                {pod: `terminationGracePeriodSeconds: 0`, warnings: []string{at + "0 is left out" + same + ", 300 seconds"}},
		"a longer one raises the revision's": {pod: `terminationGracePeriodSeconds: 450`, wantPod: `{timeoutSeconds: 450, ` + plainPod[1:],
			warnings: []string{at + "450 becomes timeoutSeconds" + same}},
		"up to what the cluster allows": {pod: `terminationGracePeriodSeconds: 3600`, wantPod: `{timeoutSeconds: 600, ` + plainPod[1:],
			warnings: []string{at + "3600 becomes timeoutSeconds, lowered to 600" + same + ", and the cluster allows no more (max-revision-timeout-seconds of config-defaults)"}},
		"which may be more": {pod: `terminationGracePeriodSeconds: 3600`, defaults: `{revision-timeout-seconds: "60", max-revision-timeout-seconds: "7200"}`, wantPod: `{timeoutSeconds: 3600, ` + plainPod[1:],
			warnings: []string{at + "3600 becomes timeoutSeconds" + same}},
		"or no more than the default": {pod: `terminationGracePeriodSeconds: 3600`, defaults: `{revision-timeout-seconds: "60", max-revision-timeout-seconds: "60"}`,
			warnings: []string{at + "3600 becomes timeoutSeconds, lowered to 60" + same + ", and the cluster allows no more (max-revision-timeout-seconds of config-defaults)"}},
	})
}

func TestHooks(t *testing.T) {
	const at = "spec.template.spec.containers[0].lifecycle."
	const postStart = at + "postStart: Forbidden: a Knative Service cannot hold it; do it in the container's command, or in an init container if it is to be done before the start"
	const preStop = at + "preStop: Forbidden: Knative puts a preStop hook of its own on each container, which lets requests end before it is stopped; remove it, and do the rest when the process gets SIGTERM"
	const stopSignal = at + "stopSignal: Forbidden: a Knative Service cannot hold it, and the process gets SIGTERM; have it stop at that, or set STOPSIGNAL in its image"
	runAll(t, map[string]row{
		"postStart":  {container: `lifecycle: {postStart: {exec: {command: [pull]}}}`, refused: []string{postStart}},
		"preStop":    {container: `lifecycle: {preStop: {sleep: {seconds: 10}}}`, refused: []string{preStop}},
		"stopSignal": {container: `lifecycle: {stopSignal: SIGUSR1}`, refused: []string{stopSignal}},
		"all":        {container: `lifecycle: {postStart: {httpGet: {port: 80}}, preStop: {exec: {command: [drain]}}, stopSignal: SIGUSR1}`, refused: []string{postStart, preStop, stopSignal}},
		"none":       {container: `lifecycle: {}`},
	})
}
