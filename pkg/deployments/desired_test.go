package deployments

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/manifest"
)

func TestWanted(t *testing.T) {
	deployment := func(image, note string, replicas int64) manifest.Object {
		return manifest.Object{"metadata": manifest.Object{"name": "app", "namespace": "team", "uid": "u", "annotations": manifest.Object{"note": note}},
			"spec": manifest.Object{"replicas": replicas, "image": image}}
	}
	expansion := func(image, window string) manifest.Object {
		return manifest.Object{"metadata": manifest.Object{"name": "svc", "annotations": manifest.Object{expand.RecordAnnotation: "window " + window}},
			"spec": manifest.Object{"image": image, "window": window, "n": 3}}
	}
	spec := func(o manifest.Object) string {
		return manifest.Text(o, "spec", "image") + " " + manifest.Text(o, "spec", "window")
	}
	record := func(o manifest.Object) string {
		return manifest.Text(o, "metadata", "annotations", expand.RecordAnnotation)
	}
	first := wanted(deployment("a", "", 1), expansion("a", "60s"), nil)
	assert.Equal(t, "team", manifest.Text(first, "metadata", "namespace"))
	assert.Equal(t, manifest.Owner{Version: "apps/v1", Kind: "Deployment", Name: "app", UID: "u"}, manifest.ControllerOf(first))
	assert.Equal(t, "a 60s", spec(first))

	same := wanted(deployment("a", "new", 5), expansion("a", "2m"), first)
	assert.Equal(t, "a 60s", spec(same), "the Deployment asks for the same, so no new default reaches it")
	assert.Equal(t, "window 60s", record(same))
	assert.True(t, current(same, first))

	changed := wanted(deployment("b", "", 1), expansion("b", "2m"), first)
	assert.Equal(t, "b 2m", spec(changed))
	assert.Equal(t, "window 2m", record(changed))
	assert.False(t, current(changed, first))

	forgotten := decoded(first)
	delete(manifest.Map(forgotten, "metadata", "annotations"), expand.RecordAnnotation)
	assert.Equal(t, "a 2m", spec(wanted(deployment("a", "", 1), expansion("a", "2m"), forgotten)), "without a record it is made anew")
	more := decoded(first)
	manifest.Map(more, "spec")["image"] = "other"
	right := wanted(deployment("a", "", 1), expansion("a", "2m"), more)
	assert.False(t, current(right, more), "what somebody changed is set right")
	assert.Equal(t, "a 2m", spec(right))
}

func TestCurrent(t *testing.T) {
	desired := func() manifest.Object {
		return manifest.Object{"a": "1024Mi", "list": []any{manifest.Object{"x": int64(1)}}, "empty": manifest.Object{}, "none": nil}
	}
	for name, test := range map[string]struct {
		live manifest.Object
		want bool
	}{
		"the same":                {desired(), true},
		"none":                    {nil, false},
		"more, filled in":         {manifest.Object{"a": "1024Mi", "b": true, "list": []any{manifest.Object{"x": int64(1), "y": "z"}}}, true},
		"a quantity, rewritten":   {manifest.Object{"a": "1Gi", "list": []any{manifest.Object{"x": int64(1)}}}, true},
		"another quantity":        {manifest.Object{"a": "2Gi", "list": []any{manifest.Object{"x": int64(1)}}}, false},
		"a key missing":           {manifest.Object{"list": []any{manifest.Object{"x": int64(1)}}}, false},
		"another number":          {manifest.Object{"a": "1Gi", "list": []any{manifest.Object{"x": int64(2)}}}, false},
		"one entry more":          {manifest.Object{"a": "1Gi", "list": []any{manifest.Object{"x": int64(1)}, "y"}}, false},
		"something of other type": {manifest.Object{"a": manifest.Object{}, "list": "x"}, false},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, current(desired(), test.live)) })
	}
}
