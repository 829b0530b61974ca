package platformtest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
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
	// stamp completes a request just before it is sent, such as by its signature; nil
	// sends it as it is.
	stamp func(*http.Request)
	// rules of this letter; nil takes the courier's.
	rules *rules
	// hush keeps the reply out of the log: it may hold secrets.
	hush bool
	// lose is how many replies, from the first on, are thrown away as if none had come.
	lose int
}

// rules say how long a platform waits for a reply, and what it does without a good one.
type rules struct {
	// timeout of one try; 0 is the client's own.
	timeout time.Duration
	// pauses before each further try; there are no more tries than that.
	pauses []time.Duration
	judge  func(status int, body []byte) Verdict
	// again tells whether to try again; answered is whether a reply came at all. nil tries
	// again on Retry.
	again func(verdict Verdict, answered bool) bool
}

func (r *rules) tryAgain(verdict Verdict, answered bool) bool {
	if r.again == nil {
		return verdict == Retry
	}
	return r.again(verdict, answered)
}

// push sends the letter unless the script says otherwise.
func (c *courier) push(ctx context.Context, l letter) Delivery {
	switch fault := c.script.takePush(l.path, l.kind); fault.Kind {
	case LoseReply:
		l.lose = max(fault.Copies, 1)
		return c.deliver(ctx, l)
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
	r := l.rules
	if r == nil {
		r = &rules{pauses: slices.Repeat([]time.Duration{c.every}, c.tries-1), judge: c.judge}
	}
	d := Delivery{}
	for {
		d.Attempts++
		verdict, answered := c.attempt(ctx, l, r, &d)
		d.Accepted, d.Fate = verdict == Accepted, fates[verdict]
		if !r.tryAgain(verdict, answered) || d.Attempts > len(r.pauses) {
			break
		}
		if !pause(ctx, r.pauses[d.Attempts-1]) {
			d.Error = ctx.Err().Error()
			break
		}
	}
	return c.note(l, d)
}

// fates of pushes by what is made of the last reply.
var fates = map[Verdict]Fate{Accepted: Delivered, Refused: Denied, Retry: GivenUp}

// attempt posts once; answered is whether a reply came.
func (c *courier) attempt(ctx context.Context, l letter, r *rules, d *Delivery) (verdict Verdict, answered bool) {
	d.Status, d.Body, d.Error = 0, "", ""
	if r.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.timeout)
		defer cancel()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.address(l.path), bytes.NewReader(l.body)) // #nosec G704 -- a fake pushes where its test says
	if err != nil {
		d.Error = "no request can be made of the push base and path"
		return Refused, true // nothing will mend it
	}
	request.Header.Set("Content-Type", l.contentType)
	if l.stamp != nil {
		l.stamp(request)
	}
	response, err := c.client.Do(request) // #nosec G704 -- the same
	if err != nil {
		d.Error = withoutAddress(err)
		return Retry, false
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil || d.Attempts <= l.lose {
		d.Error = "the reply was lost"
		return Retry, false
	}
	d.Status = response.StatusCode
	if !l.hush {
		d.Body = string(body[:min(len(body), 256)])
	}
	return r.judge(response.StatusCode, body), true
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

// pushClient follows no redirect. The timeout is of one try, 0 is none; a nil transport is a
// plain one.
func pushClient(transport http.RoundTripper, timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout: timeout, Transport: cmp.Or[http.RoundTripper](transport, plainTransport()),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
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
