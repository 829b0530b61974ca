package main

import (
	"debug/buildinfo"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

const (
	isc = "Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby " +
		"granted, provided that the above copyright notice and this permission notice appear in all copies.\n\n" +
		"THE SOFTWARE IS PROVIDED \"AS IS\" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH REGARD TO THIS SOFTWARE INCLUDING ALL " +
		"IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT, " +
		"INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN " +
		"AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR " +
		"PERFORMANCE OF THIS SOFTWARE.\n"
	gpl = "This program is free software; you can redistribute it and/or modify it under the terms of the GNU General Public " +
		"License as published by the Free Software Foundation; either version 2 of the License, or (at your option) any later " +
		"version.\n\nThis program is distributed in the hope that it will be useful, but WITHOUT ANY WARRANTY; without even " +
		"the implied warranty of MERCHANTABILITY or FITNESS FOR A PARTICULAR PURPOSE. See the GNU General Public License for " +
		"more details.\n"
)

func TestLicencesIn(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  []string
		err   string
	}{
		{"one", map[string]string{"LICENSE": isc}, []string{"ISC"}, ""},
		{"copied code", map[string]string{"LICENSE.txt": isc, "third_party/COPYING": gpl}, []string{"GPL-2.0-or-later", "ISC"}, ""},
		{"not linked, or no licence", map[string]string{"LICENSE": isc, "testdata/LICENSE": gpl, "license.go": gpl, "licenser": gpl}, []string{"ISC"}, ""},
		{"none", map[string]string{"README.md": "free"}, nil, "no licence file"},
		{"none at the top", map[string]string{"sub/LICENSE": isc}, []string{"ISC"}, "no licence file"},
		{"terms added", map[string]string{"LICENSE": isc + strings.Repeat("It may not be used on Sundays. ", 30)}, nil, "is a known licence"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range c.files {
				file := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := licencesIn(dir)
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("got error %v, want %q", err, c.err)
			}
		})
	}
}

func TestCheckFailsForALicenceThatIsNotAllowed(t *testing.T) {
	parts := []part{{path: "a", licences: []string{"MIT"}}, {path: "b", licences: []string{"MIT", "GPL-2.0-or-later"}}, {path: "c"}}
	if err := check(parts[:1], allowed); err != nil {
		t.Error(err)
	}
	for i, want := range map[int]string{1: "b  has licence GPL-2.0-or-later", 2: "c  has no licence"} {
		if err := check(parts[i:i+1], allowed); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// The real thing: this very command is examined. It has licensecheck in it, which has the Unlicense among its data.
func TestExamine(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "86400")
	binary := filepath.Join(t.TempDir(), "bom")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	err := examine(binary, "v1.2.3", allowed, true)
	if err == nil || !strings.Contains(err.Error(), "licensecheck v0.3.1 has licence Unlicense") {
		t.Errorf("a licence that is not allowed: %v", err)
	}
	if _, err := os.Stat(binary + ".cdx.json"); err == nil {
		t.Error("a bill of materials of what may not be shipped")
	}

	more := append(slices.Clone(allowed), "Unlicense")
	if err := examine(binary, "v1.2.3", more, true); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(binary + ".cdx.json")
	if err != nil {
		t.Fatal(err)
	}
	var bom cdx.BOM
	if err := json.Unmarshal(text, &bom); err != nil {
		t.Fatal(err)
	}
	checkBOM(t, binary, &bom)

	if err := examine(binary, "v1.2.3", more, true); err != nil {
		t.Fatal(err)
	}
	again, err := os.ReadFile(binary + ".cdx.json")
	if err != nil || string(again) != string(text) {
		t.Errorf("another bill of the same binary: %v", err)
	}
}

// checkBOM: the bill names the command, and each module that Go itself says is in it.
func checkBOM(t *testing.T, binary string, bom *cdx.BOM) {
	t.Helper()
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	command := bom.Metadata.Component
	if command.Name != info.Path || command.Version != "v1.2.3" || len(*command.Hashes) != 1 ||
		command.PackageURL != "pkg:golang/"+info.Main.Path+"@v1.2.3#bom" || bom.Metadata.Timestamp != "1970-01-02T00:00:00Z" {
		t.Errorf("the command is %+v, made at %s", command, bom.Metadata.Timestamp)
	}
	if len(info.Deps) < 3 || len(*bom.Components) != len(info.Deps)+1 {
		t.Errorf("%d components for %d modules and std", len(*bom.Components), len(info.Deps))
	}
	for _, dep := range info.Deps {
		i := slices.IndexFunc(*bom.Components, func(c cdx.Component) bool {
			return c.PackageURL == "pkg:golang/"+dep.Path+"@"+dep.Version
		})
		if i < 0 {
			t.Errorf("no component for %s %s", dep.Path, dep.Version)
			continue
		}
		component := (*bom.Components)[i]
		if (*component.Licenses)[0].Expression == "" || (*component.Properties)[0].Value != dep.Sum {
			t.Errorf("%s: licences %+v, properties %+v", dep.Path, component.Licenses, component.Properties)
		}
	}
}

func TestAModuleFromAFolderIsAnError(t *testing.T) {
	info := &debug.BuildInfo{Deps: []*debug.Module{{Path: "example.com/a", Version: "v1.0.0", Replace: &debug.Module{Path: "../a"}}}}
	if parts, err := partsOf(info); err == nil {
		t.Errorf("got %+v", parts)
	}
}
