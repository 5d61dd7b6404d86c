package convert

import (
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// itemLevel is one file that a volume takes from a ConfigMap or Secret.
var itemLevel = level{"key": {}, "path": {}, "mode": {}, "user": {refuse: noOwner}}

const noOwner = "a Knative Service cannot say whom files belong to; use fsGroup or runAsUser"

// downwardLevel is one file that a volume takes from the pod.
var downwardLevel = level{"path": {}, "mode": {}, "fieldRef": {within: fieldRefLevel}, "resourceFieldRef": {within: resourceFieldRefLevel}, "user": {refuse: noOwner}}

// defaultMode is what the API server fills in for files: 0644.
var defaultMode = rule{unset: is(int64(420))}

// volumeLevel is a volume. emptyDir and persistentVolumeClaim are behind flags, and so are
// hostPath, csi, ephemeral and image in newer versions of Knative.
var volumeLevel = func() level {
	l := level{
		"name":                  {},
		"emptyDir":              {empty: true, within: level{"medium": {}, "sizeLimit": {}, "mode": {refuse: "a Knative Service cannot hold it; remove it"}}},
		"persistentVolumeClaim": {},
		"hostPath":              {within: level{"path": {}, "type": {unset: is("")}}},
		"csi":                   {},
		"ephemeral": {within: level{"volumeClaimTemplate": {within: level{
			"metadata": {within: level{"labels": {}, "annotations": {}}},
			"spec": {within: level{"accessModes": {}, "selector": {}, "resources": {}, "volumeName": {}, "storageClassName": {}, "dataSource": {},
				"dataSourceRef": {}, "volumeAttributesClassName": {}, "volumeMode": {unset: is("Filesystem")}}},
		}}}},
		"image":     {within: level{"reference": {}, "pullPolicy": {unset: isDefaultImagePolicy}}},
		"secret":    {within: level{"secretName": {}, "items": {within: itemLevel}, "optional": {}, "defaultMode": defaultMode, "defaultUser": {refuse: noOwner}}},
		"configMap": {within: level{"name": {}, "items": {within: itemLevel}, "optional": {}, "defaultMode": defaultMode, "defaultUser": {refuse: noOwner}}},
		"projected": {within: level{"defaultMode": defaultMode, "defaultUser": {refuse: noOwner}, "sources": {within: level{
			"secret":              {within: level{"name": {}, "items": {within: itemLevel}, "optional": {}}},
			"configMap":           {within: level{"name": {}, "items": {within: itemLevel}, "optional": {}}},
			"downwardAPI":         {empty: true, within: level{"items": {within: downwardLevel}}},
			"serviceAccountToken": {within: level{"audience": {}, "path": {}, "expirationSeconds": {unset: is(int64(3600))}, "user": {refuse: noOwner}}},
			"clusterTrustBundle":  {refuse: "a Knative Service cannot hold it; put the certificates into a ConfigMap"},
			"podCertificate":      {refuse: "a Knative Service cannot hold it; put the certificate into a Secret"},
		}}}},
		"downwardAPI": {refuse: "write it as a projected volume with a downwardAPI source"},
		"gitRepo":     {refuse: "clone the repository in an init container"},
	}
	for _, driver := range []string{"gcePersistentDisk", "awsElasticBlockStore", "nfs", "iscsi", "glusterfs", "rbd", "flexVolume", "cinder", "cephfs", "flocker",
		"fc", "azureFile", "vsphereVolume", "quobyte", "azureDisk", "photonPersistentDisk", "portworxVolume", "scaleIO", "storageos"} {
		l[driver] = rule{refuse: "a Knative Service cannot use this kind of volume; make a PersistentVolume of it and use its claim"}
	}
	return l
}()

func isDefaultImagePolicy(image manifest.Object, value any) bool {
	return value == pullPolicy(manifest.Text(image, "reference"))
}

// volumes copies the volumes that a container mounts: Knative refuses others.
func (c *conversion) volumes(pod, out manifest.Object) {
	mounted := map[string]bool{}
	for _, list := range []string{"containers", "initContainers"} {
		for _, container := range manifest.Objects(pod, list) {
			for _, m := range manifest.Objects(container, "volumeMounts") {
				mounted[manifest.Text(m, "name")] = true
			}
		}
	}
	at := podPath.Child("volumes")
	var kept []any
	for i, v := range manifest.Objects(pod, "volumes") {
		if !mounted[manifest.Text(v, "name")] {
			continue
		}
		if len(v) == 1 { // the API server makes a volume without a source an emptyDir
			v = manifest.Object{"name": v["name"], "emptyDir": manifest.Object{}}
		}
		before := len(c.errs)
		volume := c.apply(volumeLevel, v, at.Index(i))
		if len(c.errs) > before {
			c.unjudged[manifest.Text(v, "name")] = true
			continue
		}
		c.notes.move(at.Index(len(kept)), at.Index(i))
		kept = append(kept, volume)
	}
	if len(kept) > 0 {
		out["volumes"] = kept
	}
}

// mounts makes a container's mounts what Knative takes. It mounts every volume that is no
// emptyDir, claim or ephemeral volume read-only, and in init containers wants that said.
func (c *conversion) mounts(container manifest.Object, init bool, at *field.Path) {
	sources := map[string]manifest.Object{}
	for _, v := range manifest.Objects(c.out, "volumes") {
		sources[manifest.Text(v, "name")] = v
	}
	var kept []any
	for i, m := range manifest.Objects(container, "volumeMounts") {
		name := manifest.Text(m, "name")
		if c.unjudged[name] {
			continue // of a volume that is refused
		}
		source := sources[name]
		readOnly, _ := m["readOnly"].(bool)
		claimReadOnly, _ := manifest.At(source, "persistentVolumeClaim", "readOnly").(bool)
		switch {
		case source == nil || readOnly:
		case claimReadOnly:
			m["readOnly"] = true
		case source["hostPath"] != nil || source["csi"] != nil:
			c.warn("%s: Knative mounts volumes of this kind read-only", at.Child("volumeMounts").Index(i))
			fallthrough
		case source["secret"] != nil, source["configMap"] != nil, source["projected"] != nil, source["image"] != nil:
			if init {
				m["readOnly"] = true
			}
		}
		c.notes.move(at.Child("volumeMounts").Index(len(kept)), at.Child("volumeMounts").Index(i))
		kept = append(kept, m)
	}
	delete(container, "volumeMounts")
	if len(kept) > 0 {
		container["volumeMounts"] = kept
	}
}
