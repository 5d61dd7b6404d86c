package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/kubetorch/webhook/pkg/workload"
)

// fromTable begins what is rendered of the table of operators' kinds: rules, or the condition that tells operators
// by their accounts.
const fromTable = "  # Rendered from pkg/workload/operators.yaml.\n"

// rendered are the entries with rules of the table: for which of its kinds, which of their resources and when.
var rendered = map[string]struct {
	suffix, operations string
	of                 func(workload.OperatorKind) bool
}{
	"validate-operators":       {"", "CREATE, UPDATE", func(workload.OperatorKind) bool { return true }},
	"validate-operator-status": {"/status", "UPDATE", finishes},
	"validate-scale":           {"/scale", "UPDATE", scales},
	"validate-autoscaled":      {"/scale", "UPDATE", scales},
}

func finishes(k workload.OperatorKind) bool { return k.Finished != nil }

func scales(k workload.OperatorKind) bool { return k.Scale }

// groupList is where a condition goes by the groups of an entry's kinds.
var groupList = regexp.MustCompile(`request\.resource\.group in \[[^\]]*\]`)

// render writes the rules and conditions of the table into the text of the validating configuration.
func render(text string, kinds []workload.OperatorKind) (string, error) {
	entries := strings.SplitAfter(text, "\n- name: ")
	for i := range entries {
		name, _, _ := strings.Cut(entries[i], ".kubetorch.com\n")
		entry, ok := rendered[name]
		if !ok {
			continue
		}
		kinds := slices.DeleteFunc(slices.Clone(kinds), func(k workload.OperatorKind) bool { return !entry.of(k) })
		entries[i] = groupList.ReplaceAllLiteralString(entries[i], "request.resource.group in ["+lines(quoted(groups(kinds)))+"]")
		blocks := strings.Split(entries[i], fromTable)
		for j := 1; j < len(blocks); j++ {
			kept := strings.SplitAfter(blocks[j], "\n")
			end := slices.IndexFunc(kept[1:], func(line string) bool {
				return !strings.HasPrefix(line, "    ") && (!strings.HasPrefix(line, "  - apiGroups") || !strings.HasPrefix(kept[0], "  - apiGroups"))
			})
			if end < 0 {
				return "", fmt.Errorf("%s: nothing is behind what is rendered", name)
			}
			block := rules(kinds, entry.suffix, entry.operations)
			if !strings.HasPrefix(kept[0], "  - apiGroups") {
				block = operators(kinds)
			}
			blocks[j] = block + strings.Join(kept[1+end:], "")
		}
		if len(blocks) == 1 {
			return "", fmt.Errorf("%s: has no line %q", name, strings.TrimSpace(fromTable))
		}
		entries[i] = strings.Join(blocks, fromTable)
	}
	return strings.Join(entries, ""), nil
}

func groups(kinds []workload.OperatorKind) []string {
	all := map[string]bool{}
	for _, k := range kinds {
		all[k.Group] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// rules are one for each group.
func rules(kinds []workload.OperatorKind, suffix, operations string) string {
	var text strings.Builder
	for _, group := range groups(kinds) {
		var resources []string
		for _, k := range kinds {
			if k.Group == group {
				resources = append(resources, k.Resource+suffix)
			}
		}
		slices.Sort(resources)
		fmt.Fprintf(&text, "  - apiGroups: [%s]\n    apiVersions: [\"*\"]\n    resources: [%s]\n    operations: [%s]\n    scope: Namespaced\n",
			group, strings.Join(resources, ", "), operations)
	}
	return text.String()
}

// operators is the condition that leaves out each kind's own service accounts.
func operators(kinds []workload.OperatorKind) string {
	var all []string
	for _, k := range kinds {
		var accounts []string
		for _, maker := range k.Makers {
			accounts = append(accounts, "system:serviceaccount:"+strings.Replace(maker, "/", ":", 1))
		}
		all = append(all, fmt.Sprintf("      (request.resource.group == '%s' && request.resource.resource == '%s' &&\n      request.userInfo.username in [%s])",
			k.Group, k.Resource, lines(quoted(accounts))))
	}
	return "  - name: not-by-its-operator\n    expression: >-\n      !(\n" + strings.Join(all, " ||\n") + ")\n"
}

func quoted(words []string) []string {
	all := make([]string, len(words))
	for i, word := range words {
		all[i] = "'" + word + "'"
	}
	return all
}

// lines are words with commas between them, on lines that are not too long.
func lines(words []string) string {
	var text strings.Builder
	length := 0
	for i, word := range words {
		if i > 0 && length+len(word) > 70 {
			text.WriteString(",\n      ")
			length = 0
		} else if i > 0 {
			text.WriteString(", ")
		}
		text.WriteString(word)
		length += len(word)
	}
	return text.String()
}
