package fair

import (
	"context"
	"slices"
	"sync"
)

// Slots are turns at work: so many at a time, divided by the rule of Allows. A key alone gets half of
// them, rounded up, and the rest stays free for the next: however long one key keeps its slots, another
// that has none gets one at once, as long as any is free. Those who wait are served by turns of
// their keys, as far as the rule lets them, and within a key in the order in which they came.
// It is safe for concurrent use. A key that has none, and for which nobody waits, costs no memory.
type Slots[K comparable] struct {
	mu    sync.Mutex
	free  int
	holds map[K]int // never zero
	// waiting are those who wait, by key; never empty.
	waiting map[K][]chan struct{}
	// turns are the keys of waiting; the first is served next.
	turns []K
}

// NewSlots makes n slots.
func NewSlots[K comparable](n int) *Slots[K] {
	return &Slots[K]{free: n, holds: map[K]int{}, waiting: map[K][]chan struct{}{}}
}

// Free is how many more a key gets at once, if it is the only one to come now.
func (s *Slots[K]) Free(key K) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(0, (s.free-s.holds[key]+1)/2)
}

// Acquire waits for a slot as long as the context lasts. The error is the context's, and then
// there is no slot to release.
func (s *Slots[K]) Acquire(ctx context.Context, key K) error {
	granted := s.join(key)
	if granted == nil {
		return nil
	}
	select {
	case <-granted:
		return nil
	case <-ctx.Done():
		if !s.leave(key, granted) {
			s.Release(key) // it came at the same moment
		}
		return ctx.Err()
	}
}

// Release gives a slot of a key back: to the first of the key whose turn it is, if any waits.
func (s *Slots[K]) Release(key K) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free++
	if s.holds[key]--; s.holds[key] == 0 {
		delete(s.holds, key)
	}
	for {
		i := slices.IndexFunc(s.turns, s.take)
		if i < 0 {
			return
		}
		s.serve(i)
	}
}

// serve grants a slot that was taken for the key of a turn to the first of its line.
func (s *Slots[K]) serve(turn int) {
	key := s.turns[turn]
	s.turns = slices.Delete(s.turns, turn, turn+1)
	line := s.waiting[key]
	close(line[0])
	if len(line) == 1 {
		delete(s.waiting, key)
		return
	}
	s.waiting[key] = line[1:]
	s.turns = append(s.turns, key)
}

// take takes a slot for a key, if it may have one more.
func (s *Slots[K]) take(key K) bool {
	if !Allows(1, int64(s.holds[key]), int64(s.free)) {
		return false
	}
	s.free--
	s.holds[key]++
	return true
}

// join takes a slot, and gives nil, or the end of the key's line.
func (s *Slots[K]) join(key K) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.take(key) {
		return nil
	}
	granted := make(chan struct{})
	line := s.waiting[key]
	if len(line) == 0 {
		s.turns = append(s.turns, key)
	}
	s.waiting[key] = append(line, granted)
	return granted
}

// leave reports whether it left the line; else it has been granted a slot.
func (s *Slots[K]) leave(key K, granted chan struct{}) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := s.waiting[key]
	i := slices.Index(line, granted)
	if i < 0 {
		return false
	}
	if line = slices.Delete(line, i, i+1); len(line) > 0 {
		s.waiting[key] = line
		return true
	}
	delete(s.waiting, key)
	at := slices.Index(s.turns, key)
	s.turns = slices.Delete(s.turns, at, at+1)
	return true
}
