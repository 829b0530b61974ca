package platform

import "github.com/prometheus/client_golang/prometheus"

var (
	platformCalls = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "channel_operator_platform_calls_total",
		Help: "Calls to platforms, by channel, operation and outcome (ok, transient, throttled, not_sent, gone, refused).",
	}, []string{"channel", "operation", "outcome"})

	platformCallSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "channel_operator_platform_call_seconds",
		Help:    "Time of calls to platforms in seconds, the wait for the account's turn included.",
		Buckets: prometheus.ExponentialBuckets(0.005, 2, 12),
	}, []string{"channel", "operation"})
)

// Collectors are the metrics of this package, for the registry of the process.
func Collectors() []prometheus.Collector {
	return []prometheus.Collector{platformCalls, platformCallSeconds}
}
