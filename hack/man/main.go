// Command man writes the manual pages of all commands into a folder.
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra/doc"

	"github.com/kubetorch/webhook/pkg/cmd"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: man FOLDER")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	root := cmd.Root()
	root.DisableAutoGenTag = true
	epoch := time.Unix(0, 0).UTC() // the same pages on every day
	return doc.GenManTree(root, &doc.GenManHeader{Section: "1", Manual: "kubetorch-webhook", Source: "kubetorch-webhook", Date: &epoch}, folder)
}
