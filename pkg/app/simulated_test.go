package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/charge"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/budget/usage"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/pkg/workload"
)

// team is the namespace of a simulated cluster.
const team = "team"

// simulated is a cluster of one namespace in memory: what is stored, the controllers of Kubernetes, a
// kubelet, the garbage collector, and two budgets, one of a type of GPUs, that the real admission of two
// replicas charges and the real count settles.
type simulated struct {
	t       *testing.T
	random  *rand.Rand
	stored  map[schema.GroupKind]map[string]manifest.Object
	uids    int
	now     time.Time
	strict  bool
	maximum int64
	// alive are the pods that hold their GPUs, whatever their status says, by UID.
	alive map[string]holding
	// waiting are admitted writes that are not stored yet.
	waiting []waiting
	// earlier are the templates that StatefulSets had, by UID: what a ControllerRevision holds.
	earlier map[string]manifest.Object

	replicas []*replicaOf
	budgets  map[string]*v1alpha1.GPUBudget
	trackers map[string]*ledger.Tracker
	log      []string
	counts   int
	// quiet has a list be of one moment.
	quiet bool
	// batch are writes of a controller that are under way at the same time; nil stores each at once.
	batch *[]func()
	// owner is the UID of what a controller makes a batch for that may take its time; empty for other writes.
	owner string
}

// holding is what a pod holds.
type holding struct {
	gpus    int64
	product string // empty for any
}

// The budgets: one of every type, and one of a type.
const allTypes, oneType, product, otherProduct = "all", "one-type", "NVIDIA-L4", "NVIDIA-H100-80GB-HBM3"

// replicaOf is a replica of the webhook with its own cache of budgets, which is old at times.
type replicaOf struct {
	*simulated
	handler *requestHandler
	cached  map[string]*v1alpha1.GPUBudget
}

// waiting is a write on its way, until when, and what it is based on.
type waiting struct {
	// of is the UID of what a controller makes it for; empty if somebody else does.
	of    string
	until time.Time
	store func()
}

// slowest is how long a write may be on its way, and settleAfter how long an entry that is seen lower is
// kept: longer.
const slowest, settleAfter = 10 * time.Second, 15 * time.Second

func simulate(t *testing.T, seed uint64, maximum int64, strict bool) *simulated {
	s := &simulated{t: t, random: rand.New(rand.NewPCG(seed, 7)), stored: map[schema.GroupKind]map[string]manifest.Object{}, now: time.Unix(1e9, 0),
		strict: strict, maximum: maximum, alive: map[string]holding{}, earlier: map[string]manifest.Object{},
		budgets: map[string]*v1alpha1.GPUBudget{}, trackers: map[string]*ledger.Tracker{}}
	s.newBudget(allTypes, maximum)
	s.newBudget(oneType, maximum*2/3, product)
	snapshot := &snapshot{policies: policy.Compile(nil), knative: knative.Default(),
		budgets: policy.CompileBudgets([]v1alpha1.GPUBudget{*s.budgets[allTypes], *s.budgets[oneType]})}
	for _, b := range s.budgets {
		b.Status.Rules = policy.Rules(snapshot.policies, snapshot.knative)
		book, err := ledger.Read(&b.Status)
		require.NoError(t, err)
		book.Write(&b.Status, *b.Spec.Max)
	}
	for range 2 {
		r := &replicaOf{simulated: s, cached: maps.Clone(s.budgets)}
		r.handler = &requestHandler{namespaceLabels: nameOnly, revisions: noRevisions, reader: s, charging: &charging{charge: charge.NewCharger(r, nil).Charge}}
		r.handler.current.Store(snapshot)
		s.replicas = append(s.replicas, r)
	}
	return s
}

func (s *simulated) newBudget(name string, maximum int64, types ...string) {
	b := &v1alpha1.GPUBudget{ObjectMeta: metav1.ObjectMeta{Name: name, UID: uidFor(name), Generation: 1, ResourceVersion: "1"},
		Spec: v1alpha1.GPUBudgetSpec{Max: &maximum, GPUTypes: types, Rollout: v1alpha1.RolloutAllow}}
	if s.strict {
		b.Spec.Rollout = v1alpha1.RolloutStrict
	}
	b.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionCounted, Status: metav1.ConditionTrue, ObservedGeneration: 1}}
	s.budgets[name], s.trackers[name] = b, &ledger.Tracker{}
}

// uidFor is a UID for a budget.
func uidFor(name string) types.UID { return types.UID("uid-" + name) }

// replica is one of the webhook's, whoever the API server's connection goes to. What it has cached may be
// old.
func (s *simulated) replica() *requestHandler {
	for _, r := range s.replicas {
		if s.random.IntN(3) == 0 {
			r.cached = maps.Clone(s.budgets)
		}
	}
	return s.replicas[s.random.IntN(len(s.replicas))].handler
}

// The budgets' store, as a replica sees it.

func (r *replicaOf) Cached(_ context.Context, name string) (*v1alpha1.GPUBudget, error) {
	return r.cached[name], nil
}

func (r *replicaOf) Live(_ context.Context, name string) (*v1alpha1.GPUBudget, error) {
	return r.budgets[name], nil
}

func (s *simulated) Base(context.Context, *v1alpha1.GPUBudget) (*ledger.Base, error) { return nil, nil }

func (s *simulated) Write(_ context.Context, b *v1alpha1.GPUBudget) (*v1alpha1.GPUBudget, error) {
	if b.ResourceVersion != s.budgets[b.Name].ResourceVersion {
		return nil, apierrors.NewConflict(schema.GroupResource{}, b.Name, fmt.Errorf("changed"))
	}
	stored := b.DeepCopy()
	n, _ := strconv.Atoi(b.ResourceVersion)
	stored.ResourceVersion = strconv.Itoa(n + 1)
	s.budgets[b.Name] = stored
	return stored, nil
}

// The reader of admission.

func (s *simulated) Get(_ context.Context, kind schema.GroupKind, _, name string) (manifest.Object, error) {
	if o := s.stored[kind][name]; o != nil {
		return runtime.DeepCopyJSON(o), nil
	}
	return nil, nil
}

func (s *simulated) List(ctx context.Context, kind schema.GroupKind, namespace string, selector labels.Selector) ([]manifest.Object, error) {
	resource, err := cluster.ResourceOf(kind)
	if err != nil {
		return nil, err
	}
	return cluster.Pruned(ctx, listed{s, kind}, resource, namespace, selector)
}

// listed is what a world has of a kind, read as from an API server.
type listed struct {
	*simulated
	kind schema.GroupKind
}

func (s listed) ReadIn(_ context.Context, _ cluster.Resource, _ string, options metav1.ListOptions) (io.ReadCloser, error) {
	selector, err := labels.Parse(options.LabelSelector)
	if err != nil {
		return nil, err
	}
	items := []manifest.Object{}
	for _, o := range s.all(s.kind) {
		if selector.Matches(labels.Set(manifest.Texts(o, "metadata", "labels"))) {
			items = append(items, o)
		}
	}
	text, err := json.Marshal(manifest.Object{"items": items, "metadata": manifest.Object{}})
	return io.NopCloser(bytes.NewReader(text)), err
}

// all are the objects of a kind in order of their names.
func (s *simulated) all(kind schema.GroupKind) (all []manifest.Object) {
	for _, name := range slices.Sorted(maps.Keys(s.stored[kind])) {
		all = append(all, s.stored[kind][name])
	}
	return all
}

// any is one of the objects of a kind; nil if there is none.
func (s *simulated) any(kind schema.GroupKind) manifest.Object {
	all := s.all(kind)
	if len(all) == 0 {
		return nil
	}
	return all[s.random.IntN(len(all))]
}

// Read lists what is stored of a kind at the moment at which it is asked, and lets the world go on.
func (s *simulated) Read(_ context.Context, kind cluster.Resource, _ metav1.ListOptions) (io.ReadCloser, error) {
	items := []manifest.Object{}
	if kind.Resource == "namespaces" {
		items = append(items, manifest.Object{"metadata": manifest.Object{"name": team}})
	} else if kind.Group != "" && kind.Group != "apps" && kind.Group != "batch" && kind.Group != "autoscaling" {
		return nil, apierrors.NewGenericServerResponse(http.StatusNotFound, "list", kind.GroupResource(), "", "", 0, true)
	}
	for gk := range s.stored {
		k, ok := workload.KindFor(gk)
		if (ok && k.GVR() == kind) || (gk == workload.HorizontalPodAutoscalerKind && kind == cluster.HorizontalPodAutoscalers) {
			items = append(items, s.all(gk)...)
		}
	}
	text, err := json.Marshal(manifest.Object{"items": items, "metadata": manifest.Object{}})
	for range s.random.IntN(3) {
		if !s.quiet {
			s.act()
		}
	}
	return io.NopCloser(bytes.NewReader(text)), err
}

// count is one round of the budgets' controller: from the list on, the world goes on.
func (s *simulated) count() {
	s.counts++
	listed := s.now
	books, read := map[string]*ledger.Book{}, maps.Clone(s.budgets)
	for name, b := range read {
		book, err := ledger.Read(&b.Status)
		require.NoError(s.t, err)
		books[name] = book
	}
	objects, err := cluster.List(s.t.Context(), s)
	require.NoError(s.t, err)
	now := s.replicas[0].handler.current.Load()
	claimants := usage.All(review.World{Policies: now.policies, Knative: now.knative, Cluster: &review.Cluster{}, NamespaceLabels: func(string) (map[string]string, bool) { return nil, true }}, objects)
	text := ""
	for _, c := range claimants {
		text += fmt.Sprintf(" %s %s %v %v,", c.Kind, c.Name, c.Parts, c.Overlap)
	}
	for _, b := range now.budgets.All() {
		all := usage.Claims(claimants, b, objects.Namespaces)
		settled, _, commit := s.trackers[b.Name].Settle(books[b.Name], all, nil, listed, settleAfter)
		if s.budgets[b.Name] != read[b.Name] { // admissions charged meanwhile
			latest, err := ledger.Read(&s.budgets[b.Name].Status)
			require.NoError(s.t, err)
			settled = ledger.Rebase(settled, books[b.Name], latest)
			require.NotNil(s.t, settled)
		}
		after := s.budgets[b.Name].DeepCopy()
		settled.Write(&after.Status, *after.Spec.Max)
		stored, err := s.Write(s.t.Context(), after)
		require.NoError(s.t, err)
		commit(settled)
		s.note("count of %s: used %d, reserved %d, overlap %d, listed %s", b.Name, stored.Status.Used, stored.Status.Reserved, stored.Status.Overlap, text)
	}
}

func (s *simulated) note(format string, args ...any) {
	s.log = append(s.log, s.now.Format("05 ")+fmt.Sprintf(format, args...))
}

// admitted asks the webhook for a write.
func (s *simulated) admitted(user string, kind schema.GroupKind, subresource string, o, old manifest.Object) bool {
	r := &admissionv1.AdmissionRequest{UID: types.UID(fmt.Sprint("request-", len(s.log))), Operation: admissionv1.Create, Namespace: team, Name: manifest.Text(o, "metadata", "name"),
		Kind: metav1.GroupVersionKind{Group: kind.Group, Version: "v1", Kind: kind.Kind}, SubResource: subresource, UserInfo: authenticationv1.UserInfo{Username: user}}
	if k, ok := workload.KindFor(kind); ok {
		r.Resource = metav1.GroupVersionResource{Group: k.Group, Version: k.Version, Resource: k.Resource}
	}
	var err error
	r.Object.Raw, err = json.Marshal(o)
	require.NoError(s.t, err)
	if old != nil {
		r.Operation = admissionv1.Update
		r.OldObject.Raw, err = json.Marshal(old)
		require.NoError(s.t, err)
	}
	response := s.replica().validate(s.t.Context(), r)
	why := ""
	if response.Result != nil {
		why = response.Result.Message
	}
	s.note("%s %s %s by %s: %t %s", r.Operation, subresource, described(o), user[strings.LastIndex(user, ":")+1:], response.Allowed, why)
	return response.Allowed
}

// described words what of an object decides how many GPUs there are.
func described(o manifest.Object) string {
	kind, ok := workload.KindFor(workload.KindOf(o))
	if !ok {
		return fmt.Sprintf("%s %s %v", manifest.Text(o, "kind"), nameIn(o), o["spec"])
	}
	text := fmt.Sprintf("%s %s (%s) of %s, %d GPUs", kind.Kind, nameIn(o), strings.TrimLeft(uidOf(o), "0-48"), strings.TrimLeft(controllerUID(o), "0-48"), kind.Usage(o, workload.BuiltInGPUResources).GPUs.PerPod)
	spec := manifest.Map(o, "spec")
	for _, key := range []string{"replicas", "paused", "parallelism", "completions", "suspend", "podReplacementPolicy", "strategy", "updateStrategy", "selector"} {
		if spec[key] != nil {
			text += fmt.Sprintf(" %s %v", key, spec[key])
		}
	}
	return fmt.Sprint(text, " ", manifest.Map(o, "metadata")["labels"], " ", o["status"], " ", manifest.At(o, "metadata", "deletionTimestamp"))
}

// create stores a new object if it is admitted, some time later.
func (s *simulated) create(user string, kind schema.GroupKind, o manifest.Object) bool {
	name := manifest.Text(o, "metadata", "name")
	if s.stored[kind][name] != nil {
		return false
	}
	s.uids++
	metadata := manifest.Map(o, "metadata")
	metadata["uid"], metadata["generation"], metadata["namespace"] = fmt.Sprintf("00000000-0000-4000-8000-%012d", s.uids), int64(1), team
	if !s.admitted(user, kind, "", o, nil) {
		return false
	}
	s.later(user, func() {
		if s.stored[kind][name] == nil {
			s.put(kind, o)
			if kind == workload.PodKind {
				s.alive[manifest.Text(o, "metadata", "uid")] = holding{workload.CountGPUs(manifest.Map(o, "spec"), nil, workload.BuiltInGPUResources).PerPod,
					manifest.Text(o, "spec", "nodeSelector", "nvidia.com/gpu.product")}
			}
		}
	})
	return true
}

// awaits tells whether pods that a controller made for an owner are not stored yet: meanwhile it makes no others for it.
func (s *simulated) awaits(of string) bool {
	return slices.ContainsFunc(s.waiting, func(w waiting) bool { return w.of == of })
}

// sideBySide has a controller make pods of an owner so that none of them is stored before all are admitted or refused.
func (s *simulated) sideBySide(of string, pods int64, make func()) {
	s.batch = &[]func(){}
	for range pods {
		make()
	}
	stores := *s.batch
	s.batch = nil
	for _, store := range stores {
		s.owner = of
		s.later("", store)
		s.owner = ""
	}
}

// later stores what was admitted: controllers' writes at once, their batches and what people write at times later.
func (s *simulated) later(user string, store func()) {
	if s.batch != nil {
		*s.batch = append(*s.batch, store)
		return
	}
	if user != tenant && s.owner == "" || s.random.IntN(4) > 0 {
		store()
		return
	}
	s.waiting = append(s.waiting, waiting{s.owner, s.now.Add(time.Duration(s.random.Int64N(int64(slowest)))), store})
}

func (s *simulated) put(kind schema.GroupKind, o manifest.Object) {
	if s.stored[kind] == nil {
		s.stored[kind] = map[string]manifest.Object{}
	}
	s.stored[kind][manifest.Text(o, "metadata", "name")] = o
}

// update changes an object if that is admitted, and if nobody changed it meanwhile.
func (s *simulated) update(user string, kind schema.GroupKind, subresource string, old manifest.Object, change func(manifest.Object)) bool {
	o := runtime.DeepCopyJSON(old)
	change(o)
	if manifest.Equal(o, old) {
		return true
	}
	if !skipped(user, kind, o, old) && !s.admitted(user, kind, subresource, o, old) {
		return false
	}
	if kind == workload.StatefulSetKind && !manifest.Equal(manifest.At(o, "spec", "template"), manifest.At(old, "spec", "template")) && s.earlier[manifest.Text(o, "metadata", "uid")] == nil {
		s.earlier[manifest.Text(o, "metadata", "uid")] = manifest.Map(old, "spec", "template")
	}
	name := manifest.Text(old, "metadata", "name")
	s.later(user, func() {
		if now := s.stored[kind][name]; now != nil && manifest.Equal(now, old) {
			s.put(kind, o)
		}
	})
	return true
}

// scale changes the replicas of an object through its subresource.
func (s *simulated) scale(user string, kind schema.GroupKind, old manifest.Object, replicas int64) {
	o := runtime.DeepCopyJSON(old)
	manifest.Map(o, "spec")["replicas"] = replicas
	name := manifest.Text(o, "metadata", "name")
	of := func(o manifest.Object) manifest.Object {
		return manifest.Object{"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": manifest.Object{"name": name, "namespace": team, "uid": manifest.Text(o, "metadata", "uid")},
			"spec": manifest.Object{"replicas": workload.Replicas(o)}}
	}
	k, _ := workload.KindFor(kind)
	r := &admissionv1.AdmissionRequest{UID: "scale", Operation: admissionv1.Update, Namespace: team, Name: name, SubResource: "scale",
		Kind:     metav1.GroupVersionKind{Group: "autoscaling", Version: "v1", Kind: "Scale"},
		Resource: metav1.GroupVersionResource{Group: k.Group, Version: k.Version, Resource: k.Resource}, UserInfo: authenticationv1.UserInfo{Username: user}}
	var err error
	r.Object.Raw, err = json.Marshal(of(o))
	require.NoError(s.t, err)
	r.OldObject.Raw, err = json.Marshal(of(old))
	require.NoError(s.t, err)
	response := s.replica().validate(s.t.Context(), r)
	s.note("scale %s/%s to %d by %s: %t", kind.Kind, name, replicas, user, response.Allowed)
	if !response.Allowed {
		return
	}
	s.later(user, func() {
		if now := s.stored[kind][name]; now != nil && manifest.Equal(now, old) {
			s.put(kind, o)
		}
	})
}

// skipped tells whether an update does not come to the webhook. Of those of controllers only these come: a
// ReplicaSet or a Pod that is adopted or released.
func skipped(user string, kind schema.GroupKind, o, old manifest.Object) bool {
	if user == tenant {
		return false
	}
	now, was := controllerUID(o), controllerUID(old)
	switch kind {
	case workload.ReplicaSetKind:
		return was == now || (was != "" && now != "")
	case workload.PodKind:
		return was == now
	}
	return true
}

// drop takes an object out of the store; its pods stay alive until the kubelet has ended them.
func (s *simulated) drop(kind schema.GroupKind, o manifest.Object) {
	delete(s.stored[kind], manifest.Text(o, "metadata", "name"))
}

// held is what the pods hold that are alive, of what a budget is about.
func (s *simulated) held(budget string) (n int64) {
	for _, h := range s.alive {
		if budget == allTypes || h.product == "" || h.product == product {
			n += h.gpus
		}
	}
	return n
}

// check holds the promise against what is there: the budget is kept, but for what rollouts may have beside it. That
// is as much again at most, also after their Deployments are deleted.
func (s *simulated) check() {
	for name, b := range s.budgets {
		status := b.Status
		live := s.held(name)
		most := *b.Spec.Max
		if !s.strict {
			most *= 2
		}
		switch {
		case live > status.Used+status.Reserved+status.Overlap+s.rollouts():
			s.fail("pods hold more than the ledger", b, live)
		case live > most:
			s.fail("pods hold more than the budget", b, live)
		}
	}
}

// rollouts are what rollouts may have beside a budget that nobody is asked about: a count finds what of it is there.
func (s *simulated) rollouts() (n int64) {
	if s.strict {
		return 0
	}
	for _, d := range s.all(workload.DeploymentKind) {
		largest := int64(0)
		for _, o := range append(s.all(workload.ReplicaSetKind), d) {
			largest = max(largest, workload.CountGPUs(manifest.Map(o, "spec", "template", "spec"), nil, workload.BuiltInGPUResources).PerPod)
		}
		n += largest * workload.RolloutPods(d, workload.Replicas(d))
	}
	return n
}

func (s *simulated) fail(problem string, b *v1alpha1.GPUBudget, live int64) {
	for _, line := range s.log[max(0, len(s.log)-60):] {
		s.t.Log(line)
	}
	for _, kind := range workload.Kinds() {
		for _, o := range s.all(kind.GroupKind) {
			s.t.Logf("%s, %v alive", described(o), s.alive[uidOf(o)])
		}
	}
	status := b.Status
	s.t.Fatalf("%s: pods hold %d, the ledger of %s %d used, %d reserved, %d overlap, of %d", problem, live, b.Name, status.Used, status.Reserved, status.Overlap, *b.Spec.Max)
}
