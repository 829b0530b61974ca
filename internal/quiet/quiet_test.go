package quiet

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := New(time.Second, 3)
		var left []int64
		for range 10 {
			if n, allowed := lines.Next(); allowed {
				left = append(left, n)
			}
		}
		for range 2 {
			time.Sleep(time.Second) // in a bubble: no time at all
			if n, allowed := lines.Next(); allowed {
				left = append(left, n)
			}
		}
		if want := []int64{0, 0, 0, 7, 0}; !slices.Equal(left, want) {
			t.Errorf("left out before each line: %v, want %v", left, want)
		}
	})
}
