package ledger

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/laidoulaile/channel-operator/internal/journal"
)

// gauges are the values of the ledger's gauges of the journal, by what comes behind channel_operator_journal_.
func (d *desk) gauges() map[string]float64 {
	d.t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(d.Collectors()...)
	families, err := registry.Gather()
	if err != nil {
		d.t.Fatal(err)
	}
	const prefix = len("channel_operator_journal_")
	values := map[string]float64{}
	for _, family := range families {
		if m := family.GetMetric(); len(m) == 1 && m[0].GetGauge() != nil {
			values[family.GetName()[prefix:]] = m[0].GetGauge().GetValue()
		}
	}
	return values
}

// The gauges show how many records wait in the journal, what they come to, and how old the oldest is;
// what is set aside takes room, and does not wait.
func TestGaugesShowWhatTheJournalKeeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, 10*time.Millisecond, nil)
		shows := func(when string, records, aside, bytes int, oldest time.Duration) {
			t.Helper()
			got := d.gauges()
			for name, want := range map[string]float64{
				"records": float64(records), "set_aside": float64(aside), "bytes": float64(bytes), "oldest_seconds": oldest.Seconds(), "failed": 0,
			} {
				if value, there := got[name]; !there || value != want {
					t.Errorf("%s: %s is %v, want %v", when, name, value, want)
				}
			}
		}
		weighs := func(f fact) int {
			data, err := json.Marshal(f)
			if err != nil {
				t.Fatal(err)
			}
			return len(f.Object.name()) + len(data) + 64
		}
		first, second := factOf("a", "1"), factOf("another", "2")
		shows("empty", 0, 0, 0, 0)
		d.put(first)
		time.Sleep(90 * time.Second)
		shows("one", 1, 0, weighs(first), 90*time.Second)
		d.put(second)
		time.Sleep(10 * time.Second)
		shows("two", 2, 0, weighs(first)+weighs(second), 100*time.Second)
		oldest, err := d.journal.Of(first.Object.name(), 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.journal.SetAside(map[uint64]string{oldest[0].Seq: "why"}); err != nil {
			t.Fatal(err)
		}
		shows("the first set aside", 1, 1, weighs(first)+len("why")+weighs(second), 10*time.Second)
		d.draining() // which tries what is set aside, too
		time.Sleep(time.Minute)
		shows("drained", 0, 0, 0, 0)
	})
}

// A clock that was set back makes no record younger than nothing.
func TestOldestIsNeverOfTheFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDeskWith(t, 0, journal.Options{Now: func() time.Time { return time.Now().Add(time.Hour) }})
		d.put(factOf("a", "1"))
		if oldest := d.gauges()["oldest_seconds"]; oldest != 0 {
			t.Errorf("%v", oldest)
		}
	})
}
