package sealingtest_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/laidoulaile/channel-operator/internal/sealing/sealingtest"
)

// The looking itself must find what shows: each of these fails, in a process of its own.
func TestItFindsWhatShows(t *testing.T) {
	shows := map[string]any{
		"text": sealingtest.Planted, "bytes": []byte("x" + sealingtest.Planted),
		"field": struct{ in string }{sealingtest.Planted}, "list": []any{struct{ In []byte }{[]byte(sealingtest.Planted)}},
	}
	if name := os.Getenv("SEALINGTEST_SHOWS"); name != "" {
		sealingtest.Unprinted(t, name, shows[name])
		return
	}
	for name := range shows {
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestItFindsWhatShows$")
		again.Env = append(os.Environ(), "SEALINGTEST_SHOWS="+name)
		if output, err := again.CombinedOutput(); err == nil {
			t.Errorf("%s passes: %s", name, output)
		}
	}
}
