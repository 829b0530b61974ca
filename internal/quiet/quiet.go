// Package quiet keeps a log readable where what it tells of may come by the thousand: some
// lines, and how many were left out. It knows nothing of what the lines say.
package quiet

import (
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Lines bounds lines of one sort. It is safe for concurrent use.
type Lines struct {
	limiter *rate.Limiter
	left    atomic.Int64
}

// New allows a burst of lines, and then one each time.
func New(each time.Duration, burst int) *Lines {
	return &Lines{limiter: rate.NewLimiter(rate.Every(each), burst)}
}

// Next reports whether a line may be written now, and how many were left out since the last.
func (l *Lines) Next() (leftOut int64, allowed bool) {
	if !l.limiter.Allow() {
		l.left.Add(1)
		return 0, false
	}
	return l.left.Swap(0), true
}
