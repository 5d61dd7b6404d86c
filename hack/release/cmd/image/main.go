// Command image makes an image of one static program, as an OCI layout or as an archive of one.
//
//	image -reference example.com/webhook:v1 -layout dist/image -about dist -root . linux/amd64=bin/webhook
//	image -reference example.com/pause:v1 -archive pause.tar linux/amd64=bin/pause
//
// It prints the digest of the image's index. With -about it writes a bill of materials and the licences of all
// that is in the image beside it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kubetorch/webhook/hack/release/image"
	"github.com/kubetorch/webhook/hack/release/pairs"
	"github.com/kubetorch/webhook/hack/release/sbom"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	o := image.Options{Programs: map[string]string{}, Annotations: map[string]string{}}
	reference := flags.String("reference", "", "repository and tag of the image")
	layout := flags.String("layout", "", "folder to write an OCI layout into")
	about := flags.String("about", "", "folder to write sbom.spdx.json and LICENSES.txt of the image into")
	root := flags.String("root", ".", "with -about, the folder of the repository that the program was built from")
	archive := flags.String("archive", "", "file to write an archive of the layout to, for ctr images import and podman load")
	created := flags.String("created", "0", "when the image was made, in seconds since 1970, as in SOURCE_DATE_EPOCH")
	flags.StringVar(&o.Name, "name", "", "the program's name in the image (default: its file's)")
	flags.Var(pairs.Pairs(o.Annotations), "annotation", "KEY=VALUE, as often as needed")
	flags.Func("arg", "an argument that the program gets by default, as often as needed", func(text string) error {
		o.Args = append(o.Args, text)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	for _, program := range flags.Args() {
		if err := pairs.Pairs(o.Programs).Set(program); err != nil {
			return fmt.Errorf("%s: give programs as PLATFORM=FILE: %w", program, err)
		}
	}
	seconds, err := strconv.ParseInt(*created, 10, 64)
	if err != nil {
		return fmt.Errorf("-created: %w", err)
	}
	o.Created = time.Unix(seconds, 0)
	if *reference == "" || *layout == "" && *archive == "" {
		return errors.New("-reference is needed, and one of -layout and -archive")
	}
	repository, tag := split(*reference)
	if *about != "" && (repository == "" || tag == "") {
		return fmt.Errorf("%s: an image that -about describes has a name and a tag", *reference)
	}
	digest, err := write(o, *reference, *layout, *archive)
	if err != nil {
		return err
	}
	if *about != "" {
		document := sbom.Document{Name: repository, Version: tag, Digest: digest, Created: o.Created}
		if err := document.Write(ctx, *root, *about, slices.Sorted(maps.Values(o.Programs))...); err != nil {
			return err
		}
	}
	fmt.Println(digest)
	return nil
}

// split takes a reference apart; either is empty where the reference has none.
func split(reference string) (repository, tag string) {
	slash, colon := strings.LastIndex(reference, "/"), strings.LastIndex(reference, ":")
	switch {
	case colon < 0 || colon < slash:
		return reference, ""
	case colon == slash+1:
		return "", reference[colon+1:]
	}
	return reference[:colon], reference[colon+1:]
}

// write writes the image, and returns its digest.
func write(o image.Options, reference, layout, archive string) (digest string, err error) {
	index, err := image.Build(o)
	if err != nil {
		return "", err
	}
	if layout == "" {
		if layout, err = os.MkdirTemp("", "layout-"); err != nil {
			return "", err
		}
		defer func() { _ = os.RemoveAll(layout) }()
	}
	hash, err := image.WriteLayout(index, layout, reference)
	if err != nil || archive == "" {
		return hash.String(), err
	}
	file, err := os.Create(archive)
	if err != nil {
		return "", err
	}
	return hash.String(), errors.Join(image.WriteArchive(file, layout), file.Close())
}
