package cmd

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kubetorch/webhook/pkg/version"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, the commit and the Knative API level",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			info := version.Get()
			_, err := fmt.Fprintf(c.OutOrStdout(), "kubetorch-webhook %s\ncommit: %s\ngo: %s\nknative: %s\n",
				info.Version, info.Commit, info.Go, version.KnativeAPI)
			return Failed(err)
		},
	}
}
