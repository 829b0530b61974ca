package sealing_test

import (
	"bytes"
	"encoding/json"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-logr/logr"

	"github.com/laidoulaile/channel-operator/internal/sealing"
	"github.com/laidoulaile/channel-operator/internal/sealing/sealingtest"
)

// Sinks of logr that know no other way are told by MarshalLog.
var (
	_ logr.Marshaler = sealing.Hidden{}
	_ logr.Marshaler = sealing.Secret{}
)

// push is as structs are that hold secrets.
type push struct {
	sealing.Hidden
	Path   string
	Body   []byte
	hidden string
}

func planted() push {
	return push{Path: sealingtest.Planted, Body: []byte(sealingtest.Planted), hidden: sealingtest.Planted}
}

func TestWhatHoldsSecretsShowsNothing(t *testing.T) {
	sealer, err := sealing.NewSealer([]string{recipientFor(t, identityFor(t))}, []byte(strings.Repeat(sealingtest.Planted, 3)))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]any{
		"Secret": sealing.NewSecret(sealingtest.Planted), "Hidden": planted(), "Sealer": sealer, "Sealer itself": *sealer,
		"Secrets": []sealing.Secret{sealing.NewSecret(sealingtest.Planted)},
		"in a struct": struct {
			Push   push
			Secret sealing.Secret
			secret sealing.Secret
		}{planted(), sealing.NewSecret(sealingtest.Planted), sealing.NewSecret(sealingtest.Planted)},
	} {
		sealingtest.Hidden(t, name, value)
	}
}

// What is there to be written as JSON is written, and printed nowhere.
func TestUnprintedIsWrittenAsJSONOnly(t *testing.T) {
	answer := struct {
		sealing.Unprinted
		Code string `json:"code"`
	}{Code: sealingtest.Planted}
	sealingtest.Unprinted(t, "Unprinted", answer)
	if text, err := json.Marshal(answer); err != nil || string(text) != `{"code":"`+sealingtest.Planted+`"}` {
		t.Errorf("%s, %v", text, err)
	}
}

// A handler that panics with what it has in hand is told of by net/http, with its stack.
func TestPanickingHandlerShowsNothing(t *testing.T) {
	var logged bytes.Buffer
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		panicWith(planted(), sealing.NewSecret(r.Header.Get("X-Secret")))
	}))
	server.Config.ErrorLog = log.New(&logged, "", 0)
	server.Start()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/?token="+sealingtest.Planted, strings.NewReader(sealingtest.Planted))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Secret", sealingtest.Planted)
	if answer, err := server.Client().Do(request); err == nil {
		_ = answer.Body.Close()
		t.Error("it did not panic")
	}
	server.Close() // what it logged is there now
	if text := logged.String(); !strings.Contains(text, "panic serving") || strings.Contains(text, sealingtest.Planted) {
		t.Errorf("logged: %s", text)
	}
}

//go:noinline
func panicWith(p push, secret sealing.Secret) {
	panic([]any{p, &p, secret})
}
