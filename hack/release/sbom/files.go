package sbom

import (
	"context"
	"os"
	"path/filepath"
)

// The files that stand beside an image.
const (
	DocumentFile = "sbom.spdx.json"
	LicensesFile = "LICENSES.txt"
)

// Write writes what compiled programs are made of, and under which licences, into a folder. They were built
// from the repository at root; the modules of the document are theirs.
func (d Document) Write(ctx context.Context, root, folder string, programs ...string) error {
	downloaded, err := Downloaded(ctx, root)
	if err != nil {
		return err
	}
	if d.Modules, err = Programs(downloaded, programs...); err != nil {
		return err
	}
	document, err := d.SPDX()
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{DocumentFile: document, LicensesFile: []byte(Licenses(d.Modules))} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
