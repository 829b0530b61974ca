package journal

import (
	"fmt"
	"testing"
	"time"
)

// Whoever asks for the oldest record holds the lock that Puts wait for: it must be known, and not
// looked for among all objects. And what is known does not grow with what is long gone.
func TestOldestIsKnown(t *testing.T) {
	const records = 100_000
	x := newIndex()
	for seq := range uint64(records) {
		x.add(seq+1, entry{object: fmt.Sprint(seq), at: int64(seq + 1)})
	}
	walk := time.Hour
	for range 5 {
		start := time.Now()
		for range x.waiting {
			continue
		}
		walk = min(walk, time.Since(start))
	}
	hundred := time.Hour
	for range 5 {
		start := time.Now()
		for range 100 {
			if got := x.oldest().UnixNano(); got != 1 {
				t.Fatalf("the oldest is %d", got)
			}
		}
		hundred = min(hundred, time.Since(start))
	}
	if hundred > walk {
		t.Errorf("a hundred times: %s; to walk over all once: %s", hundred, walk)
	}
	for seq := range uint64(records) { // the first stays
		x.remove([]uint64{seq + 2})
	}
	if got := x.oldest().UnixNano(); got != 1 || len(x.byAge) > 2*fewGone {
		t.Errorf("the oldest of one is %d, and %d are remembered", got, len(x.byAge))
	}
	for range 10 * fewGone {
		x.setAside(1, "x")
		x.restore([]uint64{1})
	}
	if got := x.oldest().UnixNano(); got != 1 || len(x.byAge) > 2*fewGone {
		t.Errorf("restored often, the oldest of one is %d, and %d are remembered", got, len(x.byAge))
	}
}
