package pods

import "testing"

func TestLab(t *testing.T) {
	out, _, err := cluster.Kubectl(t.Context(), nil, "get", "pods,svc,node", "-A", "-o", "wide")
	t.Log(out, err)
}
