package deployments

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestGitOps runs the tests of test/gitops, a module of its own, on the cluster.
func TestGitOps(t *testing.T) {
	t.Parallel()
	// Uncached: the cluster is not among what the cache sees.
	command := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-ldflags=-s -w", ".")
	command.Dir = filepath.Join(root, "test", "gitops")
	command.Env = append(os.Environ(), "KUBECONFIG="+cluster.Kubeconfig())
	out, err := command.CombinedOutput()
	t.Logf("%s", out)
	require.NoError(t, err)
}
