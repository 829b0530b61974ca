// Package fair divides what is scarce among takers, each known by a key: room that is bounded
// (Shares), and turns at work (Slots). What is divided is named nowhere, and neither is who
// takes. It knows no HTTP and no Kubernetes.
package fair

import "sync"

// Allows is the rule by which room is divided: a taker may take n more if they fit into what
// is free, and if it holds less than is free, both before it takes. (Dynamic thresholds, as
// switches divide their memory among ports: Choudhury and Hahne, 1998, with alpha 1.)
//
// What follows of it: a taker alone gets half of all; k who take all they can get a share of
// 1/(k+1) each, and as much stays free. So whoever holds nothing finds room for one while any
// is free, and those who flood take part in making it for the next: nobody's share has to be
// known beforehand. The room that stays free is the price. A single take that is large may
// bring its taker above its share, by less than its own size.
func Allows(n, holds, free int64) bool {
	return n <= free && holds < free
}

// Shares is room of a bounded size that is divided among keys by the rule of Allows. It is
// safe for concurrent use. A key that holds nothing costs no memory.
type Shares[K comparable] struct {
	mu    sync.Mutex
	free  int64
	holds map[K]int64
}

// NewShares makes room of so many units.
func NewShares[K comparable](capacity int64) *Shares[K] {
	return &Shares[K]{free: capacity, holds: map[K]int64{}}
}

// Take takes n units for a key, all or none, and reports whether it did. n is above 0.
func (s *Shares[K]) Take(key K, n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !Allows(n, s.holds[key], s.free) {
		return false
	}
	s.free -= n
	s.holds[key] += n
	return true
}

// Release gives back what was taken, no more.
func (s *Shares[K]) Release(key K, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free += n
	if s.holds[key] -= n; s.holds[key] == 0 {
		delete(s.holds, key)
	}
}
