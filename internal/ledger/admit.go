package ledger

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/laidoulaile/channel-operator/internal/fair"
	"github.com/laidoulaile/channel-operator/internal/journal"
)

const (
	// assumedRate is how many facts a second the drain is taken to deal with before that was
	// measured: a small API server does more.
	assumedRate = 300
	// leastRate is what it is taken to deal with at the least, however slow it was: else a
	// journal that nothing is put into would never be measured again.
	leastRate = 10
	// rateWindow is how long the drain must have work without a pause to be measured, and
	// rateMemory the time after which a measurement counts for a third.
	rateWindow, rateMemory = time.Second, 10 * time.Second
)

// admission decides which facts the journal takes: no more than are drained within a set time,
// nor than it has room for, and of both each Channel its share. The journal itself counts what
// each Channel has in it.
type admission struct {
	rate rate
	// most is how long a drain may take; 0: as long as it does.
	most    time.Duration
	bytes   int64
	refused *prometheus.CounterVec
}

func newAdmission(bytes int64) *admission {
	return &admission{bytes: bytes, rate: rate{mean: assumedRate}, refused: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "channel_operator_journal_refused_total",
		Help: "Pushed facts that the journal did not take, by channel and why: drain_time (too much waits in it) or share (too much of this Channel's does).",
	}, []string{"channel", "why"})}
}

// admits is the journal's question about one record more of a Channel (namespace/name).
func (a *admission) admits(channel string, mine, all journal.Use) error {
	if a.most > 0 {
		free := int64(a.rate.perSecond()*a.most.Seconds()) - all.Records
		if free < 1 {
			a.refused.WithLabelValues(channel, "drain_time").Inc()
			return fmt.Errorf("the journal would take longer than %s to drain", a.most)
		}
		if !fair.Allows(1, mine.Records, free) {
			return a.refuseShare(channel)
		}
	}
	if !fair.Allows(1, mine.Bytes, a.bytes-all.Bytes) {
		return a.refuseShare(channel)
	}
	return nil
}

func (a *admission) refuseShare(channel string) error {
	a.refused.WithLabelValues(channel, "share").Inc()
	return fmt.Errorf("Channel %s holds its share of the journal", channel) //nolint:staticcheck // Channel is the kind's name
}

// LimitDrainTime has the journal refuse facts where draining it would take longer than most,
// by the speed of the last drains, and a Channel's that have their share of that time; 0: no
// bound. It is called before anything is recorded.
func (l *Ledger) LimitDrainTime(most time.Duration) {
	if l.admission != nil {
		l.admission.most = most
	}
}

// rate is how many facts a second the drain deals with: a mean in which what was long ago
// counts less. Only time in which it had work without a pause counts. A fact that the API
// server refuses counts too: it took its time.
type rate struct {
	mu    sync.Mutex
	mean  float64
	since time.Time // when what is being measured began; zero: it rests
	facts int       // since then
}

func (r *rate) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.since.IsZero() {
		r.since, r.facts = time.Now(), 0
	}
}

// rest forgets what is being measured: the drain has nothing to do, or the API server is away.
func (r *rate) rest() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.since = time.Time{}
}

func (r *rate) dealtWith(facts int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.facts += facts
	took := time.Since(r.since)
	if r.since.IsZero() || took < rateWindow {
		return
	}
	r.mean += (float64(r.facts)/took.Seconds() - r.mean) * (1 - math.Exp(-took.Seconds()/rateMemory.Seconds()))
	r.since, r.facts = time.Now(), 0
}

func (r *rate) perSecond() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(r.mean, leastRate)
}
