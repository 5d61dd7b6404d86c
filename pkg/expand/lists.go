package expand

import (
	"slices"
	"strings"

	"github.com/kubetorch/webhook/pkg/parameter"
)

// settings are at most one of each parameter: so few that looking through them is quicker
// than a map.
type settings []Setting

func (l *settings) put(s Setting) {
	if i := l.index(s.Name); i >= 0 {
		(*l)[i] = s
		return
	}
	*l = append(*l, s)
}

// get is the setting of a parameter, zero if there is none.
func (l settings) get(name string) Setting {
	if i := l.index(name); i >= 0 {
		return l[i]
	}
	return Setting{}
}

func (l settings) index(name string) int {
	return slices.IndexFunc(l, func(s Setting) bool { return s.Name == name })
}

// ordered are the settings in the order of the table.
func (l settings) ordered() []Setting {
	if len(l) == 0 {
		return nil
	}
	all := make([]Setting, 0, len(l))
	for _, p := range parameter.Table {
		if i := l.index(p.Name); i >= 0 {
			all = append(all, l[i])
		}
	}
	return all
}

// entries are what one expansion sets, at most one at each of its locations.
type entries []namedEntry

type namedEntry struct {
	name string
	Entry
}

func (l *entries) put(name string, entry Entry) {
	for i := range *l {
		if (*l)[i].name == name {
			(*l)[i].Entry = entry
			return
		}
	}
	*l = append(*l, namedEntry{name, entry})
}

func (l entries) get(name string) (Entry, bool) {
	for i := range l {
		if l[i].name == name {
			return l[i].Entry, true
		}
	}
	return Entry{}, false
}

// text is the record of the entries, as encoding/json writes a map of them.
func (l entries) text() string {
	sorted := slices.Clone(l)
	slices.SortFunc(sorted, func(a, b namedEntry) int { return strings.Compare(a.name, b.name) })
	size := 2
	for _, e := range sorted {
		size += len(e.name) + len(e.Value) + len(e.From) + len(e.By) + len(e.State) + 50
	}
	b := append(make([]byte, 0, size), '{')
	for i, e := range sorted {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendText(b, e.name), `:{"value":`...)
		b = append(appendText(b, e.Value), `,"from":`...)
		b = appendText(b, e.From)
		if e.By != "" {
			b = appendText(append(b, `,"by":`...), e.By)
		}
		if e.State != "" {
			b = appendText(append(b, `,"state":`...), e.State)
		}
		b = append(b, '}')
	}
	return string(append(b, '}'))
}
