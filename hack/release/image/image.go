package image

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// User is the user and the group that programs run as, as in the manifests under deploy/.
const User = 65532

// Options say what is in an image. Programs is needed.
type Options struct {
	// Programs are the paths of static programs by platform, such as linux/amd64.
	Programs map[string]string
	// Name is the program's name in the image, which it stands at the root of; by default the
	// name of the program's file.
	Name string
	// Args are the arguments that the program gets unless others are given.
	Args []string
	// Created is the time that the image and its files have, in whole seconds; the start of
	// 1970 if it is zero.
	Created time.Time
	// Annotations are set on the index and on every image, and as labels in its configuration.
	Annotations map[string]string
}

// Build makes the index of an image. The programs are read when it is written.
func Build(o Options) (v1.ImageIndex, error) {
	if len(o.Programs) == 0 {
		return nil, errors.New("an image needs a program for one platform at least")
	}
	if o.Created.IsZero() {
		o.Created = time.Unix(0, 0)
	}
	o.Created = o.Created.UTC().Truncate(time.Second)
	base, err := baseLayer(o.Created)
	if err != nil {
		return nil, err
	}
	var index v1.ImageIndex = mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(o.Programs)) {
		platform, err := parsePlatform(name)
		if err == nil {
			err = checkProgram(o.Programs[name], platform)
		}
		if err != nil {
			problems = append(problems, err)
			continue
		}
		built, err := o.image(platform, o.Programs[name], base)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", name, err))
			continue
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: built, Descriptor: v1.Descriptor{Platform: platform}})
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return annotated(index, o.Annotations), nil
}

// annotated sets the annotations of an index. A map that is empty would show as one.
func annotated(index v1.ImageIndex, annotations map[string]string) v1.ImageIndex {
	if len(annotations) == 0 {
		return index
	}
	return mutate.Annotations(index, annotations).(v1.ImageIndex)
}

// image is the image of one platform.
func (o *Options) image(platform *v1.Platform, program string, base v1.Layer) (v1.Image, error) {
	name := o.Name
	if name == "" {
		name = path.Base(program)
	}
	layer, err := programLayer(name, program, o.Created)
	if err != nil {
		return nil, err
	}
	built := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	built, err = mutate.Append(built,
		mutate.Addendum{Layer: base, History: o.history("CA certificates, users")},
		mutate.Addendum{Layer: layer, History: o.history("/" + name)})
	if err != nil {
		return nil, err
	}
	file, err := built.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Variant = platform.OS, platform.Architecture, platform.Variant
	file.Created = v1.Time{Time: o.Created}
	file.Config = v1.Config{
		User:       strconv.Itoa(User) + ":" + strconv.Itoa(User),
		Entrypoint: []string{"/" + name},
		Cmd:        o.Args,
		WorkingDir: "/",
		Env:        []string{"PATH=/", "SSL_CERT_FILE=/" + certificates},
		Labels:     o.Annotations,
	}
	built, err = mutate.ConfigFile(built, file)
	if err != nil || len(o.Annotations) == 0 {
		return built, err
	}
	return mutate.Annotations(built, o.Annotations).(v1.Image), nil
}

func (o *Options) history(what string) v1.History {
	return v1.History{Created: v1.Time{Time: o.Created}, CreatedBy: what}
}

// parsePlatform reads an operating system, an architecture and perhaps a variant of it.
func parsePlatform(text string) (*v1.Platform, error) {
	parts := strings.Split(text, "/")
	if len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "") {
		return nil, fmt.Errorf("%q is no platform: give it like linux/amd64", text)
	}
	return v1.ParsePlatform(text)
}
