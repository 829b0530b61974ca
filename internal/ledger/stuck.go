package ledger

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/laidoulaile/channel-operator/internal/apierror"
	"github.com/laidoulaile/channel-operator/internal/journal"
	"github.com/laidoulaile/channel-operator/internal/quiet"
)

const (
	// firstHold and lastHold bound the pause of one object that the API server does not take.
	// Where it may be the API server that fails it is no longer than one for all.
	firstHold, lastHold = 250 * time.Millisecond, time.Minute
	// severalFail is how many objects of a Channel must fail in a row, each in doubt, for the Channel to
	// rest.
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
	// ailing are the Channels of which some failed in doubt since one of theirs was answered otherwise.
	ailing map[string]*ailing
}

// ailing is one of them. When several of its objects have failed it rests, as a whole, and then one of
// them at a time tells whether it still ails. Where it is the API server that fails, it is so with each
// Channel.
type ailing struct {
	doubted map[string]bool
	pause   time.Duration // zero until it has rested
	until   time.Time     // when it has rested
}

// held is one of them.
type held struct {
	pause  time.Duration
	until  time.Time
	logged time.Time
	tried  map[uint64]time.Time // records, and since when they are tried in vain
}

func newStuck() *stuck {
	return &stuck{lines: quiet.New(time.Second, 10), objects: map[string]*held{}, ailing: map[string]*ailing{}}
}

// due leaves out the objects whose pause, or their Channel's, is not over.
func (s *stuck) due(names []string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	return slices.DeleteFunc(names, func(name string) bool {
		h := s.objects[name]
		return h != nil && now.Before(h.until) || s.rests(channelOf(name), now)
	})
}

// next is when the first pause is over; never, if there is none.
func (s *stuck) next() <-chan time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	var first time.Time
	now := time.Now()
	sooner := func(until time.Time) {
		if !until.IsZero() && (first.IsZero() || until.Before(first)) {
			first = until
		}
	}
	for name, h := range s.objects {
		if !s.rests(channelOf(name), now) {
			sooner(h.until)
		}
	}
	for _, c := range s.ailing {
		if now.Before(c.until) {
			sooner(c.until)
		}
	}
	if first.IsZero() {
		return nil
	}
	return time.After(max(time.Until(first), firstHold)) // never without a pause
}

// rests reports whether a Channel rests. The lock is held.
func (s *stuck) rests(channel string, now time.Time) bool {
	c := s.ailing[channel]
	return c != nil && now.Before(c.until)
}

// allows reports whether one more object of a Channel may be tried while so many of it are.
func (s *stuck) allows(channel string, tried int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.ailing[channel]
	return c == nil || !time.Now().Before(c.until) && (c.pause == 0 || tried == 0)
}

// free forgets an object.
func (s *stuck) free(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, name)
	if c := s.ailing[channelOf(name)]; c != nil {
		delete(c.doubted, name)
	}
}

// written forgets an object, and the doubts about its Channel.
func (s *stuck) written(name string) {
	s.free(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.ailing, channelOf(name))
}

// doubt notes an object that failed in doubt.
func (s *stuck) doubt(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, now := s.ailing[channelOf(name)], time.Now()
	if c == nil {
		c = &ailing{doubted: map[string]bool{}}
		s.ailing[channelOf(name)] = c
	}
	if now.Before(c.until) {
		return // it was begun before
	}
	if c.doubted[name] = true; len(c.doubted) >= severalFail || c.pause > 0 {
		c.pause = min(max(2*c.pause, firstDrainRetry), lastDrainRetry)
		c.until = now.Add(c.pause)
		clear(c.doubted)
	}
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
			"object", name, "in", pause.String(), "why", apierror.Plain(why), "linesLeftOut", leftOut)
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
		delete(s.ailing, channelOf(name)) // the API server has an answer
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
