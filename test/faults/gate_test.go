package faults

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
)

// gate stands in front of the API server and of the platform, sees every step that a
// manager takes there, and ends the manager at one of them.
type gate struct {
	mu sync.Mutex
	// counts says which requests are steps.
	counts func(*http.Request) bool
	steps  []string
	// fatal is the step (from 1) at which the manager is killed, before the request goes
	// on or after it was answered, and before the manager hears of it.
	fatal int
	after bool
	kill  func()
}

// watch counts the steps from now on and makes the n-th the fatal one.
func (g *gate) watch(counts func(*http.Request) bool, n int, after bool, kill func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.counts, g.steps, g.fatal, g.after, g.kill = counts, nil, n, after, kill
}

// rest ends the watch and gives the steps that were seen.
func (g *gate) rest() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.counts = nil
	return g.steps
}

// step counts a request, and reports whether it is the fatal one.
func (g *gate) step(r *http.Request) (fatal, after bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.counts == nil || !g.counts(r) {
		return false, false
	}
	g.steps = append(g.steps, r.Method+" "+r.URL.Path)
	return len(g.steps) == g.fatal, g.after
}

// before puts the gate before a handler.
func (g *gate) before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fatal, after := g.step(r)
		if !fatal {
			next.ServeHTTP(w, r)
			return
		}
		if after {
			unheard := httptest.NewRecorder()
			next.ServeHTTP(unheard, r)
		}
		g.kill()
		// Nobody is there to hear it; without an answer the proxy would wait.
		_, _ = io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	})
}

// serve gives the address of a handler behind the gate.
func (g *gate) serve(t testing.TB, next http.Handler) string {
	t.Helper()
	server := httptest.NewServer(g.before(next))
	t.Cleanup(server.Close)
	return server.URL
}

// apiServer forwards to the API server as an administrator who may act for others.
func apiServer(t testing.TB, config *rest.Config) http.Handler {
	t.Helper()
	transport, err := rest.TransportFor(config)
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	return &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     transport,
		FlushInterval: -1, // watches stream
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
}
