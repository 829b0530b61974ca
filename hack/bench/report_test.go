package main

import (
	"strings"
	"testing"
	"time"
)

func seriesOf(values ...float64) Series {
	var s Series
	for _, value := range values {
		s.add(value)
	}
	return s
}

// someResults has something of everything.
func someResults() *Results {
	return &Results{
		Machine: Machine{CPU: "a processor", Cores: 2, Filesystem: "ext4"}, Rounds: 3, Sections: []int{1, 2, 3, 4, 5}, Seconds: 61,
		Ceilings: []Ceiling{{Name: createProducts, PerSecond: seriesOf(600, 700, 650)}},
		Throughput: []Workload{
			{Name: "distinct orders", Connections: fewConnections, CommittedRatio: seriesOf(0.9), AcknowledgedRatio: seriesOf(0.91)},
			{Name: hotName, Connections: manyConnections, AcknowledgedRatio: seriesOf(19)},
			{Name: hotName, Connections: fewConnections, Controllers: true, Writes: seriesOf(0.05)},
			{Name: "distinct orders", Connections: fewConnections, Controllers: true, Writes: seriesOf(2.5), Lost: 3},
		},
		Unlimited: []Unlimited{{Workload: Workload{AcknowledgedRatio: seriesOf(9), P99: seriesOf(300), Told: Told{Changes: 4321, Newest: 1000, Messages: 765}}, Products: 5000, Orders: 62}},
		Burst:     &Burst{Seconds: 40, Offered: 180_000, Lost: 0, Told: Told{Changes: 98_000, Newest: 750, Messages: 30_000}, Outages: []Outage{{"paused", 3, 0, 13}, {"killed", 15, 34.5, 41}}},
		Latency:   []Latency{{Name: "first push", Share: 0.5, P99: seriesOf(1200)}, {Name: "first push", Share: 0.25, P99: seriesOf(200)}},
		Size:      []Size{{Products: wantProducts, PeakMiB: 1000, LeaderSynced: 1.5}},
	}
}

func TestTargetsAreJudged(t *testing.T) {
	met := map[string]bool{}
	for _, target := range someResults().Targets() {
		met[target.What] = target.Met
	}
	for what, want := range map[string]bool{
		"committed before the reply by a standby, of the ceiling: distinct orders, 32 connections": true,
		"acknowledged, of the ceiling of distinct patches: hot product, 256 connections":           false,
		"API writes of products and orders per push: hot product, 32 connections":                  true,
		"API writes of products and orders per push: distinct orders, 32 connections":              false,
		"acknowledged and lost: distinct orders, 32 connections":                                   false,
		"offered without limit to a standby: acknowledged, of the ceiling":                         true,
		"burst: acknowledged and lost":                                                             true,
		"… acknowledged":                                                                           false, // none was
		"… seconds of it with the API server paused":                                               true,
		"… seconds of it with the API server killed":                                               false,
		"push to Ready at half the ceiling, p99: first push":                                       false,
		"100000 products: resident memory, the most there was":                                     true,
		"100000 products: from leadership to a fresh push being Ready":                             true,
	} {
		if got, there := met[what]; !there || got != want {
			t.Errorf("%s: there %v, met %v", what, there, got)
		}
	}
}

// What of an outage comes after the last push does not count.
func TestOutagesCountAsFarAsTheyLieInTheBurst(t *testing.T) {
	b := &Burst{Seconds: 30, Outages: []Outage{{"paused", 3, 0, 13}, {"killed", 15, 28, 33}, {"killed", 28, 32, 37.5}, {"killed", 40, 50, 60}}}
	if paused, killed, never := b.Inside("paused"), b.Inside("killed"), b.Inside("flooded"); paused != 10 || killed != 15 || never != 0 {
		t.Errorf("paused %v s, killed %v s, else %v s", paused, killed, never)
	}
}

// The plan's own outages lie inside its burst, with some seconds for a start under load.
func TestThePlannedOutagesLieInTheBurst(t *testing.T) {
	for name, p := range map[string]plan{"full": fullPlan, "quick": quickPlan} {
		if back := p.kill + p.killed; p.pause+p.paused >= p.kill || back+4*time.Second > p.burst {
			t.Errorf("%s: paused %s to %s, killed %s to %s, and the burst lasts %s", name, p.pause, p.pause+p.paused, p.kill, back, p.burst)
		}
	}
	if fullPlan.paused < wantPaused*time.Second || fullPlan.killed < wantKilled*time.Second {
		t.Errorf("paused for %s, killed for %s", fullPlan.paused, fullPlan.killed)
	}
}

func TestTheReportSaysEverything(t *testing.T) {
	text, err := someResults().report()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| create products | 650 (600–700) |", "19", "**no**", "180,000", "paused from second 3 to 13", "| offered, in 40 s | 180,000 |", "API server paused | 10 |", "not started again | 19.5 |", "| 5,000, 62 |", "| a standby | 4,321 | 1,000 | 3,321 | 765 | 0 |",
		"change | 750 |", "about orders | 30,000 |", "superseded | 97,250 |", "killed from second 15 to 41, started again at second 34.5.", "| first push | 0.5 |", "over 32 connections, to a standby with one Channel",
		"| **API writes of the resync** | **0** |", "in 1m1s", "![burst](burst.png)"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	if strings.Contains(string(text), "This is no whole run") || strings.Contains(string(text), "<no value>") {
		t.Errorf("%s", text)
	}
}

// Of sections that were not run nothing is said, and that the run is not whole is.
func TestAReportOfAPartSaysSo(t *testing.T) {
	r := &Results{Sections: []int{3}, Burst: &Burst{}}
	text, err := r.report()
	if err != nil {
		t.Fatal(err)
	}
	for _, no := range []string{"## 1.", "## 2.", "## 4.", "## 5."} {
		if strings.Contains(string(text), no) {
			t.Errorf("the report has %q", no)
		}
	}
	if !strings.Contains(string(text), "This is no whole run") || !strings.Contains(string(text), "### A burst") {
		t.Errorf("%s", text)
	}
}
