package options

import (
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/policy"
)

func TestNamespacesThatAreNeitherJudgedNorCounted(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want []string
		errs int
	}{
		"by default what a cluster needs, the webhook's own and Knative's": {
			nil, []string{"cert-manager", "knative-serving", "kube-node-lease", "kube-system", "own"}, 0,
		},
		"others, each once":        {[]string{"--excluded-namespaces=own,b,a"}, []string{"a", "b", "knative-serving", "own"}, 0},
		"none but these two":       {[]string{"--excluded-namespaces="}, []string{"knative-serving", "own"}, 0},
		"what is no namespace":     {[]string{"--excluded-namespaces=a,B,*"}, []string{"*", "B", "a", "knative-serving", "own"}, 2},
		"by several flags of them": {[]string{"--excluded-namespaces=a", "--excluded-namespaces=b"}, []string{"a", "b", "knative-serving", "own"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var e Excluded
			flags := pflag.NewFlagSet("", pflag.ContinueOnError)
			e.addFlags(flags)
			require.NoError(t, flags.Parse(c.args))
			assert.Equal(t, c.want, e.With("own", "knative-serving"))
			assert.Len(t, e.validate(), c.errs)
			assert.Equal(t, c.args == nil, policy.Exclusions(e).Stated() == nil, "what counts are made by")
		})
	}
}
