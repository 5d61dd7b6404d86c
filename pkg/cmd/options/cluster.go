package options

import "github.com/spf13/pflag"

// ClusterFlags says which cluster to ask.
type ClusterFlags struct {
	Kubeconfig string
	Context    string

	flags *pflag.FlagSet
}

func (o *ClusterFlags) addFlags(flags *pflag.FlagSet) {
	o.flags = flags
	flags.StringVar(&o.Kubeconfig, "kubeconfig", "", "`FILE` with access to the cluster (default: $KUBECONFIG, else ~/.kube/config)")
	flags.StringVar(&o.Context, "context", "", "`NAME` of the kubeconfig's context (default: its current one)")
}

// Named tells whether a flag names a cluster.
func (o *ClusterFlags) Named() bool { return len(o.named()) > 0 }

// named are the flags that do.
func (o *ClusterFlags) named() (names []string) {
	for _, name := range []string{"kubeconfig", "context"} {
		if o.flags != nil && o.flags.Changed(name) {
			names = append(names, name)
		}
	}
	return names
}
