package charge_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/charge"
)

// A ledger is written with the version that it was read with, and known by the version that
// the answer states.
func TestWriteComparesAndSwaps(t *testing.T) {
	before := &v1alpha1.GPUBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "cluster", UID: "u", ResourceVersion: "7", Generation: 2},
		Spec:       v1alpha1.GPUBudgetSpec{Max: new(int64(8))},
		Status:     v1alpha1.GPUBudgetStatus{Used: 4, Namespaces: []v1alpha1.NamespaceClaims{{Name: "a", Used: 4, Claims: []byte{0, 255}}}},
	}
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "gpubudgets"}, "cluster", nil).ErrStatus
	conflict.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	for name, test := range map[string]struct {
		code   int
		answer any
		want   func(t *testing.T, stored *v1alpha1.GPUBudget, err error)
	}{
		"stored": {
			code: http.StatusOK,
			answer: metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadata"},
				ObjectMeta: metav1.ObjectMeta{Name: "cluster", UID: "u", ResourceVersion: "9", Generation: 2, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}}}},
			want: func(t *testing.T, stored *v1alpha1.GPUBudget, err error) {
				require.NoError(t, err)
				want := before.DeepCopy()
				want.TypeMeta = metav1.TypeMeta{APIVersion: "policy.kubetorch.com/v1alpha1", Kind: "GPUBudget"}
				want.ResourceVersion = "9"
				assert.Equal(t, want, stored)
			},
		},
		"another was faster": {
			code: http.StatusConflict, answer: conflict,
			want: func(t *testing.T, _ *v1alpha1.GPUBudget, err error) {
				assert.True(t, apierrors.IsConflict(err), "%v", err)
			},
		},
		"an answer without a version": {
			code: http.StatusOK, answer: metav1.PartialObjectMetadata{},
			want: func(t *testing.T, _ *v1alpha1.GPUBudget, err error) {
				assert.ErrorContains(t, err, "no resource version")
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				assert.Equal(t, "PUT /apis/policy.kubetorch.com/v1alpha1/gpubudgets/cluster/status", r.Method+" "+r.URL.Path)
				assert.Contains(t, r.Header.Get("Accept"), "as=PartialObjectMetadata")
				body, err := io.ReadAll(r.Body)
				assert.NoError(t, err)
				var sent v1alpha1.GPUBudget
				assert.NoError(t, json.Unmarshal(body, &sent))
				assert.Equal(t, "7", sent.ResourceVersion)
				assert.Equal(t, before.Status, sent.Status)
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(test.code)
				_ = json.NewEncoder(w).Encode(test.answer)
			}))
			defer server.Close()
			writes, err := charge.NewWriter(&rest.Config{Host: server.URL}, server.Client())
			require.NoError(t, err)
			stored, err := (&charge.API{Writes: writes}).Write(t.Context(), before)
			test.want(t, stored, err)
		})
	}
}

// Near what etcd takes nothing is sent: what a count writes besides has room still.
func TestWriteSendsNoLedgerThatIsTooLarge(t *testing.T) {
	sent := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		sent++
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "9"}})
	}))
	defer server.Close()
	writes, err := charge.NewWriter(&rest.Config{Host: server.URL}, server.Client())
	require.NoError(t, err)
	api := &charge.API{Writes: writes, MaxBytes: charge.MaxBytes}
	ledger := func(bytes int) *v1alpha1.GPUBudget {
		claims := make([]byte, bytes*3/4) // base64 in JSON
		return &v1alpha1.GPUBudget{ObjectMeta: metav1.ObjectMeta{Name: "cluster", ResourceVersion: "7"},
			Status: v1alpha1.GPUBudgetStatus{Namespaces: []v1alpha1.NamespaceClaims{{Name: "a", Claims: claims}, {Name: "b"}}}}
	}
	_, err = api.Write(t.Context(), ledger(charge.MaxBytes-2048))
	require.NoError(t, err)
	require.Equal(t, 1, sent)
	_, err = api.Write(t.Context(), ledger(charge.MaxBytes))
	assert.ErrorIs(t, err, charge.ErrTooLarge)
	assert.EqualError(t, err, "its ledger is nearly as large as the API server can store: 1024 KiB, of 1024 KiB that an admission may write "+
		"(it lists 2 namespaces); the platform team may split it into budgets of fewer namespaces")
	assert.Equal(t, 1, sent)
}
