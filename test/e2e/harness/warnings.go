package harness

import (
	"slices"
	"sync"
)

// Warnings are those that an API server answered with: a handler for the configuration of a client.
type Warnings struct {
	mu   sync.Mutex
	said []string
}

// HandleWarningHeader notes a warning.
func (w *Warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = append(w.said, text)
}

// Taken are the warnings since it was asked last.
func (w *Warnings) Taken() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	said := slices.Clone(w.said)
	w.said = nil
	return said
}
