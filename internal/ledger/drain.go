package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	// maxAsideReason is how much of a refusal is kept.
	maxAsideReason = 1024
)

// drain writes what the journal keeps on its objects, until the context ends.
func (l *Ledger) drain(ctx context.Context) {
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

func await(ctx context.Context, until <-chan time.Time) bool {
	select {
	case <-ctx.Done():
		return false
	case <-until:
		return true
	}
}

// drainAll goes through all objects that have records, the one with the newest first. It
// ends at the first failure, which is the API server's.
func (l *Ledger) drainAll(ctx context.Context) error {
	group, together := errgroup.WithContext(ctx)
	group.SetLimit(drainAtOnce)
	for _, name := range l.journal.Objects() {
		if together.Err() != nil {
			break
		}
		group.Go(func() error { return l.drainOne(together, name) })
	}
	return group.Wait()
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
// refuses as it stands is set aside: it would be refused again.
func (l *Ledger) drainRecords(ctx context.Context, records []journal.Record) error {
	standing := make([]*waiting, len(records))
	for i, record := range records {
		var f fact
		if err := json.Unmarshal(record.Data, &f); err != nil {
			if err := l.setAside(ctx, record, f, fmt.Errorf("it cannot be read: %w", err)); err != nil {
				return err
			}
			continue
		}
		standing[i] = l.lines.join(ctx, f)
	}
	var written []uint64
	var failed []error
	for i, w := range standing {
		if w == nil {
			continue
		}
		r := l.lines.await(ctx, w)
		switch {
		case r.err == nil:
			written = append(written, records[i].Seq)
		case refusalOf(r.err) != refusedNot:
			failed = append(failed, l.setAside(ctx, records[i], w.fact, r.err))
		default:
			failed = append(failed, r.err)
		}
	}
	return errors.Join(append(failed, l.journal.Delete(written...))...)
}

// setAside takes a record out of the way, and says so: somebody must look at it.
func (l *Ledger) setAside(ctx context.Context, record journal.Record, f fact, why error) error {
	ctrl.LoggerFrom(ctx).Error(why, "a push that was acknowledged cannot be recorded, and is set aside in the journal",
		"object", f.Object.String(), "namespace", f.Object.Namespace, "receivedAt", record.At, "record", record.Seq)
	reason := why.Error()
	return l.journal.SetAside(record.Seq, reason[:min(len(reason), maxAsideReason)])
}
