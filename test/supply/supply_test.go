// Package supply reads the Makefile, the workflows and the image's recipe: what they are to check,
// compare and pin. It runs none of them but hack/fuzz.sh, with a go command that compiles nothing.
package supply

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/laidoulaile/channel-operator/test/env"
)

// text of a file of the repository, of which no line is a comment.
func text(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(env.MustRoot(t), path))
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`(?m)^\s*#.*\n`).ReplaceAllString(string(raw), "")
}

// wants fails unless the text has each of them.
func wants(t *testing.T, path, in string, all ...string) {
	t.Helper()
	for _, one := range all {
		if !strings.Contains(in, one) {
			t.Errorf("%s lacks %q", path, one)
		}
	}
}

func TestCheckLooksForVulnerabilitiesAndLicencesAndFuzzes(t *testing.T) {
	line := regexp.MustCompile(`(?m)^check: (.*) ##`).FindStringSubmatch(text(t, "Makefile"))
	if line == nil {
		t.Fatal("there is no such target")
	}
	for _, target := range []string{"lint", "licences", "vuln", "test", "fuzz-short"} {
		if !slices.Contains(strings.Fields(line[1]), target) {
			t.Errorf("make check does not make %s", target)
		}
	}
	wants(t, "ci.yml", text(t, ".github/workflows/ci.yml"), `REQUIRE_VULN: "1"`, "run: .ci/run", "run: make verify-reproducible")
	wants(t, ".ci/run", text(t, ".ci/run"), "make check")
}

// Whatever fuzz target there is, hack/fuzz.sh runs it, for the time that is asked for; one that
// finds something fails the whole.
func TestFuzzRunsEveryTarget(t *testing.T) {
	wants(t, "Makefile", text(t, "Makefile"), "\nfuzz-short: ## Run every fuzz target for a second, from its seeds\n\thack/fuzz.sh short\n\n")
	want := fuzzTargets(t)
	if len(want) < 30 {
		t.Fatalf("there are only %d targets: %q", len(want), want)
	}
	if ran, err := fuzz(t, ""); err != nil || !slices.Equal(ran, want) {
		t.Errorf("it ran %q, want %q: %v", ran, want, err)
	}
	_, failing, _ := strings.Cut(want[0], " ")
	if _, err := fuzz(t, failing); err == nil {
		t.Errorf("%s fails, and nothing says so", failing)
	}
}

// fuzzTargets are all there are, each behind its folder.
func fuzzTargets(t *testing.T) []string {
	t.Helper()
	var all []string
	root := env.MustRoot(t)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			if err == nil && entry.IsDir() && (entry.Name() == "bin" || entry.Name() == ".git") {
				return filepath.SkipDir
			}
			return err
		}
		source, err := os.ReadFile(path)
		for _, target := range regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`).FindAllSubmatch(source, -1) {
			all = append(all, filepath.Dir(path)+" "+string(target[1]))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// fuzz runs hack/fuzz.sh with a go command whose test binaries only write down what they are to
// run, and gives that; one of them fails.
func fuzz(t *testing.T, failing string) ([]string, error) {
	t.Helper()
	dir := t.TempDir()
	for name, script := range map[string]string{
		"go": `[ "$1" = test ] || exit 0
while [ "$1" != -o ]; do shift; done
cp "$FAKE/binary" "$2"`,
		"binary": `case "$*" in *"-test.fuzztime 1s "*) echo "$PWD $*" >>"$FAKE/ran" ;; esac
case "$*" in *"-test.fuzz ^$FAILING\$ "*) echo "--- FAIL"; exit 1 ;; esac
echo "fuzz: done"`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	script := exec.CommandContext(t.Context(), "hack/fuzz.sh", "short")
	script.Dir = env.MustRoot(t)
	script.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "FAKE="+dir, "FAILING="+failing)
	said, failed := script.CombinedOutput()
	ran, err := os.ReadFile(filepath.Join(dir, "ran"))
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	var targets []string
	for _, line := range regexp.MustCompile(`(?m)^(\S+) .*-test\.fuzz \^(\w+)\$ `).FindAllStringSubmatch(string(ran), -1) {
		targets = append(targets, line[1]+" "+line[2])
	}
	slices.Sort(targets)
	return targets, failed
}

// A build that says where it was made, or when, is not the same elsewhere. hack/reproducible.sh
// compares the bytes.
func TestBuildsNameNoPlaceAndNoTime(t *testing.T) {
	made := regexp.MustCompile(`(?m)^.*\bGO_BUILD\b[^\n)]*=.*$`).FindAllString(text(t, "Makefile"), -1)
	want := []string{`GO_BUILD := CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)"`}
	if !slices.Equal(made, want) {
		t.Errorf("make builds with %q, want %q", made, want)
	}
	image := regexp.MustCompile(`(?m)^.*\n?.*\bgo build\b.*$`).FindAllString(text(t, "Dockerfile"), -1)
	want = []string{`RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \` + "\n" +
		`    go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION" -o /manager .`}
	if !slices.Equal(image, want) {
		t.Errorf("the image is built with %q, want %q", image, want)
	}
	wants(t, "reproducible.sh", text(t, "hack/reproducible.sh"), `cmp "$binary" "$other/source/$binary"`)
}

func TestReleaseSaysWhatIsInItAndWhereItComesFrom(t *testing.T) {
	path := ".github/workflows/release.yml"
	workflow := text(t, path)
	wants(t, path, workflow, "run: .ci/run", "run: make verify-reproducible", "make release VERSION=", `REQUIRE_VULN: "1"`,
		`cmp "image-$arch/manager" "bin/release/manager-linux-$arch"`, "provenance: mode=max", "sbom: true",
		"needs: [check, build]", "needs: image", "subject-path: bin/release/*", "subject-digest: ${{ steps.push.outputs.digest }}")
	if n := strings.Count(workflow, "actions/attest-build-provenance@"); n != 2 {
		t.Errorf("%d attestations: the image and the files are to have one each", n)
	}
	_, recipe, _ := strings.Cut(text(t, "Makefile"), "\nrelease: ")
	recipe, _, _ = strings.Cut(recipe, "\n\n")
	wants(t, "make release", recipe, "$(GO_BUILD)", "$(BOM) -write", "sha256sum")
}

// Actions are named by commit, and tools by go.sum: nobody can move these. What actions fetch
// themselves, and what runs them, is not; SECURITY.md says so.
func TestActionsAndToolsArePinned(t *testing.T) {
	workflows, err := os.ReadDir(filepath.Join(env.MustRoot(t), ".github", "workflows"))
	if err != nil || len(workflows) < 2 {
		t.Fatal(workflows, err)
	}
	for _, file := range workflows {
		path := ".github/workflows/" + file.Name()
		used := regexp.MustCompile(`uses: *(\S+)`).FindAllStringSubmatch(text(t, path), -1)
		if len(used) == 0 {
			t.Errorf("%s uses nothing", path)
		}
		for _, action := range used {
			if !regexp.MustCompile(`@[0-9a-f]{40}$`).MatchString(action[1]) {
				t.Errorf("%s: %s is not named by commit", path, action[1])
			}
		}
	}
	wants(t, "SECURITY.md", text(t, "SECURITY.md"), "`golang`", "`moby/buildkit`", "scanner", "`ubuntu-latest`")
	made := text(t, "Makefile")
	if loose := regexp.MustCompile(`go (install|run|get|tool) .*|@latest|curl .*|wget .*`).FindString(made); loose != "" {
		t.Errorf("make fetches %q", loose)
	}
	tools := regexp.MustCompile(`(?m)^\t@?cd (hack/tools\S*) && go build`).FindAllStringSubmatch(made, -1)
	if len(tools) < 6 {
		t.Errorf("make builds %d tools", len(tools))
	}
	for _, built := range tools {
		if _, err := os.Stat(filepath.Join(env.MustRoot(t), built[1], "go.sum")); err != nil {
			t.Errorf("a tool whose sum nobody knows: %v", err)
		}
	}
}
