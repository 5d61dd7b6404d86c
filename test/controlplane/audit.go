package controlplane

import (
	"fmt"
	"os"
)

// auditPolicy has the API server log who asked for what, without what was sent, for
// service accounts. Watches are logged when they begin.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  users: ["system:serviceaccount:` + webhookNamespace + `:` + webhookName + `"]
- level: None
`

// AuditLog is the file in which a control plane with Options.Audit logs the requests of the
// webhook's ServiceAccount: one audit.k8s.io/v1 Event per line.
func (c *ControlPlane) AuditLog() string { return c.dir.join("logs", "audit.json") }

// auditFlags are the API server's flags for the log.
func (c *ControlPlane) auditFlags() ([]string, error) {
	if !c.options.Audit {
		return nil, nil
	}
	policy := c.dir.join("pki", "audit-policy.yaml")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return nil, fmt.Errorf("writing the audit policy: %w", err)
	}
	return []string{"--audit-policy-file=" + policy, "--audit-log-path=" + c.AuditLog()}, nil
}
