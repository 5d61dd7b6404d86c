package controlplane

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// patch replaces a text that must occur exactly once in a file.
type patch struct{ file, old, new string }

// loopbackPatches make Knative's processes listen on 127.0.0.1 only. Knative
// lets the environment choose a host for its metrics port alone; its webhook,
// profiling and health-probe ports are on all interfaces. The patched module
// is knative.dev/pkg. The go command refuses an overlay for files in the
// module cache, so the module is copied and replaced in a copy of go.mod.
var loopbackPatches = []patch{
	{"webhook/webhook.go", `fmt.Sprint(":", wh.Options.Port)`, `fmt.Sprint("127.0.0.1:", wh.Options.Port)`},
	{"profiling/server.go", `":" + port`, `"127.0.0.1:" + port`},
	{"injection/health_check.go", `":" + strconv.Itoa(port)`, `"127.0.0.1:" + strconv.Itoa(port)`},
	// Port 0 lets the kernel choose; nothing here asks this probe.
	{"injection/health_check.go", `HealthCheckDefaultPort = 8080`, `HealthCheckDefaultPort = 0`},
}

// apply returns the text with the replacement made.
func (p patch) apply(text []byte) ([]byte, error) {
	if n := bytes.Count(text, []byte(p.old)); n != 1 {
		return nil, fmt.Errorf("%s contains %q %d times, want exactly once", p.file, p.old, n)
	}
	return bytes.Replace(text, []byte(p.old), []byte(p.new), 1), nil
}

const knativePkg = "knative.dev/pkg"

// patchKnative writes a patched copy of knative.dev/pkg to the scratch folder
// and returns a -modfile that builds against it.
func (b *builder) patchKnative(ctx context.Context, modDir string) (modfile string, err error) {
	source, err := b.moduleDir(ctx, modDir, knativePkg)
	if err != nil {
		return "", err
	}
	patched := filepath.Join(b.scratch, "knative-pkg")
	if err := copyTree(source, patched); err != nil {
		return "", err
	}
	for _, p := range loopbackPatches {
		file := filepath.Join(patched, filepath.FromSlash(p.file))
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		if text, err = p.apply(text); err != nil {
			return "", fmt.Errorf("patching %s: %w", knativePkg, err)
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return "", err
		}
	}

	goMod, err := os.ReadFile(filepath.Join(modDir, "go.mod"))
	if err != nil {
		return "", err
	}
	goMod = fmt.Appendf(goMod, "\nreplace %s => %q\n", knativePkg, patched)
	modfile = filepath.Join(b.scratch, "knative.mod")
	if err := os.WriteFile(modfile, goMod, 0o644); err != nil {
		return "", err
	}
	// The go command reads the sums next to a -modfile.
	goSum, err := os.ReadFile(filepath.Join(modDir, "go.sum"))
	if err != nil {
		return "", err
	}
	return modfile, os.WriteFile(filepath.Join(b.scratch, "knative.sum"), goSum, 0o644)
}

// manifestSource is a set of manifests inside a module.
type manifestSource struct {
	module string
	path   string // file or folder in the module
	to     string // name below the cache entry
}

// Folders of the knativeManifests cache entry.
const (
	crdManifests     = "crds"
	rbacManifests    = "rbac"
	configManifests  = "config"
	webhookManifests = "webhooks"
	hpaManifests     = "hpa"
	// In the servingManifests entry only.
	deploymentManifests = "deployments"
)

// manifestSources lists what Knative Serving's release would install. The CRDs
// of other modules are symbolic links in the source repository, which module
// zips leave out, so they are taken from the modules that own them.
var manifestSources = []manifestSource{
	{"knative.dev/serving", "config/core/300-resources", crdManifests},
	{"knative.dev/networking", "config/ingress.yaml", crdManifests},
	{"knative.dev/networking", "config/serverlessservice.yaml", crdManifests},
	{"knative.dev/networking", "config/certificate.yaml", crdManifests},
	{"knative.dev/networking", "config/domain-claim.yaml", crdManifests},
	{"knative.dev/caching", "config/image.yaml", crdManifests},
	{"knative.dev/serving", "config/core/100-namespace.yaml", rbacManifests},
	{"knative.dev/serving", "config/core/200-roles", rbacManifests},
	{"knative.dev/serving", "config/core/200-serviceaccount.yaml", rbacManifests},
	{"knative.dev/serving", "config/core/configmaps", configManifests},
	{"knative.dev/networking", "config/config-network.yaml", configManifests},
	{"knative.dev/serving", "config/core/webhooks", webhookManifests},
	{"knative.dev/serving", "config/hpa-autoscaling", hpaManifests},
}

// manifestModules are the modules manifestSources and loopbackPatches read.
func manifestModules() []string {
	return []string{"knative.dev/serving", "knative.dev/networking", "knative.dev/caching", knativePkg}
}

// servingManifestSources are manifestSources with the Deployments and Services of Knative's
// own programs.
var servingManifestSources = append(slices.Clone(manifestSources),
	manifestSource{"knative.dev/serving", "config/core/deployments", deploymentManifests},
	manifestSource{"knative.dev/serving", "config/core/999-cache.yaml", deploymentManifests},
)

// copyKnativeManifests copies the YAML files of manifestSources to out.
func (b *builder) copyKnativeManifests(ctx context.Context, modDir, out string) error {
	return b.copyManifests(ctx, modDir, out, manifestSources)
}

// copyServingManifests copies the YAML files of servingManifestSources to out.
func (b *builder) copyServingManifests(ctx context.Context, modDir, out string) error {
	return b.copyManifests(ctx, modDir, out, servingManifestSources)
}

func (b *builder) copyManifests(ctx context.Context, modDir, out string, sources []manifestSource) error {
	for _, s := range sources {
		module, err := b.moduleDir(ctx, modDir, s.module)
		if err != nil {
			return err
		}
		files := []string{filepath.Join(module, filepath.FromSlash(s.path))}
		if filepath.Ext(s.path) != ".yaml" {
			if files, err = filepath.Glob(filepath.Join(files[0], "*.yaml")); err != nil {
				return err
			}
		}
		if len(files) == 0 {
			return fmt.Errorf("%s has no manifests in %s", s.module, s.path)
		}
		to := filepath.Join(out, s.to)
		if err := os.MkdirAll(to, 0o755); err != nil {
			return err
		}
		for _, file := range files {
			if err := copyFile(file, filepath.Join(to, filepath.Base(file))); err != nil {
				return err
			}
		}
	}
	return nil
}

// moduleDir returns the folder of a downloaded module.
func (b *builder) moduleDir(ctx context.Context, modDir, module string) (string, error) {
	var out bytes.Buffer
	if err := b.goCommand(ctx, modDir, &out, nil, "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", module); err != nil {
		return "", err
	}
	dir := strings.TrimSpace(out.String())
	if dir == "" {
		return "", fmt.Errorf("module %s is not in the module cache", module)
	}
	return dir, nil
}

// copyTree copies the regular files of a folder; the copies are writable even
// when the originals, as in the module cache, are not.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		return copyFile(path, filepath.Join(to, rel))
	})
}

func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o644)
}
