package ledger

import "context"

// ErrUnknown is a push that would make one object too many.
var ErrUnknown = errUnknown

// ErrLarge is a push that says too much, ErrOften one that comes after too many.
var ErrLarge, ErrOften = errLarge, errOften

// UnprovenBurst is how many bytes unproven pushes may have written at once.
const UnprovenBurst = unprovenBurst

// ComingFor is how long the cache may take to show what was let in.
const ComingFor = comingFor

// SettleComing does at once what Start does now and then.
func (l *Ledger) SettleComing(ctx context.Context) { l.settleComing(ctx) }
