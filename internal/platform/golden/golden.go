// Package golden compares what the adapters read with files that somebody has read. It is
// for tests only, and knows no platform.
package golden

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/laidoulaile/channel-operator/internal/sealing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// SameSecrets compares secrets by their texts.
var SameSecrets = cmp.Comparer(func(a, b sealing.Secret) bool { return a.Reveal() == b.Reveal() })

// Check compares a value's JSON, in which secrets are redacted, with the file. With -update
// it writes the file first: read what it wrote.
func Check(t *testing.T, path string, value any) {
	t.Helper()
	got, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(Read(t, path)), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// Read gives a file, which must be there.
func Read(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// Inputs are the files of a folder of testdata that are not golden themselves; there must
// be some.
func Inputs(t testing.TB, folder string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join("testdata", folder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, file := range all {
		if !strings.HasSuffix(file, ".golden") {
			files = append(files, file)
		}
	}
	if len(files) == 0 {
		t.Fatalf("no files in testdata/%s", folder)
	}
	return files
}
