package platform_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/laidoulaile/channel-operator/internal/platform"
)

// since is what was counted after an earlier count.
func since(before, after map[string]float64) map[string]float64 {
	grown := map[string]float64{}
	for key, value := range after {
		if n := value - before[key]; n != 0 {
			grown[key] = n
		}
	}
	return grown
}

// counted are the calls of a channel by operation and outcome, and under "seconds" how
// many were timed.
func counted(t *testing.T, channel string) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(platform.Collectors()...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			labels := map[string]string{}
			for _, label := range metric.GetLabel() {
				labels[label.GetName()] = label.GetValue()
			}
			switch {
			case labels["channel"] != channel:
			case family.GetName() == "channel_operator_platform_calls_total":
				got[labels["operation"]+" "+labels["outcome"]] = metric.GetCounter().GetValue()
			case family.GetName() == "channel_operator_platform_call_seconds":
				got[labels["operation"]+" seconds"] = float64(metric.GetHistogram().GetSampleCount())
			}
		}
	}
	return got
}

func TestCallsAreCountedByOutcome(t *testing.T) {
	before := counted(t, t.Name())
	s := statuses(200, 200, 500, 429, 401, 400, 200, 200)
	transport := platform.NewTransport(t.Name(), generous, s)
	ask := func(op string, classify func([]byte) error) {
		_, _ = transport.Do(t.Context(), platform.Call{Op: op, Method: http.MethodGet, URL: "https://api.example.com/", Classify: classify})
	}
	ask("list", nil)
	for range 5 {
		ask("order", nil)
	}
	ask("order", func([]byte) error { return &platform.Error{Kind: platform.Gone} })
	// An adapter that breaks its promise is not counted as a success.
	ask("order", func([]byte) error { return errors.New("unclassified") })
	want := map[string]float64{
		"list ok": 1, "list seconds": 1,
		"order ok": 1, "order transient": 2, "order throttled": 1, "order refused": 2, "order gone": 1, "order seconds": 7,
	}
	if diff := cmp.Diff(want, since(before, counted(t, t.Name()))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What never went out is counted too: it is what an operator looks for.
func TestCallsHeldBackAreCounted(t *testing.T) {
	before := counted(t, t.Name())
	transport := platform.NewTransport(t.Name(), platform.Limits{RequestsPerSecond: 1, Burst: 6, Concurrency: 1}, statuses(500))
	ctx := platform.WithPatience(t.Context(), 0)
	for range 5 + 1 + 1 { // failures, held back by the breaker, held back by the rate
		_, _ = transport.Do(ctx, question())
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, _ = platform.NewTransport(t.Name(), generous, statuses(200)).Do(cancelled, question())
	want := map[string]float64{"op transient": 7, "op not_sent": 1, "op seconds": 8}
	if diff := cmp.Diff(want, since(before, counted(t, t.Name()))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
