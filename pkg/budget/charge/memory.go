package charge

import (
	"context"
	"sync"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
)

// Memory keeps ledgers in memory, for where there is no cluster. Nobody else writes them,
// everything that happens is told, and what is admitted is taken to be stored.
type Memory struct {
	mu      sync.Mutex
	budgets map[string]*v1alpha1.GPUBudget
	books   map[string]*ledger.Book
}

// NewMemory starts empty ledgers.
func NewMemory(budgets []v1alpha1.GPUBudget) *Memory {
	m := &Memory{budgets: map[string]*v1alpha1.GPUBudget{}, books: map[string]*ledger.Book{}}
	for i := range budgets {
		m.budgets[budgets[i].Name] = &budgets[i]
		m.books[budgets[i].Name], _ = ledger.Read(&v1alpha1.GPUBudgetStatus{}) // an empty one can be read
	}
	return m
}

// NewMemoryOf starts with the ledgers that budgets have in a cluster. One that cannot be read
// starts empty.
func NewMemoryOf(budgets []v1alpha1.GPUBudget) *Memory {
	m := NewMemory(budgets)
	for i := range budgets {
		if book, err := ledger.Read(&budgets[i].Status); err == nil {
			m.books[budgets[i].Name] = book
		}
	}
	return m
}

// Charge sets the claims to what is asked, up or down, in all of the budgets or in none.
func (m *Memory) Charge(_ context.Context, demands []Demand, dryRun bool) []Answer {
	m.mu.Lock()
	defer m.mu.Unlock()
	var answers []Answer
	for i := range demands {
		d := &demands[i]
		b, book := m.budgets[d.Budget], m.books[d.Budget]
		if d.Look {
			answers = append(answers, look(book, Limits(b), d.Charges))
			continue
		}
		a := Answer{Outcome: book.Try(Limits(b), d.Charges...)}
		if e := Enforcement(b); !a.Fits && e != v1alpha1.BudgetDeny {
			a.Despite = e
		}
		if !a.Fits && len(d.Charges) > 0 {
			a.All, a.Own = book.Held(d.Charges[0].Namespace)
		}
		answers = append(answers, a)
		if !a.Admits() {
			return answers
		}
	}
	if dryRun {
		return answers
	}
	for _, d := range demands {
		for _, c := range d.Charges {
			// What replaces something is taken to be there alone, since nobody tells when the
			// earlier pods are gone.
			book := m.books[d.Budget]
			if c.Held {
				book.Charge(Limits(m.budgets[d.Budget]), "", c)
				continue
			}
			book.Set(c.Namespace, c.Key, ledger.Amount{GPUs: min(ledger.Most, c.GPUs)})
		}
	}
	return answers
}

// Hold enters what a claim holds of a budget already, whatever the budget allows.
func (m *Memory) Hold(budget, namespace string, key ledger.Key, gpus int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.books[budget].Set(namespace, key, ledger.Amount{GPUs: min(ledger.Most, gpus)})
}

// Release frees claims of objects that are gone, in every budget.
func (m *Memory) Release(namespace string, keys ...ledger.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, book := range m.books {
		for _, key := range keys {
			book.Set(namespace, key, ledger.Amount{})
		}
	}
}

// Status is the status of a budget as it would be in a cluster.
func (m *Memory) Status(name string) v1alpha1.GPUBudgetStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	book := m.books[name]
	if book == nil {
		return v1alpha1.GPUBudgetStatus{}
	}
	b := m.budgets[name].DeepCopy()
	b.Status = v1alpha1.GPUBudgetStatus{}
	Show(b, book)
	return b.Status
}
