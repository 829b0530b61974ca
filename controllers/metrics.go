package controllers

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var freshnessLag = prometheus.NewHistogramVec(prometheus.HistogramOpts{
	Name:    "channel_operator_freshness_lag_seconds",
	Help:    "Time from a change as the platform dates it to the status that reflects it, in seconds, by channel and kind.",
	Buckets: prometheus.ExponentialBuckets(0.1, 2, 18),
}, []string{"channel", "kind"})

var unknownRemoved = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "channel_operator_unknown_objects_removed_total",
	Help: "Objects deleted because only pushes named them whose sender nothing proves, and the platform goes on not to know them, by channel.",
}, []string{"channel"})

// Collectors are the metrics of this package, for the registry of the process.
func Collectors() []prometheus.Collector { return []prometheus.Collector{freshnessLag, unknownRemoved} }

func observeLag(channel, kind string, changed, now time.Time) {
	freshnessLag.WithLabelValues(channel, kind).Observe(max(now.Sub(changed), 0).Seconds())
}
