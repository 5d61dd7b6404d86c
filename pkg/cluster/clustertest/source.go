// Package clustertest lists objects that tests hold in memory.
package clustertest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// ListSource has the objects of each kind that it serves.
type ListSource map[cluster.Resource][]manifest.Object

// Read answers with all objects of a kind on one page.
func (s ListSource) Read(_ context.Context, kind cluster.Resource, _ metav1.ListOptions) (io.ReadCloser, error) {
	objects, served := s[kind]
	if !served {
		return nil, missing(kind)
	}
	text, err := json.Marshal(manifest.Object{"apiVersion": kind.GroupVersion().String(), "items": objects, "metadata": manifest.Object{}})
	return io.NopCloser(bytes.NewReader(text)), err
}

// Preferred are the versions of the groups that are served.
func (s ListSource) Preferred(context.Context) (map[string]string, error) {
	versions := map[string]string{}
	for kind := range s {
		versions[kind.Group] = kind.Version
	}
	return versions, nil
}

func missing(kind cluster.Resource) error {
	return apierrors.NewGenericServerResponse(http.StatusNotFound, "list", kind.GroupResource(), "", "", 0, true)
}

// Texts has the list of each kind that it serves as JSON.
type Texts map[cluster.Resource]string

// Read answers with the text.
func (s Texts) Read(_ context.Context, kind cluster.Resource, _ metav1.ListOptions) (io.ReadCloser, error) {
	text, served := s[kind]
	if !served {
		return nil, missing(kind)
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

var kinds = func() map[schema.GroupKind]cluster.Resource {
	kinds := map[schema.GroupKind]cluster.Resource{
		workload.ServiceKind:                 cluster.Services,
		workload.ConfigurationKind:           cluster.Configurations,
		workload.RouteKind:                   cluster.Routes,
		workload.RevisionKind:                cluster.Revisions,
		workload.PodAutoscalerKind:           cluster.PodAutoscalers,
		workload.HorizontalPodAutoscalerKind: cluster.HorizontalPodAutoscalers,
		workload.LimitRangeKind:              cluster.LimitRanges,
		workload.ResourceClaimKind:           cluster.ResourceClaims,
		workload.ResourceClaimTemplateKind:   cluster.ResourceClaimTemplates,
		{Kind: "Namespace"}:                  {Version: "v1", Resource: "namespaces"},
	}
	for _, kind := range workload.Kinds() {
		kinds[kind.GroupKind] = kind.GVR()
	}
	for _, row := range workload.BuiltInOperators().Kinds {
		kinds[row.GroupKind()] = cluster.Resource{Group: row.Group, Version: "v1", Resource: row.Resource}
	}
	return kinds
}()

// Of serves the objects that inventories are about. Others are left out.
func Of(objects ...manifest.Object) ListSource {
	s := ListSource{}
	for _, kind := range kinds {
		s[kind] = []manifest.Object{}
	}
	for _, o := range objects {
		gv, _ := schema.ParseGroupVersion(manifest.Text(o, "apiVersion"))
		if kind, ok := kinds[schema.GroupKind{Group: gv.Group, Kind: manifest.Text(o, "kind")}]; ok {
			s[kind] = append(s[kind], o)
		}
	}
	return s
}

// List is what is kept of objects.
func List(t testing.TB, objects ...manifest.Object) *cluster.Objects {
	t.Helper()
	o, err := cluster.List(t.Context(), Of(objects...))
	require.NoError(t, err)
	return o
}

// ReadIn answers with all objects of a kind, whatever their namespace.
func (s ListSource) ReadIn(ctx context.Context, kind cluster.Resource, _ string, options metav1.ListOptions) (io.ReadCloser, error) {
	return s.Read(ctx, kind, options)
}
