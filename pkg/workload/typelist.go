package workload

import (
	"maps"
	"path"
	"slices"
	"strings"
)

// TypeList is a list of GPU types of a budget or a bound, in any vendor's words; globs are
// allowed.
type TypeList struct {
	entries []typeEntry
}

type typeEntry struct {
	text string
	// base is the text without what sharing and MIG add to a product's name.
	base string
	// products are the canonical names that it means; none if the table has none of it.
	products []string
	// discovered is whether it is written as feature discovery writes names.
	discovered bool
}

// NewTypeList compiles a list.
func NewTypeList(types []string) TypeList {
	l := TypeList{entries: make([]typeEntry, len(types))}
	for i, text := range types {
		base := baseType(text)
		l.entries[i] = typeEntry{text: text, base: base, products: globProducts(base), discovered: isDiscovered(base)}
	}
	return l
}

// Empty tells whether the list has no entry.
func (l TypeList) Empty() bool { return len(l.entries) == 0 }

// Names are the types as they were written.
func (l TypeList) Names() []string {
	names := make([]string, len(l.entries))
	for i := range l.entries {
		names[i] = l.entries[i].text
	}
	return names
}

// MayBe tells whether GPUs that are pinned to a type may be of a listed one: they are of
// another only if both the pin and the list are understood. An empty pin may be anything.
func (l TypeList) MayBe(pin string) bool {
	if pin == "" || l.Empty() {
		return true
	}
	base := baseType(pin)
	meant, discovered := productsOf(base), isDiscovered(base)
	var extended []string
	if len(meant) == 0 && discovered {
		extended = extendedProducts(base)
	}
	for i := range l.entries {
		e := &l.entries[i]
		if e.matches(pin) || e.matches(base) || sameProduct(e.base, base) || meets(meant, e.products) || meets(extended, e.products) {
			return true
		}
		byTable := len(meant) > 0 && len(e.products) > 0
		byName := discovered && e.discovered && !strings.HasPrefix(base, e.base+"-")
		if !byTable && !byName {
			return true
		}
	}
	return false
}

// sameProduct tells whether a name, or a glob, is that of a product as feature discovery writes it from another
// driver's generation: these put NVIDIA before it or not (NVIDIA-GeForce-RTX-3090, GeForce-RTX-3090).
func sameProduct(listed, name string) bool {
	const vendor = "NVIDIA-"
	return globMatches(strings.TrimPrefix(listed, vendor), strings.TrimPrefix(name, vendor))
}

// Includes tells whether GPUs that are pinned to a type are of listed ones, whichever
// product the pin means.
func (l TypeList) Includes(pin string) bool {
	if pin == "" {
		return false
	}
	base := baseType(pin)
	listed := map[string]bool{}
	for i := range l.entries {
		e := &l.entries[i]
		if globMatches(e.text, pin) || globMatches(e.text, base) || sameProduct(e.text, base) {
			return true
		}
		if e.text == e.base {
			for _, name := range e.products {
				listed[name] = true
			}
		}
	}
	meant := productsOf(base)
	return len(meant) > 0 && !slices.ContainsFunc(meant, func(name string) bool { return !listed[name] })
}

// String is the list as it was written.
func (l TypeList) String() string {
	return strings.Join(l.Names(), ", ")
}

func (e *typeEntry) matches(value string) bool {
	return globMatches(e.text, value) || globMatches(e.base, value)
}

func globMatches(pattern, value string) bool {
	if pattern == value {
		return true
	}
	matched, err := path.Match(pattern, value)
	return err == nil && matched
}

// baseType takes off what time slicing and MIG add to a product's name.
func baseType(value string) string {
	for {
		cut := strings.TrimSuffix(value, "-SHARED")
		if i := strings.Index(cut, "-MIG-"); i > 0 {
			cut = cut[:i]
		}
		if cut == value || cut == "" {
			return value
		}
		value = cut
	}
}

// globProducts are the products that a word or a glob means, sorted.
func globProducts(pattern string) []string {
	lower := strings.ToLower(pattern)
	if !strings.ContainsAny(pattern, `*?[\`) {
		return productsOf(pattern)
	}
	found := map[string]bool{}
	for word, names := range words {
		if matched, err := path.Match(lower, word); err == nil && matched {
			for _, name := range names {
				found[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func isDiscovered(value string) bool {
	return slices.ContainsFunc(discoveryShapes, func(shape string) bool {
		return strings.HasPrefix(value, shape) && len(value) > len(shape)
	})
}

// extendedProducts are the products whose name stands before something that is not
// understood, such as the profile of a virtual GPU.
func extendedProducts(value string) []string {
	lower := strings.ToLower(value)
	var found []string
	for word, names := range words {
		if strings.HasPrefix(lower, word) && len(lower) > len(word) && (lower[len(word)] == '-' || lower[len(word)] == '_') {
			found = append(found, names...)
		}
	}
	return found
}

func meets(a, b []string) bool {
	return slices.ContainsFunc(a, func(name string) bool { return slices.Contains(b, name) })
}

// covers tells whether all that a product may be is of a type.
func covers(gpuType, product string) bool {
	if product == "" {
		return false
	}
	meant, listed := productsOf(baseType(product)), productsOf(baseType(gpuType))
	return baseType(gpuType) == baseType(product) ||
		(len(meant) > 0 && !slices.ContainsFunc(meant, func(name string) bool { return !slices.Contains(listed, name) }))
}

// SameProduct compares two GPU types: same if they may be one product, known if both are
// understood.
func SameProduct(a, b string) (same, known bool) {
	if baseType(a) == baseType(b) {
		return true, true
	}
	x, y := productsOf(baseType(a)), productsOf(baseType(b))
	return meets(x, y), len(x) > 0 && len(y) > 0
}
