package platform_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/laidoulaile/channel-operator/internal/platform"
)

const (
	callTimeout   = 15 * time.Second
	maxRetryAfter = 10 * time.Minute
	maxAnswer     = 8 << 20
)

var (
	generous = platform.Limits{RequestsPerSecond: 1000, Burst: 1000, Concurrency: 100}
	discard  = log.New(io.Discard, "", 0)
)

// roundTripper is a platform in memory.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, body string, header ...string) *http.Response {
	response := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
	for i := 0; i+1 < len(header); i += 2 {
		response.Header.Set(header[i], header[i+1])
	}
	return response
}

// script answers with its statuses one after the other, then with the last for ever.
type script struct {
	mu     sync.Mutex
	asked  int
	next   []func() (*http.Response, error)
	header []string
}

func (s *script) RoundTrip(*http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.next[min(s.asked, len(s.next)-1)]
	s.asked++
	return one()
}

func (s *script) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func statuses(codes ...int) *script {
	s := &script{}
	for _, code := range codes {
		s.next = append(s.next, func() (*http.Response, error) { return answer(code, "{}", s.header...), nil })
	}
	return s
}

func question() platform.Call {
	return platform.Call{Op: "op", Method: http.MethodPost, URL: "https://api.example.com/v1?sign=PLANTED"}
}

// want checks an error's class and gives it.
func want(t *testing.T, err error, kind platform.Kind, reason platform.Reason) platform.Error {
	t.Helper()
	e, ok := errors.AsType[*platform.Error](err)
	if !ok {
		t.Fatalf("got %v, want an Error of kind %s", err, kind)
	}
	if e.Kind != kind || e.Reason != reason || e.Op != "op" {
		t.Fatalf("%s: %s %s, want op: %s %s (%v)", e.Op, e.Kind, e.Reason, kind, reason, err)
	}
	return *e
}

func TestCallIsSentAsGivenAndAnswerReturned(t *testing.T) {
	var got struct {
		method, url, body string
		header            http.Header
	}
	transport := platform.NewTransport(t.Name(), generous, roundTripper(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		got.method, got.url, got.body, got.header = r.Method, r.URL.String(), string(body), r.Header
		return answer(http.StatusOK, "the answer"), err
	}))
	call := question()
	call.Header = http.Header{"Content-Type": {"application/json"}, "X-Two": {"a", "b"}}
	call.Body = []byte("the question")
	call.Classify = func(answer []byte) error {
		if string(answer) != "the answer" {
			t.Errorf("Classify read %q", answer)
		}
		return nil
	}
	body, err := transport.Do(t.Context(), call)
	if err != nil || string(body) != "the answer" {
		t.Fatalf("Do() = %q, %v", body, err)
	}
	if got.method != call.Method || got.url != call.URL || got.body != "the question" {
		t.Errorf("sent %+v", got)
	}
	if diff := cmp.Diff(call.Header, got.header); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
}

func TestStatusesAreClassified(t *testing.T) {
	type class struct {
		kind   platform.Kind
		reason platform.Reason
	}
	var (
		unavailable = class{platform.Transient, platform.ReasonUnavailable}
		badAnswer   = class{platform.Transient, platform.ReasonBadAnswer}
		credentials = class{platform.Refused, platform.ReasonCredentials}
		request     = class{platform.Refused, platform.ReasonRequest}
	)
	cases := map[int]class{
		300: badAnswer, 301: badAnswer, 302: badAnswer, 303: badAnswer, 304: badAnswer, 307: badAnswer, 308: badAnswer, 399: badAnswer,
		400: request, 401: credentials, 402: request, 403: credentials, 404: request, 405: request, 406: request,
		408: unavailable, 409: request, 410: request, 413: request, 415: request, 422: request,
		429: {platform.Throttled, platform.ReasonThrottled}, 431: request, 451: request, 499: request,
		500: unavailable, 501: unavailable, 502: unavailable, 503: unavailable, 504: unavailable, 520: unavailable, 599: unavailable, 999: unavailable,
		200: {}, 201: {}, 202: {}, 204: {}, 299: {},
	}
	for status, class := range cases {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			classified := false
			call := question()
			call.Classify = func([]byte) error { classified = true; return nil }
			_, err := platform.NewTransport(t.Name(), generous, statuses(status)).Do(t.Context(), call)
			if ok := class.kind == ""; ok != classified {
				t.Errorf("Classify called: %v", classified)
			}
			if class.kind == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if e := want(t, err, class.kind, class.reason); e.Code != fmt.Sprint(status) {
				t.Errorf("Code = %q", e.Code)
			}
		})
	}
}

func TestBodyLevelFailureIsTheAdapters(t *testing.T) {
	refusal := &platform.Error{Kind: platform.Gone, Reason: platform.ReasonOffSale, Op: "op", Code: "4006"}
	call := question()
	call.Classify = func([]byte) error { return refusal }
	body, err := platform.NewTransport(t.Name(), generous, statuses(200)).Do(t.Context(), call)
	if body != nil || !errors.Is(err, refusal) {
		t.Errorf("Do() = %q, %v", body, err)
	}
}

// An answer is read for what it is: what its Content-Type says of it, wrong or nothing, makes no
// difference, neither to one that is good nor to one that is no answer.
func TestContentTypeOfAnAnswerSaysNothing(t *testing.T) {
	for _, label := range []string{"", "application/json", "text/html; charset=utf-8", "image/png", "multipart/form-data", "no type at all;;="} {
		for body, good := range map[string]bool{`{"code":0}`: true, "<html>busy</html>": false} {
			transport := platform.NewTransport(t.Name(), generous, roundTripper(func(*http.Request) (*http.Response, error) {
				return answer(http.StatusOK, body, "Content-Type", label), nil
			}))
			call := question()
			call.Classify = func(answer []byte) error {
				if !json.Valid(answer) {
					return &platform.Error{Kind: platform.Transient, Reason: platform.ReasonBadAnswer, Op: "op"}
				}
				return nil
			}
			got, err := transport.Do(t.Context(), call)
			if good && (err != nil || string(got) != body) {
				t.Errorf("%q: %q, %v", label, got, err)
			}
			if !good {
				want(t, err, platform.Transient, platform.ReasonBadAnswer)
			}
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var followed atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
	t.Cleanup(elsewhere.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", elsewhere.URL+"/PLANTED")
			w.WriteHeader(status)
		}))
		t.Cleanup(server.Close)
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			_, err := platform.NewTransport(t.Name(), generous, platform.NewRoundTripper(true)).
				Do(t.Context(), platform.Call{Op: "op", Method: method, URL: server.URL})
			want(t, err, platform.Transient, platform.ReasonBadAnswer)
			clean(t, err)
		}
	}
	if n := followed.Load(); n != 0 {
		t.Errorf("%d redirects followed", n)
	}
}

// clean checks that an error shows nothing of a URL or an answer.
func clean(t *testing.T, err error) {
	t.Helper()
	for _, secret := range []string{"PLANTED", "sign=", "://", "/v1"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%q shows %s", err, secret)
		}
	}
}

// raw serves bytes as they stand and hangs up.
func raw(t *testing.T, response string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = conn.Write([]byte(response))
		_ = conn.Close()
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestBrokenAnswersAreTransientAndNotQuoted(t *testing.T) {
	for name, response := range map[string]string{
		"nothing":           "",
		"no HTTP":           "PLANTED https://x.example/PLANTED\r\n\r\n",
		"cut header":        "HTTP/1.1 200 OK\r\nContent-",
		"bad header":        "HTTP/1.1 200 OK\r\nPLANTED PLANTED\r\n\r\n",
		"bad status":        "HTTP/1.1 PLANTED OK\r\n\r\n",
		"cut body":          "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"code\":\"PLANTED\"",
		"cut chunks":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nPLANTED",
		"bad chunks":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nPLANTED\r\nPLANTED",
		"bad encoding":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: PLANTED\r\n\r\n",
		"bad length":        "HTTP/1.1 200 OK\r\nContent-Length: PLANTED\r\n\r\n",
		"bad redirect":      "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: https://x.example/%PLANTED\r\n\r\n",
		"cut error's body":  "HTTP/1.1 500 Oops\r\nContent-Length: 100\r\n\r\nPLANTED",
		"text of the phase": "HTTP/1.1 500 PLANTED\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			call := question()
			call.URL = raw(t, response) + "/v1?sign=PLANTED"
			_, err := platform.NewTransport(t.Name(), generous, platform.NewRoundTripper(true)).Do(t.Context(), call)
			want(t, err, platform.Transient, platform.ReasonUnavailable)
			clean(t, err)
		})
	}
}

func TestUnreachableIsTransientWithoutURL(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	for name, url := range map[string]string{
		"nobody listens": server.URL, "no such name": "http://host.invalid",
	} {
		t.Run(name, func(t *testing.T) {
			call := question()
			call.URL = url + "/v1?sign=PLANTED"
			_, err := platform.NewTransport(t.Name(), generous, platform.NewRoundTripper(true)).Do(t.Context(), call)
			want(t, err, platform.Transient, platform.ReasonUnavailable)
			clean(t, err)
		})
	}
}

func TestUnsendableCallIsRefusedWithoutURL(t *testing.T) {
	for name, call := range map[string]platform.Call{
		"URL":    {Op: "op", Method: http.MethodGet, URL: "https://api.example.com/%PLANTED?sign=PLANTED"},
		"method": {Op: "op", Method: "GET IT", URL: "https://api.example.com/v1?sign=PLANTED"},
	} {
		t.Run(name, func(t *testing.T) {
			s := statuses(200)
			_, err := platform.NewTransport(t.Name(), generous, s).Do(t.Context(), call)
			want(t, err, platform.Refused, platform.ReasonRequest)
			clean(t, err)
			if s.count() != 0 {
				t.Error("it was sent")
			}
		})
	}
}

// endless is a body without end.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) { e.read += len(p); return len(p), nil }
func (e *endless) Close() error               { return nil }

func TestAnswersAreBounded(t *testing.T) {
	do := func(status int, body io.ReadCloser) ([]byte, error) {
		return platform.NewTransport(t.Name(), generous, roundTripper(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: body}, nil
		})).Do(t.Context(), question())
	}
	of := func(size int) io.ReadCloser { return io.NopCloser(bytes.NewReader(make([]byte, size))) }

	if body, err := do(200, of(maxAnswer)); err != nil || len(body) != maxAnswer {
		t.Errorf("an answer of exactly the cap: %d bytes, %v", len(body), err)
	}
	for _, status := range []int{200, 429, 401} {
		_, err := do(status, of(maxAnswer+1))
		want(t, err, platform.Transient, platform.ReasonBadAnswer)
	}
	body := &endless{}
	_, err := do(200, body)
	want(t, err, platform.Transient, platform.ReasonBadAnswer)
	if body.read > 4*maxAnswer {
		t.Errorf("read %d bytes of an answer without end", body.read)
	}
}

func TestSilenceEndsAfterTheCallTimeout(t *testing.T) {
	silent := func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }
	stalled := func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: stalledBody{r.Context()}}, nil
	}
	for name, base := range map[string]roundTripper{"no answer": silent, "no end of the body": stalled} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				_, err := platform.NewTransport(t.Name(), generous, base).Do(t.Context(), question())
				want(t, err, platform.Transient, platform.ReasonUnavailable)
				clean(t, err)
				if took := time.Since(start); took != callTimeout {
					t.Errorf("ended after %s, want %s", took, callTimeout)
				}
			})
		})
	}
}

type stalledBody struct{ ctx context.Context } //nolint:containedctx // a body lives as long as its request

func (b stalledBody) Read([]byte) (int, error) { <-b.ctx.Done(); return 0, b.ctx.Err() }
func (b stalledBody) Close() error             { return nil }

// The wait for the turn does not shorten the call.
func TestPatienceIsNotTakenFromTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := platform.Limits{RequestsPerSecond: 1, Burst: 1, Concurrency: 1}
		transport := platform.NewTransport(t.Name(), limits, roundTripper(func(r *http.Request) (*http.Response, error) {
			select {
			case <-time.After(callTimeout - time.Second):
				return answer(200, "late"), nil
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		}))
		ctx := platform.WithPatience(t.Context(), callTimeout)
		var all sync.WaitGroup
		for range 2 { // the second waits for the first to end
			all.Go(func() {
				if _, err := transport.Do(ctx, question()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	})
}

func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now() // the bubble's clock stands on a full second
		for value, wait := range map[string]time.Duration{
			"30": 30 * time.Second, "1": time.Second, "600": maxRetryAfter,
			"601": maxRetryAfter, "86400": maxRetryAfter, "9223372036854775807": maxRetryAfter,
			"99999999999999999999999999": maxRetryAfter,
			"":                           0, "0": 0, "-5": 0, "-99999999999999999999999999": 0, "1.5": 0, "soon": 0, "30 s": 0,
			now.Add(30 * time.Second).UTC().Format(http.TimeFormat):                  30 * time.Second,
			now.Add(40 * time.Second).UTC().Format("Monday, 02-Jan-06 15:04:05 MST"): 40 * time.Second,
			now.Add(50 * time.Second).UTC().Format(time.ANSIC):                       50 * time.Second,
			now.Add(-time.Hour).UTC().Format(http.TimeFormat):                        0,
			now.Add(24 * time.Hour).UTC().Format(http.TimeFormat):                    maxRetryAfter,
			time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).Format(http.TimeFormat): maxRetryAfter,
			time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).Format(http.TimeFormat):         0,
			now.Add(30*time.Second).UTC().Format(http.TimeFormat) + " and some more": 0,
			now.Add(30 * time.Second).UTC().Format(time.RFC3339):                     0,
		} {
			s := statuses(429)
			s.header = []string{"Retry-After", value}
			_, err := platform.NewTransport(t.Name(), generous, s).Do(t.Context(), question())
			if e := want(t, err, platform.Throttled, platform.ReasonThrottled); e.RetryAfter != wait {
				t.Errorf("Retry-After %q: %s, want %s", value, e.RetryAfter, wait)
			}
		}
	})
}

// What the platform asks us to wait, the next calls wait, wherever it said so.
func TestAskedToWait(t *testing.T) {
	inBody := platform.Error{Kind: platform.Throttled, Reason: platform.ReasonThrottled, Op: "op", Code: "7777", RetryAfter: 30 * time.Second}
	for name, test := range map[string]struct {
		status   int
		header   []string
		classify func([]byte) error
		kind     platform.Kind
		reason   platform.Reason
	}{
		"429":      {429, []string{"Retry-After", "30"}, nil, platform.Throttled, platform.ReasonThrottled},
		"503":      {503, []string{"Retry-After", "30"}, nil, platform.Transient, platform.ReasonUnavailable},
		"the body": {200, nil, func([]byte) error { e := inBody; return &e }, platform.Throttled, platform.ReasonThrottled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := statuses(test.status, 200)
				s.header = test.header
				transport := platform.NewTransport(t.Name(), generous, s)
				call := question()
				call.Classify = test.classify
				_, err := transport.Do(t.Context(), call)
				if e := want(t, err, test.kind, test.reason); e.RetryAfter != 30*time.Second {
					t.Errorf("RetryAfter = %s", e.RetryAfter)
				}
				time.Sleep(29 * time.Second)
				start := time.Now()
				_, err = transport.Do(t.Context(), question())
				if e := want(t, err, platform.Throttled, platform.ReasonThrottled); e.RetryAfter != time.Second {
					t.Errorf("RetryAfter = %s after 29 s of 30", e.RetryAfter)
				}
				if took := time.Since(start); took != 0 {
					t.Errorf("told to come back only after %s", took)
				}
				if s.count() != 1 {
					t.Error("asked while the platform had asked us to wait")
				}
				time.Sleep(time.Second)
				if _, err := transport.Do(t.Context(), question()); err != nil || s.count() != 2 {
					t.Errorf("after the wait: %v, asked %d times", err, s.count())
				}
			})
		})
	}
}

// Neither header nor body may silence an account for longer than ten minutes.
func TestWaitIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := statuses(200)
		transport := platform.NewTransport(t.Name(), generous, s)
		call := question()
		call.Classify = func([]byte) error {
			return &platform.Error{Kind: platform.Throttled, Op: "op", RetryAfter: 24 * time.Hour}
		}
		_, _ = transport.Do(t.Context(), call)
		time.Sleep(maxRetryAfter - time.Second)
		_, err := transport.Do(t.Context(), question())
		want(t, err, platform.Throttled, platform.ReasonThrottled)
		time.Sleep(time.Second)
		if _, err := transport.Do(t.Context(), question()); err != nil || s.count() != 2 {
			t.Errorf("after ten minutes: %v", err)
		}
	})
}

func TestNotAskedToWait(t *testing.T) {
	s := statuses(429, 200)
	transport := platform.NewTransport(t.Name(), generous, s)
	_, err := transport.Do(t.Context(), question())
	want(t, err, platform.Throttled, platform.ReasonThrottled)
	if _, err := transport.Do(t.Context(), question()); err != nil {
		t.Errorf("a 429 without Retry-After: %v", err)
	}
}

// A later, shorter wait does not cut an earlier one short: answers overtake each other.
func TestTheLongestWaitCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		transport := platform.NewTransport(t.Name(), generous, roundTripper(func(*http.Request) (*http.Response, error) {
			n := asked.Add(1)
			time.Sleep(time.Duration(n) * 100 * time.Millisecond) // both are under way before either is answered
			return answer(429, "", "Retry-After", []string{"60", "1", "1"}[n-1]), nil
		}))
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() { _, _ = transport.Do(t.Context(), question()) })
		}
		both.Wait()
		time.Sleep(2 * time.Second)
		_, err := transport.Do(t.Context(), question())
		want(t, err, platform.Throttled, platform.ReasonThrottled)
		if asked.Load() != 2 {
			t.Error("asked before the longer wait was over")
		}
	})
}

// Calls that queue when the platform asks us to wait do not go out after all.
func TestQueuedCallsWaitToo(t *testing.T) {
	for name, limits := range map[string]platform.Limits{
		"for a turn": {RequestsPerSecond: 1000, Burst: 1000, Concurrency: 1},
		"for a rate": {RequestsPerSecond: 1, Burst: 1, Concurrency: 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked atomic.Int32
				transport := platform.NewTransport(t.Name(), limits, roundTripper(func(*http.Request) (*http.Response, error) {
					asked.Add(1)
					time.Sleep(500 * time.Millisecond)
					return answer(429, "", "Retry-After", "60"), nil
				}))
				var all sync.WaitGroup
				for range 5 {
					all.Go(func() {
						_, err := transport.Do(platform.WithPatience(t.Context(), 20*time.Second), question())
						if platform.KindOf(err) != platform.Throttled {
							t.Errorf("got %v", err)
						}
					})
				}
				all.Wait()
				if n := asked.Load(); n != 1 {
					t.Errorf("%d calls went out, want the first only", n)
				}
				// None of them kept its turn.
				time.Sleep(time.Minute)
				_, err := transport.Do(t.Context(), question())
				if want(t, err, platform.Throttled, platform.ReasonThrottled); asked.Load() != 2 {
					t.Errorf("after the wait: %v", err)
				}
			})
		})
	}
}

func TestRequestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := statuses(200)
		transport := platform.NewTransport(t.Name(), platform.Limits{RequestsPerSecond: 2, Burst: 3, Concurrency: 10}, s)
		start := time.Now()
		at := func(want time.Duration) {
			t.Helper()
			if _, err := transport.Do(t.Context(), question()); err != nil {
				t.Fatal(err)
			}
			if got := time.Since(start); got != want {
				t.Errorf("sent after %s, want %s", got, want)
			}
		}
		for range 3 {
			at(0)
		}
		at(500 * time.Millisecond)
		at(time.Second)
		time.Sleep(time.Hour) // a pause gives the burst back, and no more
		start = time.Now()
		for range 3 {
			at(0)
		}
		at(500 * time.Millisecond)
	})
}

func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := statuses(200)
		transport := platform.NewTransport(t.Name(), platform.Limits{RequestsPerSecond: 1, Burst: 1, Concurrency: 10}, s)
		start := time.Now()
		var all sync.WaitGroup
		var sent, told atomic.Int32
		for range 4 { // at 0 s, at 1 s, and two that would have to wait for longer than a worker may be held
			all.Go(func() {
				_, err := transport.Do(t.Context(), question())
				if err == nil {
					sent.Add(1)
					return
				}
				if e := want(t, err, platform.Throttled, platform.ReasonThrottled); e.RetryAfter != 2*time.Second {
					t.Errorf("RetryAfter = %s, want the 2 s until the next turn", e.RetryAfter)
				}
				if took := time.Since(start); took != 0 {
					t.Errorf("told to come back only after %s", took)
				}
				told.Add(1)
			})
		}
		all.Wait()
		if sent.Load() != 2 || told.Load() != 2 || s.count() != 2 {
			t.Errorf("%d sent, %d told to come back", sent.Load(), told.Load())
		}
		// Who was told to come back took nobody's turn; who has more patience waits.
		for i := range 3 {
			if _, err := transport.Do(platform.WithPatience(t.Context(), 10*time.Second), question()); err != nil {
				t.Error(err)
			}
			if got, want := time.Since(start), time.Duration(2+i)*time.Second; got != want {
				t.Errorf("sent after %s, want %s", got, want)
			}
		}
	})
}

// However many ask, an account's rate is kept.
func TestRateHoldsInACrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const perSecond, burst, crowd = 10, 5, 200
		var mu sync.Mutex
		var sent []time.Time
		transport := platform.NewTransport(t.Name(), platform.Limits{RequestsPerSecond: perSecond, Burst: burst, Concurrency: 50},
			roundTripper(func(*http.Request) (*http.Response, error) {
				mu.Lock()
				defer mu.Unlock()
				sent = append(sent, time.Now())
				return answer(200, ""), nil
			}))
		var all sync.WaitGroup
		for i := range crowd {
			all.Go(func() {
				time.Sleep(time.Duration(i%7) * 300 * time.Millisecond)
				_, _ = transport.Do(platform.WithPatience(t.Context(), time.Duration(i%10)*time.Second), question())
			})
		}
		all.Wait()
		if len(sent) < 50 {
			t.Fatalf("only %d calls went out", len(sent))
		}
		for i := range sent {
			for j := i; j < len(sent); j++ {
				if n, most := j-i+1, burst+int(sent[j].Sub(sent[i]).Seconds()*perSecond+1e-6)+1; n > most {
					t.Fatalf("%d calls within %s", n, sent[j].Sub(sent[i]))
				}
			}
		}
	})
}

func TestConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most, sent atomic.Int32
		transport := platform.NewTransport(t.Name(), platform.Limits{RequestsPerSecond: 1000, Burst: 1000, Concurrency: 2},
			roundTripper(func(*http.Request) (*http.Response, error) {
				sent.Add(1)
				for n := now.Add(1); n > most.Load(); {
					most.Store(n)
				}
				defer now.Add(-1)
				time.Sleep(3 * time.Second)
				return answer(200, ""), nil
			}))
		start := time.Now()
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() {
				if _, err := transport.Do(t.Context(), question()); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		// No turn within the second that a worker may be held.
		_, err := transport.Do(t.Context(), question())
		if e := want(t, err, platform.Throttled, platform.ReasonThrottled); e.RetryAfter <= 0 {
			t.Error("no RetryAfter")
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("held for %s, want 1 s", took)
		}
		for range 6 {
			all.Go(func() {
				if _, err := transport.Do(platform.WithPatience(t.Context(), time.Minute), question()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if most.Load() != 2 || sent.Load() != 8 {
			t.Errorf("%d at a time, %d in all, want 2 and 8", most.Load(), sent.Load())
		}
	})
}

func TestCancelledWhileWaiting(t *testing.T) {
	for name, limits := range map[string]platform.Limits{
		"for the rate": {RequestsPerSecond: 1, Burst: 1, Concurrency: 10},
		"for a turn":   {RequestsPerSecond: 1000, Burst: 1000, Concurrency: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked atomic.Int32
				transport := platform.NewTransport(t.Name(), limits, roundTripper(func(*http.Request) (*http.Response, error) {
					asked.Add(1)
					time.Sleep(3 * time.Second)
					return answer(200, ""), nil
				}))
				var first sync.WaitGroup
				first.Go(func() {
					if _, err := transport.Do(t.Context(), question()); err != nil {
						t.Error(err)
					}
				})
				synctest.Wait()
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(100*time.Millisecond, cancel)
				start := time.Now()
				_, err := transport.Do(ctx, question())
				if !errors.Is(err, context.Canceled) || time.Since(start) != 100*time.Millisecond {
					t.Errorf("%v after %s, want a cancellation after 100 ms", err, time.Since(start))
				}
				want(t, err, platform.Transient, platform.ReasonUnavailable)
				if asked.Load() != 1 {
					t.Error("it was sent")
				}
				first.Wait()
				if _, err := transport.Do(t.Context(), question()); err != nil {
					t.Errorf("the turn was not given back: %v", err)
				}
			})
		})
	}
}

func TestCancelledBefore(t *testing.T) {
	s := statuses(200)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := platform.NewTransport(t.Name(), generous, s).Do(ctx, question())
	if !errors.Is(err, context.Canceled) || s.count() != 0 {
		t.Errorf("%v, sent %d times", err, s.count())
	}
}
