package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// Source is where lists are read.
type Source interface {
	// Read begins to read a list of the objects of a kind in all namespaces, as JSON. What
	// the API server answers instead is an error of its type.
	Read(ctx context.Context, kind Resource, options metav1.ListOptions) (io.ReadCloser, error)
}

// Versions is a Source that knows which groups are served, and so reads the kinds of operators too.
type Versions interface {
	// Preferred are the versions that the API server prefers of the groups that it serves.
	Preferred(ctx context.Context) (map[string]string, error)
}

// WholeSource reads lists of all namespaces, and of one.
type WholeSource interface {
	Source
	NamespacedSource
}

// NewSource reads from an API server, uncompressed if the configuration says so. client may be
// nil.
func NewSource(config *rest.Config, client *http.Client) (WholeSource, error) {
	config = dynamic.ConfigFor(config)
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion() // of errors
	config.GroupVersion = &schema.GroupVersion{}
	if client == nil {
		var err error
		if client, err = rest.HTTPClientFor(config); err != nil {
			return nil, fmt.Errorf("making a client: %w", err)
		}
	}
	c, err := rest.UnversionedRESTClientForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	return source{c, config.DisableCompression}, nil
}

type source struct {
	client rest.Interface
	// plain is whether lists are not compressed: that takes longer than to send them.
	plain bool
}

func (s source) Read(ctx context.Context, kind Resource, options metav1.ListOptions) (io.ReadCloser, error) {
	return s.ReadIn(ctx, kind, "", options)
}

// ReadIn reads a list of one namespace, of all if it is empty.
func (s source) ReadIn(ctx context.Context, kind Resource, namespace string, options metav1.ListOptions) (io.ReadCloser, error) {
	path := []string{"apis", kind.Group, kind.Version}
	if kind.Group == "" {
		path = []string{"api", kind.Version}
	}
	if namespace != "" {
		path = append(path, "namespaces", namespace)
	}
	path = append(path, kind.Resource)
	request := s.client.Get().AbsPath(path...).SpecificallyVersionedParams(&options, metav1.ParameterCodec, metav1.SchemeGroupVersion)
	if s.plain {
		request.SetHeader("Accept-Encoding", "identity")
	}
	return request.Stream(ctx)
}

func (s source) Preferred(ctx context.Context) (map[string]string, error) {
	request := s.client.Get().AbsPath("apis").SetHeader("Accept", "application/json")
	if s.plain {
		request.SetHeader("Accept-Encoding", "identity")
	}
	raw, err := request.Do(ctx).Raw()
	if apierrors.IsNotFound(err) {
		return nil, nil // it serves none beyond its own
	}
	if err != nil {
		return nil, err
	}
	var groups metav1.APIGroupList
	if err := json.Unmarshal(raw, &groups); err != nil {
		return nil, err
	}
	preferred := make(map[string]string, len(groups.Groups))
	for _, g := range groups.Groups {
		preferred[g.Name] = g.PreferredVersion.Version
	}
	return preferred, nil
}
