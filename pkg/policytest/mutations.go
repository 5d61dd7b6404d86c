package policytest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/offline"
)

// Mutation is a change of one policy, and what became of it.
type Mutation struct {
	// Text names the change, such as "ComputePolicy platform: spec.bounds.maxScale.max: 50 -> 51".
	Text string `json:"mutation"`
	// Noticed is the first case that fails with it; empty if none does.
	Noticed string `json:"noticed,omitempty"`
	// Reason is why no case needs to notice it, as the suite says.
	Reason string `json:"reason,omitempty"`
}

// Survived tells whether no case notices the change and none needs to.
func (m Mutation) Survived() bool { return m.Noticed == "" && m.Reason == "" }

// Mutations changes each value of each policy by itself, and tells which case of the suites
// that use the policy notices. Changes that make a policy invalid are left out. All cases must
// pass without.
func Mutations(suites []*Suite) ([]Mutation, error) {
	reasons := map[string]string{}
	for _, s := range suites {
		for _, x := range s.Survivors {
			reasons[x.Mutation] = x.Reason
		}
	}
	var all []Mutation
	seen := map[string]bool{}
	for _, s := range suites {
		for _, d := range offline.Flatten(s.Docs) {
			if seen[d.Source] {
				continue
			}
			seen[d.Source] = true
			name := manifest.Text(d.Object, "kind") + " " + manifest.Text(d.Object, "metadata", "name")
			for _, m := range changes(manifest.Map(d.Object, "spec"), "spec") {
				noticed, valid, err := noticing(suites, d.Source, m.spec)
				if err != nil {
					return nil, err
				}
				if !valid {
					continue // it is refused when it is written
				}
				text := name + ": " + m.text
				mutation := Mutation{Text: text, Noticed: noticed}
				if noticed == "" {
					mutation.Reason = reasons[text]
					delete(reasons, text)
				}
				all = append(all, mutation)
			}
		}
	}
	if len(reasons) > 0 {
		return nil, fmt.Errorf("survivors: no such change survives: %s", strings.Join(slices.Sorted(maps.Keys(reasons)), "; "))
	}
	return all, nil
}

// noticing is the first case of a suite with the policy that fails if it has another spec.
func noticing(suites []*Suite, source string, spec Object) (noticed string, valid bool, err error) {
	for _, s := range suites {
		docs, err := copied(s.Docs)
		if err != nil {
			return "", false, err
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
			return "", false, nil
		}
		valid = true
		for i := range s.Cases {
			// What cannot be run any more is noticed too.
			if problems, err := s.try(&s.Cases[i], in); err != nil || len(problems) > 0 {
				return s.Cases[i].Name, true, nil
			}
		}
	}
	return "", valid, nil
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
	spec Object
}

// changes are all that are tried on a spec.
func changes(spec Object, root string) []changed {
	var all []changed
	walk(spec, root, func(text string, replacement any) { all = append(all, changed{text, replacement.(Object)}) })
	return all
}

// walk tells every change of a value, as what the whole becomes.
func walk(v any, path string, tell func(text string, replacement any)) {
	switch x := v.(type) {
	case Object:
		for _, key := range slices.Sorted(maps.Keys(x)) {
			with := func(value any) Object {
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
