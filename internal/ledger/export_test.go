package ledger

import (
	"context"
	"time"
)

// WriteLastPush does at once what Start does now and then.
func (l *Ledger) WriteLastPush(ctx context.Context) { l.pushed.write(ctx) }

// Standing is how many objects have a writer, and how many facts stand in line for them.
func (l *Ledger) Standing() (objects, facts int) {
	l.lines.mu.Lock()
	defer l.lines.mu.Unlock()
	for _, line := range l.lines.standing {
		facts += len(line)
	}
	return len(l.lines.standing), facts
}

// Seeing reports whether the ledger looks into its cache.
func (l *Ledger) Seeing() bool { return l.seeing.Load() }

// LookOften makes Start look at the Channels so often, as a replica of that name.
func (l *Ledger) LookOften(replica string, every time.Duration) {
	l.asides.replica, l.lookEvery = replica, every
}

// HashedName is an object's second name.
var HashedName = hashedName

// ReasonOf is what is kept of why a record is refused.
var ReasonOf = reasonOf

// SetNow sets the clock by which a change lies ahead.
func (l *Ledger) SetNow(now func() time.Time) { l.now = now }
