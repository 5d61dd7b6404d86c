package policytest

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/offline"
)

// CaseResult is what became of a case.
type CaseResult struct {
	Suite string `json:"suite"`
	Case  string `json:"case"`
	// Problems are what was expected and is not so; none if the case passed.
	Problems []string `json:"problems"`
}

// Passed tells whether everything was as expected.
func (r CaseResult) Passed() bool { return len(r.Problems) == 0 }

// Run runs all cases of a suite. The error is about its files, and names what is unusable.
func (s *Suite) Run() ([]CaseResult, error) {
	in, err := s.inputs(s.Docs)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Source, err)
	}
	results := make([]CaseResult, len(s.Cases))
	for i := range s.Cases {
		c := &s.Cases[i]
		problems, err := s.try(c, in)
		if err != nil {
			return nil, fmt.Errorf("%s: case %q: %w", s.Source, c.Name, err)
		}
		results[i] = CaseResult{Suite: s.Metadata.Name, Case: c.Name, Problems: problems}
	}
	return results, nil
}

func (s *Suite) try(c *Case, in offline.Inputs) ([]string, error) {
	a, err := admit(s, c, in)
	if err != nil {
		return nil, err
	}
	return c.Expect.compare(a), nil
}

// compare lists what is not as expected. A case that expects nothing passes nowhere.
func (e *Expect) compare(a answer) []string {
	problems := []string{}
	if e.Allowed == nil && e.Expansion == nil && e.Paths == nil && e.Warnings == nil && e.Causes == nil && e.Claim == nil {
		return append(problems, "nothing is expected: write what is, or run with --update")
	}
	if e.Allowed != nil && *e.Allowed != a.allowed {
		problems = append(problems, fmt.Sprintf("allowed: %t instead of %t%s", a.allowed, *e.Allowed, because(a.causes)))
	}
	if e.Expansion != nil {
		if want, got := plain(e.Expansion), plain(a.expansion); !reflect.DeepEqual(want, got) {
			problems = append(problems, "expansion: "+difference(text(want), text(got)))
		}
	}
	for _, path := range slices.Sorted(maps.Keys(e.Paths)) {
		got, err := lookup(a.expansion, path)
		if err != nil {
			problems = append(problems, fmt.Sprintf("paths[%s]: %v", path, err))
		} else if want := plain(e.Paths[path]); !reflect.DeepEqual(want, plain(got)) {
			problems = append(problems, fmt.Sprintf("%s: %s instead of %s", path, brief(got), brief(want)))
		}
	}
	if e.Warnings != nil {
		problems = append(problems, compareLists("warnings", *e.Warnings, a.warnings)...)
	}
	if e.Causes != nil {
		problems = append(problems, compareLists("causes", causeTexts(*e.Causes), causeTexts(a.causes))...)
	}
	if e.Claim != nil && *e.Claim != a.claim {
		problems = append(problems, fmt.Sprintf("claim: %s instead of %s", brief(a.claim), brief(*e.Claim)))
	}
	return problems
}

func because(causes []Cause) string {
	if len(causes) == 0 {
		return ""
	}
	return ": " + strings.Join(causeTexts(causes), "; ")
}

func causeTexts(causes []Cause) []string {
	all := make([]string, len(causes))
	for i, c := range causes {
		all[i] = strings.TrimPrefix(c.Field+": "+c.Message, ": ")
	}
	return all
}

// compareLists says what is missing and what is there beside, in whatever order.
func compareLists(name string, want, got []string) []string {
	var problems []string
	rest := slices.Clone(got)
	for _, w := range want {
		if i := slices.Index(rest, w); i >= 0 {
			rest = slices.Delete(rest, i, i+1)
		} else {
			problems = append(problems, name+": missing: "+w)
		}
	}
	for _, g := range rest {
		problems = append(problems, name+": not expected: "+g)
	}
	return problems
}

// lookup finds a value by a path such as spec.containers[0].env or
// metadata.annotations[example.com/a]; nil if there is none.
func lookup(o KubernetesObject, path string) (any, error) {
	var v any = o
	for rest := path; rest != ""; {
		var key string
		if key, rest = nextKey(rest); key == "" {
			return nil, fmt.Errorf("is no path such as spec.template.spec.containers[0].image or metadata.annotations[example.com/a]")
		}
		switch x := v.(type) {
		case KubernetesObject:
			v = x[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil {
				return nil, fmt.Errorf("%s is a list; give an index instead of %q", strings.TrimSuffix(path, rest), key)
			}
			if v = nil; i >= 0 && i < len(x) {
				v = x[i]
			}
		default:
			return nil, nil
		}
	}
	return v, nil
}

// nextKey takes the first key off a path.
func nextKey(path string) (key, rest string) {
	path = strings.TrimPrefix(path, ".")
	if inner, ok := strings.CutPrefix(path, "["); ok {
		key, rest, _ = strings.Cut(inner, "]")
		return key, rest
	}
	if i := strings.IndexAny(path, ".["); i >= 0 {
		return path[:i], path[i:]
	}
	return path, ""
}

// plain is a value as JSON has it, so that numbers of all types compare.
func plain(v any) any {
	raw, err := json.Marshal(v)
	if err != nil {
		return v
	}
	var p any
	if json.Unmarshal(raw, &p) != nil {
		return v
	}
	return p
}

func brief(v any) string {
	if v == nil {
		return "nothing"
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(raw)
}

func text(v any) string {
	out, err := yaml.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(out)
}

// difference shows the lines that are only in one of two texts.
func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	var b strings.Builder
	b.WriteString("is another")
	for _, line := range w {
		if !slices.Contains(g, line) {
			b.WriteString("\n- " + line)
		}
	}
	for _, line := range g {
		if !slices.Contains(w, line) {
			b.WriteString("\n+ " + line)
		}
	}
	return b.String()
}
