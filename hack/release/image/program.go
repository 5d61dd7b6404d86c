package image

import (
	"cmp"
	"debug/elf"
	"fmt"
	"io"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// machines are the architectures, as Go names them, of ELF machines.
var machines = map[elf.Machine][]string{
	elf.EM_X86_64: {"amd64"}, elf.EM_AARCH64: {"arm64"}, elf.EM_ARM: {"arm"}, elf.EM_386: {"386"},
	elf.EM_PPC64: {"ppc64", "ppc64le"}, elf.EM_S390: {"s390x"}, elf.EM_RISCV: {"riscv64"},
}

// checkProgram says why a program could not run in an image that holds nothing else.
func checkProgram(path string, platform *v1.Platform) error {
	if platform.OS != "linux" {
		return fmt.Errorf("%s: images are made for linux only", platform)
	}
	program, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("%s is no program for linux: %w", path, err)
	}
	defer func() { _ = program.Close() }()
	if architectures := machines[program.Machine]; !slices.Contains(architectures, platform.Architecture) {
		return fmt.Errorf("%s is for %s, and not for %s", path, cmp.Or(strings.Join(architectures, " or "), program.Machine.String()), platform)
	}
	for _, segment := range program.Progs {
		if segment.Type != elf.PT_INTERP {
			continue
		}
		loader, err := io.ReadAll(segment.Open())
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return fmt.Errorf("%s is not static: it needs %s, which the image lacks. Build it with CGO_ENABLED=0",
			path, strings.TrimRight(string(loader), "\x00"))
	}
	return nil
}
