package platform_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/laidoulaile/channel-operator/internal/platform"
)

const (
	breakAfter = 5
	breakFor   = 5 * time.Second
)

// asking asks n times and wants each answer to be of a kind; "" is success.
func asking(t *testing.T, transport *platform.Transport, n int, kind platform.Kind) {
	t.Helper()
	for i := range n {
		_, err := transport.Do(t.Context(), question())
		if kind == "" && err != nil || kind != "" && (err == nil || platform.KindOf(err) != kind) {
			t.Fatalf("call %d: %v, want kind %q", i+1, err, kind)
		}
	}
}

// notAsked wants the breaker to hold a call back, without delay.
func notAsked(t *testing.T, transport *platform.Transport, s *script) {
	t.Helper()
	before, start := s.count(), time.Now()
	_, err := transport.Do(t.Context(), question())
	if e := want(t, err, platform.Transient, platform.ReasonUnavailable); e.RetryAfter != breakFor || e.Code != "" {
		t.Errorf("RetryAfter = %s, Code = %q", e.RetryAfter, e.Code)
	}
	if s.count() != before || time.Since(start) != 0 {
		t.Errorf("asked %d times more, after %s", s.count()-before, time.Since(start))
	}
}

func TestBreakerOpensTriesAndCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := statuses(500, 502, 503, 504, 500, 500, 200, 500, 500, 500, 500, 200)
		transport := platform.NewTransport(t.Name(), generous, s)
		asking(t, transport, breakAfter, platform.Transient)
		notAsked(t, transport, s)
		time.Sleep(breakFor)
		notAsked(t, transport, s) // exactly at its end it is still open
		time.Sleep(time.Millisecond)
		asking(t, transport, 1, platform.Transient) // the one that tries fails: open again
		if s.count() != breakAfter+1 {
			t.Fatalf("asked %d times, want one try", s.count())
		}
		notAsked(t, transport, s)
		time.Sleep(breakFor + time.Millisecond)
		asking(t, transport, 1, "") // it succeeds: closed, and five failures count anew
		asking(t, transport, breakAfter-1, platform.Transient)
		asking(t, transport, 3, "")
	})
}

func TestOneCallTriesAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		transport := platform.NewTransport(t.Name(), generous, roundTripper(func(*http.Request) (*http.Response, error) {
			if asked.Add(1) <= breakAfter {
				return answer(500, ""), nil
			}
			time.Sleep(time.Second)
			return answer(200, ""), nil
		}))
		asking(t, transport, breakAfter, platform.Transient)
		time.Sleep(breakFor + time.Millisecond)
		var all sync.WaitGroup
		var succeeded atomic.Int32
		for range 10 {
			all.Go(func() {
				if _, err := transport.Do(t.Context(), question()); err == nil {
					succeeded.Add(1)
				}
			})
		}
		all.Wait()
		if asked.Load() != breakAfter+1 || succeeded.Load() != 1 {
			t.Errorf("%d calls went out when one should try, %d succeeded", asked.Load()-breakAfter, succeeded.Load())
		}
		asking(t, transport, 10, "")
	})
}

func TestSuccessesResetTheBreaker(t *testing.T) {
	s := statuses(500, 500, 500, 500, 200, 500, 500, 500, 500, 200)
	transport := platform.NewTransport(t.Name(), generous, s)
	for range 2 {
		asking(t, transport, breakAfter-1, platform.Transient)
		asking(t, transport, 1, "")
	}
	if s.count() != 2*breakAfter {
		t.Errorf("asked %d times", s.count())
	}
}

// A platform that answers is not down, whatever it answers.
func TestOnlyTransientFailuresTripTheBreaker(t *testing.T) {
	unknownCode := func([]byte) error {
		return &platform.Error{Kind: platform.Transient, Reason: platform.ReasonUnknownCode, Op: "op", Code: "1"}
	}
	of := func(kind platform.Kind) func([]byte) error {
		return func([]byte) error { return &platform.Error{Kind: kind, Op: "op", Code: "1"} }
	}
	for name, test := range map[string]struct {
		status   int
		classify func([]byte) error
		kind     platform.Kind
	}{
		"an undocumented code":  {200, unknownCode, platform.Transient},
		"throttled":             {429, nil, platform.Throttled},
		"throttled in the body": {200, of(platform.Throttled), platform.Throttled},
		"credentials":           {401, nil, platform.Refused},
		"request":               {400, nil, platform.Refused},
		"refused in the body":   {200, of(platform.Refused), platform.Refused},
		"gone":                  {200, of(platform.Gone), platform.Gone},
	} {
		t.Run(name, func(t *testing.T) {
			s := statuses(test.status)
			transport := platform.NewTransport(t.Name(), generous, s)
			call := question()
			call.Classify = test.classify
			for range 4 * breakAfter {
				if _, err := transport.Do(t.Context(), call); err == nil || platform.KindOf(err) != test.kind {
					t.Fatalf("%v, want kind %s", err, test.kind)
				}
			}
			if s.count() != 4*breakAfter {
				t.Errorf("only %d calls went out", s.count())
			}
		})
	}
	t.Run("transient in the body", func(t *testing.T) {
		s := statuses(200)
		transport := platform.NewTransport(t.Name(), generous, s)
		call := question()
		call.Classify = of(platform.Transient)
		for range 2 * breakAfter {
			_, _ = transport.Do(t.Context(), call)
		}
		if s.count() != breakAfter {
			t.Errorf("%d calls went out, want %d", s.count(), breakAfter)
		}
	})
}

// Neither do calls that our own limits hold back.
func TestOurOwnLimitsDoNotTripTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := statuses(200)
		transport := platform.NewTransport(t.Name(), platform.Limits{RequestsPerSecond: 1, Burst: 1, Concurrency: 1}, s)
		ctx := platform.WithPatience(t.Context(), 0)
		for i := range 4 * breakAfter {
			if _, err := transport.Do(ctx, question()); (err == nil) != (i == 0) {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		if _, err := transport.Do(ctx, question()); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// A caller that gives up says nothing about the platform: not while the breaker is
// closed, and not when its call is the one that tries.
func TestCancelledCallsDoNotTripTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hang, fail atomic.Bool
		hang.Store(true)
		transport := platform.NewTransport(t.Name(), generous, roundTripper(func(r *http.Request) (*http.Response, error) {
			switch {
			case hang.Load():
				<-r.Context().Done()
				return nil, r.Context().Err()
			case fail.Load():
				return answer(500, ""), nil
			}
			return answer(200, ""), nil
		}))
		givingUp := func() {
			t.Helper()
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Millisecond, cancel)
			if _, err := transport.Do(ctx, question()); !errors.Is(err, context.Canceled) {
				t.Fatalf("%v, want a cancellation", err)
			}
		}
		for range 4 * breakAfter {
			givingUp()
		}
		hang.Store(false)
		asking(t, transport, 1, "")

		fail.Store(true)
		asking(t, transport, breakAfter, platform.Transient)
		time.Sleep(breakFor + time.Millisecond)
		hang.Store(true)
		givingUp()
		hang.Store(false)
		fail.Store(false)
		asking(t, transport, 3, "")
	})
}
