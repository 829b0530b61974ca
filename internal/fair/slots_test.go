package fair

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// One key alone gets all slots, and the next waits.
func TestOneKeyGetsAllSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots[string](3)
		for range 3 {
			if err := s.Acquire(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Acquire(short, "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a fourth: %v", err)
		}
		s.Release()
		if err := s.Acquire(t.Context(), "a"); err != nil {
			t.Error(err)
		}
	})
}

// A thousand of one key wait, and then one of another: it is served next but one at most.
func TestNoKeyWaitsForAnothersLine(t *testing.T) {
	s := NewSlots[string](1)
	s.join("flood")
	for range 1000 {
		s.join("flood")
	}
	single := s.join("single")
	for range 2 {
		s.Release()
	}
	select {
	case <-single:
	default:
		t.Error("it waits behind the other key's")
	}
}

// waiter is one who waits in the model.
type waiter struct {
	key, number int
	granted     chan struct{}
	// passed is how many grants others got while it was the first of its key.
	passed int
}

// Whoever comes, leaves and gives back: the slots are never more nor fewer, each key's are
// served in order, no key waits for more grants than there are keys, and nothing is
// remembered of those who are gone.
func TestSlotsProperties(t *testing.T) {
	const keys = 4
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 3).Draw(t, "slots")
		s, held, number := NewSlots[int](size), 0, 0
		lines := map[int][]*waiter{}
		t.Repeat(map[string]func(*rapid.T){
			"come": func(t *rapid.T) {
				w := &waiter{key: rapid.IntRange(0, keys-1).Draw(t, "key"), number: number}
				number++
				if w.granted = s.join(w.key); w.granted == nil {
					held++
					return
				}
				lines[w.key] = append(lines[w.key], w)
			},
			"leave": func(t *rapid.T) {
				key := rapid.IntRange(0, keys-1).Draw(t, "key")
				if len(lines[key]) == 0 {
					return
				}
				i := rapid.IntRange(0, len(lines[key])-1).Draw(t, "which")
				if !s.leave(key, lines[key][i].granted) {
					t.Fatal("who waits cannot leave")
				}
				lines[key] = slices.Delete(lines[key], i, i+1)
			},
			"give back": func(t *rapid.T) {
				if held == 0 {
					return
				}
				s.Release()
				held--
				if key := served(t, lines); key >= 0 {
					held++
					lines[key] = lines[key][1:]
				}
			},
			"": func(t *rapid.T) {
				waiting, turns := 0, 0
				for _, line := range lines {
					if waiting += len(line); len(line) > 0 {
						turns++
					}
				}
				if held+s.free != size || waiting > 0 && s.free > 0 {
					t.Fatalf("%d held, %d free of %d, %d wait", held, s.free, size, waiting)
				}
				if len(s.turns) != turns || len(s.waiting) != turns {
					t.Fatalf("%d turns, %d lines, want %d", len(s.turns), len(s.waiting), turns)
				}
			},
		})
	})
}

// served finds the key that was granted the slot, -1 if none waits: it must be the first of
// its line, and no other key may have been passed over too often.
func served(t *rapid.T, lines map[int][]*waiter) int {
	got, wait := -1, 0
	for key, line := range lines {
		for i, w := range line {
			select {
			case <-w.granted:
				if i != 0 || got >= 0 {
					t.Fatalf("number %d of key %d was served, at place %d", w.number, key, i)
				}
				got = key
			default:
			}
		}
		if len(line) > 0 {
			wait++
		}
	}
	if got < 0 && wait > 0 {
		t.Fatalf("%d keys wait, and none was served", wait)
	}
	for key, line := range lines {
		if key == got || len(line) == 0 {
			continue
		}
		if line[0].passed++; line[0].passed >= 4 {
			t.Fatalf("key %d waited for %d grants", key, line[0].passed)
		}
	}
	return got
}

// A slot that comes as the context ends is had or given back, never lost.
func TestSlotThatComesAsTheContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots[string](1)
		for range 100 {
			if err := s.Acquire(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				if s.Acquire(ctx, "a") == nil {
					s.Release()
				}
			}()
			synctest.Wait() // it waits
			cancel()
			s.Release()
			synctest.Wait()
			if s.free != 1 {
				t.Fatal("the slot is lost")
			}
		}
	})
}

// Many at once, some of whom give up: never more than there are slots, and all are free in
// the end.
func TestSlotsUnderLoad(t *testing.T) {
	const size = 3
	s := NewSlots[string](size)
	var held, most atomic.Int64
	var group sync.WaitGroup
	for i := range 300 {
		group.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*10*time.Microsecond)
			defer cancel()
			if s.Acquire(ctx, fmt.Sprint(i%5)) != nil {
				return
			}
			now := held.Add(1)
			for seen := most.Load(); now > seen; seen = most.Load() {
				most.CompareAndSwap(seen, now)
			}
			held.Add(-1)
			s.Release()
		})
	}
	group.Wait()
	if most.Load() > size || s.free != size || len(s.turns) > 0 || len(s.waiting) > 0 {
		t.Errorf("%d at a time, %d free in the end, %d and %d remembered", most.Load(), s.free, len(s.turns), len(s.waiting))
	}
}
