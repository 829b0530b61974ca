package webhookserver_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fliggy"
	"github.com/laidoulaile/channel-operator/webhookserver"
)

const bodyUnit = 32 << 10

// unread is a body that nobody may read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

// slow sends so many pushes whose bodies do not come, in a bubble, until release is called.
func slow(t *testing.T, h http.Handler, n int, target func(i int) string) (release func()) {
	t.Helper()
	var group sync.WaitGroup
	var bodies []*io.PipeWriter
	for i := range n {
		body, sender := io.Pipe()
		bodies = append(bodies, sender)
		r := httptest.NewRequest(http.MethodPost, target(i), body)
		r.ContentLength = 100
		w := httptest.NewRecorder()
		group.Go(func() { h.ServeHTTP(w, r) })
	}
	synctest.Wait()
	return func() {
		for _, body := range bodies {
			_ = body.Close()
		}
		group.Wait()
	}
}

// turnedAway sends a push that must be refused without being read.
func turnedAway(t *testing.T, h http.Handler, target string, length int64) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, target, unread{t})
	r.ContentLength = length
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	answered(t, w, 503, "retry later")
	if w.Header().Get("Connection") != "close" {
		t.Error("the reply waits for the body: its connection does not end")
	}
}

// A platform that has half of all pushes in hand is told to try again, at once and unread. A
// Channel's own path has a share of its own; names that are made up have none.
func TestDoorIsShared(t *testing.T) {
	body := sample(t, "product-info.json")
	for name, path := range map[string]string{"a platform": byAccount + productTail, "made-up names": "/api/channels/travel/no-%d/" + productTail} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := webhookserver.NewHandler(with(account(), nil).options().Crowded(16))
				target := func(i int) string { return strings.ReplaceAll(path, "%d", fmt.Sprint(i)) }
				release := slow(t, h, 8, target)
				turnedAway(t, h, target(8), 100)
				turnedAway(t, h, byAccount+productTail, 100)
				answered(t, post(h, byChannel+productTail, body), 200, "success")
				release()
				answered(t, post(h, byAccount+productTail, body), 200, "success")
			})
		})
	}
}

// from has a push come through the declared proxy from an address.
func from(address string) func(*http.Request) {
	return func(r *http.Request) {
		r.RemoteAddr = ingress
		r.Header.Set("X-Forwarded-For", address)
	}
}

// Strangers who send heads and no bodies, or the beginnings of long ones, keep nobody out who is at
// another address, neither of the same platform, on whatever path, nor of another.
func TestWhoSendsNoBodiesKeepsNobodyOut(t *testing.T) {
	info := sample(t, "product-info.json")
	const other = "/api/webhooks/sctt/"
	for name, begun := range map[string]int{"heads": 0, "beginnings": 5 * bodyUnit} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				options := with(account(), nil).options(proxied)
				options.Receivers[v1alpha1.PlatformSCTT] = fliggy.Adapter{}
				h := webhookserver.NewHandler(options.Crowded(192)) // 64 may come to each of two platforms
				end := make(chan struct{})
				var group sync.WaitGroup
				for i := range 3 {
					for range 200 {
						for _, path := range []string{byAccount, byChannel, other} {
							r := httptest.NewRequest(http.MethodPost, path+productTail, io.MultiReader(strings.NewReader(strings.Repeat(" ", begun)), waiting{end}))
							r.ContentLength = maxBody
							from(fmt.Sprintf("203.0.113.%d", i))(r)
							group.Go(func() { h.ServeHTTP(httptest.NewRecorder(), r) })
						}
					}
				}
				synctest.Wait()
				answered(t, post(h, byAccount+productTail, info, from("203.0.113.0")), 503, "retry later")
				answered(t, post(h, byAccount+productTail, info, from("198.51.100.1")), 200, "success")
				answered(t, post(h, byChannel+productTail, info, from("198.51.100.1")), 200, "success")
				if code := post(h, other+productTail, info, from("198.51.100.1")).Code; code == http.StatusServiceUnavailable {
					t.Error("another platform's push is turned away") // it is refused: the account is not known there
				}
				close(end)
				group.Wait()
				answered(t, post(h, byAccount+productTail, info, from("203.0.113.0")), 200, "success") // all is given back
			})
		})
	}
}

// What has come whole counts no more by its address: a platform that sends all from one has what it
// always had.
func TestWhatHasComeIsNotBoundByAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := with(account(), nil)
		end := make(chan struct{})
		b.record = func(context.Context) (platform.Outcome, error) { <-end; return platform.OutcomeRecorded, nil }
		h := webhookserver.NewHandler(b.options(proxied).Crowded(16)) // 8 may come, from one address 4, and 4 may be recorded
		replies := make(chan int, 8)
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				replies <- post(h, byAccount+productTail, sample(t, "product-info.json"), from("198.51.100.1")).Code
			})
		}
		synctest.Wait()
		if code := post(h, byAccount+productTail, "malformed", from("198.51.100.1")).Code; code != http.StatusBadRequest || len(replies) > 0 {
			t.Errorf("answered %d, and %d of those before", code, len(replies))
		}
		close(end)
		group.Wait()
		close(replies)
		for code := range replies {
			if code != http.StatusOK {
				t.Errorf("answered %d", code)
			}
		}
	})
}

// A handful of senders from whom little comes, whatever they say is to come, shut out nobody.
func TestTricklersTakeNoRoomForWhatHasNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := with(account(), nil).handler()
		end := make(chan struct{})
		var group sync.WaitGroup
		for i := range 500 {
			r := httptest.NewRequest(http.MethodPost, byAccount+productTail, io.MultiReader(strings.NewReader("{"), waiting{end}))
			r.ContentLength = []int64{-1, maxBody}[i%2]
			group.Go(func() { h.ServeHTTP(httptest.NewRecorder(), r) })
		}
		synctest.Wait()
		answered(t, post(h, byAccount+productTail, sample(t, "product-info.json")), 200, "success")
		close(end)
		group.Wait()
	})
}

// waiting is a body that ends when it is told to.
type waiting struct{ end chan struct{} }

func (w waiting) Read([]byte) (int, error) { <-w.end; return 0, io.EOF }

// A body counts for what has come of it: beyond the room there is, no more of it is read.
func TestBodiesTakeRoomAsTheyCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := webhookserver.NewHandler(with(account(), nil).options().Crowded(16))
		info := sample(t, "product-info.json")
		fill := func(size int) string { return info + strings.Repeat(" ", size-len(info)) }
		end := make(chan struct{})
		var group sync.WaitGroup
		large := httptest.NewRequest(http.MethodPost, byAccount+productTail, io.MultiReader(strings.NewReader(fill(6*bodyUnit+1)), waiting{end}))
		group.Go(func() { h.ServeHTTP(httptest.NewRecorder(), large) })
		synctest.Wait() // it holds seven of the eight that its platform can have
		answered(t, post(h, byAccount+productTail, fill(bodyUnit-1)), 200, "success")
		w := post(h, byAccount+productTail, fill(bodyUnit+1))
		answered(t, w, 503, "retry later")
		if w.Header().Get("Connection") != "close" {
			t.Error("the reply waits for the rest of the body")
		}
		release := slow(t, h, 1, func(int) string { return byAccount + productTail })
		turnedAway(t, h, byAccount+productTail, 100)
		answered(t, post(h, byChannel+productTail, info), 200, "success") // has a share of its own
		release()
		close(end)
		group.Wait()
		answered(t, post(h, byAccount+productTail, fill(7*bodyUnit)), 200, "success")
	})
}

// timed is a recorder that is told until when may be read.
type timed struct {
	*httptest.ResponseRecorder
	from time.Time
	due  []time.Duration
}

func (w *timed) SetReadDeadline(at time.Time) error {
	if at.IsZero() {
		w.due = append(w.due, 0)
	} else {
		w.due = append(w.due, at.Sub(w.from))
	}
	return nil
}

// A body has two seconds for its first 32 KiB, half a second more for each further, and none to
// lose; when it is there, the clock stops.
func TestBodiesHaveTheirTime(t *testing.T) {
	const ms = time.Millisecond
	info := sample(t, "product-info.json")
	for name, test := range map[string]struct {
		size int
		want []time.Duration
	}{
		"small":    {len(info), []time.Duration{2000 * ms, 0}},
		"a unit":   {bodyUnit - 1, []time.Duration{2000 * ms, 0}},
		"three":    {3*bodyUnit - 1, []time.Duration{2000 * ms, 2500 * ms, 3000 * ms, 0}},
		"too much": {maxBody + 1, []time.Duration{2000 * ms, 2500 * ms, 3000 * ms, 3500 * ms, 4000 * ms, 4500 * ms, 5000 * ms, 5500 * ms, 6000 * ms}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &timed{ResponseRecorder: httptest.NewRecorder(), from: time.Now()}
				body := info + strings.Repeat(" ", test.size-len(info))
				with(account(), nil).handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, byAccount+productTail, strings.NewReader(body)))
				if !slices.Equal(w.due, test.want) {
					t.Errorf("deadlines %v, want %v", w.due, test.want)
				}
			})
		})
	}
}

// One Channel that floods while nothing can be recorded has no more than its share of what its
// platform may have in hand: another Channel of the platform gets in.
func TestOneChannelLeavesRoomForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flood, calm := account(), account()
		calm.Name, calm.ID = "calm", "777"
		b := with(flood, nil)
		b.accounts["777"] = found{account: calm}
		end := make(chan struct{})
		b.record = func(context.Context) (platform.Outcome, error) { <-end; return platform.OutcomeRecorded, nil }
		h := webhookserver.NewHandler(b.options().Crowded(16))
		body := sample(t, "product-info.json")
		replies := make(chan *httptest.ResponseRecorder, 100)
		var group sync.WaitGroup
		for range 50 {
			group.Go(func() { replies <- post(h, byAccount+productTail, body) })
		}
		synctest.Wait()
		if n := len(replies); n != 46 {
			t.Errorf("%d of 50 are turned away, want 46", n)
		}
		group.Go(func() { replies <- post(h, byAccount+productTail, strings.Replace(body, holder, "777", 1)) })
		synctest.Wait()
		if n := len(replies); n != 46 {
			t.Error("the other Channel's push is turned away")
		}
		close(end)
		group.Wait()
		close(replies)
		got := map[int]int{}
		for w := range replies {
			got[w.Code]++
		}
		if got[200] != 5 || got[503] != 46 || len(b.recorded) != 5 {
			t.Errorf("answered %v, recorded %d", got, len(b.recorded))
		}
	})
}

// What is in hand is given back however a push ends.
func TestRoomIsGivenBack(t *testing.T) {
	a := account()
	a.Guard.Networks = nil
	b := with(a, nil)
	h := webhookserver.NewHandler(b.options().Crowded(2))
	info := sample(t, "product-info.json")
	for _, body := range []string{info, "malformed", info + strings.Repeat(" ", maxBody), strings.Replace(info, holder, "999", 1), info, info} {
		for _, prefix := range []string{byAccount, byChannel} {
			post(h, prefix+productTail, body)
		}
	}
	for range 3 {
		answered(t, post(h, byAccount+productTail, info), 200, "success")
	}
}

// A flood that is refused is some lines in the log, and how many more there were; it does not
// hide what is told of another platform.
func TestFloodDoesNotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := with(nil, accounts.ErrNotKnownYet)
		options := b.options()
		options.Receivers[v1alpha1.PlatformSCTT] = fliggy.Adapter{}
		h := webhookserver.NewHandler(options)
		info := sample(t, "product-info.json")
		lines.take()
		for range 1000 {
			post(h, byAccount+productTail, info)
			post(h, byAccount+productTail, "malformed")
		}
		got := lines.take()
		if len(got) != 40 {
			t.Errorf("%d lines, want 40", len(got))
		}
		post(h, "/api/webhooks/sctt/"+productTail, info)
		if got := lines.take(); len(got) != 1 || strings.Contains(got[0], "linesLeftOut") {
			t.Errorf("of another platform: %q", got)
		}
		time.Sleep(time.Second) // in a bubble: no time at all
		post(h, byAccount+productTail, info)
		if got := lines.take(); len(got) != 1 || !strings.Contains(got[0], `"linesLeftOut"=980`) {
			t.Errorf("a second later: %q", got)
		}
	})
}
