package main

import "fmt"

// Target is a figure to reach, and what was reached.
type Target struct {
	What string `json:"what"`
	Want string `json:"want"`
	Got  string `json:"got"`
	Met  bool   `json:"met"`
}

// The figures to reach, on two cores.
const (
	wantCommitted   = 0.85 // of the ceiling, committed before the reply
	wantHot         = 20   // times the ceiling of distinct patches
	wantUnlimited   = 8    // times the ceiling
	wantReplyMillis = 500  // p99 of the reply, without limit
	wantWrites      = 2.0  // API writes per distinct push
	wantHotWrites   = 0.1  // and per hot one
	wantReadyMillis = 1000 // p99 from push to Ready, at half the ceiling
	wantMiB         = 1.2 * 1024
	wantLeadSeconds = 2
	wantProducts    = 100_000 // the size those two are for
	wantPaused      = 10      // seconds inside the burst
	wantKilled      = 20
)

func atLeast(what string, want, got float64) Target {
	return Target{What: what, Want: fmt.Sprintf("≥ %.4g", want), Got: short(got), Met: got >= want}
}

func atMost(what, unit string, want, got float64) Target {
	return Target{What: what, Want: fmt.Sprintf("≤ %.4g%s", want, unit), Got: short(got) + unit, Met: got <= want}
}

func none(what string, got int) Target {
	return Target{What: what, Want: "0", Got: fmt.Sprint(got), Met: got == 0}
}

// Targets are all figures to reach of which something was measured. Each is the median of
// the rounds.
func (r *Results) Targets() []Target {
	var all []Target
	for _, w := range r.Throughput {
		all = append(all, w.targets()...)
	}
	for _, u := range r.Unlimited {
		who := "a standby"
		if u.Controllers {
			who = "a manager with controllers"
		}
		all = append(all,
			atLeast("offered without limit to "+who+": acknowledged, of the ceiling", wantUnlimited, u.AcknowledgedRatio.Median),
			atMost("… p99 of the reply", " ms", wantReplyMillis, u.P99.Median),
			none("… pushes that got no proper reply", u.Failed),
			none("… acknowledged and not in etcd after the drain", u.Lost))
	}
	if r.Burst != nil {
		all = append(all, none("burst: acknowledged and lost", r.Burst.Lost),
			none("… pushes that got no proper reply", r.Burst.Failed),
			atLeast("… acknowledged", 1, float64(r.Burst.Acknowledged))) // of nothing nothing is lost
		all = append(all, r.Burst.outageTargets()...)
	}
	for _, l := range r.Latency {
		if l.Share == 0.5 {
			all = append(all, atMost("push to Ready at half the ceiling, p99: "+l.Name, " ms", wantReadyMillis, l.P99.Median),
				none("… not acknowledged, or never seen Ready", l.Unanswered+l.Late))
		}
	}
	for _, s := range r.Size {
		all = append(all, s.targets()...)
	}
	return all
}

// hotName and zipfName are the workloads that are not about distinct objects.
const hotName, zipfName = "hot product", "zipf mix"

func isDistinct(workload string) bool { return workload != hotName && workload != zipfName }

// hasRate: there is a rate that a standby is to reach. What is committed before the reply is judged
// where few push: a storm is acknowledged from the journal. What is done for one object together
// is judged where many do.
func hasRate(workload string, connections int) bool {
	if workload == hotName {
		return connections == manyConnections
	}
	return isDistinct(workload) && connections == fewConnections
}

// targets of a workload.
func (w *Workload) targets() []Target {
	name := fmt.Sprintf("%s, %d connections", w.Name, w.Connections)
	var all []Target
	switch {
	case w.Controllers && w.Name == hotName:
		all = append(all, atMost("API writes of products and orders per push: "+name, "", wantHotWrites, w.Writes.Median))
	case w.Controllers:
		all = append(all, atMost("API writes of products and orders per push: "+name, "", wantWrites, w.Writes.Median))
	case !hasRate(w.Name, w.Connections):
	case w.Name == hotName:
		all = append(all, atLeast("acknowledged, of the ceiling of distinct patches: "+name, wantHot, w.AcknowledgedRatio.Median))
	default:
		all = append(all, atLeast("committed before the reply by a standby, of the ceiling: "+name, wantCommitted, w.CommittedRatio.Median))
	}
	if w.Lost > 0 {
		all = append(all, none("acknowledged and lost: "+name, w.Lost))
	}
	return all
}

// outageTargets are of the burst itself: what the API server was spared is no proof.
func (r *Burst) outageTargets() []Target {
	return []Target{
		atLeast("… seconds of it with the API server paused", wantPaused, r.Inside("paused")),
		atLeast("… seconds of it with the API server killed", wantKilled, r.Inside("killed")),
	}
}

func (s *Size) targets() []Target {
	name := fmt.Sprintf("%d products: ", s.Products)
	all := []Target{
		none(name+"API writes while looking at all", s.PassWrites),
		none(fmt.Sprintf("%sAPI writes while asking for all again", name), s.ResyncWrites),
		none(name+"… not asked for in time", max(0, s.Products-s.Resynced)), // it may have come to the one that was pushed, too
	}
	if s.Products == wantProducts {
		all = append(all,
			atMost(name+"resident memory, the most there was", " MiB", wantMiB, s.PeakMiB),
			atMost(name+"from leadership to a fresh push being Ready", " s", wantLeadSeconds, s.LeaderSynced))
	}
	return all
}
