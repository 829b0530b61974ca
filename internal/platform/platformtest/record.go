package platformtest

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// logLimit is how many calls and deliveries a fake remembers, the newest.
const logLimit = 1000

// CallRecord is one question the fake was asked. It holds no signature and no code.
type CallRecord struct {
	At time.Time `json:"at"`
	// Op is the platform's name of the call.
	Op string `json:"op"`
	// Subject is the product or order id asked about, or the page; cut to 64 bytes.
	Subject string `json:"subject,omitempty"`
	// Verdict is the platform's code, or the kind of fault that answered.
	Verdict string `json:"verdict"`
}

// log remembers the newest entries.
type log[T any] struct {
	mu      sync.Mutex
	entries []T
}

func (l *log[T]) add(entry T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.entries) == logLimit {
		copy(l.entries, l.entries[1:])
		l.entries = l.entries[:logLimit-1]
	}
	l.entries = append(l.entries, entry)
}

func (l *log[T]) all() []T {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]T{}, l.entries...)
}

// counts counts calls by operation.
type counts struct {
	mu sync.Mutex
	by map[string]int
}

func (c *counts) add(op string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = map[string]int{}
	}
	c.by[op]++
}

func (c *counts) of(op string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if op != "" {
		return c.by[op]
	}
	total := 0
	for _, n := range c.by {
		total += n
	}
	return total
}

func (c *counts) all() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		return map[string]int{}
	}
	return maps.Clone(c.by)
}

// gripes are complaints, each kept once. A fake that complains embeds them.
type gripes struct {
	mu   sync.Mutex
	seen []string
}

// gripesLimit bounds them.
const gripesLimit = 1000

func (g *gripes) complain(format string, args ...any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if text := fmt.Sprintf(format, args...); len(g.seen) < gripesLimit && !slices.Contains(g.seen, text) {
		g.seen = append(g.seen, text)
	}
}

// Complaints are the breaches of the platform's rules that the account's side committed,
// each once, in the order they were first seen, 1000 at most. None holds a secret.
func (g *gripes) Complaints() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string{}, g.seen...)
}

// ForgiveComplaints forgets the complaints.
func (g *gripes) ForgiveComplaints() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seen = nil
}
