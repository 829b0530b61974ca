package fair

import (
	"context"
	"slices"
	"sync"
)

// Slots are turns at work: so many at a time. Those who wait for one are served by turns of
// their keys, and within a key in the order in which they came: where k keys wait, each is
// served at least once in k grants, however many wait for the others. A key alone gets all.
// It is safe for concurrent use. A key for which nobody waits costs no memory.
type Slots[K comparable] struct {
	mu   sync.Mutex
	free int // above 0 only while nobody waits
	// waiting are those who wait, by key; never empty.
	waiting map[K][]chan struct{}
	// turns are the keys of waiting; the first is served next.
	turns []K
}

// NewSlots makes n slots.
func NewSlots[K comparable](n int) *Slots[K] {
	return &Slots[K]{free: n, waiting: map[K][]chan struct{}{}}
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
			s.Release() // it came at the same moment
		}
		return ctx.Err()
	}
}

// Release gives a slot back: to the first of the key whose turn it is, if any waits.
func (s *Slots[K]) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.turns) == 0 {
		s.free++
		return
	}
	key := s.turns[0]
	s.turns = s.turns[1:]
	line := s.waiting[key]
	close(line[0])
	if len(line) == 1 {
		delete(s.waiting, key)
		return
	}
	s.waiting[key] = line[1:]
	s.turns = append(s.turns, key)
}

// join takes a slot, and gives nil, or the end of the key's line.
func (s *Slots[K]) join(key K) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free > 0 {
		s.free--
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
