package charge

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
)

// BaseLabel is on the ConfigMaps of a budget's base; its value is the budget's UID.
const BaseLabel = "policy.kubetorch.com/ledger-of"

// baseKey is where a ConfigMap of a base has the claims.
const baseKey = "claims"

// ErrNoBase says that the base of a ledger is not there any more, or holds something else.
var ErrNoBase = errors.New("the settled claims of the ledger are lost")

var configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

// Bases keeps what ledgers hold outside of their budgets' status, in ConfigMaps that are never
// changed: each set of claims has names of its own.
type Bases struct {
	Client dynamic.Interface
	// Namespace is where ConfigMaps are made; empty where none are.
	Namespace string

	mu    sync.Mutex
	known map[string]*ledger.Base // the latest of each budget, by name
	loose map[string]time.Time    // ConfigMaps that no status names, since when, by name
}

// Of reads the base of a budget; nil if it has none. It is ErrNoBase if it cannot be read any more.
func (s *Bases) Of(ctx context.Context, b *v1alpha1.GPUBudget) (*ledger.Base, error) {
	named := b.Status.Base
	if named == nil {
		return nil, nil
	}
	if len(named.Parts) == 0 {
		return ledger.ReadBase(named, nil)
	}
	if s == nil {
		return nil, fmt.Errorf("budget %s: %w", b.Name, ErrNoBase)
	}
	s.mu.Lock()
	known := s.known[b.Name]
	s.mu.Unlock()
	if known.Is(named) {
		return known, nil
	}
	parts := make([][]byte, len(named.Parts))
	for i, part := range named.Parts {
		o, err := s.Client.Resource(configMaps).Namespace(named.Namespace).Get(ctx, part.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("budget %s: ConfigMap %s/%s: %w", b.Name, named.Namespace, part.Name, ErrNoBase)
		}
		if err != nil {
			return nil, fmt.Errorf("reading the claims of budget %s: %w", b.Name, err)
		}
		text, _, _ := unstructured.NestedString(o.Object, "binaryData", baseKey)
		if parts[i], err = base64.StdEncoding.DecodeString(text); err != nil {
			return nil, fmt.Errorf("budget %s: ConfigMap %s/%s: %w (%w)", b.Name, named.Namespace, part.Name, ErrNoBase, err)
		}
	}
	base, err := ledger.ReadBase(named.DeepCopy(), parts)
	if err != nil {
		return nil, fmt.Errorf("budget %s: %w: %w", b.Name, ErrNoBase, err)
	}
	s.keep(b.Name, base)
	return base, nil
}

func (s *Bases) keep(budget string, base *ledger.Base) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[string]*ledger.Base{}
	}
	s.known[budget] = base
}

// Make stores parts of a ledger under new names, for a status to name them.
func (s *Bases) Make(ctx context.Context, b *v1alpha1.GPUBudget, parts [][]byte) (*ledger.Base, error) {
	named := &v1alpha1.LedgerBase{Namespace: s.Namespace, Parts: []v1alpha1.LedgerPart{}}
	for i, part := range parts {
		var unique [8]byte
		_, _ = rand.Read(unique[:]) // it never fails
		name := "ledger-" + hex.EncodeToString(unique[:]) + "-" + strconv.Itoa(i)
		o := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "immutable": true,
			"metadata": map[string]any{
				"name": name, "labels": map[string]any{BaseLabel: string(b.UID)},
				"annotations": map[string]any{"policy.kubetorch.com/ledger-of": b.Name},
				"ownerReferences": []any{map[string]any{"apiVersion": v1alpha1.GroupVersion.String(), "kind": "GPUBudget",
					"name": b.Name, "uid": string(b.UID)}},
			},
			"binaryData": map[string]any{baseKey: base64.StdEncoding.EncodeToString(part)},
		}}
		if _, err := s.Client.Resource(configMaps).Namespace(s.Namespace).Create(ctx, o, metav1.CreateOptions{}); err != nil {
			return nil, fmt.Errorf("storing the claims of budget %s: %w", b.Name, err)
		}
		named.Parts = append(named.Parts, v1alpha1.LedgerPart{Name: name, SHA256: ledger.Digest(part)})
	}
	return ledger.ReadBase(named, parts)
}

// Sweep deletes the ConfigMaps of a budget that its status, read before, does not name and did not
// name wait ago, so that nobody is about to have it name them. left is how many are to be deleted
// later.
func (s *Bases) Sweep(ctx context.Context, b *v1alpha1.GPUBudget, wait time.Duration) (left int, err error) {
	all := s.Client.Resource(configMaps).Namespace(s.Namespace)
	list, err := all.List(ctx, metav1.ListOptions{LabelSelector: BaseLabel + "=" + string(b.UID)})
	if err != nil {
		return 0, fmt.Errorf("listing the claims of budget %s: %w", b.Name, err)
	}
	named := map[string]bool{}
	if b.Status.Base != nil {
		for _, part := range b.Status.Base.Parts {
			named[part.Name] = true
		}
	}
	now := time.Now()
	for i := range list.Items {
		o := &list.Items[i]
		if named[o.GetName()] {
			s.forget(o.GetName())
			continue
		}
		uid := o.GetUID()
		if now.Sub(s.since(o.GetName(), now)) < wait {
			left++
			continue
		}
		err := all.Delete(ctx, o.GetName(), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
		if err != nil && !apierrors.IsNotFound(err) {
			return left, fmt.Errorf("deleting earlier claims of budget %s: %w", b.Name, err)
		}
		s.forget(o.GetName())
	}
	return left, nil
}

// since is when a ConfigMap was first seen that no status names.
func (s *Bases) since(name string, now time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loose == nil {
		s.loose = map[string]time.Time{}
	}
	if _, there := s.loose[name]; !there {
		s.loose[name] = now
	}
	return s.loose[name]
}

func (s *Bases) forget(name string) {
	s.mu.Lock()
	delete(s.loose, name)
	s.mu.Unlock()
}

// Flat are all budgets as they are, each with all claims in its status, for readers who decide
// nothing. Of a base that they may not read the sums are left.
func (a *API) Flat(ctx context.Context) ([]v1alpha1.GPUBudget, error) {
	budgets, err := a.List(ctx)
	if err != nil {
		return nil, err
	}
	for i := range budgets {
		b := &budgets[i]
		if b.Status.Base == nil {
			continue
		}
		base, err := a.Bases.Of(ctx, b)
		if err != nil && !errors.Is(err, ErrNoBase) && !apierrors.IsForbidden(err) {
			return nil, err
		}
		b.Status.Rules = Rules(&b.Status)
		limit := Limits(b).Max
		if err != nil {
			if err := ledger.Outline(&b.Status, limit); err != nil {
				return nil, fmt.Errorf("budget %s: %w", b.Name, err)
			}
			continue
		}
		if book, err := ledger.ReadOver(base, &b.Status); err == nil { // else whoever reads it says so
			flat, _ := book.Over(nil)
			flat.Write(&b.Status, limit)
		}
	}
	return budgets, nil
}
