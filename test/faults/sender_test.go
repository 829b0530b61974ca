package faults

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
)

const (
	// senders are how many connections the platform has open.
	senders = 64
	// mostTries is how often the platform sends one delivery, tryAgain how long it waits in
	// between, and replyTimeout for a reply.
	mostTries    = 12
	tryAgain     = 400 * time.Millisecond
	replyTimeout = 9 * time.Second
)

// message is what the platform tells, once; it may be delivered many times.
type message struct {
	id, path string
	body     []byte
	// order or product that it is about, and of a product what it announces.
	order, product, kind string
	changedAt            time.Time

	acknowledged atomic.Bool
}

// sender delivers messages as the platform does: again until it hears success.
type sender struct {
	// bases are the replicas' addresses, which take turns; query ends every URL.
	bases  []string
	query  string
	client *http.Client

	deliveries, posts, successes, givenUp, unanswered, retries atomic.Int64

	mu  sync.Mutex
	bad []string // replies that no good push may get
}

func newSender(pushes ...string) *sender {
	s := &sender{client: &http.Client{Timeout: replyTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: senders}}}
	for _, push := range pushes {
		s.bases = append(s.bases, "http://"+push+"/api/webhooks/fliggy/")
	}
	return s
}

// deliver sends a message until it is acknowledged, or often enough.
func (s *sender) deliver(ctx context.Context, m *message) {
	s.deliveries.Add(1)
	for range mostTries {
		if s.post(ctx, m) {
			m.acknowledged.Store(true)
			s.successes.Add(1)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(tryAgain):
		}
	}
	s.givenUp.Add(1)
}

// post sends once and reports whether it was acknowledged.
func (s *sender) post(ctx context.Context, m *message) bool {
	base := s.bases[int(s.posts.Add(1))%len(s.bases)]
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+m.path+s.query, bytes.NewReader(m.body))
	if err != nil {
		s.complain(err.Error())
		return false
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := s.client.Do(request)
	if err != nil {
		s.unanswered.Add(1)
		return false
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	verdict := platformtest.FliggyVerdict(response.StatusCode, body)
	switch {
	case err != nil:
		s.unanswered.Add(1)
	case response.StatusCode == http.StatusOK && verdict == platformtest.Accepted:
		return true
	case response.StatusCode == http.StatusServiceUnavailable && verdict == platformtest.Retry:
		s.retries.Add(1)
	default:
		s.complain(fmt.Sprintf("%s was answered %d %q", m.id, response.StatusCode, body))
	}
	return false
}

func (s *sender) complain(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bad = append(s.bad, what)
}

func (s *sender) complaints() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bad
}
