package expand

import (
	"slices"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
)

const (
	sharedMemoryPath   = "/dev/shm"
	sharedMemoryVolume = "dshm"
)

// sharedMemory settles the size of /dev/shm: an emptyDir in memory, mounted there.
func (e *expansion) sharedMemory() {
	p := parameter.SharedMemoryLimit
	volume, mounted := e.sharedMemoryMount()
	native, isNative := sharedMemorySize(e.podSpec(), volume), mounted
	entry, recorded := e.before[sharedMemoryLocation]
	if mounted && recorded && volume == sharedMemoryVolume && p.Type.Same(native, entry.Value) {
		isNative = false
	}
	w, ok := e.wanted(p, location{name: sharedMemoryLocation, path: []any{"spec", "template", "spec", "volumes"}}, native, isNative)
	if !ok {
		if isNative && native != "" {
			e.values.put(Setting{Name: p.Name, Value: native, From: manifestSource + sharedMemoryPath})
		}
		return
	}
	if !isNative && !e.allowed(p, w, knative.FlagEmptyDir) {
		return
	}
	e.values.put(Setting{Name: p.Name, Value: w.text, From: w.from})
	if isNative {
		return
	}
	e.after.put(sharedMemoryLocation, Entry{Value: w.text, From: w.from})
	if mounted { // by an earlier expansion
		if i := e.volumeIndex(volume); !p.Type.Same(native, w.text) {
			e.set(w.text, "spec", "template", "spec", "volumes", i, "emptyDir", "sizeLimit")
		}
		return
	}
	if i := e.volumeIndex(sharedMemoryVolume); i >= 0 && recorded && p.Type.Same(sharedMemorySize(e.podSpec(), sharedMemoryVolume), entry.Value) {
		// Server-side apply of the original manifest takes the mount, and leaves the volume.
		if !p.Type.Same(entry.Value, w.text) {
			e.set(w.text, "spec", "template", "spec", "volumes", i, "emptyDir", "sizeLimit")
		}
		e.add(manifest.Object{"name": sharedMemoryVolume, "mountPath": sharedMemoryPath}, "spec", "template", "spec", "containers", e.serving, "volumeMounts")
		return
	} else if i >= 0 {
		e.refuse(e.path.Child("spec", "volumes").Index(i).Child("name"), sharedMemoryVolume,
			"is the volume that %s makes for %s; rename it or mount it there", p.Key(), sharedMemoryPath)
		return
	}
	e.mountSharedMemory(w.text)
}

// mountSharedMemory adds the volume, where it is missing, and its mount.
func (e *expansion) mountSharedMemory(size string) {
	if e.volumeIndex(sharedMemoryVolume) < 0 {
		e.add(manifest.Object{"name": sharedMemoryVolume, "emptyDir": manifest.Object{"medium": "Memory", "sizeLimit": size}}, "spec", "template", "spec", "volumes")
	}
	e.add(manifest.Object{"name": sharedMemoryVolume, "mountPath": sharedMemoryPath}, "spec", "template", "spec", "containers", e.serving, "volumeMounts")
}

func (e *expansion) servingContainer() manifest.Object {
	return manifest.Objects(e.podSpec(), "containers")[e.serving]
}

// sharedMemoryMount names the volume that the serving container mounts at /dev/shm.
func (e *expansion) sharedMemoryMount() (volume string, mounted bool) {
	for _, m := range manifest.Objects(e.servingContainer(), "volumeMounts") {
		if path := manifest.Text(m, "mountPath"); path == sharedMemoryPath || path == sharedMemoryPath+"/" {
			return manifest.Text(m, "name"), true
		}
	}
	return "", false
}

// sharedMemorySize is the size limit of a volume in memory; empty for any other.
func sharedMemorySize(pod manifest.Object, volume string) string {
	i := volumeIndex(pod, volume)
	if i < 0 {
		return ""
	}
	emptyDir := manifest.Map(manifest.Objects(pod, "volumes")[i], "emptyDir")
	size, _ := manifest.QuantityText(emptyDir["sizeLimit"])
	if manifest.Text(emptyDir, "medium") != "Memory" {
		return ""
	}
	return size
}

func (e *expansion) volumeIndex(name string) int { return volumeIndex(e.podSpec(), name) }

func volumeIndex(pod manifest.Object, name string) int {
	return slices.IndexFunc(manifest.Objects(pod, "volumes"), func(v manifest.Object) bool { return manifest.Text(v, "name") == name })
}

// dropSharedMemory removes the volume and the mount of an earlier expansion.
func (e *expansion) dropSharedMemory(entry Entry) {
	if e.serving < 0 || !parameter.SharedMemoryLimit.Type.Same(sharedMemorySize(e.podSpec(), sharedMemoryVolume), entry.Value) {
		return
	}
	mount := slices.IndexFunc(manifest.Objects(e.servingContainer(), "volumeMounts"), func(m manifest.Object) bool {
		return manifest.Text(m, "name") == sharedMemoryVolume && manifest.Text(m, "mountPath") == sharedMemoryPath
	})
	if mount >= 0 {
		e.remove("spec", "template", "spec", "containers", e.serving, "volumeMounts", mount)
	}
	e.remove("spec", "template", "spec", "volumes", e.volumeIndex(sharedMemoryVolume))
}
