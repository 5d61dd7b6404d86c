// Large objects that a verdict has to list take the memory of a replica.

package cluster

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	klabels "k8s.io/apimachinery/pkg/labels"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// pages are answers to a list, one after the other, and what was asked for them.
type pages struct {
	texts []string
	asked []string
}

func (p *pages) ReadIn(_ context.Context, kind Kind, namespace string, o metav1.ListOptions) (io.ReadCloser, error) {
	p.asked = append(p.asked, fmt.Sprintf("%s of %s, %s, after %q", kind.Resource, namespace, o.LabelSelector, o.Continue))
	text := p.texts[0]
	p.texts = p.texts[1:]
	return io.NopCloser(strings.NewReader(text)), nil
}

// A tenant's objects may hold a megabyte each, and a verdict may depend on thousands of them: what no verdict
// looks at is not kept.
func TestOfManyLargeObjectsAVerdictKeepsLittle(t *testing.T) {
	fat := strings.Repeat("x", 200_000)
	pod := func(name, gpus string) string {
		return `{"metadata": {"name": "` + name + `", "namespace": "a", "uid": "` + name + `", "labels": {"app": "d"}, "annotations": {"a": "` + fat + `"}, "managedFields": [{"a": "` + fat + `"}]},
		"spec": {"containers": [{"name": "c", "env": [{"name": "A", "value": "` + fat + `"}], "resources": {"limits": {` + gpus + `}}}]}, "status": {"phase": "Running", "message": "` + fat + `"}}`
	}
	source := &pages{texts: []string{
		`{"metadata": {"continue": "more"}, "items": [` + pod("one", `"nvidia.com/gpu": "1"`) + `,` + pod("none", `"cpu": "1"`) + `]}`,
		`{"metadata": {}, "items": [` + pod("two", `"nvidia.com/gpu": "2"`) + `]}`,
	}}
	selector, err := klabels.Parse("app=d")
	require.NoError(t, err)
	got, err := Pruned(t.Context(), source, Pods, "a", selector)
	require.NoError(t, err)
	want := func(name, gpus string) manifest.Object {
		return manifest.Object{"apiVersion": "v1", "kind": "Pod",
			"metadata": manifest.Object{"name": name, "namespace": "a", "uid": name, "labels": manifest.Object{"app": "d"}, "annotations": manifest.Object{}},
			"spec":     manifest.Object{"containers": []any{manifest.Object{"resources": manifest.Object{"limits": manifest.Object{"nvidia.com/gpu": gpus}}}}},
			"status":   manifest.Object{"phase": "Running"}}
	}
	assert.Equal(t, []manifest.Object{want("one", "1"), want("two", "2")}, got)
	assert.Equal(t, []string{`pods of a, app=d, after ""`, `pods of a, app=d, after "more"`}, source.asked)
}
