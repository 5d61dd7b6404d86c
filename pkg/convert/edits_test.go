package convert_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// edited is a Deployment in which what a refusal names is done, at the path that it gives.
type edited struct {
	deployment manifest.Object
	path       []any
	refusal    *field.Error
}

// parent is what holds the field that is refused.
func (e edited) parent() manifest.Object {
	return valueAt(e.deployment, e.path[:len(e.path)-1]).(manifest.Object)
}

func (e edited) name() string { return e.path[len(e.path)-1].(string) }

func (e edited) remove() { delete(e.parent(), e.name()) }

func (e edited) annotate(key, value string) {
	metadata := e.deployment["metadata"].(manifest.Object)
	if metadata["annotations"] == nil {
		metadata["annotations"] = manifest.Object{}
	}
	metadata["annotations"].(manifest.Object)[key] = value
}

// edits are what refusals tell an author to do, by their words; the first that matches is done.
var edits = []struct {
	words string
	do    func(e edited, said []string)
}{
	{`Knative sets PORT to the port that serves requests.* remove it`, func(e edited, _ []string) { dropEntry(e, e.path) }},
	{`is stated again at .*\[(\d+)\], which is the one that counts; state it once`, func(e edited, _ []string) { dropEntry(e, e.path[:len(e.path)-1]) }},
	{`ask for a resource such as nvidia.com/gpu, or use (compute.kubetorch.com/gpus)`, func(e edited, said []string) { e.remove(); e.annotate(said[1], "1") }},
	{`set (autoscale.kubetorch.com/port) to its number or name`, func(e edited, said []string) {
		e.annotate(said[1], regexp.MustCompile(`\d+`).FindString(e.refusal.BadValue.(string)))
	}},
	{`set (autoscale.kubetorch.com/service-name), to (\S+) say`, func(e edited, said []string) { e.annotate(said[1], said[2]) }},
	{`the scheduler; use nodeSelector`, func(e edited, _ []string) {
		e.parent()["nodeSelector"] = manifest.Object{"kubernetes.io/hostname": e.parent()["nodeName"]}
		e.remove()
	}},
	{`write it as a projected volume with a downwardAPI source`, func(e edited, _ []string) {
		e.parent()["projected"] = manifest.Object{"sources": []any{manifest.Object{"downwardAPI": e.parent()["downwardAPI"]}}}
		e.remove()
	}},
	{`make a PersistentVolume of it and use its claim`, func(e edited, _ []string) {
		e.parent()["persistentVolumeClaim"] = manifest.Object{"claimName": "shared"}
		e.remove()
	}},
	{`use subPath`, func(e edited, _ []string) { e.parent()["subPath"] = "x"; e.remove() }},
	{`make it one of containers`, func(e edited, _ []string) {
		pod := manifest.Map(e.deployment, "spec", "template", "spec")
		inits, i := pod["initContainers"].([]any), e.path[len(e.path)-2].(int)
		e.remove()
		pod["containers"] = append(pod["containers"].([]any), inits[i])
		pod["initContainers"] = append(inits[:i:i], inits[i+1:]...)
	}},
	{`state the containerPort that serves HTTP`, func(e edited, _ []string) {
		container := valueAt(e.deployment, e.path[:len(e.path)-3]).(manifest.Object)
		container["ports"] = append(container["ports"].([]any), manifest.Object{"containerPort": int64(8080)})
	}},
	{`have it serve HTTP, and leave TLS to the ingress`, func(e edited, _ []string) { e.parent()[e.name()] = "http" }},
	{`no port of this container has this name; give the port's number`, func(e edited, _ []string) { e.parent()[e.name()] = int64(8443) }},
	{`is a reserved port, please use a different value`, func(e edited, _ []string) { e.parent()[e.name()] = int64(8080) }},
	{`is a reserved container name; give the container another one`, func(e edited, _ []string) { e.parent()[e.name()] = "proxy" }},
	{`remove it|state priorityClassName alone|ask for the capabilities that are needed|mount a file system|belongs in a Job`, func(e edited, _ []string) { e.remove() }},
}

// TestRefusalsNameAnEditThatHelps: of every Deployment of the corpus that is refused, each
// refusal goes by the edit that it names, and after all of them the Deployment is taken.
func TestRefusalsNameAnEditThatHelps(t *testing.T) {
	files, err := filepath.Glob("testdata/deployments/*.yaml")
	require.NoError(t, err)
	refused, used := 0, map[string]int{}
	for _, file := range files {
		deployment := read(t, file)
		errs := verdict(t, deployment, everyFlag).Errors
		if len(errs) == 0 {
			continue
		}
		refused++
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			for range 3 { // what is edited may be refused for something else, such as a name of many
				for _, err := range slices.Backward(errs) { // those behind first: an edit moves what follows it
					alone := runtime.DeepCopyJSON(deployment)
					used[follow(t, alone, err)]++
					assert.NotContains(t, texts(verdict(t, alone, everyFlag).Errors), err.Error(), "the edit helps")
					follow(t, deployment, err)
				}
				if errs = verdict(t, deployment, everyFlag).Errors; len(errs) == 0 {
					break
				}
			}
			assert.Empty(t, texts(errs), "all of them are enough")
		})
	}
	assert.Greater(t, refused, 20)
	for _, e := range edits {
		assert.Positive(t, used[e.words], "no refusal says %s any more", e.words)
	}
}

// follow does what a refusal says, and returns the words that say it.
func follow(t *testing.T, deployment manifest.Object, refusal *field.Error) string {
	t.Helper()
	for _, e := range edits {
		if said := regexp.MustCompile(e.words).FindStringSubmatch(refusal.Error()); said != nil {
			e.do(edited{deployment: deployment, path: steps(refusal.Field), refusal: refusal}, said)
			return e.words
		}
	}
	require.FailNow(t, "it names no edit", refusal.Error())
	return ""
}

// dropEntry removes an entry of a list, at its path.
func dropEntry(e edited, path []any) {
	i := path[len(path)-1].(int)
	holder, name := valueAt(e.deployment, path[:len(path)-2]).(manifest.Object), path[len(path)-2].(string)
	list := holder[name].([]any)
	holder[name] = append(list[:i:i], list[i+1:]...)
}

var step = regexp.MustCompile(`[^.\[\]]+|\[\d+\]`)

// steps are the names and indexes of a path.
func steps(path string) (all []any) {
	for _, s := range step.FindAllString(path, -1) {
		if n, err := strconv.Atoi(strings.Trim(s, "[]")); err == nil && strings.HasPrefix(s, "[") {
			all = append(all, n)
		} else {
			all = append(all, s)
		}
	}
	return all
}

func valueAt(o manifest.Object, path []any) any {
	var v any = o
	for _, s := range path {
		switch s := s.(type) {
		case string:
			v = v.(manifest.Object)[s]
		case int:
			v = v.([]any)[s]
		}
	}
	return v
}

func texts(errs field.ErrorList) (all []string) {
	for _, e := range errs {
		all = append(all, e.Error())
	}
	return all
}
