package platformtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Verdict is what a platform makes of the reply to its push.
type Verdict string

// The verdicts.
const (
	// Accepted: the push is done.
	Accepted Verdict = "accepted"
	// Refused: the push is done, in vain.
	Refused Verdict = "refused"
	// Retry: the platform sends the push again.
	Retry Verdict = "retry"
)

// Fate is how a push ended.
type Fate string

// The fates.
const (
	Delivered Fate = "delivered" // accepted by the receiver
	Denied    Fate = "denied"    // refused by the receiver
	GivenUp   Fate = "given-up"  // every try failed
	Dropped   Fate = "dropped"   // never sent, by a Drop fault
	Held      Fate = "held"      // waits for ReleasePushes, by a Reorder fault
)

// Delivery is what became of one push.
type Delivery struct {
	At   time.Time `json:"at"`
	Path string    `json:"path"`
	// MessageID and Type as the push names them; empty if it names none.
	MessageID string `json:"messageID,omitempty"`
	Type      string `json:"type,omitempty"`
	// Attempts made; 0 for a dropped or held push.
	Attempts int `json:"attempts"`
	// Status and Body of the last reply; 0 and empty if none came. Body is cut to 256 bytes.
	Status int    `json:"status,omitempty"`
	Body   string `json:"body,omitempty"`
	// Error is the transport's, of the last attempt.
	Error    string `json:"error,omitempty"`
	Accepted bool   `json:"accepted"`
	Fate     Fate   `json:"fate"`
}

// courier sends pushes with a platform's retry rules.
type courier struct {
	client *http.Client
	prefix string        // path in front of a push's tail
	tries  int           // at most, the first included
	every  time.Duration // between tries
	judge  func(status int, body []byte) Verdict
	script *faults
	sent   log[Delivery]
	logger *slog.Logger

	mu    sync.Mutex
	base  string
	token string
	held  []letter
}

// letter is a push ready to be sent.
type letter struct {
	path, contentType, id, kind string
	body                        []byte
}

// push sends the letter unless the script says otherwise.
func (c *courier) push(ctx context.Context, l letter) Delivery {
	switch fault := c.script.take(l.path, true); fault.Kind {
	case Drop:
		return c.note(l, Delivery{Fate: Dropped})
	case Reorder:
		c.mu.Lock()
		c.held = append(c.held, l)
		c.mu.Unlock()
		return c.note(l, Delivery{Fate: Held})
	case Duplicate:
		return c.deliverCopies(ctx, l, max(fault.Copies, 1))
	default:
		return c.deliver(ctx, l)
	}
}

// deliverCopies sends the letter and n copies of it at once.
func (c *courier) deliverCopies(ctx context.Context, l letter, n int) Delivery {
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() { c.deliver(ctx, l) })
	}
	first := c.deliver(ctx, l)
	wg.Wait()
	return first
}

// release sends what was held, one after the other, shuffled by the seed.
func (c *courier) release(ctx context.Context, seed uint64) []Delivery {
	c.mu.Lock()
	letters := c.held
	c.held = nil
	c.mu.Unlock()
	shuffle := rand.New(rand.NewPCG(seed, seed)) // #nosec G404 -- a repeatable order, not a secret
	shuffle.Shuffle(len(letters), func(i, j int) { letters[i], letters[j] = letters[j], letters[i] })
	deliveries := make([]Delivery, 0, len(letters))
	for _, l := range letters {
		deliveries = append(deliveries, c.deliver(ctx, l))
	}
	return deliveries
}

// deliver tries until the receiver accepts or refuses, or the tries are used up.
func (c *courier) deliver(ctx context.Context, l letter) Delivery {
	d := Delivery{Fate: GivenUp}
	for d.Attempts < c.tries {
		if d.Attempts > 0 && !pause(ctx, c.every) {
			d.Error = ctx.Err().Error()
			break
		}
		d.Attempts++
		verdict := c.attempt(ctx, l, &d)
		if verdict == Accepted {
			d.Fate, d.Accepted = Delivered, true
			break
		}
		if verdict == Refused {
			d.Fate = Denied
			break
		}
	}
	return c.note(l, d)
}

// attempt posts once.
func (c *courier) attempt(ctx context.Context, l letter, d *Delivery) Verdict {
	d.Status, d.Body, d.Error = 0, "", ""
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.address(l.path), bytes.NewReader(l.body))
	if err != nil {
		d.Error = "no request can be made of the push base and path"
		return Refused
	}
	request.Header.Set("Content-Type", l.contentType)
	response, err := c.client.Do(request)
	if err != nil {
		d.Error = withoutAddress(err)
		return Retry
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	d.Status, d.Body = response.StatusCode, string(body[:min(len(body), 256)])
	if err != nil {
		d.Error = withoutAddress(err)
		return Retry
	}
	return c.judge(response.StatusCode, body)
}

// address is where a push goes: a path that begins with a slash is taken whole,
// any other is a tail behind the platform's prefix.
func (c *courier) address(path string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !strings.HasPrefix(path, "/") {
		path = c.prefix + path
	}
	address := strings.TrimSuffix(c.base, "/") + path
	if c.token != "" {
		address += "?token=" + url.QueryEscape(c.token)
	}
	return address
}

func (c *courier) aim(base, token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.base, c.token = base, token
}

// note logs what became of the letter.
func (c *courier) note(l letter, d Delivery) Delivery {
	d.At, d.Path, d.MessageID, d.Type = time.Now(), l.path, l.id, l.kind
	c.sent.add(d)
	c.logger.Debug("push", "path", d.Path, "type", d.Type, "messageID", d.MessageID,
		"fate", d.Fate, "attempts", d.Attempts, "status", d.Status, "error", d.Error)
	return d
}

// plainTransport uses no proxy and keeps a connection for every push under way.
func plainTransport() *http.Transport {
	return &http.Transport{MaxIdleConnsPerHost: 256, IdleConnTimeout: 30 * time.Second}
}

// withoutAddress drops the URL from a net/http error: it holds the token.
func withoutAddress(err error) string {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	return fmt.Sprint(err)
}

// pause waits, or reports that the context ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
