package platformtest

import (
	"maps"
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
