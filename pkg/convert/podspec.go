package convert

import "github.com/kubetorch/webhook/pkg/manifest"

// podLevel is the pod spec, without its containers and volumes. Fields that are kept and
// that Knative takes behind a flag only are judged by Knative's own validation.
var podLevel = level{
	"containers":     {drop: true}, // see containers
	"initContainers": {drop: true},
	"volumes":        {drop: true}, // see volumes

	"serviceAccountName":           {},
	"serviceAccount":               {drop: true}, // the old name of serviceAccountName, see serviceAccount
	"automountServiceAccountToken": {unset: is(true)},
	"imagePullSecrets":             {},
	"enableServiceLinks":           {},

	// Behind flags of config-features.
	"nodeSelector":              {},
	"tolerations":               {},
	"affinity":                  {},
	"topologySpreadConstraints": {},
	"priorityClassName":         {},
	"runtimeClassName":          {},
	"schedulerName":             {unset: is("default-scheduler")},
	"dnsPolicy":                 {unset: is("ClusterFirst")},
	"dnsConfig":                 {},
	"hostAliases":               {},
	"shareProcessNamespace":     {unset: is(false)},
	"hostNetwork":               {},
	"hostPID":                   {},
	"hostIPC":                   {},
	"securityContext":           {within: podSecurityLevel},

	"restartPolicy":                 {unset: is("Always"), refuse: "Knative always restarts containers; what ends by itself belongs in a Job"},
	"terminationGracePeriodSeconds": {drop: true}, // see gracePeriod
	"activeDeadlineSeconds":         {refuse: "a Knative Service has no end; what ends by itself belongs in a Job"},
	"nodeName":                      {refuse: "the pods of a Knative Service are placed by the scheduler; use nodeSelector"},
	"hostname":                      {refuse: "Knative names the pods; remove it"},
	"hostnameOverride":              {refuse: "Knative names the pods; remove it"},
	"subdomain":                     {refuse: "the pods of a Knative Service have no names in DNS; remove it"},
	"setHostnameAsFQDN":             {unset: is(false), refuse: "the pods of a Knative Service have no names in DNS; remove it"},
	"readinessGates":                {refuse: "Knative decides by the readiness probe alone; remove it"},
	"overhead":                      {refuse: "it comes with the RuntimeClass; state runtimeClassName alone"},
	"priority":                      {refuse: "it comes with the PriorityClass; state priorityClassName alone"},
	"preemptionPolicy":              {unset: is("PreemptLowerPriority"), refuse: "it comes with the PriorityClass; state priorityClassName alone"},
	"os":                            {unset: isLinux, refuse: "use a nodeSelector on kubernetes.io/os"},
	"hostUsers":                     {unset: is(true), refuse: "a Knative Service cannot ask for a user namespace; remove it"},
	"schedulingGates":               {refuse: "a Knative Service cannot hold its pods back; remove it"},
	"schedulingGroup":               {refuse: "the pods of a Knative Service are scheduled one by one; remove it"},
	"resourceClaims":                {refuse: "a Knative Service cannot claim devices; ask for a resource such as nvidia.com/gpu, or use compute.kubetorch.com/gpus"},
	"resources":                     {refuse: "a Knative Service cannot hold resources of the pod; state them for each container"},
	"evictionResponders":            {refuse: "a Knative Service cannot hold it; remove it"},
	"ephemeralContainers":           {refuse: "they are added to running pods only; remove it"},
}

func isLinux(_ manifest.Object, value any) bool {
	o, _ := value.(manifest.Object)
	return manifest.Text(o, "name") == "linux"
}

// podSecurityLevel is the security context of the pod.
var podSecurityLevel = level{
	"runAsUser":          {},
	"runAsGroup":         {},
	"runAsNonRoot":       {},
	"fsGroup":            {},
	"supplementalGroups": {},
	"seccompProfile":     {},

	"fsGroupChangePolicy":      {unset: is("Always"), refuse: "a Knative Service cannot hold it; remove it, and Kubernetes changes the owner of every file at each start"},
	"supplementalGroupsPolicy": {unset: is("Merge"), refuse: "a Knative Service cannot hold it; remove it"},
	"sysctls":                  {refuse: "a Knative Service cannot set kernel parameters; set them on the nodes"},
	"seLinuxOptions":           {refuse: "a Knative Service cannot hold it; remove it"},
	"seLinuxChangePolicy":      {unset: is("MountOption"), refuse: "a Knative Service cannot hold it; remove it"},
	"appArmorProfile":          {refuse: "a Knative Service cannot hold it; remove it, and nodes apply their default profile"},
	"windowsOptions":           {refuse: "Knative runs on Linux nodes only"},
}
