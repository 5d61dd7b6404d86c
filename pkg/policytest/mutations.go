package policytest

import (
	"encoding/json"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/offline"
)

// CaseName names a case of a suite.
type CaseName struct {
	Suite string `json:"suite"`
	Case  string `json:"case"`
}

// Mutation is a change of one policy, and what became of it.
type Mutation struct {
	// Text names the change, such as "ComputePolicy platform: spec.bounds.maxScale.max: 50 -> 51".
	Text string `json:"mutation"`
	// Noticed are the cases that fail with it.
	Noticed []CaseName `json:"noticed"`
	// Reason is why no case needs to notice it, as the suite says.
	Reason string `json:"reason,omitempty"`
}

// Survived tells whether no case notices the change and none needs to.
func (m Mutation) Survived() bool { return len(m.Noticed) == 0 && m.Reason == "" }

// IdleCase is a case that no change of its policies makes fail.
type IdleCase struct {
	CaseName
	// Reason is why none does, as the suite says.
	Reason string `json:"reason,omitempty"`
}

// change is one of a policy, as its documents have it.
type change struct {
	text, source string
	spec         KubernetesObject
	noticed      []CaseName
	valid        bool
	err          error
}

// Mutations changes each value of each policy by itself, and tells which cases of the suites
// that use the policy notice, and which cases notice nothing. Changes that make a policy invalid are
// left out. All cases must pass without.
func Mutations(suites []*Suite) ([]Mutation, []IdleCase, error) {
	all := changesOf(suites)
	var wait sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i := range all {
		wait.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			c := &all[i]
			c.noticed, c.valid, c.err = noticing(suites, c.source, c.spec)
		})
	}
	wait.Wait()
	reasons := map[string]string{}
	for _, s := range suites {
		for _, x := range s.Survivors {
			reasons[x.Mutation] = x.Reason
		}
	}
	mutations := []Mutation{}
	moved := map[CaseName]bool{}
	for i := range all {
		c := &all[i]
		if c.err != nil {
			return nil, nil, c.err
		}
		if !c.valid {
			continue // it is refused when it is written
		}
		m := Mutation{Text: c.text, Noticed: append([]CaseName{}, c.noticed...)}
		if len(m.Noticed) == 0 {
			m.Reason = reasons[c.text]
			delete(reasons, c.text)
		}
		for _, name := range m.Noticed {
			moved[name] = true
		}
		mutations = append(mutations, m)
	}
	if len(reasons) > 0 {
		return nil, nil, fmt.Errorf("survivors: no such change survives: %s", strings.Join(slices.Sorted(maps.Keys(reasons)), "; "))
	}
	idle, err := idleCases(suites, moved)
	return mutations, idle, err
}

// changesOf are all that are tried.
func changesOf(suites []*Suite) (all []change) {
	seen := map[string]bool{}
	for _, s := range suites {
		for _, d := range offline.Flatten(s.Docs) {
			if seen[d.Source] {
				continue
			}
			seen[d.Source] = true
			name := manifest.Text(d.Object, "kind") + " " + manifest.Text(d.Object, "metadata", "name")
			for _, m := range changes(manifest.Map(d.Object, "spec"), "spec") {
				all = append(all, change{text: name + ": " + m.text, source: d.Source, spec: m.spec})
			}
		}
	}
	return all
}

// idleCases are those of suites with policies that were not moved by any change.
func idleCases(suites []*Suite, moved map[CaseName]bool) ([]IdleCase, error) {
	idle := []IdleCase{}
	for _, s := range suites {
		if len(s.Docs) == 0 {
			continue
		}
		for i := range s.Cases {
			c := &s.Cases[i]
			name := CaseName{s.Metadata.Name, c.Name}
			switch {
			case !moved[name]:
				idle = append(idle, IdleCase{name, c.Idle})
			case c.Idle != "":
				return nil, fmt.Errorf("%s: cases[%d].idle: a change makes case %q fail; take the reason out", s.Source, i, c.Name)
			}
		}
	}
	return idle, nil
}

// noticing are the cases of suites with the policy that fail if it has another spec.
func noticing(suites []*Suite, source string, spec KubernetesObject) (noticed []CaseName, valid bool, err error) {
	for _, s := range suites {
		docs, err := copied(s.Docs)
		if err != nil {
			return nil, false, err
		}
		uses := false
		for _, d := range offline.Flatten(docs) {
			if d.Source == source {
				d.Object["spec"] = spec
				uses = true
			}
		}
		if !uses {
			continue
		}
		in, err := s.inputs(docs)
		if err != nil {
			return nil, false, nil
		}
		valid = true
		for i := range s.Cases {
			// What cannot be run any more is noticed too.
			if problems, err := s.try(&s.Cases[i], in); err != nil || len(problems) > 0 {
				noticed = append(noticed, CaseName{s.Metadata.Name, s.Cases[i].Name})
			}
		}
	}
	return noticed, valid, nil
}

func copied(docs []offline.Document) ([]offline.Document, error) {
	raw, err := json.Marshal(docs)
	if err != nil {
		return nil, err
	}
	all := make([]offline.Document, len(docs))
	var objects []struct{ Object json.RawMessage }
	if err := json.Unmarshal(raw, &objects); err != nil {
		return nil, err
	}
	for i, d := range docs {
		all[i] = d
		if d.Object == nil {
			continue
		}
		if all[i].Object, err = manifest.Decode(objects[i].Object); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// changed is a spec with one change.
type changed struct {
	text string
	spec KubernetesObject
}

// changes are all that are tried on a spec.
func changes(spec KubernetesObject, root string) []changed {
	var all []changed
	walk(spec, root, func(text string, replacement any) { all = append(all, changed{text, replacement.(KubernetesObject)}) })
	return all
}

// walk tells every change of a value, as what the whole becomes.
func walk(v any, path string, tell func(text string, replacement any)) {
	switch x := v.(type) {
	case KubernetesObject:
		for _, key := range slices.Sorted(maps.Keys(x)) {
			with := func(value any) KubernetesObject {
				o := maps.Clone(x)
				o[key] = value
				return o
			}
			without := maps.Clone(x)
			delete(without, key)
			at := path + "." + key
			tell(at+": removed", without)
			walk(x[key], at, func(text string, value any) { tell(text, with(value)) })
		}
	case []any:
		for i := range x {
			at := fmt.Sprintf("%s[%d]", path, i)
			tell(at+": removed", slices.Delete(slices.Clone(x), i, i+1))
			walk(x[i], at, func(text string, value any) {
				list := slices.Clone(x)
				list[i] = value
				tell(text, list)
			})
		}
	default:
		for _, other := range others(v) {
			tell(fmt.Sprintf("%s: %v -> %v", path, v, other), other)
		}
	}
}

var enforcements = []string{"Deny", "Clamp", "Warn", "Audit"}

// others are the values that take the place of one.
func others(v any) []any {
	switch x := v.(type) {
	case int64:
		if x == 0 {
			return []any{int64(1)}
		}
		return []any{x + 1, x - 1}
	case float64:
		return []any{x * 2}
	case bool:
		return []any{!x}
	case string:
		return otherTexts(x)
	}
	return nil
}

func otherTexts(x string) []any {
	if slices.Contains(enforcements, x) {
		var all []any
		for _, e := range enforcements {
			if e != x {
				all = append(all, e)
			}
		}
		return all
	}
	if x == "Allow" {
		return []any{"Strict"}
	}
	if x == "Strict" {
		return []any{"Allow"}
	}
	if n, err := strconv.ParseInt(x, 10, 64); err == nil {
		return []any{strconv.FormatInt(n+1, 10)}
	}
	if d, err := time.ParseDuration(x); err == nil {
		return []any{(d + time.Second).String()}
	}
	if t, err := time.Parse(time.RFC3339, x); err == nil {
		return []any{t.AddDate(-50, 0, 0).Format(time.RFC3339), t.AddDate(50, 0, 0).Format(time.RFC3339)}
	}
	if q, err := resource.ParseQuantity(x); err == nil {
		q.Add(resource.MustParse("1"))
		return []any{q.String()}
	}
	return []any{x + "-other"}
}
