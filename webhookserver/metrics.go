package webhookserver

import "github.com/prometheus/client_golang/prometheus"

var (
	pushes = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "channel_operator_pushes_total",
		Help: "Pushes received, by platform, channel (empty: no account found), type (the platform's, or unknown) and outcome.",
	}, []string{"platform", "channel", "type", "outcome"})

	replySeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "channel_operator_push_reply_seconds",
		Help:    "Time from a push's first byte to its reply, in seconds.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
	}, []string{"platform"})

	slowed = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "channel_operator_pushes_slowed_total",
		Help: "Pushes to be sent again that were not looked at, because wrong tokens or signatures came from their address, by channel.",
	}, []string{"channel"})
)

// Collectors are the metrics of this package, for the registry of the process.
func Collectors() []prometheus.Collector {
	return []prometheus.Collector{pushes, replySeconds, slowed}
}
