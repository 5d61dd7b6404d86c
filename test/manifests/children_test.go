package manifests

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/pkg/knative"
)

type object = map[string]any

// with is metadata with annotations, and further fields.
func with(annotations object, more object) object {
	m := object{"name": "x", "labels": object{"serving.knative.dev/routingState": "active"}}
	if annotations != nil {
		m["annotations"] = annotations
	}
	maps.Copy(m, more)
	return m
}

func owner(uid string) object {
	return object{"ownerReferences": []any{object{"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "x", "uid": uid, "controller": true}}}
}

// scaling is every annotation that the code reads, and one that it does not know yet.
func scaling() []string {
	keys := []string{"autoscaling.knative.dev/of-tomorrow", knative.SidecarPrefix + "cpu-resource-limit", knative.SidecarPrefix + "memory-resource-request"}
	for _, key := range []string{knative.MaxScaleKey, knative.MinScaleKey, knative.InitialScaleKey, knative.ActivationScaleKey, knative.ClassKey, knative.MetricKey, knative.TargetKey,
		knative.UtilizationKey, knative.WindowKey, knative.ScaleDownDelayKey, knative.RetentionKey, knative.ProgressDeadlineKey} {
		keys = append(keys, knative.Spellings(key)...)
	}
	return keys
}

func TestMatchConditionsOfRevisionsAndAutoscalers(t *testing.T) {
	all := entries(t)
	pod := func(gpus string) object {
		return object{"containers": []any{object{"image": "x", "resources": object{"limits": object{"nvidia.com/gpu": gpus}}}}}
	}
	target := func(name, reachability string) object {
		return object{"scaleTargetRef": object{"apiVersion": "apps/v1", "kind": "Deployment", "name": name}, "reachability": reachability}
	}
	for entry, specs := range map[string][2]object{
		"validate-revisions.kubetorch.com":   {pod("1"), pod("2")},
		"validate-autoscalers.kubetorch.com": {target("a", "Reachable"), target("b", "Reachable")},
	} {
		e := all[entry]
		a := object{"metadata": with(nil, nil), "spec": specs[0]}
		assert.True(t, matches(t, e, a, nil), "%s: a new one", entry)
		assert.True(t, matches(t, e, object{"metadata": with(nil, nil)}, nil), "%s: a new one without a spec", entry)
		assert.False(t, matches(t, e, a, a), "%s: an empty patch", entry)
		assert.False(t, matches(t, e, object{"metadata": with(nil, nil)}, object{"metadata": with(nil, nil)}), "%s: one of an empty object", entry)
		assert.True(t, matches(t, e, object{"metadata": with(nil, nil), "spec": specs[1]}, a), "%s: another spec", entry)
		assert.True(t, matches(t, e, object{"metadata": with(nil, nil)}, a), "%s: no spec", entry)

		marked := object{"metadata": with(object{"serving.knative.dev/routes": "x", "serving.knative.dev/routingStateModified": "now", "serving.knative.dev/creator": "y"}, object{"finalizers": []any{"f"}}), "spec": specs[0]}
		assert.False(t, matches(t, e, marked, a), "%s: the labeler's patch", entry)
		assert.False(t, matches(t, e, a, marked), "%s: and the other way", entry)
		for _, key := range scaling() {
			assert.True(t, knative.Scales(key), key)
			for _, annotations := range [][2]object{{{key: "9"}, nil}, {nil, {key: "2"}}, {{key: "9"}, {key: "2"}}, {{key: "9", "other": "x"}, {"other": "x"}}} {
				now, before := object{"metadata": with(annotations[0], nil), "spec": specs[0]}, object{"metadata": with(annotations[1], nil), "spec": specs[0]}
				assert.True(t, matches(t, e, now, before), "%s: %s %v", entry, key, annotations)
			}
			same := object{"metadata": with(object{key: "9"}, nil), "spec": specs[0]}
			assert.False(t, matches(t, e, same, same), "%s: %s", entry, key)
		}
		owned, others := object{"metadata": with(nil, owner("1")), "spec": specs[0]}, object{"metadata": with(nil, owner("2")), "spec": specs[0]}
		assert.False(t, matches(t, e, owned, owned), entry)
		for _, change := range [][2]object{{owned, a}, {a, owned}, {owned, others}} {
			assert.True(t, matches(t, e, change[0], change[1]), "%s: an owner answers for what it owns", entry)
		}
	}
	e := all["validate-revisions.kubetorch.com"]
	routing := func(state string) object {
		labels := object{}
		if state != "" {
			labels["serving.knative.dev/routingState"] = state
		}
		return object{"metadata": with(nil, object{"labels": labels}), "spec": pod("1")}
	}
	for _, change := range []struct {
		from, to string
		want     bool
	}{
		{"reserve", "active", true}, {"reserve", "pending", true}, {"reserve", "", true}, {"pending", "active", true}, {"", "active", true},
		{"active", "reserve", false}, {"pending", "reserve", false}, {"", "reserve", false}, {"reserve", "reserve", false}, {"active", "active", false}, {"pending", "", false},
	} {
		assert.Equal(t, change.want, matches(t, e, routing(change.to), routing(change.from)), "%q to %q", change.from, change.to)
	}
	e = all["validate-autoscalers.kubetorch.com"]
	assert.False(t, matches(t, e, object{"metadata": with(nil, nil), "spec": target("a", "Unreachable")}, object{"metadata": with(nil, nil), "spec": target("a", "Reachable")}), "Knative's own bookkeeping")
}

func TestMatchConditionsOfRoutes(t *testing.T) {
	e := entries(t)["validate-routes.kubetorch.com"]
	route := func(more object, traffic ...any) object {
		return object{"metadata": with(nil, more), "spec": object{"traffic": traffic}}
	}
	latest := object{"configurationName": "x", "latestRevision": true, "percent": int64(100)}
	named := object{"revisionName": "x-00001", "percent": int64(100)}
	for name, test := range map[string]struct {
		object, old object
		want        bool
	}{
		"a Service's Route as it comes":     {route(nil, latest), nil, false},
		"one without traffic":               {object{"metadata": with(nil, nil), "spec": object{}}, nil, false},
		"one without a spec":                {object{"metadata": with(nil, nil)}, nil, false},
		"one that names a revision":         {route(nil, latest, named), nil, true},
		"a revision that is added":          {route(nil, latest, named), route(nil, latest), true},
		"a revision beside nothing":         {route(nil, named), object{"metadata": with(nil, nil)}, true},
		"a revision that goes":              {route(nil, latest), route(nil, latest, named), false},
		"the same revisions":                {route(nil, named), route(nil, named), false},
		"the same, of another owner":        {route(owner("1"), named), route(owner("2"), named), true},
		"an empty name as Knative reads it": {route(nil, object{"revisionName": "", "configurationName": "x"}), nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			var old any
			if test.old != nil {
				old = test.old
			}
			assert.Equal(t, test.want, matches(t, e, test.object, old))
		})
	}
}
