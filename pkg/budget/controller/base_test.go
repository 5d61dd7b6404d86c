package controller

import (
	"errors"
	"fmt"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/kubetorch/webhook/pkg/budget/charge"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
)

var configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

// manyObjects are objects with a GPU each.
func manyObjects(n int) map[string]int64 {
	objects := map[string]int64{}
	for i := range n {
		objects[fmt.Sprintf("%08d-0000-4000-8000-000000000000", i)] = 1
	}
	return objects
}

// withBases is a counted budget over many claims.
func withBases(t *testing.T, objects int) *fake {
	t.Helper()
	f := start(t, 100000)
	f.mu.Lock()
	client := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{configMaps: "ConfigMapList"})
	f.bases = &charge.Bases{Client: client, Namespace: "system"}
	f.c.Bases = f.bases
	f.mu.Unlock()
	f.change(func() { f.seen, f.objects = 1, manyObjects(objects) })
	time.Sleep(wait + time.Second)
	synctest.Wait()
	f.assertCounted(t, metav1.ConditionTrue, "Counted")
	return f
}

// stored are the names of the ConfigMaps.
func (f *fake) stored(t *testing.T) (names []string) {
	t.Helper()
	list, err := f.bases.Client.Resource(configMaps).Namespace("system").List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for _, o := range list.Items {
		names = append(names, o.GetName())
	}
	return names
}

// named are the names in the status.
func (f *fake) named() (names []string) {
	if f.budget.Status.Base != nil {
		for _, part := range f.budget.Status.Base.Parts {
			names = append(names, part.Name)
		}
	}
	return names
}

// recent is how many bytes of claims the status holds.
func (f *fake) recent() (n int) {
	for _, in := range f.budget.Status.Namespaces {
		n += len(in.Claims)
	}
	return n
}

func TestManyClaimsStandInABaseAndTheLatestInTheStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := withBases(t, 2*inStatus)
		first := f.named()
		require.Len(t, first, 1)
		assert.Equal(t, first, f.stored(t))
		assert.Zero(t, f.recent())
		assert.EqualValues(t, 2*inStatus, f.budget.Status.Used)
		assert.True(t, charge.Counted(f.budget, f.rules))

		f.change(func() { f.objects["ffffffff-0000-4000-8000-000000000000"] = 3 })
		assert.Equal(t, first, f.named(), "the base is as it was")
		assert.Positive(t, f.recent())
		assert.EqualValues(t, 2*inStatus+3, f.budget.Status.Used)

		f.change(func() {
			maps.Copy(f.objects, manyObjects(4*inStatus))
		})
		second := f.named()
		assert.NotEqual(t, first, second)
		assert.Zero(t, f.recent())
		time.Sleep(wait + every)
		synctest.Wait()
		assert.Equal(t, second, f.stored(t), "the earlier one is deleted")

		f.change(func() { f.objects = manyObjects(inStatus / 4) })
		time.Sleep(2 * (wait + every))
		synctest.Wait()
		assert.Empty(t, f.named())
		assert.Empty(t, f.stored(t))
		assert.EqualValues(t, inStatus/4, f.budget.Status.Used)
		assert.True(t, charge.Counted(f.budget, f.rules))
	})
}

func TestAReplicaThatKnowsOfNoBasesIsGivenALedgerThatItReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := withBases(t, 2*inStatus)
		require.NotEmpty(t, f.named())
		assert.NotEqual(t, f.rules, f.budget.Status.Rules, "to an earlier version nothing is counted")
		_, err := ledger.Read(&f.budget.Status)
		require.Error(t, err)
		f.change(func() { f.earlier = true })
		assert.Empty(t, f.named())
		assert.Equal(t, f.rules, f.budget.Status.Rules)
		_, err = ledger.Read(&f.budget.Status)
		require.NoError(t, err)
		assert.EqualValues(t, 2*inStatus, f.budget.Status.Used)
	})
}

func TestABaseThatIsDeletedIsCountedAgainOnceNothingMayRise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := withBases(t, 2*inStatus)
		known, err := f.bases.Of(t.Context(), f.budget)
		require.NoError(t, err)
		f.change(func() {
			for _, name := range f.named() {
				require.NoError(t, f.bases.Client.Resource(configMaps).Namespace("system").Delete(t.Context(), name, metav1.DeleteOptions{}))
			}
			// A replica that knows the base charges what is not stored yet.
			b := f.budget.DeepCopy()
			book, err := ledger.ReadOver(known, &b.Status)
			require.NoError(t, err)
			require.True(t, book.Charge(charge.Limits(b), "token", ledger.Charge{Key: ledger.ForUID(types.UID("eeeeeeee-0000-4000-8000-000000000000")),
				Namespace: "a", Amount: ledger.Amount{GPUs: 5}}).Fits)
			book.Write(&b.Status, *b.Spec.Max)
			f.bump(b)
			f.bases = &charge.Bases{Client: f.bases.Client, Namespace: "system"} // the controller is a new one
		})
		f.assertCounted(t, metav1.ConditionFalse, "WaitingForRequests")
		time.Sleep(wait + 2*time.Second)
		synctest.Wait()
		f.assertCounted(t, metav1.ConditionTrue, "Counted")
		assert.EqualValues(t, 2*inStatus, f.budget.Status.Used)
		assert.EqualValues(t, 5, f.budget.Status.Reserved, "what was in flight is kept")
		assert.NotEmpty(t, f.named())
		time.Sleep(2*wait + every)
		synctest.Wait()
		assert.Zero(t, f.budget.Status.Reserved)
	})
}

func TestALedgerWhoseClaimsCannotBeStoredElsewhereStandsInTheStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, 100000)
		f.mu.Lock()
		client := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{configMaps: "ConfigMapList"})
		client.PrependReactor("create", "configmaps", func(k8stesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewForbidden(configMaps.GroupResource(), "", errors.New("no rights"))
		})
		f.bases = &charge.Bases{Client: client, Namespace: "system"}
		f.c.Bases = f.bases
		f.mu.Unlock()
		f.change(func() { f.seen, f.objects = 1, manyObjects(2*inStatus) })
		time.Sleep(wait + time.Second)
		synctest.Wait()
		f.assertCounted(t, metav1.ConditionTrue, "Counted")
		assert.EqualValues(t, 2*inStatus, f.budget.Status.Used)
		assert.Nil(t, f.budget.Status.Base)
		_, err := ledger.Read(&f.budget.Status)
		require.NoError(t, err)
	})
}
