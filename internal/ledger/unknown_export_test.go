package ledger

import "context"

// ErrUnknown is a push that would make one object too many.
var ErrUnknown = errUnknown

// ComingFor is how long the cache may take to show what was let in.
const ComingFor = comingFor

// SettleComing does at once what Start does now and then.
func (l *Ledger) SettleComing(ctx context.Context) { l.settleComing(ctx) }
