package convert

import (
	"strings"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// containerLevel is a container, init containers included.
var containerLevel = level{
	"name":       {},
	"image":      {},
	"command":    {},
	"args":       {},
	"workingDir": {},
	"env": {within: level{
		"name":      {},
		"value":     {},
		"valueFrom": {within: envSourceLevel},
	}},
	"envFrom":                  {},
	"imagePullPolicy":          {unset: isDefaultPullPolicy},
	"terminationMessagePath":   {unset: is("/dev/termination-log")},
	"terminationMessagePolicy": {unset: is("File")}, // Knative's own is FallbackToLogsOnError
	"ports":                    {drop: true},        // see ports
	"resources": {within: level{
		"limits":   {},
		"requests": {},
		"claims":   {refuse: "a Knative Service cannot claim devices; ask for a resource such as nvidia.com/gpu, or use compute.kubetorch.com/gpus"},
	}},
	"livenessProbe":   {within: probeLevel},
	"readinessProbe":  {within: probeLevel},
	"startupProbe":    {within: probeLevel},
	"securityContext": {within: securityLevel},
	"volumeMounts": {within: level{
		"name":              {},
		"mountPath":         {},
		"subPath":           {},
		"readOnly":          {},
		"mountPropagation":  {unset: is("None")}, // behind a flag of newer versions of Knative
		"recursiveReadOnly": {unset: is("Disabled"), refuse: "a Knative Service cannot hold it; readOnly is what it can hold"},
		"subPathExpr":       {refuse: "a Knative Service cannot hold it; use subPath"},
		"bindMountOptions":  {refuse: "a Knative Service cannot hold it; remove it"},
	}},

	"lifecycle":          {within: lifecycleLevel},
	"restartPolicy":      {refuse: "Knative always restarts containers, and has no init containers that go on running; make it one of containers"},
	"restartPolicyRules": {refuse: "Knative always restarts containers; remove it"},
	"resizePolicy":       {refuse: "the pods of a revision are never resized; remove it"},
	"volumeDevices":      {refuse: "a Knative Service cannot use raw block devices; mount a file system"},
	"stdin":              {refuse: "nothing can attach to the pods of a Knative Service; remove it"},
	"stdinOnce":          {refuse: "nothing can attach to the pods of a Knative Service; remove it"},
	"tty":                {refuse: "nothing can attach to the pods of a Knative Service; remove it"},
}

// lifecycleLevel are the hooks of a container.
var lifecycleLevel = level{
	"preStop":    {refuse: "Knative puts a preStop hook of its own on each container, which lets requests end before it is stopped; remove it, and do the rest when the process gets SIGTERM"},
	"postStart":  {refuse: "a Knative Service cannot hold it; do it in the container's command, or in an init container if it is to be done before the start"},
	"stopSignal": {refuse: "a Knative Service cannot hold it, and the process gets SIGTERM; have it stop at that, or set STOPSIGNAL in its image"},
}

// envSourceLevel is where the value of an environment variable comes from. fieldRef and
// resourceFieldRef are behind a flag.
var envSourceLevel = level{
	"configMapKeyRef":  {},
	"secretKeyRef":     {},
	"fieldRef":         {within: fieldRefLevel},
	"resourceFieldRef": {within: resourceFieldRefLevel},
	"fileKeyRef":       {refuse: "a Knative Service cannot read variables from files; use a ConfigMap or a Secret"},
}

var fieldRefLevel = level{"apiVersion": {unset: is("v1")}, "fieldPath": {}}

var resourceFieldRefLevel = level{"containerName": {}, "resource": {}, "divisor": {unset: is("0")}}

// probeLevel is a probe. Its defaults are left out: the API server fills them in again,
// and a readiness probe without a period is one that Knative runs as often as it can.
var probeLevel = level{
	"exec":                {empty: true},
	"tcpSocket":           {empty: true},
	"grpc":                {empty: true, within: level{"port": {}, "service": {unset: is("")}, "mode": {refuse: "a Knative Service cannot hold it; remove it"}}},
	"initialDelaySeconds": {},
	"timeoutSeconds":      {unset: is(int64(1))},
	"periodSeconds":       {unset: is(int64(10))},
	"successThreshold":    {unset: is(int64(1))},
	"failureThreshold":    {unset: is(int64(3))},
	"httpGet": {empty: true, within: level{
		"path":        {unset: is("/")},
		"port":        {},
		"host":        {},
		"scheme":      {unset: is("HTTP")},
		"httpHeaders": {},
		"protocol":    {unset: is("HTTP1"), refuse: "a Knative Service cannot hold it; remove it, or use a grpc probe"},
	}},
	"terminationGracePeriodSeconds": {}, // since Knative 1.21
}

// securityLevel is the security context of a container. capabilities.add is behind a flag.
var securityLevel = level{
	"capabilities":             {within: level{"add": {}, "drop": {}}},
	"runAsUser":                {},
	"runAsGroup":               {},
	"runAsNonRoot":             {},
	"readOnlyRootFilesystem":   {},
	"allowPrivilegeEscalation": {},
	"seccompProfile":           {},

	"privileged":      {unset: is(false), refuse: "a Knative Service cannot run privileged containers; ask for the capabilities that are needed"},
	"procMount":       {unset: is("Default"), refuse: "a Knative Service cannot hold it; remove it"},
	"seLinuxOptions":  {refuse: "a Knative Service cannot hold it; remove it"},
	"appArmorProfile": {refuse: "a Knative Service cannot hold it; remove it, and nodes apply their default profile"},
	"windowsOptions":  {refuse: "Knative runs on Linux nodes only"},
}

// isDefaultPullPolicy compares with what the API server fills in by the image's tag
// (SetDefaults_Container).
func isDefaultPullPolicy(container manifest.Object, value any) bool {
	return value == pullPolicy(manifest.Text(container, "image"))
}

func pullPolicy(image string) string {
	name, digest, _ := strings.Cut(image, "@")
	tag, tagged := "", false
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		tag, tagged = name[i+1:], true
	}
	if tag == "latest" || (!tagged && digest == "") {
		return "Always"
	}
	return "IfNotPresent"
}
