package controlplane

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// writeKubeconfig writes a self-contained kubeconfig for one user.
func (c *ControlPlane) writeKubeconfig(name string, user *clientcmdapi.AuthInfo) (path string, err error) {
	const entry = "controlplane"
	config := clientcmdapi.NewConfig()
	config.Clusters[entry] = &clientcmdapi.Cluster{Server: c.server, CertificateAuthorityData: c.pki.ca.certPEM}
	config.AuthInfos[name] = user
	config.Contexts[entry] = &clientcmdapi.Context{Cluster: entry, AuthInfo: name}
	config.CurrentContext = entry
	path = c.dir.join(name + ".kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return "", fmt.Errorf("writing the kubeconfig of %s: %w", name, err)
	}
	return path, nil
}

// certificateUser authenticates with a client certificate.
func certificateUser(p *keyPair) *clientcmdapi.AuthInfo {
	return &clientcmdapi.AuthInfo{ClientCertificateData: p.certPEM, ClientKeyData: p.keyPEM}
}

// ServiceAccountKubeconfig requests a token for an existing ServiceAccount and
// returns the path of a kubeconfig that uses it. The file lives in the run
// folder and is overwritten by the next call for the same account.
func (c *ControlPlane) ServiceAccountKubeconfig(ctx context.Context, namespace, name string) (path string, err error) {
	request := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "authentication.k8s.io/v1",
		"kind":       "TokenRequest",
		"metadata":   map[string]any{"name": name, "namespace": namespace},
		"spec":       map[string]any{"expirationSeconds": int64(validity / time.Second)},
	}}
	answer, err := c.client.Resource(serviceAccounts).Namespace(namespace).
		Create(ctx, request, metav1.CreateOptions{}, "token")
	if apierrors.IsNotFound(err) {
		return "", fmt.Errorf("ServiceAccount %s/%s does not exist: %w", namespace, name, err)
	}
	if err != nil {
		return "", fmt.Errorf("requesting a token for ServiceAccount %s/%s: %w", namespace, name, err)
	}
	token, _, err := unstructured.NestedString(answer.Object, "status", "token")
	if err != nil || token == "" {
		return "", fmt.Errorf("token request for ServiceAccount %s/%s was answered without a token", namespace, name)
	}
	return c.writeKubeconfig(namespace+"-"+name, &clientcmdapi.AuthInfo{Token: token})
}
