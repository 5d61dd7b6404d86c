// Package jsonscan reads ordinary JSON fast: what API servers write. It takes a subset
// of what sigs.k8s.io/json takes and gives the same values for it; whatever is out of the
// ordinary (a syntax error, a key that stands twice in one object, text that is no UTF-8,
// an escaped surrogate, very deep nesting) is not ok, and the caller asks sigs.k8s.io/json,
// whose words then reach the user.
//
// Strings are parts of one copy of the text. Who keeps one for long clones it.
package jsonscan
