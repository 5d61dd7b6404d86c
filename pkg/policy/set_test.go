package policy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	authenticationv1 "k8s.io/api/authentication/v1"

	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/policy"
)

// bounds tells whether a selection has the bound that every policy of these tests sets.
func bounded(s policy.Selection) bool {
	_, ok := s.Limit(policy.BoundMaxScale, policy.AllBounds)
	return ok
}

func TestSelectors(t *testing.T) {
	known := func(labels ...string) policy.Subject {
		s := policy.Subject{Namespace: "ml", NamespaceKnown: true, NamespaceLabels: map[string]string{"kubernetes.io/metadata.name": "ml"}}
		for i := 0; i < len(labels); i += 2 {
			s.NamespaceLabels[labels[i]] = labels[i+1]
		}
		return s
	}
	offline := policy.Subject{Namespace: "ml"}
	labelled := known()
	labelled.Labels = map[string]string{"tier": "gold"}
	tests := map[string]struct {
		selectors string
		subject   policy.Subject
		bounds    bool
		defaults  bool
	}{
		"no selector selects all":                           {subject: known(), bounds: true, defaults: true},
		"an empty selector selects all":                     {selectors: `namespaceSelector: {}, workloadSelector: {},`, subject: known(), bounds: true, defaults: true},
		"an empty selector selects all offline too":         {selectors: `namespaceSelector: {},`, subject: offline, bounds: true, defaults: true},
		"a namespace by its label":                          {selectors: `namespaceSelector: {matchLabels: {team: ml}},`, subject: known("team", "ml"), bounds: true, defaults: true},
		"not another one":                                   {selectors: `namespaceSelector: {matchLabels: {team: ml}},`, subject: known("team", "web")},
		"not one without the label":                         {selectors: `namespaceSelector: {matchLabels: {team: ml}},`, subject: known()},
		"by the label's absence":                            {selectors: `namespaceSelector: {matchExpressions: [{key: team, operator: DoesNotExist}]},`, subject: known(), bounds: true, defaults: true},
		"what cannot be decided holds for bounds alone":     {selectors: `namespaceSelector: {matchLabels: {team: ml}},`, subject: offline, bounds: true},
		"so does an absence that cannot be decided":         {selectors: `namespaceSelector: {matchExpressions: [{key: team, operator: NotIn, values: [ml]}]},`, subject: offline, bounds: true},
		"the namespace's name is always known":              {selectors: `namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ml}},`, subject: offline, bounds: true, defaults: true},
		"another name decides":                              {selectors: `namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: web}},`, subject: offline},
		"another name decides, whatever else is asked":      {selectors: `namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: web, team: ml}},`, subject: offline},
		"the name alone does not decide what else is asked": {selectors: `namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ml, team: ml}},`, subject: offline, bounds: true},
		"a workload by its label":                           {selectors: `workloadSelector: {matchLabels: {tier: gold}},`, subject: labelled, bounds: true, defaults: true},
		"not one without it":                                {selectors: `workloadSelector: {matchLabels: {tier: gold}},`, subject: known()},
		"both selectors must select":                        {selectors: `namespaceSelector: {matchLabels: {team: ml}}, workloadSelector: {matchLabels: {tier: gold}},`, subject: labelled},
		"a workload's selector decides offline":             {selectors: `namespaceSelector: {matchLabels: {team: ml}}, workloadSelector: {matchLabels: {tier: gold}},`, subject: offline},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			set := policy.Compile(policies(`{spec: {` + test.selectors + ` bounds: {maxScale: {max: 1}}, defaults: {autoscale: {maxScale: 1}}}}`))
			s := set.For(test.subject)
			assert.Equal(t, test.bounds, bounded(s))
			assert.Equal(t, test.defaults, len(s.Defaults(parameter.Autoscale)) > 0)
		})
	}
	t.Run("an update meets the bounds of the old state too, and the defaults of the new one alone", func(t *testing.T) {
		set := policy.Compile(policies(`{spec: {workloadSelector: {matchLabels: {tier: gold}}, bounds: {maxScale: {max: 1}}, defaults: {autoscale: {maxScale: 1}}}}`))
		s := set.For(known(), labelled)
		assert.True(t, bounded(s))
		assert.Empty(t, s.Defaults(parameter.Autoscale))
	})
}

func TestPriorities(t *testing.T) {
	set := policy.Compile(policies(
		`{metadata: {name: b}, spec: {defaults: {autoscale: {maxScale: 1}}, profiles: {autoscale: [{name: batch, maxScale: 2}, {name: web, maxScale: 3}]}}}`,
		`{metadata: {name: a}, spec: {defaults: {autoscale: {maxScale: 4, targetUtilization: 80}}, profiles: {autoscale: [{name: batch, maxScale: 5}]}}}`,
		`{metadata: {name: z}, spec: {priority: 9, defaults: {autoscale: {minScale: 1}, compute: {cpus: 2}}}}`,
		`{metadata: {name: y}, spec: {priority: -1, profiles: {compute: [{name: l4, gpuType: NVIDIA-L4}]}}}`))
	s := set.For(policy.Subject{NamespaceKnown: true})
	assert.Equal(t, []policy.Layer{
		{From: "policy z", Values: policy.SettingValues{"min-scale": "1"}},
		{From: "policy a", Values: policy.SettingValues{"max-scale": "4", "target-utilization": "80"}},
		{From: "policy b", Values: policy.SettingValues{"max-scale": "1"}}}, s.Defaults(parameter.Autoscale))
	assert.Equal(t, []policy.Layer{{From: "policy z", Values: policy.SettingValues{"cpus": "2"}}}, s.Defaults(parameter.Compute))
	layer, ok := s.Profile(parameter.Autoscale, "batch")
	assert.True(t, ok)
	assert.Equal(t, policy.Layer{From: "profile batch of policy a", Values: policy.SettingValues{"max-scale": "5"}}, layer)
	_, ok = s.Profile(parameter.Compute, "batch")
	assert.False(t, ok, "a profile of the other group")
	assert.Equal(t, []string{"batch", "web"}, s.ProfileNames(parameter.Autoscale))
	assert.Equal(t, []string{"l4"}, s.ProfileNames(parameter.Compute))
}

func TestExemptions(t *testing.T) {
	user := func(name string, groups ...string) authenticationv1.UserInfo {
		return authenticationv1.UserInfo{Username: name, Groups: groups}
	}
	tests := map[string]struct {
		exempt    string
		namespace string
		user      authenticationv1.UserInfo
		exempted  bool
	}{
		"a namespace":                        {exempt: `[{namespaces: [platform]}]`, namespace: "platform", exempted: true},
		"another namespace":                  {exempt: `[{namespaces: [platform]}]`, namespace: "ml"},
		"a user":                             {exempt: `[{users: [ada]}]`, user: user("ada"), exempted: true},
		"another user":                       {exempt: `[{users: [ada]}]`, user: user("bob")},
		"a group":                            {exempt: `[{groups: [ops]}]`, user: user("bob", "dev", "ops"), exempted: true},
		"another group":                      {exempt: `[{groups: [ops]}]`, user: user("ops", "dev")},
		"a service account":                  {exempt: `[{serviceAccounts: [argocd/controller]}]`, user: user("system:serviceaccount:argocd:controller"), exempted: true},
		"a user named like one":              {exempt: `[{serviceAccounts: [argocd/controller]}]`, user: user("argocd/controller")},
		"one of another namespace":           {exempt: `[{serviceAccounts: [argocd/controller]}]`, user: user("system:serviceaccount:evil:controller")},
		"every field of an entry must match": {exempt: `[{namespaces: [platform], users: [ada], groups: [ops]}]`, namespace: "platform", user: user("ada", "dev")},
		"and if every one does":              {exempt: `[{namespaces: [platform], users: [ada], groups: [ops]}]`, namespace: "platform", user: user("ada", "ops"), exempted: true},
		"one entry of several is enough":     {exempt: `[{namespaces: [platform], users: [ada]}, {groups: [ops]}]`, namespace: "ml", user: user("bob", "ops"), exempted: true},
		"no exemption":                       {exempt: `[]`, namespace: "ml", user: user("bob")},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			set := policy.Compile(policies(`{spec: {bounds: {maxScale: {max: 1}}, defaults: {autoscale: {maxScale: 1}}, exempt: ` + test.exempt + `}}`))
			s := set.For(policy.Subject{Namespace: test.namespace, NamespaceKnown: true, User: test.user})
			assert.Equal(t, test.exempted, !bounded(s))
			assert.NotEmpty(t, s.Defaults(parameter.Autoscale), "defaults hold for all")
		})
	}
}

func TestLowerGPUs(t *testing.T) {
	lower := func(n int64, texts ...string) int64 {
		return policy.Compile(policies(texts...)).For(policy.Subject{NamespaceKnown: true}).LowerGPUs(n)
	}
	assert.Equal(t, int64(4), lower(4))
	assert.Equal(t, int64(2), lower(4, `{spec: {bounds: {gpusPerPod: {max: 2}}}}`))
	assert.Equal(t, int64(2), lower(3, `{spec: {bounds: {gpusPerPod: {allowed: [1, 2, 4]}}}}`))
	assert.Equal(t, int64(4), lower(4, `{spec: {bounds: {gpusPerPod: {allowed: [1, 2, 4]}}}}`))
	assert.Equal(t, int64(1), lower(8, `{metadata: {name: a}, spec: {bounds: {gpusPerPod: {allowed: [1, 2]}}}}`, `{metadata: {name: b}, spec: {bounds: {gpusPerPod: {allowed: [1, 4]}}}}`))
	assert.Equal(t, int64(0), lower(1, `{spec: {bounds: {gpusPerPod: {allowed: [2]}}}}`))
}
