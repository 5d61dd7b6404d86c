package controlplane

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubetorch/webhook/test/controlplane/internal/filelock"
)

// builder builds the missing entries of the cache.
type builder struct {
	log io.Writer
	// scratch is a folder of its own inside the cache, so that finished
	// entries can be moved into place by renaming.
	scratch string
}

// modulesAtOnce is how many modules' programs are built side by side: while one is linked, which takes one core,
// another is compiled.
const modulesAtOnce = 2

// buildMissing builds the entries that do not exist. A lock keeps other
// processes from building at the same time; an interrupted build leaves only
// scratch files, which the next one removes.
func buildMissing(ctx context.Context, log io.Writer, root string, entries []cacheEntry) (err error) {
	cache := filepath.Join(root, ".cache")
	if err := os.MkdirAll(filepath.Join(cache, "bin"), 0o755); err != nil {
		return fmt.Errorf("creating the tool cache: %w", err)
	}
	// The cache keeps itself out of version control.
	if err := os.WriteFile(filepath.Join(cache, ".gitignore"), []byte("*\n"), 0o644); err != nil {
		return fmt.Errorf("creating the tool cache: %w", err)
	}
	unlock, err := filelock.Lock(ctx, filepath.Join(cache, "build.lock"), func() {
		fmt.Fprintln(log, "waiting for another build of the control-plane tools to finish")
	})
	if err != nil {
		return fmt.Errorf("locking the tool cache: %w", err)
	}
	defer unlock()

	b := &builder{log: &lockedWriter{w: log}, scratch: filepath.Join(cache, "build")}
	if err := os.RemoveAll(b.scratch); err != nil {
		return fmt.Errorf("removing an interrupted build: %w", err)
	}
	if err := os.MkdirAll(b.scratch, 0o755); err != nil {
		return fmt.Errorf("creating the build folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.scratch)) }()

	var missing []cacheEntry
	for _, e := range entries {
		if !e.exists() {
			missing = append(missing, e)
		}
	}
	announce(b.log, missing)
	building, ctx := errgroup.WithContext(ctx)
	building.SetLimit(modulesAtOnce)
	for _, dir := range modulesOf(missing) {
		building.Go(func() error { return b.buildModule(ctx, dir, missing) })
	}
	return building.Wait()
}

// modulesOf are the folders of the modules that pin entries, in their order.
func modulesOf(entries []cacheEntry) []string {
	var dirs []string
	for _, e := range entries {
		if !slices.Contains(dirs, e.modDir) {
			dirs = append(dirs, e.modDir)
		}
	}
	return dirs
}

// buildModule builds those of the missing entries that one module pins.
func (b *builder) buildModule(ctx context.Context, dir string, missing []cacheEntry) error {
	first := slices.IndexFunc(missing, func(e cacheEntry) bool { return e.modDir == dir })
	modfile, err := b.fetch(ctx, missing[first], missing)
	if err != nil {
		return err
	}
	for i, e := range missing {
		if e.modDir != dir {
			continue
		}
		position := fmt.Sprintf("[%d/%d] %s %s", i+1, len(missing), e.name, e.version)
		if err := b.build(ctx, e, modfile, position); err != nil {
			return fmt.Errorf("building %s: %w", e.name, err)
		}
	}
	return nil
}

// fetch downloads the modules that the missing tools of e's tool module need, and returns the -modfile to build them
// with, "" for the module's own.
func (b *builder) fetch(ctx context.Context, e cacheEntry, missing []cacheEntry) (modfile string, err error) {
	fmt.Fprintf(b.log, "downloading the Go modules of the %s tools\n", path.Base(e.pinnedIn))
	start, count := time.Now(), 0
	progress := func(line string) bool {
		if !strings.HasPrefix(line, "go: downloading ") {
			return false
		}
		if count++; count%50 == 0 {
			fmt.Fprintf(b.log, "downloading the Go modules of the %s tools: %d so far\n", path.Base(e.pinnedIn), count)
		}
		return true
	}
	args := []string{"list", "-mod=readonly", "-deps"}
	if e.pinnedIn == knativeModule || e.pinnedIn == servingModule {
		download := append([]string{"mod", "download"}, manifestModules()...)
		if err := b.goCommand(ctx, e.modDir, io.Discard, progress, download...); err != nil {
			return "", fmt.Errorf("downloading modules: %w", err)
		}
	}
	if e.tags != "" {
		args = append(args, "-tags", e.tags)
	}
	if e.pinnedIn == knativeModule {
		if modfile, err = b.patchKnative(ctx, e.modDir); err != nil {
			return "", fmt.Errorf("preparing Knative's sources: %w", err)
		}
		args = append(args, "-modfile="+modfile)
	}
	for _, m := range missing {
		if m.modDir == e.modDir && m.pkg != "" {
			args = append(args, m.pkg)
		}
	}
	if err := b.goCommand(ctx, e.modDir, io.Discard, progress, args...); err != nil {
		return "", fmt.Errorf("downloading modules: %w", err)
	}
	fmt.Fprintf(b.log, "downloaded %d Go modules in %s\n", count, seconds(time.Since(start)))
	return modfile, nil
}

// build makes one cache entry in the scratch folder and moves it into place.
func (b *builder) build(ctx context.Context, e cacheEntry, modfile, position string) error {
	start := time.Now()
	fmt.Fprintf(b.log, "%s: building\n", position)
	defer everyInterval(30*time.Second, func() {
		fmt.Fprintf(b.log, "%s: still building after %s\n", position, seconds(time.Since(start)))
	})()

	out := filepath.Join(b.scratch, filepath.Base(e.dir))
	if err := os.Mkdir(out, 0o755); err != nil {
		return err
	}
	if e.pkg == "" {
		copyManifests := b.copyKnativeManifests
		switch e.name {
		case certManagerManifests:
			copyManifests = b.copyCertManagerManifests
		case servingManifests:
			copyManifests = b.copyServingManifests
		case metricsManifests:
			copyManifests = b.copyMetricsManifests
		}
		if err := copyManifests(ctx, e.modDir, out); err != nil {
			return err
		}
	} else {
		args := []string{"build", "-mod=readonly", "-buildvcs=false", "-ldflags", e.ldflags()}
		if e.tags != "" {
			args = append(args, "-tags", e.tags)
		}
		if modfile != "" {
			args = append(args, "-modfile="+modfile)
		}
		args = append(args, "-o", filepath.Join(out, e.name), e.pkg)
		if err := b.goCommand(ctx, e.modDir, io.Discard, nil, args...); err != nil {
			return err
		}
	}
	if err := os.Rename(out, e.dir); err != nil {
		return err
	}
	fmt.Fprintf(b.log, "%s: built in %s\n", position, seconds(time.Since(start)))
	return nil
}

// goCommand runs the go command in a tool module. Every line it writes to
// stderr goes to progress first; lines progress does not claim go to the log,
// and the last of them are part of the error.
func (b *builder) goCommand(ctx context.Context, dir string, stdout io.Writer, progress func(line string) bool, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	cmd.Stdout = stdout
	// The go command removes its temporary files when it is interrupted.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := startTied(cmd); err != nil {
		return err
	}
	var tail []string
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		line := lines.Text()
		if progress != nil && progress(line) {
			continue
		}
		fmt.Fprintln(b.log, line)
		if tail = append(tail, line); len(tail) > 20 {
			tail = tail[1:]
		}
	}
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("go %s: %w\n%s", args[0], err, strings.Join(tail, "\n"))
	}
	return nil
}

// everyInterval calls f at each interval until the returned function returns.
func everyInterval(interval time.Duration, f func()) (stop func()) {
	var calling sync.WaitGroup
	done := make(chan struct{})
	calling.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				f()
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		calling.Wait()
	}
}

// lockedWriter makes a writer usable by several goroutines.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(text)
}

// seconds formats a duration for progress messages.
func seconds(d time.Duration) string {
	return fmt.Sprintf("%.1fs", d.Seconds())
}
