package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestQuantilesAreByTheNearestRank(t *testing.T) {
	var times []time.Duration
	for i := range 100 {
		times = append(times, time.Duration(100-i)*time.Millisecond)
	}
	q := quantilesOf(times)
	if q.Count != 100 || q.P50 != 50 || q.P99 != 99 || q.Max != 100 || q.Curve[0] != 1 || q.Curve[100] != 100 {
		t.Errorf("%+v", q)
	}
	if one := quantilesOf([]time.Duration{time.Second}); one.P50 != 1000 || one.P99 != 1000 || one.Max != 1000 {
		t.Errorf("of one: %+v", one)
	}
	if none := quantilesOf(nil); none.P99 != 0 || none.Curve != nil {
		t.Errorf("of none: %+v", none)
	}
}

func TestASeriesHasTheMedianAndTheSpread(t *testing.T) {
	var s Series
	for _, value := range []float64{5, 1, 3} {
		s.add(value)
	}
	if s.Median != 3 || s.Min != 1 || s.Max != 5 {
		t.Errorf("%+v", s)
	}
	if s.add(4); s.Median != 3.5 {
		t.Errorf("of an even number: %+v", s)
	}
}

// Pushes of an open load are due evenly, wait for nobody, and end with the time.
func TestAnOpenLoadKeepsItsPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := &pace{start: start, end: start.Add(time.Second), perSecond: 10}
		for want := range 10 {
			n, due, ok := p.take(t.Context())
			if !ok || n != want || time.Since(start) != time.Duration(want)*100*time.Millisecond || due.Sub(start) != time.Since(start) {
				t.Fatalf("push %d: %d is due at %s, now is %s, %v", want, n, due.Sub(start), time.Since(start), ok)
			}
		}
		if n, _, ok := p.take(t.Context()); ok {
			t.Errorf("push %d is one too many", n)
		}
	})
}

// Who comes late gets at once what was due before, with the time at which it was; but not
// beyond the end.
func TestAnOpenLoadTellsHowLateItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := &pace{start: start, end: start.Add(time.Second), perSecond: 10}
		time.Sleep(950 * time.Millisecond)
		if n, due, ok := p.take(t.Context()); !ok || n != 0 || time.Since(due) != 950*time.Millisecond {
			t.Errorf("%d, due %s ago, %v", n, time.Since(due), ok)
		}
		time.Sleep(100 * time.Millisecond)
		if n, _, ok := p.take(t.Context()); ok {
			t.Errorf("push %d is sent after the end", n)
		}
	})
}

const someMetrics = `# HELP x y
apiserver_request_total{code="201",component="apiserver",dry_run="",group="channel.laidoulaile.online",resource="productsyncs",scope="resource",subresource="",verb="POST",version="v1alpha1"} 3
apiserver_request_total{code="200",group="channel.laidoulaile.online",resource="productsyncs",subresource="status",verb="APPLY",version="v1alpha1"} 2
apiserver_request_total{code="404",group="channel.laidoulaile.online",resource="productsyncs",subresource="",verb="PATCH",version="v1alpha1"} 3
apiserver_request_total{code="200",group="channel.laidoulaile.online",resource="ordervouchers",subresource="",verb="PATCH",version="v1alpha1"} 5
apiserver_request_total{code="200",group="channel.laidoulaile.online",resource="productsyncs",subresource="",verb="LIST",version="v1alpha1"} 50
apiserver_request_total{code="201",group="events.k8s.io",resource="events",subresource="",verb="POST",version="v1"} 7
apiserver_request_total{code="200",group="coordination.k8s.io",resource="leases",subresource="",verb="PUT",version="v1"} 9
workqueue_depth{controller="productsync",name="productsync",priority="0"} 4
workqueue_depth{controller="productsync",name="productsync",priority="-100"} 6
workqueue_depth_else 1
`

func TestWritesAreCounted(t *testing.T) {
	r := countRequests(parseMetrics([]byte(someMetrics)))
	if r.Writes != 10 || r.Refused != 3 || r.Events != 7 || r.ByKind[products] != 5 || r.ByKind[orders] != 5 {
		t.Errorf("%+v", r)
	}
	d := r.since(requests{Writes: 4, Refused: 1, Events: 7, ByKind: map[string]int{products: 5}})
	if d.Writes != 6 || d.Refused != 2 || d.Events != 0 || d.ByKind[products] != 0 || d.ByKind[orders] != 5 {
		t.Errorf("since then: %+v", d)
	}
}

func TestSamplesAreSummed(t *testing.T) {
	all := parseMetrics([]byte(someMetrics))
	if depth, found := all.sum("workqueue_depth", `name="productsync"`); !found || depth != 10 {
		t.Errorf("%v %v", depth, found)
	}
	if _, found := all.sum("workqueue_depth", `name="sync"`); found {
		t.Error("a part of a name is taken for it")
	}
}

// What was acknowledged is there itself, or a newer change is; a message is there once.
func TestTheBookFindsWhatIsLost(t *testing.T) {
	b := newBook()
	for _, p := range []push{productPush("1", 10), productPush("1", 30), productPush("1", 20), productPush("2", 5), orderPush("7", 0), orderPush("7", 1)} {
		b.note(p)
	}
	whole := func() standing {
		return standing{
			products: map[string]productState{"1": {announced: 30, observed: 30, ready: true}, "2": {announced: 6, observed: 6, ready: true}},
			orders:   map[string]orderState{"7": {messages: map[string]int{"o-7-0": 1, "o-7-1": 1, "o-7-2": 1}, ready: true}},
		}
	}
	for name, c := range map[string]struct {
		spoil           func(standing)
		lost, unsettled int
	}{
		"all is there":          {spoil: func(standing) {}},
		"an older change":       {spoil: func(s standing) { s.products["1"] = productState{announced: 20, observed: 20, ready: true} }, lost: 1, unsettled: 1},
		"no product":            {spoil: func(s standing) { delete(s.products, "2") }, lost: 1, unsettled: 1},
		"a product not Ready":   {spoil: func(s standing) { s.products["2"] = productState{announced: 6, observed: 6} }, unsettled: 1},
		"a change not observed": {spoil: func(s standing) { s.products["1"] = productState{announced: 30, observed: 29, ready: true} }, unsettled: 1},
		"a message missing":     {spoil: func(s standing) { delete(s.orders["7"].messages, "o-7-1") }, lost: 1},
		"a message twice":       {spoil: func(s standing) { s.orders["7"].messages["o-7-1"] = 2 }, lost: 1},
		"no order":              {spoil: func(s standing) { delete(s.orders, "7") }, lost: 2, unsettled: 1},
	} {
		there := whole()
		c.spoil(there)
		if lost, unsettled := b.verify(there); lost != c.lost || unsettled != c.unsettled {
			t.Errorf("%s: lost %d, not settled %d", name, lost, unsettled)
		}
	}
}

// Of the changes of a product the newest is looked for, and of an order every message.
func TestTheBookTellsHowMuchItLooksFor(t *testing.T) {
	b := newBook()
	for _, p := range []push{productPush("1", 10), productPush("1", 30), productPush("1", 20), productPush("2", 5), orderPush("7", 0), orderPush("7", 1), orderPush("8", 0)} {
		b.note(p)
	}
	var both Told
	both.add(b.told())
	both.add(b.told())
	if want := (Told{Changes: 8, Newest: 4, Messages: 6}); both != want || both.Superseded() != 4 {
		t.Errorf("%+v, %d superseded", both, both.Superseded())
	}
}

func TestARatioIsOfTheSameRound(t *testing.T) {
	var w Workload
	w.add(measured{book: newBook(), tally: tally{acknowledged: 900, elapsed: time.Second}, journal: 450, requests: requests{Writes: 1801, Refused: 900, ByKind: map[string]int{products: 900, orders: 900, "channels": 1}}, settled: 3 * time.Second}, 300)
	if w.AcknowledgedRatio.Median != 3 || w.CommittedRatio.Median != 1.5 || w.Journal.Median != 0.5 || w.Writes.Median != 2 ||
		w.Requests.Median != 3 || w.ChannelWrites != 1 || w.SettledRatio.Median != 1 {
		t.Errorf("%+v", w)
	}
}

func TestPushesAreWhatTheySay(t *testing.T) {
	c := newClock()
	first, second := newProducts(c, 10)(0), newProducts(c, 10)(1)
	if first.product == second.product || second.changedAt <= first.changedAt || !strings.Contains(string(first.body), first.product) {
		t.Errorf("%s, %s", first.body, second.body)
	}
	if hot := hotProduct(c, 3); hot(0).product != hot(99).product {
		t.Error("the hot product is several")
	}
	later := laterPushes(0, 2, 5)
	if a, b := later(0), later(2); a.order != b.order || a.message == b.message {
		t.Errorf("%s, %s", a.message, b.message)
	}
	seen, about := map[string]bool{}, 0
	mix := zipfMix(c, 0, 0, 1)
	for n := range 400 {
		if p := mix(n); p.order != "" {
			about++
			if seen[p.message] {
				t.Errorf("%s is told twice", p.message)
			}
			seen[p.message] = true
		}
	}
	if about != 100 {
		t.Errorf("%d of 400 pushes are about orders", about)
	}
}

// One push in sixteen is about an order, of which no message comes twice and no list grows too
// long; the products all have their turn, as often as each other.
func TestPushesWithoutLimitAreAboutOrdersToo(t *testing.T) {
	const pool, rounds, from = 160, 60, 1000
	mix, seen := unlimitedMix(newClock(), pool, from), newBook()
	messages, changes := map[string]bool{}, map[string]int{}
	for n := range rounds * pool * unlimitedOrder / (unlimitedOrder - 1) {
		p := mix(n)
		if seen.note(p); p.order == "" {
			changes[p.product]++
			continue
		}
		if messages[p.message] || p.order < orderID(from) {
			t.Fatalf("%s of order %s: pushed before, %v", p.message, p.order, messages[p.message])
		}
		messages[p.message] = true
	}
	for order, told := range seen.orders {
		if len(told) > mostTold || told[0] != "o-"+order+"-0" {
			t.Errorf("order %s is pushed about %d times, first %s", order, len(told), told[0])
		}
	}
	for id, times := range changes {
		if times != rounds {
			t.Errorf("product %s is pushed about %d times, not %d", id, times, rounds)
		}
	}
	if want := rounds * pool / (unlimitedOrder - 1); len(changes) != pool || len(messages) != want || len(seen.orders) <= ordersAtOnce(pool) {
		t.Errorf("%d products, %d messages about %d orders", len(changes), len(messages), len(seen.orders))
	}
}

func TestTheWatcherTimesWhatItSees(t *testing.T) {
	w, now, b := newWatcher(), time.Now(), newBook()
	early, late := productPush("1", 10), productPush("1", 20)
	for _, p := range []push{early, late} {
		w.expect(p, now)
		b.note(p)
	}
	w.see("1", productState{observed: 10}, now.Add(time.Second)) // not Ready
	if w.left(b) != 2 {
		t.Errorf("%d are left", w.left(b))
	}
	w.see("1", productState{observed: 15, ready: true}, now.Add(2*time.Second))
	w.see("1", productState{observed: 20, ready: true}, now.Add(3*time.Second))
	if w.left(b) != 0 || len(w.times) != 2 || w.times[0] != 2*time.Second || w.times[1] != 3*time.Second {
		t.Errorf("%v, %d left", w.times, w.left(b))
	}
}

// What has a rate to reach is measured for as long as its ceiling, and nothing else is.
func TestWhatIsJudgedIsMeasuredLonger(t *testing.T) {
	r := newReceiver(nil, fullPlan)
	judged := 0
	for _, load := range r.receives() {
		w := Workload{Name: load.name, Connections: load.connections}
		took := r.loadOf(load, false)
		if has := len(w.targets()) > 0; has != (took == fullPlan.judged) {
			t.Errorf("%s over %d connections: a rate to reach: %v, measured for %s", w.Name, w.Connections, has, took)
		} else if has {
			judged++
		}
	}
	if judged != 5 {
		t.Errorf("%d kinds of push have a rate to reach", judged)
	}
}

// The moment is the holder's own, not that of whoever looks, and a lease that nobody holds,
// with the moment of who held it before, is not it.
func TestLeadershipIsTimedByTheLease(t *testing.T) {
	free := `{"type":"ADDED","object":{"spec":{"holderIdentity":"","acquireTime":"2026-01-02T03:04:01.000000Z"}}}` + "\n"
	held := `{"type":"MODIFIED","object":{"spec":{"holderIdentity":"a","acquireTime":"2026-01-02T03:04:05.678901Z","renewTime":"2026-01-02T03:04:07.000000Z"}}}` + "\n"
	since, err := acquired(strings.NewReader(free + held))
	if want := time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC); err != nil || !since.Equal(want) {
		t.Errorf("%s, %v", since, err)
	}
	if since, err := acquired(strings.NewReader(free)); err == nil {
		t.Errorf("nobody leads, since %s", since)
	}
}

func TestListsOfNumbersAreRead(t *testing.T) {
	if got, err := parseNumbers("-sections", "3, 1,3", 1, 5); err != nil || len(got) != 2 || got[0] != 1 || got[1] != 3 {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "6", "0", "1,", "x"} {
		if got, err := parseNumbers("-sections", bad, 1, 5); err == nil {
			t.Errorf("%q gives %v", bad, got)
		}
	}
}

func TestFiguresAreShort(t *testing.T) {
	for want, v := range map[string]float64{"0": 0, "1,234,568": 1234567.8, "12.3": 12.34, "0.85": 0.85, "3": 3, "0.0123": 0.01234, "-1,000": -1000, "999": 999} {
		if got := short(v); got != want {
			t.Errorf("%v is written %s, not %s", v, got, want)
		}
	}
}
