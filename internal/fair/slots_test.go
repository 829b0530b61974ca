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

// One key alone gets half of the slots, and the next waits; of the other half another key gets some
// at once, however long the first keeps its own.
func TestOneKeyLeavesSlotsToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots[string](6)
		for i, key := range []string{"a", "a", "a", "b", "b", "c"} {
			if n := s.Free(key); n < 1 {
				t.Errorf("%d: %s would get %d", i, key, n)
			}
			if err := s.Acquire(t.Context(), key); err != nil {
				t.Fatal(err)
			}
			if key == "c" {
				break
			}
			if n := s.Free("a"); i >= 2 && n != 0 {
				t.Errorf("%d: a would get %d more", i, n)
			}
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Acquire(short, "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a fourth: %v", err)
		}
	})
}

// What Free says is what a key gets.
func TestFreeIsWhatOneGets(t *testing.T) {
	for size := range 10 {
		s := NewSlots[string](size)
		for i := range size {
			n, got := s.Free("a"), 0
			for s.join("a") == nil {
				got++
			}
			if n != got {
				t.Errorf("of %d: %d are free to it, and it gets %d", size, n, got)
			}
			s.leave("a", s.waiting["a"][0])
			s.join(fmt.Sprint(i))
		}
	}
}

// A thousand of one key wait, and then one of another: it has the next that is free.
func TestNoKeyWaitsForAnothersLine(t *testing.T) {
	s := NewSlots[string](2)
	if s.join("flood") != nil || s.join("other") != nil {
		t.Fatal("two slots are not had")
	}
	for range 1000 {
		s.join("flood")
	}
	single := s.join("single")
	s.Release("other")
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
	// passed is how many grants others got while it was the first of a key that has none.
	passed int
}

// Whoever comes, leaves and gives back: the slots are never more nor fewer, each key's are
// served in order, nobody waits who may have one, no key that has none waits for more grants than
// there are keys, and nothing is remembered of those who are gone.
func TestSlotsProperties(t *testing.T) {
	const keys = 4
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 6).Draw(t, "slots")
		s, number := NewSlots[int](size), 0
		held, lines := map[int]int{}, map[int][]*waiter{}
		t.Repeat(map[string]func(*rapid.T){
			"come": func(t *rapid.T) {
				w := &waiter{key: rapid.IntRange(0, keys-1).Draw(t, "key"), number: number}
				number++
				if w.granted = s.join(w.key); w.granted == nil {
					held[w.key]++
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
				key := rapid.IntRange(0, keys-1).Draw(t, "key")
				if held[key] == 0 {
					return
				}
				s.Release(key)
				held[key]--
				for _, got := range served(t, lines, held) {
					held[got]++
					lines[got] = lines[got][1:]
				}
			},
			"": func(t *rapid.T) {
				all, turns, holders := 0, 0, 0
				for key := range keys {
					if all += held[key]; held[key] > 0 {
						holders++
					}
					if len(lines[key]) == 0 {
						continue
					}
					if turns++; held[key] < s.free {
						t.Fatalf("key %d has %d, %d are free, and %d of it wait", key, held[key], s.free, len(lines[key]))
					}
				}
				if all+s.free != size {
					t.Fatalf("%d held, %d free of %d", all, s.free, size)
				}
				if len(s.turns) != turns || len(s.waiting) != turns || len(s.holds) != holders {
					t.Fatalf("%d turns, %d lines, want %d; %d that hold, want %d", len(s.turns), len(s.waiting), turns, len(s.holds), holders)
				}
			},
		})
	})
}

// served finds the keys that were granted a slot: each the first of its line, and no key that has none
// may have been passed over too often.
func served(t *rapid.T, lines map[int][]*waiter, held map[int]int) (keys []int) {
	for key, line := range lines {
		for i, w := range line {
			select {
			case <-w.granted:
				if i != 0 {
					t.Fatalf("number %d of key %d was served, at place %d", w.number, key, i)
				}
				keys = append(keys, key)
			default:
			}
		}
	}
	for key, line := range lines {
		if slices.Contains(keys, key) || len(line) == 0 || held[key] > 0 {
			continue
		}
		if line[0].passed += len(keys); line[0].passed > 4 {
			t.Fatalf("key %d has none and waited for %d grants", key, line[0].passed)
		}
	}
	return keys
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
					s.Release("a")
				}
			}()
			synctest.Wait() // it waits
			cancel()
			s.Release("a")
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
			key := fmt.Sprint(i % 5)
			if s.Acquire(ctx, key) != nil {
				return
			}
			now := held.Add(1)
			for seen := most.Load(); now > seen; seen = most.Load() {
				most.CompareAndSwap(seen, now)
			}
			held.Add(-1)
			s.Release(key)
		})
	}
	group.Wait()
	if most.Load() > size || s.free != size || len(s.turns)+len(s.waiting)+len(s.holds) > 0 {
		t.Errorf("%d at a time, %d free in the end, %d, %d and %d remembered", most.Load(), s.free, len(s.turns), len(s.waiting), len(s.holds))
	}
}
