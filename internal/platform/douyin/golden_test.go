package douyin

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	testKey     = "aw6ufdiwwmx4x7tf"
	testAccount = "7376546762393143333"
	testSecret  = "test_client_secret_0123456789abc"
	oldSecret   = "test_client_secret_of_yesterday0"
)

// sameSecrets compares secrets by their texts.
var sameSecrets = cmp.Comparer(func(a, b sealing.Secret) bool { return a.Reveal() == b.Reveal() })

// holder of the test account; change alters its settings.
func holder(change func(*Settings)) platform.Holder {
	settings := defaultSettings()
	settings.AccountID = testAccount
	if change != nil {
		change(&settings)
	}
	return platform.Holder{ID: testKey, Settings: settings, Credentials: platform.Credentials{
		keySecret: sealing.NewSecret(testSecret), keyPrevious: sealing.NewSecret(oldSecret),
	}}
}

// checkGolden compares a value's JSON, in which secrets are redacted, with the file.
func checkGolden(t *testing.T, path string, value any) {
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
	want := readFile(t, path)
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// inputs are the files of a folder of testdata that are not golden.
func inputs(t testing.TB, folder string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join("testdata", folder, "*.json"))
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
