package cmd

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubetorch/webhook/pkg/parameter"
)

// newParameters is a help topic: every parameter, from their table.
func newParameters() *cobra.Command {
	return &cobra.Command{
		Use:   "parameters",
		Short: "The labels and annotations that a workload can carry",
		Long:  parameterHelp(),
	}
}

func parameterHelp() string {
	var b strings.Builder
	b.WriteString("Each may be a label or an annotation on the workload's own metadata.\n")
	for _, g := range []parameter.Group{parameter.Autoscale, parameter.Compute} {
		fmt.Fprintf(&b, "\n%s  (with the label %s)\n", g.Prefix(), g.Label())
		for _, p := range parameter.Table {
			if p.Group != g {
				continue
			}
			fmt.Fprintf(&b, "\n  %s\n      takes %s\n      lands: %s\n", p.Name, p.Type.Allowed, p.Lands)
			if p.Default != "" {
				fmt.Fprintf(&b, "      default: %s\n", p.Default)
			}
		}
	}
	return b.String()
}
