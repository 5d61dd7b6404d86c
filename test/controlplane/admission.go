package controlplane

import (
	"fmt"
	"os"
)

// AdmissionClientName is the common name of the certificate that the API server shows to
// webhooks in a control plane with Options.AdmissionClient. The CA of the control plane
// issues it, see ClientCA.
const AdmissionClientName = "kube-apiserver-admission"

// admissionConfiguration has the API server's webhook plugins read a kubeconfig. By the name of
// its user it is for all webhooks: ports differ from run to run, and would be a part of it.
const admissionConfiguration = `apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: MutatingAdmissionWebhook
  configuration: {apiVersion: apiserver.config.k8s.io/v1, kind: WebhookAdmissionConfiguration, kubeConfigFile: %[1]q}
- name: ValidatingAdmissionWebhook
  configuration: {apiVersion: apiserver.config.k8s.io/v1, kind: WebhookAdmissionConfiguration, kubeConfigFile: %[1]q}
`

const admissionKubeconfig = `apiVersion: v1
kind: Config
users:
- name: '*'
  user: {client-certificate: %q, client-key: %q}
`

// ClientCA is the file of the CA that issues all client certificates of a control plane.
func (c *ControlPlane) ClientCA() string { return c.pki.ca.certFile }

// admissionFlags are the API server's flags for the certificate that it shows to webhooks.
func (c *ControlPlane) admissionFlags() ([]string, error) {
	if !c.options.AdmissionClient {
		return nil, nil
	}
	kubeconfig, configuration := c.dir.join("pki", "admission.kubeconfig"), c.dir.join("pki", "admission.yaml")
	for file, text := range map[string]string{
		kubeconfig:    fmt.Sprintf(admissionKubeconfig, c.pki.admission.certFile, c.pki.admission.keyFile),
		configuration: fmt.Sprintf(admissionConfiguration, kubeconfig),
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return nil, fmt.Errorf("writing the admission configuration: %w", err)
		}
	}
	return []string{"--admission-control-config-file=" + configuration}, nil
}
