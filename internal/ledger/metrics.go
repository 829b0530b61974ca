package ledger

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/laidoulaile/channel-operator/internal/journal"
)

// journalPuts counts what was acknowledged from the journal.
var journalPuts = prometheus.NewCounter(prometheus.CounterOpts{
	Name: "channel_operator_journal_puts_total",
	Help: "Facts that were put into the journal because the API server was behind or away.",
})

// Collectors are the ledger's metrics, for the one registry they go into: what unproven pushes
// made and, if there is a journal, how much it keeps.
func (l *Ledger) Collectors() []prometheus.Collector {
	always := []prometheus.Collector{l.unknown, l.unknown.refuse, panicked}
	if l.journal == nil {
		return always
	}
	gauge := func(name, help string, read func(journal.Stats) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "channel_operator_journal_" + name, Help: help},
			func() float64 { return read(l.journal.Stats()) })
	}
	return append(always,
		l.admission.refused,
		gauge("drain_rate", "Records a second that the drain deals with, as last measured; 300 before it was.",
			func(journal.Stats) float64 { return l.admission.rate.perSecond() }),
		journalPuts,
		gauge("records", "Pushes that were acknowledged and are kept in the journal until they are written.",
			func(s journal.Stats) float64 { return float64(s.Records) }),
		gauge("bytes", "What the journal's records come to.", func(s journal.Stats) float64 { return float64(s.Bytes) }),
		gauge("set_aside", "Records that the API server refuses as they stand: somebody must look at them.",
			func(s journal.Stats) float64 { return float64(s.Asides) }),
		gauge("oldest_seconds", "Age of the oldest record; 0 if there is none.", func(s journal.Stats) float64 {
			if s.Oldest.IsZero() {
				return 0
			}
			return max(0, time.Since(s.Oldest).Seconds())
		}),
		gauge("failed", "1 while the journal's disk fails.", func(s journal.Stats) float64 {
			if s.Failed {
				return 1
			}
			return 0
		}))
}
