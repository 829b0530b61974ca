package ledger

import "context"

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
