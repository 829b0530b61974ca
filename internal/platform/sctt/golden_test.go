package sctt

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
	testMerchant = "255456"
	testSecret   = "test_secret_0123456789abc"
	// testRule is a signing rule made up for the tests.
	testRule = `{"algorithm":"MD5","encoding":"UpperHex","message":"{merchant_id}{request_time}{secret}"}`
)

// sameSecrets compares secrets by their texts.
var sameSecrets = cmp.Comparer(func(a, b sealing.Secret) bool { return a.Reveal() == b.Reveal() })

// settings of a Channel's block.
func settings(t testing.TB, block string) Settings {
	t.Helper()
	s, err := Adapter{}.Settings(json.RawMessage(block))
	if err != nil {
		t.Fatal(err)
	}
	return s.(Settings)
}

// holder of the test account.
func holder(settings any) platform.Holder {
	return platform.Holder{ID: testMerchant, Settings: settings, Credentials: platform.Credentials{
		keySecret: sealing.NewSecret(testSecret),
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
	files, err := filepath.Glob(filepath.Join("testdata", folder, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatalf("no files in testdata/%s", folder)
	}
	return files
}

// pathOf is the path that a file of testdata/push is pushed to.
func pathOf(file string) string {
	if strings.Contains(filepath.Base(file), pathCancel) {
		return pathCancel
	}
	return pathVoucher
}

// open opens a push that must open.
func open(t testing.TB, path string, body []byte) message {
	t.Helper()
	m, err := Adapter{}.Open(platform.Push{Path: path, Body: body})
	if err != nil {
		t.Fatal(err)
	}
	return m.(message)
}

// decode gives what a push says.
func decode(path string, body []byte) ([]platform.Event, error) {
	m, err := Adapter{}.Open(platform.Push{Path: path, Body: body})
	if err != nil {
		return nil, err
	}
	return m.Events()
}

// told is what a golden file has of a push: the events, and what JSON does not show of them.
type told struct {
	Account, Type string
	Events        []platform.Event
	// Codes, Secrets and Content of the orders in clear.
	Codes, Secrets []string
	Content        []json.RawMessage
}

func TestGoldenPushes(t *testing.T) {
	for _, file := range inputs(t, "push") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			m := open(t, pathOf(file), readFile(t, file))
			events, err := m.Events()
			if err != nil {
				t.Fatal(err)
			}
			got := told{Account: m.Account(), Type: m.Type(), Events: events}
			for _, event := range events {
				if event.Order != nil {
					got.reveal(event.Order)
				}
			}
			got.Content = contents(m)
			checkGolden(t, file+".golden", got)
		})
	}
}

func (w *told) reveal(order *platform.OrderNotification) {
	for _, code := range order.Codes {
		w.Codes = append(w.Codes, code.Text.Reveal())
	}
	for _, secret := range order.Secrets {
		w.Secrets = append(w.Secrets, secret.Reveal())
	}
}

// contents are the canonical contents of a push, of which the events have the digests.
func contents(m message) []json.RawMessage {
	if m.path == pathVoucher {
		return []json.RawMessage{canonical(m.push, "order_status")}
	}
	var all []json.RawMessage
	for _, row := range m.push.Objects("orderlist") {
		all = append(all, canonical(row, "cancel_status"))
	}
	return all
}
