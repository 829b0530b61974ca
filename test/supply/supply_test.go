// Package supply reads the Makefile, the workflows and the image's recipe: what they are to check,
// compare and pin. It runs none of them.
package supply

import (
	"os"
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

// A build that says where it was made, or when, is not the same elsewhere. hack/reproducible.sh
// compares the bytes.
func TestBuildsNameNoPlaceAndNoTime(t *testing.T) {
	made := regexp.MustCompile(`(?m)^GO_BUILD := (.*)$`).FindStringSubmatch(text(t, "Makefile"))
	if made == nil {
		t.Fatal("there is no GO_BUILD")
	}
	image := text(t, "Dockerfile")
	for path, in := range map[string]string{"GO_BUILD": made[1], "Dockerfile": image} {
		wants(t, path, in, "CGO_ENABLED=0", "go build -trimpath -buildvcs=false")
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

// What builds and checks is named by what nobody can move: actions by commit, tools by go.sum.
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
