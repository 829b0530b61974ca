package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/fair"
	"github.com/laidoulaile/channel-operator/internal/journal"
)

const (
	// drainAtOnce is how many records of an object are read at a time; they stand in its line.
	drainAtOnce = 256
	// maxDrainers is how many objects are drained at a time, and minDrainers how many are however much
	// is on its way into the journal. One Channel alone has half of these.
	maxDrainers, minDrainers = 3 * maxWrites, 8
	// lookPause is after how long at the least it is looked what has come meanwhile, where there is more
	// to do, and lookShare how much of the time looking takes at the most, always: a list of a hundred
	// thousand objects is not made for each. mostLookPause bounds that: a look may have taken long because
	// the process stood still.
	lookPause, lookShare, mostLookPause = 100 * time.Millisecond, 20, 2 * time.Second
	// firstDrainRetry and lastDrainRetry bound the pause when the API server fails.
	firstDrainRetry, lastDrainRetry = 250 * time.Millisecond, 5 * time.Second
)

// drain writes what the journal keeps on its objects, until the context ends. What was set
// aside is tried once more at each start: what stood in its way may be mended. A failure of the
// API server itself is a pause for all; what fails for one object's own sake is a pause for
// that object. Where that is in doubt it is the object's, until several of a Channel fail in a row: then
// it is that Channel's.
func (l *Ledger) drain(ctx context.Context) {
	l.restore(ctx)
	var looked looked
	for pause := firstDrainRetry; ; {
		err := l.drainSome(ctx, &looked)
		again := make(<-chan time.Time) // never
		switch {
		case err == nil:
			pause = firstDrainRetry
			again = l.stuck.next()
		case ctx.Err() == nil:
			ctrl.LoggerFrom(ctx).Info("what the journal keeps cannot be written yet: trying again", "in", pause.String(), "why", err,
				"records", l.journal.Stats().Records)
		}
		l.admission.rate.rest()
		wake := l.journal.Wake()
		if err != nil {
			wake, again = nil, time.After(pause) // one push more does not mend the API server
			pause = min(2*pause, lastDrainRetry)
		}
		select {
		case <-ctx.Done():
			return
		case <-again:
		case <-wake:
		}
	}
}

func (l *Ledger) restore(ctx context.Context) {
	if err := l.journal.Restore(seqsOf(l.journal.Asides())...); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "what is set aside in the journal is not tried again")
	}
}

// drainSome writes what waits, one object of each Channel after the other, until nothing is due any
// more. What has come meanwhile does not wait for all that was there, nor for an object whose write
// hangs. It ends when the API server fails; what fails for one object's own sake, or it may be, holds up
// no other, nor another Channel.
func (l *Ledger) drainSome(ctx context.Context, looked *looked) error {
	group, together := errgroup.WithContext(ctx)
	work := &drainWork{ended: make(chan string, maxDrainers), under: map[string]bool{}, of: map[string]int{}}
	fails := func() bool { return together.Err() != nil }
	begin := func(name string) {
		work.begin(name)
		group.Go(func() error {
			defer func() { work.ended <- name }()
			return l.drainOne(together, name)
		})
	}
	for !fails() {
		if pause := looked.pause(); pause > 0 {
			l.admission.rate.rest() // all was done, or it would be time to look
			sleep(together, pause)
		}
		looked.begin()
		due := slices.DeleteFunc(l.stuck.due(l.objects()), func(name string) bool { return work.under[name] })
		looked.end()
		if len(due)+len(work.under) == 0 {
			break
		}
		next := time.NewTimer(max(lookPause, looked.pause()))
		if len(due) > 0 {
			l.admission.rate.begin()
		} else {
			l.admission.rate.rest() // all there is to do is to wait for what hangs
		}
		work.beginDue(inTurns(due), l.drainers, l.stuck.allows, begin, fails, next.C)
		next.Stop()
	}
	return group.Wait()
}

// looked is when it was last looked what waits, and how long that took.
type looked struct {
	at   time.Time
	took time.Duration
}

func (l *looked) begin() { l.at = time.Now() }
func (l *looked) end()   { l.took = time.Since(l.at) }

// pause is how long not to look again.
func (l *looked) pause() time.Duration {
	return time.Until(l.at.Add(min(lookShare*l.took, mostLookPause)))
}

// sleep waits, but no longer than the context lasts.
func sleep(ctx context.Context, pause time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(pause):
	}
}

// drainWork is what is being drained.
type drainWork struct {
	ended chan string
	under map[string]bool // the objects
	of    map[string]int  // how many of each Channel
}

func (w *drainWork) begin(name string) {
	w.under[name] = true
	w.of[channelOf(name)]++
}

func (w *drainWork) end(name string) {
	delete(w.under, name)
	if channel := channelOf(name); w.of[channel] > 1 {
		w.of[channel]--
	} else {
		delete(w.of, channel)
	}
}

// beginDue begins objects, as there is room for their Channels and these are allowed, until it is time to
// look again, or the API server fails.
func (w *drainWork) beginDue(names []string, room func() int, allows func(channel string, under int) bool, begin func(name string), fails func() bool, next <-chan time.Time) {
	var channels []string
	left := map[string][]string{}
	for _, name := range names {
		channel := channelOf(name)
		if left[channel] == nil {
			channels = append(channels, channel)
		}
		left[channel] = append(left[channel], name)
	}
	for waiting := len(names); waiting+len(w.under) > 0 && !fails(); {
		begun := false
		for _, channel := range channels {
			if len(left[channel]) > 0 && fair.Allows(1, int64(w.of[channel]), int64(room()-len(w.under))) && allows(channel, w.of[channel]) {
				begin(left[channel][0])
				left[channel], begun = left[channel][1:], true
				waiting--
			}
		}
		if begun {
			continue
		}
		select {
		case name := <-w.ended:
			w.end(name)
		case <-next:
			return
		}
	}
}

// drainers is how many objects may be drained at a time: more than are written, since each also waits
// for the disk to forget it. Four pushes on their way into the journal take the place of three: what is
// there can wait, and where a storm keeps the machine busy, acknowledging comes first. Some always
// drain: other Channels have records there too.
func (l *Ledger) drainers() int {
	return max(minDrainers, maxDrainers-int(l.inHand.Load())*3/4)
}

// inTurns orders objects, given with the newest first, so that each Channel has its turn,
// however much the others have. Of a Channel the newest comes first; but every fourth is the
// oldest, or that would wait as long as a storm lasts.
func inTurns(names []string) []string {
	var channels []string
	of := map[string][]string{}
	for _, name := range names {
		channel := channelOf(name)
		if of[channel] == nil {
			channels = append(channels, channel)
		}
		of[channel] = append(of[channel], name)
	}
	turns := make([]string, 0, len(names))
	for round := 1; len(turns) < len(names); round++ {
		for _, channel := range channels {
			left := of[channel]
			switch {
			case len(left) == 0:
			case round%4 == 0:
				turns, of[channel] = append(turns, left[len(left)-1]), left[:len(left)-1]
			default:
				turns, of[channel] = append(turns, left[0]), left[1:]
			}
		}
	}
	return turns
}

// drainOne writes the oldest records of an object, and no more: what is put into the journal all the
// time must not keep the others waiting. The error is the API server's.
func (l *Ledger) drainOne(ctx context.Context, name string) error {
	records, err := l.journal.Of(name, drainAtOnce)
	if err == nil && len(records) == 0 {
		l.stuck.free(name)
		return nil
	}
	if err == nil {
		err = l.lines.safely(ctx, name, func() error { return l.drainRecords(ctx, name, records) })
	}
	switch {
	case err == nil:
		l.stuck.written(name)
		return nil
	case faultOf(err) == ofServer:
		return err
	case faultOf(err) == inDoubt:
		l.stuck.doubt(name)
	}
	l.stuck.hold(ctx, name, records, err)
	return nil
}

// drainRecords has records of an object written, and forgets each that was. One that the API
// server refuses is set aside, when it refuses it as it stands, or has done so for long.
func (l *Ledger) drainRecords(ctx context.Context, name string, records []journal.Record) error {
	channel, err := l.channelNow(ctx, name)
	if err != nil {
		return err
	}
	standing := make([]*waiting, len(records))
	asides := map[uint64]string{}
	for i, record := range records {
		f, err := factIn(record)
		if err != nil {
			asides[record.Seq] = l.refused(ctx, record, f, fmt.Errorf("it cannot be read: %w", err))
			continue
		}
		if !f.known() {
			asides[record.Seq] = l.refused(ctx, record, f, errors.New("it is of a kind that this version does not know"))
			continue
		}
		if !f.isOf(channel) {
			asides[record.Seq] = l.refused(ctx, record, f, errOtherAccount)
			continue
		}
		standing[i] = l.lines.join(ctx, f)
	}
	var failed []error
	var written []uint64
	answered := 0
	for i, w := range standing {
		if w == nil {
			continue
		}
		r := l.lines.await(ctx, w)
		if r.err == nil || itsOwn(r.err) {
			answered++
		}
		switch {
		case r.err == nil:
			written = append(written, records[i].Seq)
		case refusalOf(r.err) != refusedNot, errors.Is(r.err, errPanic), itsOwn(r.err) && l.stuck.triedFor(name, records[i].Seq) > asideAfter:
			asides[records[i].Seq] = l.refused(ctx, records[i], w.fact, r.err)
		default:
			failed = append(failed, r.err)
		}
	}
	if answered < len(standing) || l.drainers() < maxWrites {
		l.admission.rate.rest() // the API server fails, or it gives way: that says nothing about its speed
	} else {
		l.admission.rate.dealtWith(answered)
	}
	return errors.Join(l.journal.Delete(written...), l.journal.SetAside(asides), firstOf(failed))
}

// errOtherAccount is a record of an account that its Channel's name does not stand for any more.
var errOtherAccount = errors.New("the Channel was made again for another account, and this was pushed to the one before: " +
	"make a Channel of this name for that account, and have what is set aside tried again")

// channelNow is the Channel of an object in the journal as the cache has it now; nil if the cache knows
// none: it is not filled, or does not hold that namespace.
func (l *Ledger) channelNow(ctx context.Context, object string) (*v1alpha1.Channel, error) {
	name, _, ok := nameOf(object)
	if !ok || !l.sees() {
		return nil, nil
	}
	var channel v1alpha1.Channel
	if err := l.cache.Get(ctx, name, &channel, client.UnsafeDisableDeepCopy); err != nil {
		return nil, ctx.Err() // a namespace that is not watched is no error of the API server's: it will say what it thinks
	}
	return &channel, nil
}

// factIn reads the fact of a record. One that says more than this version knows is an error: a
// newer version wrote it, and what it says must not be lost.
func factIn(record journal.Record) (f fact, err error) {
	decoder := json.NewDecoder(bytes.NewReader(record.Data))
	decoder.DisallowUnknownFields()
	err = decoder.Decode(&f) // by itself: in a return, f could be read before it is filled
	return f, err
}

// firstOf is the gravest of many failures: one of the API server, else one of an object.
func firstOf(failures []error) error {
	var first error
	for _, err := range failures {
		if err != nil && (first == nil || faultOf(err) > faultOf(first)) {
			first = err
		}
	}
	return first
}

// refused says that a record is to be set aside, and gives the reason: somebody must look at it.
// Of very many the log names some.
func (l *Ledger) refused(ctx context.Context, record journal.Record, f fact, why error) (reason string) {
	reason = reasonOf(why)
	if leftOut, allowed := l.refusals.Next(); allowed {
		ctrl.LoggerFrom(ctx).Error(nil, "a push that was acknowledged cannot be recorded, and is set aside in the journal until somebody asks for it",
			"why", reason, "object", f.Object.String(), "namespace", f.Object.Namespace, "receivedAt", record.At, "record", record.Seq,
			"linesLeftOut", leftOut)
	}
	return reason
}
