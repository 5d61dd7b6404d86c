package policytest

import (
	"bytes"
	"fmt"
	"os"

	yaml "go.yaml.in/yaml/v3"
)

// Update writes into the suite's file what comes of each case: in place of what it expects,
// or, if it expects nothing, whether it is admitted, with which warnings, why not, and what it claims. Comments
// stay. It tells how many cases changed.
func (s *Suite) Update() (changed int, err error) {
	content, err := os.ReadFile(s.Source)
	if err != nil {
		return 0, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(content, &doc); err != nil {
		return 0, fmt.Errorf("%s: %w", s.Source, err)
	}
	in, err := s.inputs(s.Docs)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", s.Source, err)
	}
	cases := child(doc.Content[0], "cases")
	if cases == nil || len(cases.Content) != len(s.Cases) {
		return 0, fmt.Errorf("%s: cases: aliases and merges cannot be updated; write them out", s.Source)
	}
	for i := range s.Cases {
		c := &s.Cases[i]
		a, err := admit(s, c, in)
		if err != nil {
			return 0, fmt.Errorf("%s: case %q: %w", s.Source, c.Name, err)
		}
		if len(c.Expect.compare(a)) == 0 {
			continue
		}
		changed++
		if err := c.Expect.become(a, child(cases.Content[i], "expect"), cases.Content[i]); err != nil {
			return 0, fmt.Errorf("%s: case %q: %w", s.Source, c.Name, err)
		}
	}
	if changed == 0 {
		return 0, nil
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(&doc); err != nil {
		return 0, err
	}
	info, err := os.Stat(s.Source)
	if err != nil {
		return 0, err
	}
	return changed, os.WriteFile(s.Source, out.Bytes(), info.Mode().Perm())
}

// become writes what came into the node of what was expected.
func (e *Expect) become(a answer, node, of *yaml.Node) error {
	nothing := e.Allowed == nil && e.Expansion == nil && e.Paths == nil && e.Warnings == nil && e.Causes == nil && e.Claim == nil
	if node == nil || node.Kind != yaml.MappingNode {
		node = &yaml.Node{Kind: yaml.MappingNode}
		remove(of, "expect")
		of.Content = append(of.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "expect"}, node)
	}
	values := []struct {
		key    string
		wanted bool
		value  any
	}{
		{"allowed", nothing || e.Allowed != nil, a.allowed},
		{"expansion", e.Expansion != nil, a.expansion},
		{"warnings", nothing || e.Warnings != nil, append([]string{}, a.warnings...)},
		{"causes", e.Causes != nil || (nothing && !a.allowed), append([]Cause{}, a.causes...)},
		{"claim", e.Claim != nil || (nothing && a.claim.GPUs != 0), a.claim},
	}
	for _, v := range values {
		if v.wanted {
			if err := set(node, v.key, plain(v.value)); err != nil {
				return err
			}
		}
	}
	paths := child(node, "paths")
	for path := range e.Paths {
		got, err := lookup(a.expansion, path)
		if err != nil {
			return err
		}
		if err := set(paths, path, plain(got)); err != nil {
			return err
		}
	}
	return nil
}

// child is the value of a key of a mapping; nil if there is none.
func child(node *yaml.Node, key string) *yaml.Node {
	if node == nil || node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i+1]
		}
	}
	return nil
}

func remove(node *yaml.Node, key string) {
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			node.Content = append(node.Content[:i], node.Content[i+2:]...)
			return
		}
	}
}

// set sets a key, and leaves its node alone if it says the same already.
func set(node *yaml.Node, key string, value any) error {
	var fresh yaml.Node
	if err := fresh.Encode(value); err != nil {
		return err
	}
	if old := child(node, key); old != nil {
		var was any
		if err := old.Decode(&was); err == nil && brief(plain(was)) == brief(plain(value)) {
			return nil
		}
		fresh.HeadComment, fresh.LineComment, fresh.FootComment = old.HeadComment, old.LineComment, old.FootComment
		*old = fresh
		return nil
	}
	node.Content = append(node.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, &fresh)
	return nil
}
