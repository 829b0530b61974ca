package ledger_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/laidoulaile/channel-operator/internal/journal"
	"github.com/laidoulaile/channel-operator/internal/ledger"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

// of records for another Channel of the same namespace, and gives why it was not recorded.
func (k *kept) of(channel, order string) error {
	account := *k.account
	account.Name = channel
	outcome, err := k.Record(k.Context(), &account, push("x"), []platform.Event{told(order, "m-1")})
	if (err == nil) != outcome.Accepted() {
		k.Errorf("%s, %v", outcome, err)
	}
	return err
}

// flood records orders of a Channel until one is not taken, and gives how many were, and why.
func (k *kept) flood(channel string) (taken int, why error) {
	k.Helper()
	for ; taken < 1000; taken++ {
		if why = k.of(channel, fmt.Sprintf("%d", taken)); why != nil {
			return taken, why
		}
	}
	k.Fatal("there is no end of it")
	return taken, nil
}

func says(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}

// While the API server is away, a Channel that floods is told to try again when it has its
// share, and others are still acknowledged; when too much waits, nobody is. What was
// acknowledged is written in the end, and what was not is not.
func TestFloodIsToldToTryAgain(t *testing.T) {
	k := keep(t, "fliggy")
	k.LimitDrainTime(100 * time.Millisecond) // 30 records
	k.server.away.Store(true)
	flood, why := k.flood("flood")
	if says(t, why, "/flood holds its share of the journal"); flood != 15 {
		t.Errorf("%d of a Channel alone were taken, want half of 30", flood)
	}
	second, why := k.flood("second")
	if says(t, why, "/second holds its share of the journal"); second != 8 {
		t.Errorf("%d of a second Channel were taken, want half of what the first left", second)
	}
	// A process that starts counts what it finds.
	k.stop()
	k.start(t)
	k.LimitDrainTime(100 * time.Millisecond)
	says(t, k.of("flood", "more"), "/flood holds its share of the journal")
	for i := range 7 {
		if err := k.of(fmt.Sprintf("calm-%d", i), "1"); err != nil {
			t.Errorf("a Channel that holds nothing: %v", err)
		}
	}
	says(t, k.of("late", "1"), "the journal would take longer than 100ms to drain")

	k.server.away.Store(false)
	k.empties()
	for i := range flood {
		k.order(fmt.Sprintf("flood-%d", i))
	}
	for i := range second {
		k.order(fmt.Sprintf("second-%d", i))
	}
	for i := range 7 {
		k.order(fmt.Sprintf("calm-%d-1", i))
	}
	// What is drained is given back.
	k.server.away.Store(true)
	if again, _ := k.flood("flood"); again < 5 { // by the speed that was measured
		t.Errorf("%d were taken after the drain", again)
	}
	want := map[string]float64{"/flood share": 2, "/second share": 1, "/late drain_time": 1}
	got := k.refused(t)
	for key, n := range want {
		if key == "/flood share" && got[key] != n || key != "/flood share" && got[key] > n {
			t.Errorf("%s refused %v times, want %v", key, got[key], n)
		}
	}
}

// refused is what the metric counts of this process, by the Channel's name and why.
func (k *kept) refused(t *testing.T) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(k.Collectors()...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "channel_operator_journal_refused_total" {
				channel := strings.TrimPrefix(m.GetLabel()[0].GetValue(), k.account.Namespace)
				got[channel+" "+m.GetLabel()[1].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	return got
}

// The journal's bytes are divided too, also where there is no bound of time; what is set aside
// takes room, and its Channel's.
func TestBytesAreDivided(t *testing.T) {
	k := keep(t, "fliggy")
	k.stop()
	small, err := journal.Open(journal.Options{Dir: t.TempDir(), MaxBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = small.Close() })
	k.journal, k.Ledger = small, ledger.New(k.server.client(t), k.api, small)
	k.server.away.Store(true)
	flood, why := k.flood("flood")
	if says(t, why, "/flood holds its share of the journal"); flood < 5 {
		t.Errorf("%d were taken", flood)
	}
	if bytes := small.Stats().Bytes; bytes < 32<<10 || bytes > 48<<10 {
		t.Errorf("a Channel alone has %d bytes of %d", bytes, 64<<10)
	}
	if err := k.of("calm", "1"); err != nil {
		t.Errorf("a Channel that holds nothing: %v", err)
	}
	for seq := range uint64(flood) {
		if err := small.SetAside(map[uint64]string{seq + 1: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	says(t, k.of("flood", "more"), "/flood holds its share of the journal")
	if err := small.Delete(1, 2); err != nil {
		t.Fatal(err)
	}
	if err := k.of("flood", "more"); err != nil {
		t.Errorf("after two were deleted: %v", err)
	}
}

// Records whose time is not ours (the clock was set, back or ahead) are written like others.
func TestRecordsOfAnyTimeAreWritten(t *testing.T) {
	for name, skew := range map[string]time.Duration{"past": -100 * 365 * 24 * time.Hour, "future": 100 * 365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			k := keep(t, "fliggy")
			k.stop()
			odd, err := journal.Open(journal.Options{Dir: k.dir, Now: func() time.Time { return time.Now().Add(skew) }})
			if err != nil {
				t.Fatal(err)
			}
			k.server.away.Store(true)
			k.Ledger = ledger.New(k.server.client(t), k.api, odd)
			k.record(push("x"), told("1", "m-1"))
			home := k.account.Namespace
			k.account.Namespace = "nowhere"
			k.record(push("x"), told("stuck", "m-1"))
			k.account.Namespace = home
			if err := odd.Close(); err != nil {
				t.Fatal(err)
			}
			k.server.away.Store(false)
			k.start(t) // by a clock that is right again
			for deadline := time.Now().Add(20 * time.Second); k.journal.Stats().Records > 1; time.Sleep(5 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("the journal still keeps %+v", k.journal.Stats())
				}
			}
			k.order("fliggy-1")
			// The other is refused for what may pass: it waits, and is not set aside for its age.
			tries := k.server.writes.Load()
			for deadline := time.Now().Add(20 * time.Second); k.server.writes.Load() < tries+4; time.Sleep(5 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("it is not tried again")
				}
			}
			if stats := k.journal.Stats(); stats.Records != 1 || stats.Asides != 0 {
				t.Errorf("%+v", stats)
			}
		})
	}
}
