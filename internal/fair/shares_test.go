package fair

import (
	"testing"

	"pgregory.net/rapid"
)

// fill takes one unit after the other for each key in turn, until none gets any.
func fill(s *Shares[string], keys ...string) {
	for more := true; more; {
		more = false
		for _, key := range keys {
			more = s.Take(key, 1) || more
		}
	}
}

func TestShares(t *testing.T) {
	for name, test := range map[string]struct {
		keys []string
		want int64
	}{
		"alone: a half":                {[]string{"a"}, 60},
		"two: a third each":            {[]string{"a", "b"}, 40},
		"three: a quarter each":        {[]string{"a", "b", "c"}, 30},
		"eleven: as much for the next": {[]string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"}, 10},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewShares[string](120)
			fill(s, test.keys...)
			for _, key := range test.keys {
				if got := s.holds[key]; got != test.want {
					t.Errorf("%q holds %d, want %d", key, got, test.want)
				}
			}
			if !s.Take("newcomer", 1) {
				t.Error("who holds nothing finds no room")
			}
		})
	}
}

// One who had all there was to have makes room for those who come: as it gives back, all end
// with the same.
func TestSharesEvenOut(t *testing.T) {
	s := NewShares[string](120)
	fill(s, "first")
	fill(s, "first", "second")
	for range 1000 { // each gives back one, and both want it
		for _, key := range []string{"first", "second"} {
			if s.holds[key] > 0 {
				s.Release(key, 1)
				fill(s, "second", "first")
			}
		}
	}
	if a, b := s.holds["first"], s.holds["second"]; a < 39 || a > 41 || b < 39 || b > 41 {
		t.Errorf("they hold %d and %d, want 40 each", a, b)
	}
}

// Whatever is taken and given back: never more than there is, nothing lost, nobody shut out
// while anything is free, and no key remembered for nothing.
func TestSharesProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const capacity = 50
		s, holds := NewShares[int](capacity), map[int][]int64{}
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				key, n := rapid.IntRange(0, 5).Draw(t, "key"), rapid.Int64Range(1, 60).Draw(t, "n")
				free, held := s.free, s.holds[key]
				if s.Take(key, n) {
					holds[key] = append(holds[key], n)
				} else if held == 0 && n <= free {
					t.Fatalf("who holds nothing is refused %d of %d", n, free)
				}
			},
			"give back": func(t *rapid.T) {
				key := rapid.IntRange(0, 5).Draw(t, "key")
				if mine := holds[key]; len(mine) > 0 {
					s.Release(key, mine[0])
					holds[key] = mine[1:]
				}
			},
			"": func(t *rapid.T) {
				all, keys := int64(0), 0
				for key, mine := range holds {
					sum := int64(0)
					for _, n := range mine {
						sum += n
					}
					if all += sum; sum > 0 {
						keys++
					}
					if s.holds[key] != sum {
						t.Fatalf("%d holds %d, want %d", key, s.holds[key], sum)
					}
				}
				if s.free < 0 || s.free+all != capacity || len(s.holds) != keys {
					t.Fatalf("%d free, %d held, %d keys remembered of %d", s.free, all, len(s.holds), keys)
				}
			},
		})
	})
}
