package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/laidoulaile/channel-operator/internal/journal"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

const (
	// lineBudget is how long a fact stands in line before it is kept in the journal instead:
	// where many wait, the file is quicker than the API server.
	lineBudget = 100 * time.Millisecond
	// commitBudget is how long a write may take before its facts are kept in the journal.
	commitBudget = 2 * time.Second
	// diskBudget is how long the journal may take with a fact before that goes to the API server as
	// well: a disk may hang.
	diskBudget = time.Second
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
	if w.done == nil {
		return l.keepOrPass(ctx, w, false)
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
				return l.keepOrPass(ctx, w, false)
			}
		case <-commit.C:
			return l.keepOrPass(ctx, w, !l.journal.Usable() || !l.lines.leave(w))
		case <-ctx.Done():
			l.lines.leave(w)
			return result{platform.OutcomeRetry, fmt.Errorf("record %s: %w", w.fact.Object, ctx.Err())}
		}
	}
}

// keepOrPass keeps a fact that waited for too long, or would. If the journal does not take it, it goes
// on waiting: where it stands or is being written (stands), else in line. If the journal takes it too slowly it
// does both. Then it may be on its object and in the journal, and is a duplicate when that is drained.
func (l *Ledger) keepOrPass(ctx context.Context, w *waiting, stands bool) result {
	putting, err := l.begin(ctx, w.fact)
	if err != nil {
		return l.passOver(ctx, w, stands, notKept(w.fact, errBehind, err))
	}
	slow := time.NewTimer(l.patienceWithDisk())
	defer slow.Stop()
	for {
		var written <-chan result
		if stands {
			written = w.done
		}
		select {
		case err := <-putting.Done():
			if err != nil {
				return l.passOver(ctx, w, stands, notKept(w.fact, errBehind, err))
			}
			if stands {
				l.lines.leave(w)
			}
			return isKept()
		case r := <-written:
			if r.err == nil || forGood(r.err) {
				putting.Withdraw()
				return r
			}
			return kept(ctx, putting, w.fact, r.err)
		case <-slow.C:
			switch {
			case stands:
			case l.mayStand(w):
				w, stands = l.lines.join(ctx, w.fact), true
			default:
				slow.Reset(lineBudget) // it may soon
			}
		case <-ctx.Done():
			putting.Withdraw()
			l.lines.leave(w)
			return notKept(w.fact, errBehind, ctx.Err())
		}
	}
}

// passOver is what becomes of a fact that the journal does not take.
func (l *Ledger) passOver(ctx context.Context, w *waiting, stands bool, refused result) result {
	if !stands && (ctx.Err() != nil || !l.mayStand(w)) {
		return refused
	}
	if !stands {
		w = l.lines.join(ctx, w.fact)
	}
	return l.pass(ctx, w, refused)
}

// patienceWithDisk is how long the journal may take with a fact; nothing, if its disk hangs already.
func (l *Ledger) patienceWithDisk() time.Duration {
	if l.journal.Usable() {
		return diskBudget
	}
	return 0
}

// mayStand reports whether a fact that the journal does not take may stand in line. One that stood
// there before may.
func (l *Ledger) mayStand(w *waiting) bool {
	return w.done != nil || l.lines.ahead(w.fact.Object) <= l.patience(w.fact.Object)
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
// facts: those that pass would keep the drain waiting, which is what makes room in the journal. So it
// is with a hot object: what stands in its line is then mostly what the journal keeps of it, the older.
// If that is written in so short a time the push goes out behind it; to wait for longer would be to
// overtake the rest of it.
func (l *Ledger) patience(o object) time.Duration {
	if l.behind(o) {
		return lineBudget
	}
	return commitBudget
}

var errBehind = errors.New("the API server is behind")

// keep puts a fact into the journal, if that takes it. Why says what kept it from its object.
func (l *Ledger) keep(ctx context.Context, f fact, why error) result {
	putting, err := l.begin(ctx, f)
	if err != nil {
		return notKept(f, why, err)
	}
	return kept(ctx, putting, f, why)
}

// begin hands a fact to the journal.
func (l *Ledger) begin(ctx context.Context, f fact) (*journal.Putting, error) {
	data, err := json.Marshal(f)
	if err = errors.Join(err, ctx.Err()); err != nil {
		return nil, err
	}
	return l.journal.Begin(f.Object.name(), data)
}

// kept is what came of it when the disk has answered, or the context ends.
func kept(ctx context.Context, putting *journal.Putting, f fact, why error) result {
	if err := putting.Wait(ctx); err != nil {
		return notKept(f, why, err)
	}
	return isKept()
}

func isKept() result {
	journalPuts.Inc()
	return result{outcome: platform.OutcomeRecorded}
}

func notKept(f fact, why, err error) result {
	return result{platform.OutcomeRetry, fmt.Errorf("record %s: %w; and keep it: %w", f.Object, why, err)}
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
