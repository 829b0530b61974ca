package sctt

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/golden"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

const (
	testMerchant = "255456"
	testSecret   = "test_secret_0123456789abc"
	// testRule is a signing rule made up for the tests.
	testRule = `{"algorithm":"MD5","encoding":"UpperHex","message":"{merchant_id}{request_time}{secret}"}`
)

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
	for _, file := range golden.Inputs(t, "push") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			m := open(t, pathOf(file), golden.Read(t, file))
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
			golden.Check(t, file+".golden", got)
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
