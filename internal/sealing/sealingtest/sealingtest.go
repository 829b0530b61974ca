// Package sealingtest looks for secrets in whatever a value can be printed as. It is for
// tests only, and knows no other room.
package sealingtest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

// Planted is the secret to plant in a value.
const Planted = "PlantedSecret7"

// Hidden fails the test if the value shows the planted secret: printed, in a panic, logged by
// slog or by the manager's own logger, or as JSON; by itself, behind a pointer, in a list, a
// map or a struct.
func Hidden(t *testing.T, name string, value any) {
	t.Helper()
	Unprinted(t, name, value)
	for _, in := range within(value) {
		text, err := json.Marshal(in)
		if err != nil {
			t.Errorf("%s: no JSON: %v", name, err)
		}
		look(t, name+" as JSON", string(text))
		logged(t, name, in)
	}
}

// Unprinted is Hidden without JSON, for what is there to be written as JSON; and so without the
// logs of what holds it, for these write that as JSON.
func Unprinted(t *testing.T, name string, value any) {
	t.Helper()
	for _, in := range within(value) {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			look(t, name+" printed by "+verb, fmt.Sprintf(verb, in))
		}
		look(t, name+" in an error", fmt.Errorf("%v", in).Error())
		look(t, name+" in a panic", panicked(in))
	}
	logged(t, name, value)
}

// logged logs a value as the manager does, and as slog does.
func logged(t *testing.T, name string, value any) {
	t.Helper()
	var written bytes.Buffer
	slog.New(slog.NewJSONHandler(&written, nil)).Info("text", "value", value)
	slog.New(slog.NewTextHandler(&written, nil)).Info("text", "value", value)
	for _, encoder := range []zap.Opts{zap.JSONEncoder(), zap.ConsoleEncoder()} {
		log := zap.New(encoder, zap.WriteTo(&written))
		log.Info("text", "value", value)
		log.WithValues("value", value).Error(fmt.Errorf("%v", value), "text")
	}
	look(t, name+" logged", written.String())
}

// within are the value and what may hold it.
func within(value any) []any {
	return []any{value, &value, []any{value}, map[string]any{"in": value}, struct{ In any }{value}}
}

// panicked is what a recovered panic says, as net/http and controller-runtime print it.
func panicked(value any) (said string) {
	defer func() { said = fmt.Sprintf("panic: %v [recovered]", recover()) }()
	panic(value)
}

// look fails the test where the secret stands in a text, as it is or in another writing.
func look(t *testing.T, where, text string) {
	t.Helper()
	for _, written := range writings() {
		if strings.Contains(strings.ToLower(text), strings.ToLower(written)) {
			t.Errorf("%s it shows the secret: %.200s", where, text)
			return
		}
	}
}

// writings of the secret: plain, as hex, as base64 wherever it begins, and as numbers.
func writings() []string {
	numbers := fmt.Sprintf("%d", []byte(Planted)) // "[80 108 …]"
	list := []string{Planted, hex.EncodeToString([]byte(Planted)), numbers[1 : len(numbers)-1]}
	list = append(list, strings.ReplaceAll(list[2], " ", ","), strings.Trim(fmt.Sprintf("%#v", []byte(Planted)), "[]byte{}"))
	for shift := range 3 {
		text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + Planted))
		list = append(list, strings.TrimRight(text, "=")[4:len(strings.TrimRight(text, "="))-1])
	}
	return list
}
