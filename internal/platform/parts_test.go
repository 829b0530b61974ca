package platform_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/laidoulaile/channel-operator/internal/platform"
)

const (
	maxAnswerParts = 200_000
	largeAnswer    = 1 << 20
	maxLarge       = 3
	maxDecoding    = 3
)

func TestParts(t *testing.T) {
	for text, want := range map[string]int{
		"":                             0,
		`{}`:                           1,
		`{"a":[0,1],"b":{"c":"d"}}`:    5,
		`{"a":"[0,1]"}`:                3, // a text may be JSON
		`{"a":"\u005b0\u002c1\u005d"}`: 4, // however it is written
		`{"a":"\u6e56\u7554"}`:         1, // no ASCII
	} {
		if got := platform.Parts([]byte(text)); got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
}

// answering is a platform that answers this, and whose answer is read so.
func answering(t *testing.T, body []byte, classify func([]byte) error) ([]byte, error) {
	t.Helper()
	call := question()
	call.Classify = classify
	return platform.NewTransport(t.Name(), generous, roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}, nil
	})).Do(t.Context(), call)
}

// What would decode to many times its size is refused before it is decoded, as what is too long is.
func TestAnswersOfTooManyValuesAreNotDecoded(t *testing.T) {
	decoded := 0
	classify := func([]byte) error { decoded++; return nil }
	most := "[" + strings.Repeat("0,", maxAnswerParts-1) + "0]"
	if _, err := answering(t, []byte(most), classify); err != nil || decoded != 1 {
		t.Errorf("the most there may be: %v, decoded %d times", err, decoded)
	}
	for name, text := range map[string]string{
		"one more": "[0," + most[1:],
		"objects":  `{"data":[` + strings.Repeat(`{"a":0},`, 1<<20-10) + `{}]}`,
		"a text":   `{"data":"[` + strings.Repeat(`{\"a\":0},`, 400_000) + `{}]"}`,
	} {
		_, err := answering(t, []byte(text), classify)
		if decoded != 1 {
			t.Fatalf("%s: it was decoded", name)
		}
		want(t, err, platform.Transient, platform.ReasonBadAnswer)
	}
}

// Twice as much as a year's calendar comes to, as dense as any answer that we know, is decoded.
func TestDensestAnswersAreDecoded(t *testing.T) {
	samples, err := filepath.Glob(filepath.Join("*", "testdata", "api", "*.json"))
	if err != nil || len(samples) < 30 {
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
		if _, err := answering(t, bytes.Repeat(text, 2<<20/len(text)), nil); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// Few answers are decoded at a time, and of one account no more than half of these.
func TestFewAnswersAreDecodedAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls = 20
		release := make(chan struct{})
		var within, done atomic.Int64
		var group sync.WaitGroup
		for range calls {
			group.Go(func() {
				_, err := answering(t, []byte("{}"), func([]byte) error {
					within.Add(1)
					defer within.Add(-1)
					<-release
					return nil
				})
				if err == nil {
					done.Add(1)
				}
			})
		}
		synctest.Wait()
		if within.Load() != (maxDecoding+1)/2 {
			t.Errorf("%d are decoded at a time, want %d", within.Load(), (maxDecoding+1)/2)
		}
		close(release)
		group.Wait()
		if done.Load() != calls {
			t.Errorf("%d of %d were decoded", done.Load(), calls)
		}
	})
}

// largeBody is a body that is large, and whose rest does not come before its call ends.
type largeBody struct {
	ctx   context.Context
	begun int
	asked *atomic.Int64
}

func (b *largeBody) Read(p []byte) (int, error) {
	if b.begun < largeAnswer {
		n := min(len(p), largeAnswer-b.begun)
		b.begun += n
		return n, nil
	}
	b.asked.Add(1)
	<-b.ctx.Done()
	return 0, b.ctx.Err()
}

func (*largeBody) Close() error { return nil }

// Few answers that are large are read at a time, for all accounts together; others need not wait for
// them, and all of them end.
func TestFewLargeAnswersAreReadAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls = 10
		var asked, ended atomic.Int64
		var group sync.WaitGroup
		for account := range calls {
			group.Go(func() {
				_, err := platform.NewTransport(fmt.Sprint(t.Name(), account), generous, roundTripper(func(r *http.Request) (*http.Response, error) {
					return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: &largeBody{ctx: r.Context(), asked: &asked}}, nil
				})).Do(t.Context(), question())
				want(t, err, platform.Transient, platform.ReasonUnavailable)
				ended.Add(1)
			})
		}
		synctest.Wait()
		if asked.Load() != maxLarge {
			t.Errorf("%d are read at a time, want %d", asked.Load(), maxLarge)
		}
		if _, err := answering(t, make([]byte, largeAnswer-1), nil); err != nil || ended.Load() != 0 {
			t.Errorf("one that is not large: %v, after %d others", err, ended.Load())
		}
		group.Wait()
		if ended.Load() != calls {
			t.Errorf("%d of %d ended", ended.Load(), calls)
		}
		if _, err := answering(t, make([]byte, 2*largeAnswer), nil); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}
