package chart

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheSchemaRefusesWhatTheChartDoesNotKnow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set, want string
	}{
		"a value that there is not":    {`replicaCount=3`, "replicaCount"},
		"a misspelt value":             {`image.repositry="x"`, "repositry"},
		"one replica":                  {`replicas=1`, "replicas"},
		"text for a number":            {`replicas="3"`, "replicas"},
		"another source":               {`certificates.source="vault"`, "source"},
		"a digest that is none":        {`image.digest="latest"`, "digest"},
		"an argument that is no flag":  {`extraArgs=["serve"]`, "extraArgs"},
		"a budget that allows all":     {`disruptionBudget.minAvailable=0`, "minAvailable"},
		"a namespace of two words":     {`knativeNamespace="a b"`, "knativeNamespace"},
		"no resources":                 {`resources={"request":{}}`, "request"},
		"a delay below 0":              {`shutdownDelaySeconds=-1`, "shutdownDelaySeconds"},
		"memory in Gb":                 {`resources={"limits":{"memory":"1Gb"}}`, "memory"},
		"milli-bytes":                  {`resources={"limits":{"memory":"512m"}}`, "memory"},
		"cores in Gi":                  {`resources={"requests":{"cpu":"16Gi"}}`, "cpu"},
		"a flag that there is not":     {`extraArgs=["--audit-intervall=1h"]`, "extraArgs"},
		"a duration without a unit":    {`extraArgs=["--audit-interval=60"]`, "extraArgs"},
		"a flag that is a value":       {`extraArgs=["--listen=:8443"]`, "extraArgs"},
		"a label that selects":         {`podLabels={"app.kubernetes.io/name":"other"}`, "podLabels"},
		"a variable that is set":       {`env=[{"name":"POD_NAME","value":"x"}]`, "env"},
		"a kind without a resource":    {`operatorKinds=[{"group":"acme.com","kind":"Train","pods":[{"template":"spec.template"}]}]`, "resource"},
		"a kind without pods":          {`operatorKinds=[{"group":"acme.com","kind":"Train","resource":"trains","pods":[]}]`, "pods"},
		"a row of other words":         {`operatorKinds=[{"group":"acme.com","kind":"Train","resource":"trains","maker":"acme/operator","pods":[{"template":"spec.template"}]}]`, "maker"},
		"an account without its home":  {`operatorKinds=[{"group":"acme.com","kind":"Train","resource":"trains","makers":["operator"],"pods":[{"template":"spec.template"}]}]`, "makers"},
		"a table in the table":         {`operatorKinds={"kinds":[]}`, "operatorKinds"},
		"a misspelt resource":          {`resources={"limits":{"memorry":"1Gi"}}`, "memorry"},
		"GPUs for the webhook":         {`resources={"limits":{"nvidia.com/gpu":1}}`, "nvidia.com/gpu"},
		"no memory":                    {`resources={"limits":{"memory":"0"}}`, "memory"},
		"no memory in Mi":              {`resources={"limits":{"memory":"0.0Mi"}}`, "memory"},
		"no CPU":                       {`resources={"requests":{"cpu":"0"}}`, "cpu"},
		"no CPU in m":                  {`resources={"requests":{"cpu":"0m"}}`, "cpu"},
		"less than a thousandth":       {`resources={"requests":{"cpu":"0.0001"}}`, "cpu"},
		"whatever image is the latest": {`image.tag="latest"`, "tag"},
		"a tag in the repository":      {`image.repository="registry.example/webhook:latest"`, "repository"},
		"a digest in the repository":   {`image.repository="registry.example/webhook@sha256:0"`, "repository"},
		"a volume that is there":       {`extraVolumes=[{"name":"certs","emptyDir":{}}]`, "extraVolumes"},
		"a mount over certificates":    {`extraVolumeMounts=[{"name":"a","mountPath":"/certs/ca"}]`, "extraVolumeMounts"},
		"a scrape every 0 s":           {`monitoring.serviceMonitor={"enabled":true,"interval":"0s"}`, "interval"},
		"a label that is none":         {`monitoring.rules={"enabled":true,"labels":{"release":"a b"}}`, "release"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := template(t, namespace, c.set)
			require.ErrorContains(t, err, "values don't meet the specifications of the schema")
			assert.ErrorContains(t, err, c.want)
		})
	}
}

// What the schema cannot say, the templates do, in words, before anything is installed.
func TestTheChartRefusesValuesThatCannotWorkTogether(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set  []string
		want string // nothing where they do
	}{
		"a request above the limit":           {[]string{`resources={"requests":{"memory":"1Gi"}}`}, "resources.requests.memory is 1Gi, and resources.limits.memory is 512Mi: a pod may not ask for more than its limit"},
		"a limit below the request":           {[]string{`resources={"limits":{"memory":"100M"}}`}, "resources.requests.memory is 128Mi, and resources.limits.memory is 100M"},
		"a request as large as the limit":     {[]string{`resources={"requests":{"memory":"512Mi"}}`}, ""},
		"cores above m":                       {[]string{`resources={"requests":{"cpu":2},"limits":{"cpu":"1500m"}}`}, "resources.requests.cpu is 2, and resources.limits.cpu is 1500m"},
		"cores as m":                          {[]string{`resources={"requests":{"cpu":"1500m"},"limits":{"cpu":1.5}}`}, ""},
		"storage above the limit":             {[]string{`resources={"requests":{"ephemeral-storage":"1Gi"},"limits":{"ephemeral-storage":"1G"}}`}, "resources.requests.ephemeral-storage is 1Gi, and resources.limits.ephemeral-storage is 1G"},
		"a request and no limit":              {[]string{`resources={"requests":{"memory":"1Gi"},"limits":null}`}, ""},
		"a request and a limit taken away":    {[]string{`resources={"requests":{"memory":"1Gi"},"limits":{"memory":null}}`}, ""},
		"no resources at all":                 {[]string{`resources={"requests":null,"limits":null}`}, ""},
		"memory without a unit":               {[]string{`resources={"requests":{"memory":null},"limits":{"memory":"16"}}`}, "resources.limits.memory is 16: in an empty cluster a replica takes some 20Mi"},
		"memory as a number":                  {[]string{`resources={"requests":{"memory":null},"limits":{"memory":16}}`}, "resources.limits.memory is 16: in an empty cluster"},
		"memory as a large number":            {[]string{`resources={"limits":{"memory":1073741824}}`}, ""},
		"memory in Ki":                        {[]string{`resources={"limits":{"memory":"524288Ki"}}`}, ""},
		"a request for bytes":                 {[]string{`resources={"requests":{"memory":"128"}}`}, "resources.requests.memory is 128: that is less than 1Mi; give it a unit, such as 512Mi"},
		"little storage":                      {[]string{`resources={"limits":{"ephemeral-storage":"16"}}`}, "resources.limits.ephemeral-storage is 16: that is less than 1Mi"},
		"as many that stay as there are":      {[]string{`disruptionBudget.minAvailable=2`}, "disruptionBudget.minAvailable is 2 of 2 replicas: none could ever be evicted"},
		"more that stay than there are":       {[]string{`disruptionBudget.minAvailable=7`, `replicas=5`}, "disruptionBudget.minAvailable is 7 of 5 replicas"},
		"a part that is rounded up to all":    {[]string{`disruptionBudget.minAvailable="51%"`}, "disruptionBudget.minAvailable is 51% of 2 replicas"},
		"a part of more":                      {[]string{`disruptionBudget.minAvailable="51%"`, `replicas=3`}, ""},
		"all but one":                         {[]string{`disruptionBudget.minAvailable=4`, `replicas=5`}, ""},
		"a mount of no volume":                {[]string{`extraVolumeMounts=[{"name":"clients","mountPath":"/clients"}]`}, "extraVolumeMounts mounts clients at /clients, which extraVolumes does not have"},
		"two volumes of one name":             {[]string{`extraVolumes=[{"name":"a","emptyDir":{}},{"name":"a","emptyDir":{}}]`}, "extraVolumes has two of the name a"},
		"two mounts of one directory":         {[]string{`extraVolumes=[{"name":"a","emptyDir":{}}]`, `extraVolumeMounts=[{"name":"a","mountPath":"/a"},{"name":"a","mountPath":"/a"}]`}, "extraVolumeMounts has two for /a"},
		"a file that nothing puts there":      {[]string{`extraArgs=["--client-ca-file=/clients/ca.crt"]`}, "extraArgs has --client-ca-file=/clients/ca.crt, and no mountPath of extraVolumeMounts puts a file there"},
		"a file beside what is mounted":       {[]string{clients, clientsMount, `extraArgs=["--client-ca-file=/clients-ca.crt"]`}, "no mountPath of extraVolumeMounts puts a file there"},
		"a flag twice":                        {[]string{`extraArgs=["--log-level=debug","--log-level=info"]`}, "extraArgs has --log-level twice"},
		"lifetimes of somebody else's":        {[]string{`certificates.source="cert-manager"`, `extraArgs=["--leaf-lifetime=24h"]`}, "extraArgs has --leaf-lifetime, which is of no use where certificates.source is not self-managed"},
		"a CA that ends before what it signs": {[]string{`extraArgs=["--ca-lifetime=100h","--leaf-lifetime=33h","--ca-overlap=21m"]`}, "extraArgs has --ca-lifetime=100h, and it must be at least 363960s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := template(t, namespace, c.set...)
			if c.want == "" {
				assert.NoError(t, err)
				return
			}
			require.Error(t, err)
			assert.ErrorContains(t, err, c.want)
		})
	}
}

// These put the file of --client-ca-file where the container finds it.
const (
	clients      = `extraVolumes=[{"name":"clients","configMap":{"name":"clients"}}]`
	clientsMount = `extraVolumeMounts=[{"name":"clients","mountPath":"/clients","readOnly":true}]`
)

func TestFilesOfYourOwnReachTheProgram(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]string{"beside none": "self-managed", "beside certificates": "files"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rendered, err := template(t, namespace, `certificates.source="`+source+`"`, clients, clientsMount, `extraArgs=["--client-ca-file=/clients/ca.crt","--client-names=a,b"]`)
			require.NoError(t, err)
			pod := at(rendered[webhook], "spec", "template", "spec")
			assert.Contains(t, at(pod, "volumes"), map[string]any{"name": "clients", "configMap": map[string]any{"name": "clients"}})
			assert.Contains(t, at(pod, "containers", "0", "volumeMounts"), map[string]any{"name": "clients", "mountPath": "/clients", "readOnly": true})
			assert.Contains(t, at(pod, "containers", "0", "args"), "--client-ca-file=/clients/ca.crt")
		})
	}
}
