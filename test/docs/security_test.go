// Package docs checks what the documentation says about the tests against the tree.
package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const root = "../.."

// named are tests as docs/security.md names them: a package and a function.
var named = regexp.MustCompile("`([a-z0-9/]+)\\.((?:Test|Fuzz)[A-Za-z0-9]+)`")

func TestSecurityNamesTestsThatExist(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	require.NoError(t, err)
	tests, bypasses := declared(t)
	said := map[string]bool{}
	for _, m := range named.FindAllStringSubmatch(string(text), -1) {
		name := m[1] + "." + m[2]
		said[name] = true
		assert.True(t, tests[name], "docs/security.md names %s, which does not exist", name)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "| ") && strings.Contains(line, "Test") {
			assert.Regexp(t, `^\| [^|]+ \| (`+named.String()+` ?)+ \|\n$`, line, "a row that cannot be checked")
		}
	}
	for file, names := range bypasses {
		found := false
		for _, name := range names {
			found = found || said[name]
		}
		assert.True(t, found, "docs/security.md has no row for %s", file)
	}
}

// declared are all tests of the tree, and those of the files that hold a class of bypasses.
func declared(t *testing.T) (tests map[string]bool, bypasses map[string][]string) {
	t.Helper()
	tests, bypasses = map[string]bool{}, map[string][]string{}
	require.NoError(t, filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".." {
			return fs.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(file, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		at, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		at = filepath.ToSlash(at)
		bypass := strings.HasSuffix(at, "_bypass_test.go")
		if bypass {
			assert.True(t, len(parsed.Comments) > 0 && parsed.Comments[0].End() < parsed.Package, "%s does not begin with the class that it holds", at)
		}
		for _, d := range parsed.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Test") && !strings.HasPrefix(f.Name.Name, "Fuzz") {
				continue
			}
			name := path.Dir(at) + "." + f.Name.Name
			tests[name] = true
			if bypass {
				bypasses[at] = append(bypasses[at], name)
			}
		}
		return nil
	}))
	require.NotEmpty(t, bypasses)
	return tests, bypasses
}
