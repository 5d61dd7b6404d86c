package charge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/policy"
)

var resource = v1alpha1.GroupVersion.WithResource("gpubudgets")

// MaxBytes is how large a budget an admission may write: etcd takes half as much again, so that what
// has been admitted can still be settled.
const MaxBytes = 1 << 20

// ErrTooLarge says that a ledger is nearly as large as can be stored.
var ErrTooLarge = errors.New("its ledger is nearly as large as the API server can store")

// API is the Store of a cluster.
type API struct {
	Client dynamic.Interface
	// Writes is a client of the API group; nil where nothing is written.
	Writes rest.Interface
	// Cache gives a budget as it was a moment ago, not to be changed; nil where there is
	// none.
	Cache func(ctx context.Context, name string) (*unstructured.Unstructured, error)
	// MaxBytes is how large a budget may be that is written; 0 is any size.
	MaxBytes int
	// Bases reads what budgets name in their status; nil where none do.
	Bases *Bases

	mu      sync.Mutex
	decoded map[string]*v1alpha1.GPUBudget // the latest of each from the cache
}

// Cached is a budget as it was a moment ago.
func (a *API) Cached(ctx context.Context, name string) (*v1alpha1.GPUBudget, error) {
	o, err := a.Cache(ctx, name)
	if err != nil || o == nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if b := a.decoded[name]; b != nil && b.UID == o.GetUID() && b.ResourceVersion == o.GetResourceVersion() {
		return b, nil
	}
	b, err := decode(o)
	if err != nil {
		return nil, err
	}
	if a.decoded == nil {
		a.decoded = map[string]*v1alpha1.GPUBudget{}
	}
	a.decoded[name] = b
	return b, nil
}

// Base is that of a budget's ledger; nil if it has none. It is ErrNoBase if it is not there any more.
func (a *API) Base(ctx context.Context, b *v1alpha1.GPUBudget) (*ledger.Base, error) {
	return a.Bases.Of(ctx, b)
}

// Live is a budget as it is; nil where there is none.
func (a *API) Live(ctx context.Context, name string) (*v1alpha1.GPUBudget, error) {
	o, err := a.Client.Resource(resource).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading GPUBudget %s: %w", name, err)
	}
	return decode(o)
}

// Write stores the status. The answer is asked for without the ledger, which is the same as
// was sent and may be large.
func (a *API) Write(ctx context.Context, b *v1alpha1.GPUBudget) (*v1alpha1.GPUBudget, error) {
	stored := *b
	stored.TypeMeta = metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "GPUBudget"}
	body, err := json.Marshal(&stored)
	if err != nil {
		return nil, fmt.Errorf("writing GPUBudget %s: %w", b.Name, err)
	}
	if a.MaxBytes > 0 && len(body) > a.MaxBytes {
		return nil, fmt.Errorf("%w: %d KiB, of %d KiB that an admission may write (it lists %d namespaces); the platform team may split it into budgets of fewer namespaces", ErrTooLarge, len(body)>>10, a.MaxBytes>>10, len(b.Status.Namespaces))
	}
	answer, err := a.Writes.Put().Resource(resource.Resource).Name(b.Name).SubResource("status").
		SetHeader("Content-Type", "application/json").SetHeader("Accept", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1").Body(body).DoRaw(ctx)
	if err != nil {
		return nil, err // says what and why itself, and its kind is looked at
	}
	var after metav1.PartialObjectMetadata
	if err := json.Unmarshal(answer, &after); err != nil {
		return nil, fmt.Errorf("writing GPUBudget %s: reading the answer: %w", b.Name, err)
	}
	if after.ResourceVersion == "" {
		return nil, fmt.Errorf("writing GPUBudget %s: the answer has no resource version", b.Name)
	}
	stored.ObjectMeta = after.ObjectMeta
	stored.ManagedFields = nil
	return &stored, nil
}

// List are all budgets as they are. One that cannot be decoded is left out: it holds for
// everything as long as it is there.
func (a *API) List(ctx context.Context) ([]v1alpha1.GPUBudget, error) {
	list, err := a.Client.Resource(resource).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing GPUBudgets: %w", err)
	}
	var budgets []v1alpha1.GPUBudget
	for i := range list.Items {
		if b, err := decode(&list.Items[i]); err == nil {
			budgets = append(budgets, *b)
		}
	}
	return budgets, nil
}

// Versions are those of all budgets as they are, and the rules by which they were counted, by
// name.
func (a *API) Versions(ctx context.Context) (versions, rules map[string]string, err error) {
	list, err := a.Client.Resource(resource).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, nil, fmt.Errorf("listing GPUBudgets: %w", err)
	}
	versions, rules = make(map[string]string, len(list.Items)), make(map[string]string, len(list.Items))
	for i := range list.Items {
		o := &list.Items[i]
		versions[o.GetName()] = policy.Version(string(o.GetUID()), o.GetGeneration())
		stated, _, _ := unstructured.NestedString(o.Object, "status", "rules")
		rules[o.GetName()] = strings.TrimPrefix(stated, overBase)
	}
	return versions, rules, nil
}

func decode(o *unstructured.Unstructured) (*v1alpha1.GPUBudget, error) {
	b := &v1alpha1.GPUBudget{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, b); err != nil {
		return nil, fmt.Errorf("reading GPUBudget %s: %w", o.GetName(), err)
	}
	b.ManagedFields = nil
	return b, nil
}

// NewWriter makes a client for API.Writes.
func NewWriter(config *rest.Config, client *http.Client) (rest.Interface, error) {
	config = dynamic.ConfigFor(config)
	config.GroupVersion, config.APIPath = &v1alpha1.GroupVersion, "/apis"
	return rest.RESTClientForConfigAndClient(config, client)
}
