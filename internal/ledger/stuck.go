package ledger

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/laidoulaile/channel-operator/internal/journal"
	"github.com/laidoulaile/channel-operator/internal/quiet"
)

const (
	// firstHold and lastHold bound the pause of one object that the API server does not take.
	// Where it may be the API server that fails it is no longer than one for all.
	firstHold, lastHold = 250 * time.Millisecond, time.Minute
	// severalFail is how many objects must fail in a row, each in doubt, for the API server to
	// be what fails.
	severalFail = 5
	// stuckLogEvery is how often it is logged that one object is stuck; of all together it is
	// once a second, after the first ten.
	stuckLogEvery = time.Minute
	// asideAfter is how long a record is tried that the API server refuses for what may pass:
	// a quota, a namespace that is gone. It is this process that tries, by a clock that nobody
	// sets: neither the time before a restart counts, nor that of the record.
	asideAfter = time.Hour
)

// stuck are the objects that cannot be written for their own sake, or it may be for that. Each
// has a pause of its own, and holds up no other.
type stuck struct {
	lines *quiet.Lines

	mu      sync.Mutex
	objects map[string]*held
	// doubted are those that failed in doubt since one was answered otherwise.
	doubted map[string]bool
	// lastDoubt is how the last of them failed.
	lastDoubt error
}

// held is one of them.
type held struct {
	pause  time.Duration
	until  time.Time
	logged time.Time
	tried  map[uint64]time.Time // records, and since when they are tried in vain
}

func newStuck() *stuck {
	return &stuck{lines: quiet.New(time.Second, 10), objects: map[string]*held{}, doubted: map[string]bool{}}
}

// due leaves out the objects whose pause is not over.
func (s *stuck) due(names []string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	return slices.DeleteFunc(names, func(name string) bool {
		h := s.objects[name]
		return h != nil && now.Before(h.until)
	})
}

// next is when the first pause is over; never, if there is none.
func (s *stuck) next() <-chan time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	var first time.Time
	for _, h := range s.objects {
		if first.IsZero() || h.until.Before(first) {
			first = h.until
		}
	}
	if first.IsZero() {
		return nil
	}
	return time.After(max(time.Until(first), firstHold)) // never without a pause
}

// free forgets an object.
func (s *stuck) free(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, name)
	delete(s.doubted, name)
}

// written forgets an object, and all doubts: the API server takes what it is given.
func (s *stuck) written(name string) {
	s.free(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.doubted)
}

// doubt notes an object that failed in doubt.
func (s *stuck) doubt(name string, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doubted[name] = true
	s.lastDoubt = why
}

// severalInDoubt reports whether so many failed in doubt in a row that it may be the API server.
func (s *stuck) severalInDoubt() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.doubted) >= severalFail
}

// verdict is how the API server fails, when several failed in doubt and nothing was written
// since; nil: it does not.
func (s *stuck) verdict() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.doubted) < severalFail {
		return nil
	}
	clear(s.doubted)
	return s.lastDoubt
}

// triedFor is how long a record of an object has been tried in vain.
func (s *stuck) triedFor(name string, seq uint64) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.of(name)
	since, known := h.tried[seq]
	if !known {
		since = time.Now()
		h.tried[seq] = since
	}
	return time.Since(since)
}

func (s *stuck) of(name string) *held {
	h := s.objects[name]
	if h == nil {
		h = &held{tried: map[uint64]time.Time{}}
		s.objects[name] = h
	}
	return h
}

// hold gives an object its pause, twice as long each time, and logs why now and then. The
// records are those that were tried.
func (s *stuck) hold(ctx context.Context, name string, records []journal.Record, why error) {
	pause, log := s.pause(name, records, faultOf(why))
	if !log {
		return
	}
	if leftOut, allowed := s.lines.Next(); allowed {
		ctrl.LoggerFrom(ctx).Info("what the journal keeps of an object cannot be written yet: trying it again, and going on with the others",
			"object", name, "in", pause.String(), "why", why.Error(), "linesLeftOut", leftOut)
	}
}

func (s *stuck) pause(name string, records []journal.Record, whose fault) (pause time.Duration, log bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, now := s.of(name), time.Now()
	maps.DeleteFunc(h.tried, func(seq uint64, _ time.Time) bool {
		return !slices.ContainsFunc(records, func(r journal.Record) bool { return r.Seq == seq })
	})
	most := lastHold
	if whose == ofObject {
		clear(s.doubted) // the API server has an answer
	} else {
		most = lastDrainRetry
	}
	h.pause = min(max(2*h.pause, firstHold), most)
	h.until = now.Add(h.pause)
	if log = h.logged.IsZero() || now.Sub(h.logged) >= stuckLogEvery; log {
		h.logged = now
	}
	return h.pause, log
}
