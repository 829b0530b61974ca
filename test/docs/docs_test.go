// Package docs keeps the users' pages true: flags, reasons and metrics named there are
// those of the code, and links lead somewhere.
package docs

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/controllers"
	"github.com/laidoulaile/channel-operator/internal/journal"
	"github.com/laidoulaile/channel-operator/internal/ledger"
	"github.com/laidoulaile/channel-operator/internal/panics"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/douyin"
	"github.com/laidoulaile/channel-operator/internal/platform/fliggy"
	"github.com/laidoulaile/channel-operator/internal/platform/sctt"
	"github.com/laidoulaile/channel-operator/test/env"
	"github.com/laidoulaile/channel-operator/webhookserver"
)

func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{env.MustRoot(t)}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// set of the first group of each match.
func set(pattern, text string) []string {
	found := map[string]bool{}
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found[match[1]] = true
	}
	return slices.Sorted(maps.Keys(found))
}

func same(t *testing.T, what string, documented, existing []string) {
	t.Helper()
	if len(existing) == 0 {
		t.Fatalf("no %s found in the code", what)
	}
	for _, name := range documented {
		if !slices.Contains(existing, name) {
			t.Errorf("%s %s is documented and does not exist", what, name)
		}
	}
	for _, name := range existing {
		if !slices.Contains(documented, name) {
			t.Errorf("%s %s is not documented", what, name)
		}
	}
}

// The manager's own usage: name and, where it prints one, default of every flag.
func TestFlags(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "manager")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".")
	build.Dir = env.MustRoot(t)
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	usage, err := exec.CommandContext(t.Context(), binary, "-h").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, usage)
	}
	page := read(t, "docs", "operations.md")
	same(t, "flag", set("(?m)^\\| `--([a-z-]+)` \\|", page), set(`(?m)^  -([a-z-]+)`, string(usage)))

	defaults := regexp.MustCompile(`(?m)^  -([a-z-]+).*\n.*\(default "?([^")]+)"?\)$`).FindAllStringSubmatch(string(usage), -1)
	if len(defaults) == 0 {
		t.Error("the usage prints no defaults")
	}
	for _, d := range defaults {
		if row := fmt.Sprintf("| `--%s` | `%s` |", d[1], d[2]); !strings.Contains(page, row) {
			t.Errorf("operations.md lacks %q", row)
		}
	}
}

// Every reason stands in a table of conditions, and none that does not exist.
func TestReasons(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(env.MustRoot(t), "api", "v1alpha1", "common_types.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var reasons []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		reasons = append(reasons, value)
		return true
	})
	var pages string
	for _, page := range []string{"channels.md", "products.md", "orders.md"} {
		pages += read(t, "docs", page)
	}
	same(t, "reason", set("(?m)^\\| (?:True|False) \\| `(\\w+)` \\|", pages), reasons)
}

func TestMetrics(t *testing.T) {
	descriptions := make(chan *prometheus.Desc, 100)
	kept, err := journal.Open(journal.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kept.Close() })
	for _, collectors := range [][]prometheus.Collector{platform.Collectors(), webhookserver.Collectors(), controllers.Collectors(), panics.Collectors(),
		ledger.New(nil, nil, kept).Collectors()} {
		for _, c := range collectors {
			c.Describe(descriptions)
		}
	}
	close(descriptions)
	var described strings.Builder
	for d := range descriptions {
		fmt.Fprintln(&described, d)
	}
	same(t, "metric", set("`(channel_operator_[a-z_]+)`", read(t, "docs", "operations.md")), set(`fqName: "([a-z_]+)"`, described.String()))
}

// A platform's page says what to register: every path, and none that is not there.
func TestPushPaths(t *testing.T) {
	for name, receiver := range map[v1alpha1.Platform]platform.Receiver{
		v1alpha1.PlatformDouyin: douyin.Adapter{},
		v1alpha1.PlatformFliggy: fliggy.Adapter{},
		v1alpha1.PlatformSCTT:   sctt.Adapter{},
	} {
		var paths []string
		for _, tail := range receiver.Paths() {
			paths = append(paths, webhookserver.WebhookPath(name, tail))
		}
		page := read(t, "docs", "platforms", strings.ToLower(string(name))+".md")
		same(t, "push path", set("`https://push\\.example\\.com(/[^`?]+)`", page), paths)
	}
}

// A platform's page explains every field of its block, and none that is not there.
func TestPlatformFields(t *testing.T) {
	for name, block := range map[string]reflect.Type{
		"douyin": reflect.TypeFor[v1alpha1.DouyinChannel](),
		"sctt":   reflect.TypeFor[v1alpha1.SCTTChannel](),
	} {
		text := section(t, read(t, "docs", "platforms", name+".md"), "The Channel")
		same(t, "spec."+name, set("(?m)^\\| `([a-zA-Z.]+)` \\| .+ \\| .+ \\|$", text), fieldsOf(block, ""))
	}
}

// fieldsOf a type, as they stand in YAML, the fields of structs within behind a dot.
func fieldsOf(of reflect.Type, prefix string) []string {
	var names []string
	for field := range of.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		inner := field.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct {
			names = append(names, fieldsOf(inner, prefix+name+".")...)
		} else {
			names = append(names, prefix+name)
		}
	}
	return names
}

// section of a page: what stands between its heading and the next of any level.
func section(t *testing.T, page, heading string) string {
	t.Helper()
	_, rest, found := strings.Cut(page, "# "+heading+"\n")
	if !found {
		t.Fatalf("no heading %q", heading)
	}
	text, _, _ := strings.Cut(rest, "\n#")
	return text
}

// Relative links lead to files, and to headings in them.
func TestLinks(t *testing.T) {
	links := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, page := range pages(t) {
		for _, match := range links.FindAllStringSubmatch(prose(read(t, page)), -1) {
			target, heading, _ := strings.Cut(match[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			to := page
			if target != "" {
				to = filepath.Join(filepath.Dir(page), target)
			}
			if _, err := os.Stat(filepath.Join(env.MustRoot(t), to)); err != nil {
				t.Errorf("%s: %s leads nowhere", page, match[1])
				continue
			}
			if heading != "" && !slices.Contains(headings(read(t, to)), heading) {
				t.Errorf("%s: no heading for %s", page, match[1])
			}
		}
	}
}

// Folders named on the front page are there.
func TestFrontPage(t *testing.T) {
	for _, folder := range set(`(?m)^    ([a-z0-9/]+/)  `, read(t, "README.md")) {
		if _, err := os.Stat(filepath.Join(env.MustRoot(t), folder)); err != nil {
			t.Errorf("README.md: %v", err)
		}
	}
}

// Tests that a page names are there, are such as go test runs, and are each one test: where several
// packages have the name, it says whose.
func TestNamedTestsExist(t *testing.T) {
	existing := tests(t)
	for page, least := range map[string]int{"README.md": 10, "docs/security.md": 100} {
		named := regexp.MustCompile("`((?:[a-z]+\\.)?(?:Test|Fuzz)[A-Z][A-Za-z0-9]*)`").FindAllStringSubmatch(read(t, page), -1)
		if len(named) < least {
			t.Errorf("%s names only %d tests", page, len(named))
		}
		for _, name := range named {
			if n := len(existing[name[1]]); n != 1 {
				t.Errorf("%s names %s, which is a test of %d packages", page, name[1], n)
			}
		}
	}
}

// Whatever is asked of the protection, a test shows.
func TestSecurityPageNamesATestForWhatIsAsked(t *testing.T) {
	for _, row := range rows(t, read(t, "docs", "security.md"), "What is asked") {
		if len(row) != 2 || !regexp.MustCompile(`Test[A-Z]|Fuzz[A-Z]`).MatchString(row[1]) {
			t.Errorf("%q names no test", row)
		}
	}
}

// tests are the names of all tests and fuzz targets there are, with and without their package, and
// the folders of each.
func tests(t *testing.T) map[string]map[string]bool {
	t.Helper()
	all := map[string]map[string]bool{}
	err := filepath.WalkDir(env.MustRoot(t), func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "bin" || entry.Name() == ".git"):
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		in := strings.TrimSuffix(file.Name.Name, "_test")
		for _, declared := range file.Decls {
			if f, ok := declared.(*ast.FuncDecl); ok && isTest(f) {
				for _, name := range []string{f.Name.Name, in + "." + f.Name.Name} {
					if all[name] == nil {
						all[name] = map[string]bool{}
					}
					all[name][filepath.Dir(path)] = true
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// isTest reports whether it is a func TestX(t *testing.T), or a func FuzzX(f *testing.F).
func isTest(f *ast.FuncDecl) bool {
	takes := ""
	switch {
	case strings.HasPrefix(f.Name.Name, "Test"):
		takes = "*testing.T"
	case strings.HasPrefix(f.Name.Name, "Fuzz"):
		takes = "*testing.F"
	}
	parameters := f.Type.Params.List
	return f.Recv == nil && f.Type.Results == nil && len(parameters) == 1 && len(parameters[0].Names) < 2 &&
		types.ExprString(parameters[0].Type) == takes
}

// pages are the pages written by hand, relative to the root.
func pages(t *testing.T) []string {
	t.Helper()
	all := []string{"README.md"}
	err := filepath.WalkDir(filepath.Join(env.MustRoot(t), "docs"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && entry.Name() == "reference" {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".md") {
			relative, err := filepath.Rel(env.MustRoot(t), path)
			all = append(all, relative)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// prose is a page without what stands in backquotes.
func prose(page string) string {
	page = regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(page, "")
	return regexp.MustCompile("`[^`\n]*`").ReplaceAllString(page, "")
}

// headings of a page as they stand in links.
func headings(page string) []string {
	var anchors []string
	for _, heading := range set(`(?m)^#+ (.+)$`, page) {
		anchor := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(heading), "")
		anchors = append(anchors, strings.ReplaceAll(anchor, " ", "-"))
	}
	return anchors
}
