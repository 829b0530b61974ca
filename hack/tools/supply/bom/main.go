// Command bom tells what Go binaries are made of. It reads the modules that the linker
// named in each, finds their licences in the module cache, and fails if one is not
// allowed. With -write it also writes a CycloneDX bill of materials beside each binary.
// It knows nothing of this product, asks no network, and says the same of the same binary.
package main

import (
	"cmp"
	"debug/buildinfo"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"golang.org/x/mod/module"
)

// allowed are the licences, by SPDX id, that leave users of a binary free to do with it
// as its own licence lets them. Whoever adds one says so in a review.
var allowed = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT"}

// part is one module of a binary, or Go's standard library ("std").
type part struct {
	path     string
	version  string
	sum      string   // as in go.sum; empty for std
	licences []string // SPDX ids, sorted
}

func main() {
	write := flag.Bool("write", false, "write BINARY.cdx.json beside each BINARY")
	version := flag.String("version", "", "the binaries' own version, for what is written")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: bom [-write] [-version VERSION] BINARY...")
		flag.PrintDefaults()
	}
	flag.Parse()
	var errs []error
	for _, binary := range flag.Args() {
		errs = append(errs, examine(binary, *version, allowed, *write))
	}
	if err := errors.Join(errs...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// examine checks one binary's licences, and writes its bill of materials if that is wanted.
func examine(binary, version string, allowed []string, write bool) error {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return err
	}
	parts, err := partsOf(info)
	if err != nil {
		return fmt.Errorf("%s: %w", binary, err)
	}
	if err := check(parts, allowed); err != nil {
		return fmt.Errorf("%s: %w", binary, err)
	}
	fmt.Printf("%s: %d modules, %s\n", binary, len(parts), summary(parts))
	if !write {
		return nil
	}
	return writeBOM(binary, version, info, parts)
}

// partsOf lists what a binary is linked from, its own module not counted, std last.
func partsOf(info *debug.BuildInfo) ([]part, error) {
	cache, err := goEnv("GOMODCACHE")
	if err != nil {
		return nil, err
	}
	goroot, err := goEnv("GOROOT")
	if err != nil {
		return nil, err
	}
	var parts []part
	var errs []error
	add := func(p part, dir string) {
		p.licences, err = licencesIn(dir)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s %s: %w", p.path, p.version, err))
		}
		parts = append(parts, p)
	}
	for _, dep := range info.Deps {
		if dep.Replace != nil {
			dep = dep.Replace
		}
		dir, err := moduleDir(cache, dep)
		if err != nil {
			return nil, err
		}
		add(part{path: dep.Path, version: dep.Version, sum: dep.Sum}, dir)
	}
	// A GOROOT has licences of its vendored modules and of its commands' too; what is
	// linked is under the one at its top.
	std := part{path: "std", version: strings.TrimPrefix(info.GoVersion, "go")}
	if std.licences, err = licencesOf(filepath.Join(goroot, "LICENSE")); err != nil {
		errs = append(errs, err)
	}
	return append(parts, std), errors.Join(errs...)
}

// moduleDir is where the module cache holds a module. A module that a replace directive
// takes from a folder has no version, and is an error: nobody else could build that.
func moduleDir(cache string, m *debug.Module) (string, error) {
	path, err := module.EscapePath(m.Path)
	if err != nil {
		return "", err
	}
	version, err := module.EscapeVersion(m.Version)
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, filepath.FromSlash(path)+"@"+version), nil
}

// check fails for every part that has a licence which is not allowed, or none.
func check(parts []part, allowed []string) error {
	var errs []error
	for _, p := range parts {
		if len(p.licences) == 0 {
			errs = append(errs, fmt.Errorf("%s %s has no licence", p.path, p.version))
		}
		for _, licence := range p.licences {
			if !slices.Contains(allowed, licence) {
				errs = append(errs, fmt.Errorf("%s %s has licence %s, which is not one of %s",
					p.path, p.version, licence, strings.Join(allowed, ", ")))
			}
		}
	}
	return errors.Join(errs...)
}

// summary counts the parts under each licence, the most frequent first.
func summary(parts []part) string {
	count := map[string]int{}
	for _, p := range parts {
		for _, licence := range p.licences {
			count[licence]++
		}
	}
	names := slices.SortedFunc(maps.Keys(count), func(a, b string) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a, b))
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", name, count[name])
	}
	return strings.Join(names, ", ")
}

func goEnv(name string) (string, error) {
	out, err := exec.Command("go", "env", name).Output() // #nosec G204 -- a name of ours
	if err != nil {
		return "", fmt.Errorf("go env %s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}
