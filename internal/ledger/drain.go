package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/laidoulaile/channel-operator/internal/journal"
)

const (
	// drainAtOnce is how many objects are taken from the journal at a time: fresh pushes
	// keep most of the API server.
	drainAtOnce = 8
	// firstDrainRetry and lastDrainRetry bound the pause after a write that failed.
	firstDrainRetry, lastDrainRetry = 250 * time.Millisecond, 5 * time.Second
	// asideAfter is how long a record is tried again that the API server refuses for what may
	// pass: a quota, a namespace that is gone.
	asideAfter = time.Hour
)

// drain writes what the journal keeps on its objects, until the context ends. What was set
// aside is tried once more at each start: what stood in its way may be mended.
func (l *Ledger) drain(ctx context.Context) {
	l.restore(ctx)
	for pause := firstDrainRetry; ; {
		var again <-chan time.Time // never, unless something failed
		if err := l.drainAll(ctx); err != nil && ctx.Err() == nil {
			ctrl.LoggerFrom(ctx).Info("what the journal keeps cannot be written yet: trying again", "in", pause.String(), "why", err.Error(),
				"records", l.journal.Stats().Records)
			again = time.After(pause)
			pause = min(2*pause, lastDrainRetry)
		} else {
			pause = firstDrainRetry
		}
		select {
		case <-ctx.Done():
			return
		case <-again:
		case <-l.journal.Wake():
			if again != nil && !await(ctx, again) { // one push more does not mend the API server
				return
			}
		}
	}
}

func (l *Ledger) restore(ctx context.Context) {
	if err := l.journal.Restore(seqsOf(l.journal.Asides())...); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "what is set aside in the journal is not tried again")
	}
}

func await(ctx context.Context, until <-chan time.Time) bool {
	select {
	case <-ctx.Done():
		return false
	case <-until:
		return true
	}
}

// drainAll goes through all objects that have records, the one with the newest first. It
// ends when the API server fails; what fails for one object's own sake holds up no other.
func (l *Ledger) drainAll(ctx context.Context) error {
	group, together := errgroup.WithContext(ctx)
	group.SetLimit(drainAtOnce)
	var left stuck
	for _, name := range l.journal.Objects() {
		if together.Err() != nil {
			break
		}
		group.Go(func() error { return left.note(l.drainOne(together, name)) })
	}
	return errors.Join(group.Wait(), left.first)
}

// stuck are objects that cannot be written for their own sake.
type stuck struct {
	mu    sync.Mutex
	first error
}

// note keeps an object's own failure to itself, and gives any other.
func (s *stuck) note(err error) error {
	if err == nil || !itsOwn(err) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first == nil {
		s.first = err
	}
	return nil
}

// drainOne writes the records of one object, the oldest first.
func (l *Ledger) drainOne(ctx context.Context, name string) error {
	for {
		records, err := l.journal.Of(name, maxGroup)
		if err != nil || len(records) == 0 {
			return err
		}
		if err := l.drainRecords(ctx, records); err != nil {
			return err
		}
	}
}

// drainRecords has records written, and forgets each that was. One that the API server
// refuses is set aside, when it refuses it as it stands, or has done so for long.
func (l *Ledger) drainRecords(ctx context.Context, records []journal.Record) error {
	standing := make([]*waiting, len(records))
	var failed []error
	for i, record := range records {
		var f fact
		if err := json.Unmarshal(record.Data, &f); err != nil {
			failed = append(failed, l.setAside(ctx, record, f, fmt.Errorf("it cannot be read: %w", err)))
			continue
		}
		standing[i] = l.lines.join(ctx, f)
	}
	var written []uint64
	for i, w := range standing {
		if w == nil {
			continue
		}
		r := l.lines.await(ctx, w)
		switch {
		case r.err == nil:
			written = append(written, records[i].Seq)
		case refusalOf(r.err) != refusedNot, itsOwn(r.err) && time.Since(records[i].At) > asideAfter:
			failed = append(failed, l.setAside(ctx, records[i], w.fact, r.err))
		default:
			failed = append(failed, r.err)
		}
	}
	return errors.Join(l.journal.Delete(written...), firstOf(failed))
}

// firstOf is the gravest of many failures: one of the API server, else one of an object.
func firstOf(failures []error) error {
	var first error
	for _, err := range failures {
		if err != nil && (first == nil || itsOwn(first) && !itsOwn(err)) {
			first = err
		}
	}
	return first
}

// setAside takes a record out of the way, and says so: somebody must look at it.
func (l *Ledger) setAside(ctx context.Context, record journal.Record, f fact, why error) error {
	ctrl.LoggerFrom(ctx).Error(why, "a push that was acknowledged cannot be recorded, and is set aside in the journal until somebody asks for it",
		"object", f.Object.String(), "namespace", f.Object.Namespace, "receivedAt", record.At, "record", record.Seq)
	return l.journal.SetAside(record.Seq, reasonOf(why))
}
