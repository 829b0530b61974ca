package faults

import (
	"context"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// sky is how the API server is, seen from the manager.
type sky string

const (
	fair sky = "fair"
	// away: connections are closed, those under way too, whatever became of their requests.
	away sky = "away"
	// hangs: requests wait, and then go on or are cut.
	hangs sky = "hangs"
	// refuses: many requests are answered 500, 429 or 409.
	refuses sky = "refuses"
	// mute: many writes take effect, and their answers are lost.
	mute sky = "mute"
)

// Shares of the requests that a sky hits.
const refusedShare, muteShare, cutShare = 0.6, 0.5, 0.5

// longestHang is how long a request waits at most.
const longestHang = 4 * time.Second

// weather stands between the manager and the API server.
type weather struct {
	mu      sync.Mutex
	now     sky
	changed chan struct{} // closed when the sky changes
	random  *rand.Rand
	// hits counts what was done to requests.
	hits map[string]int
}

func newWeather(random *rand.Rand) *weather {
	return &weather{now: fair, changed: make(chan struct{}), random: random, hits: map[string]int{}}
}

// turn changes the sky.
func (w *weather) turn(to sky) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = to
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *weather) look() (sky, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now, w.changed
}

func (w *weather) chance(share float64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.random.Float64() < share
}

func (w *weather) hit(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hits[what]++
}

// counts is how often each thing was done to a request.
func (w *weather) counts() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.hits)
}

// before puts the weather before the API server.
func (w *weather) before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		now, changed := w.look()
		writes := r.Method != http.MethodGet
		switch {
		case now == away:
			w.hit("away")
			panic(http.ErrAbortHandler)
		case now == hangs:
			w.hang(r, changed)
		case now == refuses && w.chance(refusedShare):
			w.refuse(rw, writes)
			return
		case now == mute && writes && w.chance(muteShare):
			w.silence(next, r)
		}
		w.forward(next, rw, r)
	})
}

// hang holds a request back, and then lets it go or cuts it.
func (w *weather) hang(r *http.Request, changed <-chan struct{}) {
	w.hit("hung")
	select {
	case <-changed:
	case <-time.After(longestHang):
	case <-r.Context().Done():
	}
	if w.chance(cutShare) {
		panic(http.ErrAbortHandler)
	}
}

// refuse answers as the API server does when it cannot now.
func (w *weather) refuse(rw http.ResponseWriter, writes bool) {
	status := metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure,
		Code: http.StatusInternalServerError, Reason: metav1.StatusReasonInternalError, Message: "etcdserver: request timed out"}
	switch {
	case w.chance(1. / 3):
		status.Code, status.Reason, status.Message = http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, "too many requests"
		if w.chance(0.5) {
			rw.Header().Set("Retry-After", "1")
		}
	case writes && w.chance(0.5):
		status.Code, status.Reason, status.Message = http.StatusConflict, metav1.StatusReasonConflict, "the object has been modified"
	}
	w.hit(http.StatusText(int(status.Code)))
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(int(status.Code))
	_ = json.NewEncoder(rw).Encode(status)
}

// silence does what was asked and closes the connection in place of the answer.
func (w *weather) silence(next http.Handler, r *http.Request) {
	unheard := httptest.NewRecorder()
	next.ServeHTTP(unheard, r)
	if unheard.Code < http.StatusMultipleChoices {
		w.hit("unheard")
	}
	panic(http.ErrAbortHandler)
}

// forward passes a request on, until the API server goes away.
func (w *weather) forward(next http.Handler, rw http.ResponseWriter, r *http.Request) {
	ctx, cut := context.WithCancel(r.Context())
	defer cut()
	over := make(chan struct{})
	defer close(over)
	go func() {
		for {
			now, changed := w.look()
			if now == away {
				w.hit("cut") // here: a stream that is cut panics below
				cut()
				return
			}
			select {
			case <-over:
				return
			case <-changed:
			}
		}
	}()
	next.ServeHTTP(rw, r.WithContext(ctx))
	if ctx.Err() != nil && r.Context().Err() == nil {
		panic(http.ErrAbortHandler)
	}
}
