package faults

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
	"github.com/laidoulaile/channel-operator/test/env"
)

const (
	// takeover is how soon another must lead when the leader is gone: its lease lasts 12 s, and
	// the others look each second.
	takeover = 20 * time.Second
	// firstWork is how soon after that it must have written a status.
	firstWork = 10 * time.Second
)

// Two replicas receive, and one of them leads. The leader is killed or, in the long run, every
// other time stopped until the other leads, and goes on: for a moment there are two. Nothing
// that was acknowledged is lost, the controllers go on in time, and no status goes back.
func TestTwoReplicasLoseNothingAndNoStatusGoesBack(t *testing.T) {
	seed, rounds := uint64(number(t, "FAULTS_SEED", int(time.Now().UnixNano()%1_000_000))), max(1, number(t, "FAULTS_DELIVERIES", 0)/1500)
	t.Logf("FAULTS_SEED=%d", seed)
	p := newPair(t)
	m := p.one.openMarket("pair", "770071")
	first := p.receiving(t, m)
	// So that at each moment many looks are under way.
	m.fake.Inject(platformtest.Fault{Kind: platformtest.Slow, Times: -1, Delay: 100 * time.Millisecond})
	progress, stop := p.one.watchProgress()
	begun := time.Now()
	sender, over := newSender(p.one.push, p.two.push), make(chan struct{})
	var breaking sync.WaitGroup
	breaking.Go(func() {
		defer close(over)
		for round := range rounds {
			if round%2 == 0 {
				p.killLeader(progress)
			} else {
				p.stopLeader(progress)
			}
		}
	})
	messages := append(m.live(rand.New(rand.NewPCG(seed, 5)), sender, 0, over), first)
	breaking.Wait()
	raged := time.Since(begun)
	m.tellAgain(sender, messages)
	p.one.drained()
	p.two.drained()
	drained := time.Since(begun) - raged
	m.check(messages)
	stop()
	if back := progress.wentBack(m.past); len(back) > 0 {
		t.Errorf("%d times a status went back: %q", len(back), back[:min(len(back), 10)])
	}
	if bad := sender.complaints(); len(bad) > 0 {
		t.Errorf("%d replies that no good push may get: %q", len(bad), bad[:min(len(bad), 10)])
	}
	t.Logf("in %s (drained after %s, settled after %s): %d messages, delivered %d times (%d to the end), sent %d times (%d asked for again, %d unanswered); the journals kept %d and %d",
		raged.Round(time.Second), drained.Round(time.Second), (time.Since(begun) - raged - drained).Round(time.Second), len(messages), sender.deliveries.Load(), sender.successes.Load(), sender.posts.Load(), sender.retries.Load(), sender.unanswered.Load(),
		p.one.everKept(), p.two.everKept())
}

// pair is two replicas.
type pair struct{ one, two *world }

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{one: newReplica(t), two: newReplica(t)}
	p.two.namespace = p.one.namespace
	return p
}

// receiving waits until both replicas know the market, each by its own watch, and gives the push
// that both took.
func (p *pair) receiving(t *testing.T, m *market) *message {
	t.Helper()
	const id = "7700710"
	if err := m.fake.PutOrder(platformtest.Order{ID: id, ProductID: "7", Quantity: 1, Price: 100}); err != nil {
		t.Fatal(err)
	}
	first := m.happen(event{of: &happening{}, play: &play{order: id, steps: []step{func() ([]byte, error) { return m.fake.Pay(id) }}}})
	for _, w := range []*world{p.one, p.two} {
		w.eventually(func() error { return accepted(post(t, w.push, first.url(), first.body, nil)) })
	}
	first.acknowledged.Store(true)
	return first
}

// newReplica is a manager with a journal of its own, which may lead.
func newReplica(t *testing.T) *world {
	t.Helper()
	w := &world{TB: t, gate: &gate{}, patient: true, journal: filepath.Join(t.TempDir(), "journal")}
	w.server = w.gate.serve(t, apiServer(t, env.Config()))
	w.flags = []string{"--journal-dir", w.journal, "--leader-elect", "--leader-elect-namespace", env.ManagerNamespace}
	w.begin()
	return w
}

// leader waits until a replica leads, and gives it.
func (p *pair) leader() (leader *world, err error) {
	err = p.one.within(func() error {
		for _, w := range []*world{p.one, p.two} {
			if w.isUp() == nil && w.leads() {
				leader = w
				return nil
			}
		}
		return fmt.Errorf("nobody leads")
	})
	return leader, err
}

// leads reports whether the manager leads.
func (w *world) leads() bool {
	leads, err := w.gauge(`leader_election_master_status{name="channel-operator.channel.laidoulaile.online"}`)
	return err == nil && leads == 1
}

// workingLeader is the leader once it works; nil, and an error of the test, if none does.
func (p *pair) workingLeader(seen *progress) *world {
	leader, err := p.leader()
	if err == nil {
		err = p.awaitWork(seen, time.Now(), time.Now().Add(eventually))
	}
	if err != nil {
		p.one.Error(err)
		return nil
	}
	return leader
}

// killLeader kills the leader, once it works, and waits until another works in its place.
func (p *pair) killLeader(seen *progress) {
	leader := p.workingLeader(seen)
	if leader == nil {
		return
	}
	gone := time.Now()
	leader.kill()
	p.takenOver(leader, seen, "killed", gone)
}

// stopLeader stops the leader until another works in its place, and lets it go on: it finds
// that it does not lead any more, and ends.
func (p *pair) stopLeader(seen *progress) {
	leader := p.workingLeader(seen)
	if leader == nil {
		return
	}
	deaths := leader.died()
	leader.mu.Lock()
	pid := leader.manager.Pid()
	leader.mu.Unlock()
	gone := time.Now()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		p.one.Error(err)
		return
	}
	p.takenOver(leader, seen, "stopped", gone)
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		p.one.Error(err)
	}
	err := p.one.within(func() error {
		if leader.died() == deaths {
			return fmt.Errorf("the leader that was stopped has not ended")
		}
		return leader.isUp()
	})
	if err != nil {
		p.one.Error(err)
	}
}

// takenOver checks that another leads in time, and writes a status soon after. What the old
// leader sent off before it was gone may still be written a moment later.
func (p *pair) takenOver(old *world, seen *progress, how string, gone time.Time) {
	other := p.one
	if old == p.one {
		other = p.two
	}
	for !other.leads() && !p.restarted(old, how) {
		if time.Since(gone) > takeover {
			p.one.Errorf("the leader was %s, and nobody leads after %s\n%s", how, takeover, other.log())
			return
		}
		time.Sleep(100 * time.Millisecond) // each look reads all metrics, of both
	}
	led := time.Since(gone)
	if err := p.awaitWork(seen, gone.Add(2*time.Second), time.Now().Add(firstWork)); err != nil {
		p.one.Errorf("the leader was %s: %v", how, err)
		return
	}
	p.one.Logf("the leader was %s; another led after %s, and the first status was written after %s",
		how, led.Round(100*time.Millisecond), seen.lastWritten().Sub(gone).Round(100*time.Millisecond))
}

// restarted reports whether a leader that was killed leads again, in a new process.
func (p *pair) restarted(old *world, how string) bool {
	return how == "killed" && old.isUp() == nil && old.leads()
}

// awaitWork waits until a status was written after a time, but no longer than the deadline.
func (p *pair) awaitWork(seen *progress, after, deadline time.Time) error {
	for ; !seen.lastWritten().After(after); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("no status was written in time\n%s\n%s", p.one.log(), p.two.log())
		}
	}
	return nil
}
