package ledger

import "context"

// WriteLastPush does at once what Start does now and then.
func (l *Ledger) WriteLastPush(ctx context.Context) { l.pushed.write(ctx) }
