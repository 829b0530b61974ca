package webhookserver_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"weak"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/webhookserver"
)

const (
	maxDecoding = 4
	maxParts    = 20_000
)

// opening is a handler whose adapter does this with what it has decoded.
func opening(b *book, open func(platform.Message) platform.Message) http.Handler {
	o := b.options()
	o.Receivers = map[v1alpha1.Platform]platform.Receiver{v1alpha1.PlatformFliggy: asking{open: open}}
	return webhookserver.NewHandler(o)
}

// Whatever comes at a time, only a few bodies are decoded at a time. Whoever goes while waiting for
// a turn is not decoded, and a turn that ends in a panic is given back.
func TestFewBodiesAreDecodedAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pushes, gone = 30, 3
		release := make(chan struct{})
		var within, opened, accepted atomic.Int64
		h := opening(with(account(), nil), func(m platform.Message) platform.Message {
			within.Add(1)
			defer within.Add(-1)
			turn := opened.Add(1)
			<-release
			if turn <= maxDecoding {
				panic("decoded badly")
			}
			return m
		})
		ctx, hangUp := context.WithCancel(t.Context())
		var group sync.WaitGroup
		for i := range pushes {
			group.Go(func() {
				w := post(h, byAccount+orderTail, sample(t, "order-send-code.json"), func(r *http.Request) {
					if i >= pushes-gone {
						*r = *r.WithContext(ctx)
					}
				})
				if w.Code == http.StatusOK {
					accepted.Add(1)
				}
			})
			synctest.Wait()
		}
		if within.Load() != maxDecoding {
			t.Errorf("%d of %d are decoded at a time, want %d", within.Load(), pushes, maxDecoding)
		}
		hangUp()
		synctest.Wait()
		close(release)
		group.Wait()
		if opened.Load() != pushes-gone || accepted.Load() != pushes-gone-maxDecoding {
			t.Errorf("%d were decoded, %d accepted", opened.Load(), accepted.Load())
		}
	})
}

// The ledger may take its time: no turn to decode is held for it, nor what was decoded.
func TestRecordingHoldsNothingThatWasDecoded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pushes = 5 * maxDecoding
		release := make(chan struct{})
		var recording, kept atomic.Int64
		b := with(account(), nil)
		var mu sync.Mutex
		var decoded []weak.Pointer[large]
		b.record = func(context.Context) (platform.Outcome, error) {
			recording.Add(1)
			<-release
			return platform.OutcomeRecorded, nil
		}
		h := opening(b, func(m platform.Message) platform.Message {
			l := &large{Message: m}
			mu.Lock()
			defer mu.Unlock()
			decoded = append(decoded, weak.Make(l))
			return l
		})
		var group sync.WaitGroup
		for range pushes {
			group.Go(func() { post(h, byAccount+orderTail, sample(t, "order-send-code.json")) })
		}
		synctest.Wait()
		runtime.GC()
		for _, l := range decoded {
			if l.Value() != nil {
				kept.Add(1)
			}
		}
		if recording.Load() != pushes || kept.Load() != 0 {
			t.Errorf("of %d pushes %d are being recorded, and what %d decoded to is kept", pushes, recording.Load(), kept.Load())
		}
		close(release)
		group.Wait()
	})
}

// large is what a body decoded to.
type large struct {
	platform.Message
	_ [1 << 10]byte
}

// What would decode to many times its size is refused before it is decoded, however it is written.
func TestBodiesOfTooManyValuesAreNotDecoded(t *testing.T) {
	var opened atomic.Int64
	h := opening(with(account(), nil), func(m platform.Message) platform.Message { opened.Add(1); return m })
	body := sample(t, "order-send-code.json")
	room := maxParts - platform.Parts([]byte(body))
	beside := func(value string) string { return strings.Replace(body, "{", `{"x":`+value+`,`, 1) } // the comma is one more

	if w := post(h, byAccount+orderTail, beside("["+strings.Repeat("0,", room-2)+"0]")); w.Code != http.StatusOK || opened.Load() != 1 {
		t.Errorf("the most there may be: answered %d, decoded %d", w.Code, opened.Load())
	}
	before := counted(t)
	for name, value := range map[string]string{
		"numbers":          "[" + strings.Repeat("0,", room-1) + "0]",
		"objects":          "[" + strings.Repeat(`{"a":0},`, room/2) + "{}]",
		"within a text":    `"[` + strings.Repeat(`[],`, room/2) + `[]]"`,
		"escaped":          `"\u005b` + strings.Repeat(`0\u002c`, room) + `0]"`,
		"escaped, objects": `"[` + strings.Repeat(`\u007b},`, room/2+1) + `{}]"`,
	} {
		if w := post(h, byAccount+orderTail, beside(value)); w.Code != http.StatusBadRequest || opened.Load() != 1 {
			t.Errorf("%s: answered %d, decoded %d", name, w.Code, opened.Load()-1)
		}
	}
	if n := since(before, counted(t))["Fliggy||unknown|malformed"]; n != 5 {
		t.Errorf("%v are counted as malformed", n)
	}
}

// A body as large as one may be, and as dense as the densest that we know, is decoded.
func TestDensestPushesAreDecoded(t *testing.T) {
	samples, err := filepath.Glob(filepath.Join("..", "internal", "platform", "*", "testdata", "*", "*.json"))
	if err != nil || len(samples) < 50 {
		t.Fatalf("%d samples, %v", len(samples), err)
	}
	for _, file := range samples {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) < 300 { // an error, or an empty list: nothing of which much comes
			continue
		}
		if n := platform.Parts(text) * maxBody / len(text); n > maxParts {
			t.Errorf("%s would have %d values", file, n)
		}
	}
}
