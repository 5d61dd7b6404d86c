package bundle

import (
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// manifests renders deploy/ with the image of a release.
func manifests(root, image, version, digest string) ([]byte, error) {
	folder, err := os.MkdirTemp("", "install-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	// kustomize wants resources relative, and follows links to where they really are.
	if folder, err = filepath.EvalSymlinks(folder); err != nil {
		return nil, err
	}
	deploy, err := filepath.EvalSymlinks(filepath.Join(root, "deploy"))
	if err != nil {
		return nil, err
	}
	if deploy, err = filepath.Abs(deploy); err != nil {
		return nil, err
	}
	relative, err := filepath.Rel(folder, deploy)
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf("resources:\n- %s\nimages:\n- name: %s\n  newName: %s\n  newTag: %s\n  digest: %s\n", relative, shipped, image, version, digest)
	if err := os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		return nil, err
	}
	rendered, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		return nil, fmt.Errorf("rendering deploy/: %w", err)
	}
	return rendered.AsYaml()
}
