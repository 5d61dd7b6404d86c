package differential

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/review"
)

// thorough updates are made of one in so many accepted inputs; they cost several times
// as much as the rest of a trial.
const thorough = 12

// judgeExpansion holds an accepted expansion against Knative on its way into the store,
// and again on updates of what is stored.
func (t *trial) judgeExpansion(patched []byte) {
	service, err := t.cluster.admit(patched, nil)
	if err != nil {
		t.fault("accepted, while Knative refuses the expansion: %v", err)
		return
	}
	complete := stored(service)
	if t.policies.free {
		t.judgeMeaning(mustDecode(t.raw), service, false)
	}
	if t.random.IntN(2) == 0 {
		t.nothingToDo("the reinvocation after Knative's defaulting", complete, nil)
	}
	if t.random.IntN(thorough) > 0 {
		return
	}
	earlier := mustDecode(complete)
	if c := servingContainer(earlier); c != nil {
		c["image"] = "model:v0"
	}
	t.nothingToDo("the reinvocation on an update of the image", complete, encode(earlier))
	if service.Spec.Template.Name == "" { // Knative refuses any other change of a revision that keeps its name
		t.replace(patched, complete)
		t.change(service, complete)
	}
	t.validate(complete)
}

func encode(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return raw
}

// replace sends the original manifest again, as kubectl replace does, with only what
// Knative insists on.
func (t *trial) replace(patched, complete []byte) {
	original := mustDecode(t.raw)
	for _, key := range []string{"serving.knative.dev/creator", "serving.knative.dev/lastModifier"} {
		put(original, manifest.Text(mustDecode(complete), "metadata", "annotations", key), "metadata", "annotations", key)
	}
	again, result := t.expand(encode(original), complete)
	if refused(result) {
		t.fault("the original manifest is refused the second time: %v", refusals(result))
		return
	}
	before, after := manifest.At(mustDecode(patched), "spec", "template"), manifest.At(again, "spec", "template")
	if a, b := string(encode(before)), string(encode(after)); a != b {
		t.fault("the original manifest expands to another template the second time:\n  %s\n  %s", a, b)
	}
}

// change states one parameter anew, on the stored object and in the author's manifest.
// What is accepted, Knative has to accept as an update, and it has to come to what the
// changed manifest comes to where no policy holds.
func (t *trial) change(service *servingv1.Service, complete []byte) {
	g := &generator{Rand: t.random, cluster: t.cluster}
	p := pick(g, parameter.Table...)
	text := pick(g, append(pools[p].good, pools[p].odd...)...)
	drop := t.random.IntN(4) == 0
	update := func(raw []byte) []byte {
		o := mustDecode(raw)
		for _, kind := range []string{"labels", "annotations"} {
			delete(manifest.Map(o, "metadata", kind), p.Key())
		}
		if !drop {
			put(o, text, "metadata", "annotations", p.Key())
		}
		return encode(o)
	}
	what := "with " + p.Key() + ": " + text
	if drop {
		what = "without " + p.Key()
	}
	wanted := update(t.raw)
	fresh, first := t.expand(wanted, nil)
	updated := update(complete)
	changed, second := t.expand(updated, complete)
	if refused(second) {
		if t.policies.free && !refused(first) {
			t.fault("%s the stored object is refused, and the manifest would not be: %v", what, refusals(second))
		}
		return
	}
	stored, err := t.cluster.admit(encode(changed), service)
	if err != nil {
		t.fault("%s the update is accepted, while Knative refuses it: %v", what, err)
		return
	}
	t.nothingToDo(what+", the reinvocation", encode(stored), complete)
	if !t.policies.free {
		return
	}
	if refused(first) {
		if e := refusals(first)[0].Error(); len(refusals(first)) == 1 && strings.Contains(e, "state it once") && strings.Contains(e, "spec.template.spec.cont") {
			return // what Knative fills in as well is no longer the author's own statement
		}
		t.fault("%s the stored object is accepted, and the manifest would not be: %v", what, refusals(first))
		return
	}
	before := len(t.faults)
	t.judgeMeaning(mustDecode(wanted), stored, true)
	for i := before; i < len(t.faults); i++ {
		t.faults[i] = "after an update " + what + ": " + t.faults[i]
	}
	for _, at := range []string{"annotations", "labels"} {
		a, b := manifest.At(fresh, "spec", "template", "metadata", at), manifest.At(changed, "spec", "template", "metadata", at)
		if !sameTexts(a, b, recordOf(fresh), recordOf(mustDecode(complete))) {
			t.fault("%s the template's %s become %s and of the manifest %s", what, at, encode(b), encode(a))
		}
	}
}

// recordOf is what an expansion says it set.
func recordOf(o object) map[string]expand.Entry {
	var record map[string]expand.Entry
	_ = json.Unmarshal([]byte(manifest.Text(o, "metadata", "annotations", expand.RecordAnnotation)), &record)
	return record
}

// sameTexts compares the labels or annotations of a fresh expansion with those of an
// update. Numbers and durations compare by meaning, since text that means the same stays,
// and a setting may keep its recorded value as long as its source is the same.
func sameTexts(a, b any, fresh, stored map[string]expand.Entry) bool {
	x, _ := a.(object)
	y, _ := b.(object)
	if len(x) != len(y) {
		return false
	}
	for k, v := range x {
		if kept, ok := stored[k]; ok && kept.From == fresh[k].From && kept.Value == y[k] {
			continue
		}
		now, before := fmt.Sprint(v), fmt.Sprint(y[k])
		if now != before && (parsed(now) < 0 || parsed(now) != parsed(before)) && float(now) != float(before) {
			return false
		}
	}
	return true
}

// validate asks for the validating step's verdict on the object as it is to be stored.
// Only a policy may refuse what the mutating step made.
func (t *trial) validate(complete []byte) {
	request, answer := review.Read(&admissionv1.AdmissionRequest{
		UID: "1", Kind: metav1.GroupVersionKind{Group: "serving.knative.dev", Version: "v1", Kind: "Service"},
		Operation: admissionv1.Create, Namespace: "team", Object: runtime.RawExtension{Raw: complete},
	})
	if request == nil {
		t.fault("the validating step does not judge it: %v", answer)
		return
	}
	answer, err := request.Validate(context.Background(), review.World{Policies: t.policies.set, Knative: t.cluster.ours, NamespaceLabels: func(string) (map[string]string, bool) { return nil, true }})
	if err != nil || (!answer.Allowed && answer.Result.Code != http.StatusForbidden) {
		t.fault("the validating step refuses what the mutating step made: %s", answer.Result.Message)
	}
}
