package charge

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
)

const (
	// maxWrites is how often a batch is tried again when somebody else wrote first.
	maxWrites = 12
	// backoff is the longest wait before the first of these tries; it grows.
	backoff = 4 * time.Millisecond
	// writeTimeout bounds one batch, whatever time its requests have left.
	writeTimeout = 10 * time.Second
	// maxBatch bounds the work between two writes.
	maxBatch = 1000
)

// worker charges one budget. Requests that arrive while a write is under way are decided
// together with the next write.
type worker struct {
	name    string
	store   Store
	metrics *WriteMetrics
	share   int64 // Charger.UnseenShare

	namespaceWait time.Duration // Charger.NamespaceWait
	// uncounted are the namespaces that wait to be counted, since when this replica knows that. Of the goroutine
	// that runs.
	uncounted map[string]time.Time

	mu      sync.Mutex
	waiting []*attempt
	running bool

	// known is the latest budget that was read or written, with no charge in it that is not
	// stored. Of the goroutine that runs.
	known *state
}

// state is a budget with its ledger read; the book is nil where it cannot be.
type state struct {
	budget *v1alpha1.GPUBudget
	book   *ledger.Book
}

// attempt is one demand on its way.
type attempt struct {
	demand *Demand
	dryRun bool
	ended  func() error // why its request has ended; nil before
	answer Answer
	done   chan struct{}
}

// do decides an attempt, together with others.
func (w *worker) do(ctx context.Context, a *attempt) Answer {
	a.ended, a.done = ctx.Err, make(chan struct{})
	w.mu.Lock()
	w.waiting = append(w.waiting, a)
	if !w.running {
		w.running = true
		go w.run() //nolint:contextcheck // it decides for others too
	}
	w.mu.Unlock()
	select {
	case <-a.done:
		return a.answer
	case <-ctx.Done():
		return Answer{Retry: retryBusy}
	}
}

// run decides batches until nobody waits.
func (w *worker) run() {
	for {
		w.mu.Lock()
		n := min(len(w.waiting), maxBatch)
		batch := w.waiting[:n:n]
		w.waiting = w.waiting[n:]
		if n == 0 {
			w.running = false
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
		w.batch(batch)
	}
}

// batch decides attempts with one write, and again for as long as others write first.
func (w *worker) batch(batch []*attempt) {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	live := false
	now, err := w.recent(ctx)
	for try := 0; err == nil && len(batch) > 0; try++ {
		var write, refused []*attempt
		write, refused, batch = w.decide(now, batch)
		if len(refused) > 0 && !live {
			// What was read may be old. Nobody is refused for that.
			if len(write) > 0 {
				w.known = nil // it holds what is not stored
			}
			batch = append(batch, append(write, refused...)...)
			live = true
			now, err = w.live(ctx)
			continue
		}
		finish(refused)
		if len(write) == 0 {
			w.known = now
			finish(batch)
			return
		}
		w.known = nil // the ledger of now holds what is not stored yet
		next, failed := w.write(ctx, now)
		w.metrics.wrote(w.name, len(write), failed)
		if failed == nil {
			w.known = next
			finish(write)
			finish(batch)
			return
		}
		batch = append(batch, write...)
		if !apierrors.IsConflict(failed) || try >= maxWrites {
			err = failed
			break
		}
		live = true
		time.Sleep(rand.N(backoff * time.Duration(try+1)))
		now, err = w.live(ctx)
	}
	if err != nil {
		w.known = nil
		for _, a := range batch {
			a.answer = Answer{Retry: retryBusy}
			switch {
			case errors.Is(err, ErrTooLarge):
				a.answer.Retry = err.Error()
			case !apierrors.IsConflict(err):
				a.answer.Retry = "its ledger cannot be written or read: " + err.Error()
			}
		}
	}
	finish(batch)
}

// finish hands out the answers.
func finish(attempts []*attempt) {
	for _, a := range attempts {
		close(a.done)
	}
}

// decide applies attempts to the ledger: write are those that changed it and wait for it to
// be stored, rest those that need no writing. Whose request has ended is dropped.
func (w *worker) decide(now *state, batch []*attempt) (write, refused, rest []*attempt) {
	token := strconv.FormatUint(rand.Uint64(), 36)
	for _, a := range batch {
		if a.ended() != nil {
			a.answer = Answer{Retry: retryBusy}
			rest = append(rest, a)
			continue
		}
		if now == nil { // the budget is gone
			a.answer = Answer{Outcome: ledger.Outcome{Fits: true}}
			rest = append(rest, a)
			continue
		}
		if why := a.demand.obstacle(now.budget, now.book); why != "" {
			a.answer = Answer{Retry: why, After: 1}
			switch why {
			case retryCounting, retryUnread:
				a.answer.After = counting(now.budget, time.Now())
			case retryNamespace:
				a.answer.After = w.countingIn(a.demand.Charges[0].Namespace, now.book, time.Now())
			}
			refused = append(refused, a)
			continue
		}
		switch written := a.charge(now, token, w.limits(now.budget)); {
		case written:
			write = append(write, a)
		case a.answer.Admits():
			rest = append(rest, a)
		default:
			refused = append(refused, a)
		}
	}
	return write, refused, rest
}

// countingIn says how long counting a namespace is going to take at most, in seconds; 0 if that is not known.
func (w *worker) countingIn(namespace string, book *ledger.Book, now time.Time) int32 {
	if w.namespaceWait == 0 {
		return 0
	}
	if w.uncounted == nil {
		w.uncounted = map[string]time.Time{}
	}
	maps.DeleteFunc(w.uncounted, func(counted string, _ time.Time) bool { return book.Lists(counted) })
	if _, known := w.uncounted[namespace]; !known {
		w.uncounted[namespace] = now
	}
	return max(1, int32((w.namespaceWait-now.Sub(w.uncounted[namespace])).Seconds())+1)
}

// limits are those of a budget, with the share of one namespace of what is free where that can keep
// it from another one.
func (w *worker) limits(b *v1alpha1.GPUBudget) ledger.Limits {
	l := Limits(b)
	if Enforcement(b) == v1alpha1.BudgetDeny && !ofOneNamespace(b.Spec.NamespaceSelector) {
		l.UnseenShare = w.share
	}
	return l
}

// ofOneNamespace tells whether a selector takes one namespace at most, by its name.
func ofOneNamespace(s *metav1.LabelSelector) bool {
	if s == nil {
		return false
	}
	for _, r := range s.MatchExpressions {
		if r.Key == corev1.LabelMetadataName && r.Operator == metav1.LabelSelectorOpIn && len(r.Values) == 1 {
			return true
		}
	}
	return s.MatchLabels[corev1.LabelMetadataName] != ""
}

// charge decides one attempt by a budget as it is, and tells whether that has changed the
// ledger.
func (a *attempt) charge(now *state, token string, limits ledger.Limits) (written bool) {
	charges := a.demand.Charges
	if a.demand.Look {
		a.answer = look(now.book, limits, charges)
		return false
	}
	if a.answer = (Answer{Outcome: now.book.Try(limits, charges...)}); a.answer.Fits {
		if a.demand.Unwritten && a.answer.Raised == 0 {
			return false
		}
		if !a.dryRun {
			a.answer.Outcome = now.book.Charge(limits, token, charges...)
		}
		return !a.dryRun
	}
	if a.answer.Crowded {
		a.answer.Retry, a.answer.After = crowded(limits.UnseenShare), 1
		return false
	}
	a.answer.Holders = now.budget.Status.Holders
	if len(charges) > 0 {
		a.answer.All, a.answer.Own = now.book.Held(charges[0].Namespace)
	}
	e := Enforcement(now.budget)
	if e == v1alpha1.BudgetDeny {
		return false
	}
	a.answer.Despite = e
	if !a.dryRun {
		now.book.Take(token, charges...)
	}
	return !a.dryRun
}

// recent is the latest state that is known without asking.
func (w *worker) recent(ctx context.Context) (*state, error) {
	cached, err := w.store.Cached(ctx, w.name)
	switch {
	case err != nil || cached == nil:
		return w.live(ctx)
	case w.known != nil && !newer(cached.ResourceVersion, w.known.budget.ResourceVersion):
		return w.known, nil
	}
	now, err := w.read(ctx, cached)
	if err == nil {
		w.known = now
	}
	return now, err
}

func (w *worker) live(ctx context.Context) (*state, error) {
	b, err := w.store.Live(ctx, w.name)
	switch {
	case err != nil || b == nil:
		return nil, err
	case w.known != nil && w.known.budget.UID == b.UID && w.known.budget.ResourceVersion == b.ResourceVersion:
		return w.known, nil
	}
	return w.read(ctx, b)
}

// read reads the ledger of a budget. Its base is read of the API server where another one was named
// before, which is seldom.
func (w *worker) read(ctx context.Context, b *v1alpha1.GPUBudget) (*state, error) {
	base, err := w.store.Base(ctx, b)
	if errors.Is(err, ErrNoBase) {
		return &state{budget: b}, nil
	}
	if err != nil {
		return nil, err
	}
	book, err := ledger.ReadOver(base, &b.Status)
	if err != nil {
		book = nil
	}
	return &state{budget: b, book: book}, nil
}

// newer tells whether the first of two resource versions is the later one.
func newer(a, b string) bool {
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	return errX != nil || errY != nil || x > y
}

// write stores the ledger of a state.
func (w *worker) write(ctx context.Context, now *state) (*state, error) {
	b := now.budget.DeepCopy()
	Show(b, now.book)
	stored, err := w.store.Write(ctx, b)
	if err != nil {
		return nil, err
	}
	return &state{budget: stored, book: now.book}, nil
}
