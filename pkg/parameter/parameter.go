// Package parameter is the one table of everything a workload can ask for: the
// keys under autoscale.kubetorch.com/ and compute.kubetorch.com/, the values they
// take and where they land. Parsing, policy settings, docs and command help come
// from it.
package parameter

import "strings"

// Prefixes and labels that a workload carries on its own metadata.
const (
	AutoscalePrefix = "autoscale.kubetorch.com/"
	ComputePrefix   = "compute.kubetorch.com/"

	AutoscaleLabel = "kubetorch.com/autoscale"
	ComputeLabel   = "kubetorch.com/compute"
)

// Group is one of the two key prefixes.
type Group string

// These are the groups.
const (
	Autoscale Group = "autoscale"
	Compute   Group = "compute"
)

// Prefix is the key prefix of the group.
func (g Group) Prefix() string {
	if g == Autoscale {
		return AutoscalePrefix
	}
	return ComputePrefix
}

// Label is the label that opts a workload in to the group.
func (g Group) Label() string {
	if g == Autoscale {
		return AutoscaleLabel
	}
	return ComputeLabel
}

// Parameter is one row of the table.
type Parameter struct {
	Group Group
	// Name is the key without its prefix, such as max-scale.
	Name string
	// Seed is the name in kubetorch's Python client; empty where it has none.
	Seed string
	// Type reads and compares values.
	Type *Type
	// Lands says where the value ends up on the Knative Service.
	Lands string
	// Default is the built-in default, in words where it depends on other values.
	Default string
	// NoDefault marks parameters that a policy cannot set.
	NoDefault bool
	// Note says how it behaves where its name does not, as docs/scaling.md has observed.
	Note string
}

// Key is the full label or annotation key.
func (p *Parameter) Key() string { return p.Group.Prefix() + p.Name }

// Field is the name under a policy's defaults and profiles: the key in camelCase.
func (p *Parameter) Field() string {
	parts := strings.Split(p.Name, "-")
	for i, s := range parts[1:] {
		parts[i+1] = strings.ToUpper(s[:1]) + s[1:]
	}
	return strings.Join(parts, "")
}

var byKey = func() map[string]*Parameter {
	m := make(map[string]*Parameter, len(Table))
	for _, p := range Table {
		m[p.Key()] = p
	}
	return m
}()

// Lookup finds the parameter of a full key.
func Lookup(key string) (*Parameter, bool) {
	p, ok := byKey[key]
	return p, ok
}

// IsKey tells whether a label or annotation key stands under one of the two prefixes.
func IsKey(key string) bool {
	return strings.HasPrefix(key, AutoscalePrefix) || strings.HasPrefix(key, ComputePrefix)
}

// Nearest is the known key most like an unknown one: the one of the same name under the
// other prefix, if there is one.
func Nearest(key string) string {
	_, name, _ := strings.Cut(normalise(key), "/")
	keys := make([]string, len(Table))
	for i, p := range Table {
		if p.Name == name {
			return p.Key()
		}
		keys[i] = p.Key()
	}
	return Closest(key, keys)
}

// Closest is the key most like another one by edit distance; an underscore or a capital
// letter counts as the dash it stands for.
func Closest(key string, keys []string) string {
	best, distance := "", 1<<30
	plain := normalise(key)
	for _, k := range keys {
		if d := editDistance(plain, k); d < distance {
			best, distance = k, d
		}
	}
	return best
}

func normalise(key string) string {
	prefix, name, found := strings.Cut(key, "/")
	if !found {
		return key
	}
	var b strings.Builder
	for i, r := range name {
		switch {
		case r == '_':
			b.WriteByte('-')
		case r >= 'A' && r <= 'Z':
			if i > 0 {
				b.WriteByte('-')
			}
			b.WriteRune(r + 'a' - 'A')
		default:
			b.WriteRune(r)
		}
	}
	return prefix + "/" + b.String()
}

// editDistance is the Levenshtein distance in bytes. Keys are at most 316 bytes.
func editDistance(a, b string) int {
	if len(a) > 400 {
		a = a[:400]
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			next := diagonal
			if a[i-1] != b[j-1] {
				next = 1 + min(diagonal, row[j], row[j-1])
			}
			diagonal, row[j] = row[j], next
		}
	}
	return row[len(b)]
}
