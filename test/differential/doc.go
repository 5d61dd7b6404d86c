// Package differential holds the expansion of Knative Services against Knative's own
// defaulting and validation, on random inputs. It has tests only.
package differential
