// Package supply is the tests of the scripts that this module's tools are used by.
package supply

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// entry is a made-up vulnerability of a function that ./bom calls.
const entry = `{"schema_version": "1.3.1", "id": "GO-2000-0001", "modified": "2000-01-01T00:00:00Z", "published": "2000-01-01T00:00:00Z",
"summary": "Made up", "details": "Made up.", "affected": [{"package": {"name": "github.com/google/licensecheck", "ecosystem": "Go"},
"ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "FIXED"}]}],
"ecosystem_specific": {"imports": [{"path": "github.com/google/licensecheck", "symbols": ["Scan"]}]}}],
"database_specific": {"url": "https://pkg.go.dev/vuln/GO-2000-0001"}}`

// database is a folder with the entry, as the URL that govulncheck takes.
func database(t *testing.T, fixed string) string {
	t.Helper()
	dir := t.TempDir()
	text := strings.ReplaceAll(entry, "FIXED", fixed)
	if err := os.WriteFile(filepath.Join(dir, "GO-2000-0001.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return "file://" + dir
}

func TestVuln(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "tool", "-n", "govulncheck").Output()
	if err != nil {
		t.Fatal(err)
	}
	govulncheck := strings.TrimSpace(string(out))
	away := []string{"GOVULNDB=", "HTTPS_PROXY=http://127.0.0.1:1"}

	for _, c := range []struct {
		name     string
		env      []string
		packages string
		status   int
		says     string
	}{
		{"a vulnerable function is called", []string{"GOVULNDB=" + database(t, "99.0.0")}, "./bom", 3, "GO-2000-0001"},
		{"it is fixed", []string{"GOVULNDB=" + database(t, "0.0.1")}, "./bom", 0, "No vulnerabilities found"},
		{"it is not called", []string{"GOVULNDB=" + database(t, "99.0.0")}, "golang.org/x/mod/module", 0, "No vulnerabilities found"},
		{"no database", away, "./bom", 0, "VULNERABILITIES NOT CHECKED: the database https://vuln.go.dev cannot be read"},
		{"no database, which is required", append(away, "REQUIRE_VULN=1"), "./bom", 1, "VULNERABILITIES NOT CHECKED"},
		{"no such folder, which is required", []string{"GOVULNDB=file:///nonesuch", "REQUIRE_VULN=1"}, "./bom", 1, "no such file"},
		{"no such package", []string{"GOVULNDB=" + database(t, "0.0.1")}, "./nonesuch", 1, "nonesuch"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "../../vuln.sh", govulncheck, c.packages)
			cmd.Env = append(os.Environ(), append([]string{"REQUIRE_VULN="}, c.env...)...)
			out, err := cmd.CombinedOutput()
			status := 0
			if exit, ok := errors.AsType[*exec.ExitError](err); ok {
				status = exit.ExitCode()
			} else if err != nil {
				t.Fatal(err)
			}
			if status != c.status || !strings.Contains(string(out), c.says) {
				t.Errorf("exit status %d, want %d and %q; it said:\n%s", status, c.status, c.says, out)
			}
		})
	}
}

// A go command that fails is no reason to say that the database is away.
func TestVulnTellsAFailureFromADatabaseThatIsAway(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "govulncheck")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\necho loading packages: broken\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "../../vuln.sh", broken, "./bom").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "broken") || strings.Contains(string(out), "NOT CHECKED") {
		t.Errorf("%v: %s", err, out)
	}
}
