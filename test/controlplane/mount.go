package controlplane

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var secretResource = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}

const certDirFlag = "--cert-dir="

// certificateSecret is the Secret that the webhook's Deployment among the objects mounts
// where its arguments have it look for certificates; "" if they name no directory.
func certificateSecret(objects []*unstructured.Unstructured) (string, error) {
	for _, o := range objects {
		if o.GetKind() != "Deployment" || o.GetName() != webhookName {
			continue
		}
		containers, _, err := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
		if err != nil {
			return "", err
		}
		container, _ := containers[0].(map[string]any)
		args, _, err := unstructured.NestedStringSlice(container, "args")
		if err != nil {
			return "", err
		}
		for _, arg := range args {
			if dir, ok := strings.CutPrefix(arg, certDirFlag); ok {
				return secretAt(o, container, dir)
			}
		}
	}
	return "", nil
}

func secretAt(deployment *unstructured.Unstructured, container map[string]any, dir string) (string, error) {
	mounts, _, _ := unstructured.NestedSlice(container, "volumeMounts")
	volumes, _, _ := unstructured.NestedSlice(deployment.Object, "spec", "template", "spec", "volumes")
	for _, m := range mounts {
		mount, _ := m.(map[string]any)
		if mount["mountPath"] != dir {
			continue
		}
		for _, v := range volumes {
			volume, _ := v.(map[string]any)
			if name, ok, _ := unstructured.NestedString(volume, "secret", "secretName"); ok && volume["name"] == mount["name"] {
				return name, nil
			}
		}
	}
	return "", fmt.Errorf("no Secret is mounted at %s", dir)
}

// mount does what a kubelet does for a pod with a Secret: it writes its keys as files, and
// again when they change, all at once. It returns when they are first there.
func (c *ControlPlane) mount(ctx context.Context, secret, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var last map[string]string
	update := func(ctx context.Context) error {
		o, err := c.client.Resource(secretResource).Namespace(webhookNamespace).Get(ctx, secret, metav1.GetOptions{})
		if err != nil {
			return err
		}
		data, _, err := unstructured.NestedStringMap(o.Object, "data")
		if err != nil || maps.Equal(data, last) {
			return err
		}
		if err := writeAtOnce(dir, data); err != nil {
			return err
		}
		last = data
		return nil
	}
	if err := await(ctx, "Secret "+secret, time.Minute, update); err != nil {
		return err
	}
	running, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for running.Err() == nil {
			// A Secret that is gone leaves the files as they are.
			_ = update(running)
			select {
			case <-running.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	})
	c.closeWithStop(closer(func() error {
		cancel()
		done.Wait()
		return nil
	}))
	return nil
}

type closer func() error

func (c closer) Close() error { return c() }

// writeAtOnce writes files into a new directory and turns a symbolic link to it, through
// which all names lead.
func writeAtOnce(dir string, data map[string]string) error {
	made, err := os.MkdirTemp(dir, "..v")
	if err != nil {
		return err
	}
	for name, encoded := range data {
		text, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(made, name), text, 0o600); err != nil {
			return err
		}
		link := filepath.Join(dir, name)
		if _, err := os.Lstat(link); err == nil {
			continue
		}
		if err := os.Symlink(filepath.Join("..data", name), link); err != nil {
			return err
		}
	}
	link := filepath.Join(dir, "..data_tmp")
	if err := os.Symlink(filepath.Base(made), link); err != nil {
		return err
	}
	return os.Rename(link, filepath.Join(dir, "..data"))
}
