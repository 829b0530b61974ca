package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/laidoulaile/channel-operator/internal/platform"
)

const (
	// lineBudget is how long a fact stands in line before it is kept in the journal instead:
	// where many wait, the file is quicker than the API server.
	lineBudget = 100 * time.Millisecond
	// commitBudget is how long a write may take before its facts are kept in the journal.
	commitBudget = 2 * time.Second
)

// maxBacklog is how many records of a Channel the journal may keep while others of it still
// go to the API server: beyond, they would only stand in line behind those.
const maxBacklog = maxWrites

// enter puts a fact in line, unless it would stand there for too long.
func (l *Ledger) enter(ctx context.Context, f fact) *waiting {
	if l.behind(f.Object) || l.journal.Usable() && l.lines.ahead(f.Object) > lineBudget {
		return &waiting{fact: f}
	}
	return l.lines.join(ctx, f)
}

// behind reports whether the journal keeps so much of an object's Channel that it is the line.
func (l *Ledger) behind(o object) bool {
	return l.journal.UseOf(o.channel().String()).Records > maxBacklog
}

// settle waits until a fact is durable: on its object as long as that goes quickly, else in
// the journal, from where it is written later. What the API server will never take is not kept.
// What it refuses otherwise may pass: a namespace that comes back, a right that is given again.
func (l *Ledger) settle(ctx context.Context, w *waiting) result {
	if w.done == nil { // it is in no line
		kept := l.keep(ctx, w.fact, errBehind)
		if kept.err == nil || l.lines.ahead(w.fact.Object) > l.patience(w.fact.Object) {
			return kept
		}
		return l.pass(ctx, l.lines.join(ctx, w.fact), kept)
	}
	line, commit := time.NewTimer(time.Until(w.at.Add(lineBudget))), time.NewTimer(time.Until(w.at.Add(commitBudget)))
	defer line.Stop()
	defer commit.Stop()
	for {
		select {
		case r := <-w.done:
			if r.err == nil || forGood(r.err) {
				return r
			}
			return l.keep(ctx, w.fact, r.err)
		case <-line.C:
			if l.journal.Usable() && l.lines.leave(w) { // else it is better off here
				return l.keepOrPass(ctx, w, true)
			}
		case <-commit.C:
			return l.keepOrPass(ctx, w, l.lines.leave(w))
		case <-ctx.Done():
			l.lines.leave(w)
			return result{platform.OutcomeRetry, fmt.Errorf("record %s: %w", w.fact.Object, ctx.Err())}
		}
	}
}

// keepOrPass keeps a fact that waited for too long. If the journal does not take it, it goes on waiting:
// in line again if it has left that, else for the write that it is in.
func (l *Ledger) keepOrPass(ctx context.Context, w *waiting, left bool) result {
	kept := l.keep(ctx, w.fact, errBehind)
	if kept.err == nil {
		return kept
	}
	if left {
		w = l.lines.join(ctx, w.fact)
	}
	return l.pass(ctx, w, kept)
}

// pass waits for what the journal does not take to be written, as long as there is time: the API server
// may be well. If it is not, the journal's reason is what counts.
func (l *Ledger) pass(ctx context.Context, w *waiting, kept result) result {
	if written := l.lines.await(ctx, w); written.err == nil || forGood(written.err) {
		return written
	}
	return kept
}

// patience is how long a fact that the journal did not take may have to stand in line: as long as a
// write may take. Behind a backlog of its own Channel it is no longer than where the journal takes
// facts: those that pass would keep the drain waiting.
func (l *Ledger) patience(o object) time.Duration {
	if l.behind(o) {
		return lineBudget
	}
	return commitBudget
}

var errBehind = errors.New("the API server is behind")

// keep puts a fact into the journal, if that takes it. Why says what kept it from its object.
func (l *Ledger) keep(ctx context.Context, f fact, why error) result {
	data, err := json.Marshal(f)
	if err == nil {
		err = l.journal.Put(ctx, f.Object.name(), data)
	}
	if err != nil {
		return result{platform.OutcomeRetry, fmt.Errorf("record %s: %w; and keep it: %w", f.Object, why, err)}
	}
	journalPuts.Inc()
	return result{outcome: platform.OutcomeRecorded}
}

// name of the object in the journal.
func (o object) name() string {
	return string(o.Kind) + "/" + o.Namespace + "/" + o.Channel + "/" + o.ID
}

// channelOf is the Channel in the name of an object in the journal, as namespace/name; empty
// for a name that has none.
func channelOf(name string) string {
	_, rest, _ := strings.Cut(name, "/")
	slash := strings.IndexByte(rest, '/')
	end := strings.IndexByte(rest[slash+1:], '/')
	if slash < 0 || end < 0 {
		return ""
	}
	return rest[:slash+1+end]
}
