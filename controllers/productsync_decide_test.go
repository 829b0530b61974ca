package controllers

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/conditions"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

const interval = time.Hour

var onlyPrices = []platform.Aspect{platform.AspectPrice, platform.AspectStock}

func newProduct(alter ...func(*v1alpha1.ProductSync)) *v1alpha1.ProductSync {
	ps := &v1alpha1.ProductSync{ObjectMeta: metav1.ObjectMeta{Generation: 1}, Spec: v1alpha1.ProductSyncSpec{ProductID: "88"},
		Status: v1alpha1.ProductSyncStatus{ObservedGeneration: -1}}
	for _, alter := range alter {
		alter(ps)
	}
	return ps
}

// synced is a product that was fetched an hour before noon.
func synced(ps *v1alpha1.ProductSync) {
	ps.Status, _ = decideProduct(ps, seenProduct{question: productQuestion(ps, time.Time{}, noon), answer: answer(35050), interval: interval}, noon.Add(-interval))
}

func becomes(state v1alpha1.ProductState) func(*v1alpha1.ProductSync) {
	return func(ps *v1alpha1.ProductSync) { ps.Status.State = state }
}

// news announces a change of an aspect, so many minutes from noon.
func news(aspect platform.Aspect, minute int) func(*v1alpha1.ProductSync) {
	return func(ps *v1alpha1.ProductSync) {
		told := &v1alpha1.Announcement{ChangedAt: metav1.NewMicroTime(noon.Add(time.Duration(minute) * time.Minute)), MessageID: "m-" + strconv.Itoa(minute), Type: "T"}
		a := &ps.Spec.Announced
		*map[platform.Aspect]**v1alpha1.Announcement{platform.AspectInfo: &a.Info, platform.AspectPrice: &a.Price,
			platform.AspectStock: &a.Stock, platform.AspectAvailability: &a.Availability}[aspect] = told
		ps.Generation++
	}
}

func asks(value string) func(*v1alpha1.ProductSync) {
	return func(ps *v1alpha1.ProductSync) {
		ps.Annotations = map[string]string{v1alpha1.AnnotationRequestedAt: value}
	}
}

func answer(fen int64) platform.Product {
	return platform.Product{State: platform.ProductOnSale, Currency: "CNY", Info: &platform.ProductInfo{Title: "西湖"},
		SKUs: []platform.SKU{{ID: "88", Days: []platform.Day{{Date: "2026-11-22", Amount: ptr.To(fen), Stock: ptr.To(int64(12))}}}}}
}

func TestProductQuestion(t *testing.T) {
	later := noon.Add(time.Minute)
	for name, test := range map[string]struct {
		ps   *v1alpha1.ProductSync
		due  time.Time
		want []platform.Aspect
	}{
		"never fetched":                   {newProduct(), time.Time{}, everything},
		"never fetched, price announced":  {newProduct(news(platform.AspectPrice, 0)), time.Time{}, everything},
		"nothing to ask":                  {newProduct(synced), later, nil},
		"due":                             {newProduct(synced), noon, everything},
		"requested":                       {newProduct(synced, asks("1")), later, everything},
		"price":                           {newProduct(synced, news(platform.AspectPrice, 0)), later, onlyPrices},
		"stock":                           {newProduct(synced, news(platform.AspectStock, 0)), later, onlyPrices},
		"price and due":                   {newProduct(synced, news(platform.AspectPrice, 0)), noon, everything},
		"price and requested":             {newProduct(synced, news(platform.AspectPrice, 0), asks("1")), later, everything},
		"info":                            {newProduct(synced, news(platform.AspectInfo, 0)), later, everything},
		"availability":                    {newProduct(synced, news(platform.AspectAvailability, 0)), later, everything},
		"price and info":                  {newProduct(synced, news(platform.AspectPrice, 0), news(platform.AspectInfo, 0)), later, everything},
		"price, off sale":                 {newProduct(synced, becomes(v1alpha1.ProductOffSale), news(platform.AspectPrice, 0)), later, everything},
		"price, deleted":                  {newProduct(synced, becomes(v1alpha1.ProductDeleted), news(platform.AspectPrice, 0)), later, everything},
		"announced is observed":           {newProduct(news(platform.AspectPrice, 0), synced), later, nil},
		"the spec changed in another way": {newProduct(synced, func(ps *v1alpha1.ProductSync) { ps.Generation++ }), later, everything},
		"not Ready": {newProduct(synced, func(ps *v1alpha1.ProductSync) {
			ps.Status.Conditions = conditions.Set(nil, conditions.Verdict{State: conditions.Waiting, Reason: v1alpha1.ReasonNotFound}, ps.Generation, noon)
		}), later, everything},
	} {
		t.Run(name, func(t *testing.T) {
			question := productQuestion(test.ps, test.due, noon)
			var got []platform.Aspect
			if question != nil {
				got = question.Aspects
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if q := productQuestion(newProduct(synced, news(platform.AspectAvailability, 0)), later, noon); q.Availability != "T" || q.ProductID != "88" {
		t.Errorf("question %+v", q)
	}
}

// What was announced of the availability counts until a look that no push asked for.
func TestAnnouncedAvailabilityCountsUntilAResync(t *testing.T) {
	later := noon.Add(time.Minute)
	off := newProduct(news(platform.AspectAvailability, 0), synced, becomes(v1alpha1.ProductOffSale))
	for name, test := range map[string]struct {
		ps   *v1alpha1.ProductSync
		due  time.Time
		want string
	}{
		"announced now":                {newProduct(synced, news(platform.AspectAvailability, 0)), later, "T"},
		"announced now, and due":       {newProduct(synced, news(platform.AspectAvailability, 0)), noon, "T"},
		"off sale, price announced":    {with(off, news(platform.AspectPrice, 0)), later, "T"},
		"off sale, due":                {off, noon, ""},
		"off sale, requested":          {with(off, asks("1")), later, ""},
		"overruled by a resync, price": {with(newProduct(news(platform.AspectAvailability, 0), synced), news(platform.AspectPrice, 0)), later, ""},
	} {
		if q := productQuestion(test.ps, test.due, noon); q == nil || q.Availability != test.want {
			t.Errorf("%s: question %+v, want availability %q", name, q, test.want)
		}
	}
}

// with is a copy of a product, changed.
func with(ps *v1alpha1.ProductSync, change func(*v1alpha1.ProductSync)) *v1alpha1.ProductSync {
	ps = ps.DeepCopy()
	change(ps)
	return ps
}

func TestDecideProduct(t *testing.T) {
	suspended := suspendedOr(true, nil)
	notReady := &conditions.Verdict{State: conditions.Waiting, Reason: v1alpha1.ReasonChannelNotReady}
	failed := again{after: interval, failing: true, urgent: true}
	resync := again{after: interval}
	offSale := answer(35050)
	offSale.State = platform.ProductOffSale
	price := news(platform.AspectPrice, 0)
	since := func(reason string, ago time.Duration) func(*v1alpha1.ProductSync) {
		return func(ps *v1alpha1.ProductSync) {
			ps.Status.Conditions = conditions.Set(nil, conditions.Verdict{State: conditions.Waiting, Reason: reason}, ps.Generation, noon.Add(-ago))
			ps.Status.ObservedGeneration = ps.Generation
		}
	}
	for name, test := range map[string]struct {
		ps     *v1alpha1.ProductSync
		seen   seenProduct
		reason string
		ready  bool
		state  v1alpha1.ProductState
		next   again
	}{
		"first answer":               {newProduct(), seenProduct{answer: answer(100)}, v1alpha1.ReasonSynced, true, v1alpha1.ProductOnSale, resync},
		"news":                       {newProduct(synced, price), seenProduct{answer: answer(100)}, v1alpha1.ReasonSynced, true, v1alpha1.ProductOnSale, resync},
		"invalid announced":          {newProduct(synced, news(platform.AspectAvailability, 0)), seenProduct{answer: offSale}, v1alpha1.ReasonSynced, true, v1alpha1.ProductOffSale, resync},
		"off sale":                   {newProduct(synced, price), seenProduct{err: errOffSale}, v1alpha1.ReasonSynced, true, v1alpha1.ProductOffSale, resync},
		"off sale, never seen":       {newProduct(), seenProduct{err: errOffSale}, v1alpha1.ReasonSynced, true, v1alpha1.ProductOffSale, resync},
		"deleted":                    {newProduct(synced, price), seenProduct{err: errNotFound}, v1alpha1.ReasonSynced, true, v1alpha1.ProductDeleted, resync},
		"deleted, by resync":         {newProduct(synced, asks("1")), seenProduct{err: errNotFound}, v1alpha1.ReasonSynced, true, v1alpha1.ProductDeleted, resync},
		"never seen":                 {newProduct(), seenProduct{err: errNotFound}, v1alpha1.ReasonNotFound, false, "", again{after: firstSlowLook}},
		"never seen, for long":       {newProduct(since(v1alpha1.ReasonNotFound, time.Minute)), seenProduct{err: errNotFound}, v1alpha1.ReasonNotFound, false, "", again{after: 30 * time.Second}},
		"never seen, for very long":  {newProduct(since(v1alpha1.ReasonNotFound, 24*time.Hour)), seenProduct{err: errNotFound}, v1alpha1.ReasonNotFound, false, "", resync},
		"waited for another reason":  {newProduct(since(v1alpha1.ReasonChannelNotReady, 24*time.Hour)), seenProduct{err: errNotFound}, v1alpha1.ReasonNotFound, false, "", again{after: firstSlowLook}},
		"not granted":                {newProduct(synced, price), seenProduct{err: errNotGranted}, v1alpha1.ReasonNotGranted, false, v1alpha1.ProductOnSale, resync},
		"not granted, by resync":     {newProduct(synced, asks("1")), seenProduct{err: errNotGranted}, v1alpha1.ReasonNotGranted, false, v1alpha1.ProductOnSale, resync},
		"account refused":            {newProduct(synced, price), seenProduct{err: errCredentials}, v1alpha1.ReasonChannelNotReady, false, v1alpha1.ProductOnSale, again{after: interval, failing: true}},
		"down, first look":           {newProduct(), seenProduct{err: errDown}, v1alpha1.ReasonProgressingWithRetry, false, "", failed},
		"down, with news":            {newProduct(synced, price), seenProduct{err: errDown}, v1alpha1.ReasonProgressingWithRetry, false, v1alpha1.ProductOnSale, failed},
		"down, by resync":            {newProduct(synced, asks("1")), seenProduct{err: errDown}, v1alpha1.ReasonSynced, true, v1alpha1.ProductOnSale, again{after: interval, failing: true}},
		"throttled by us":            {newProduct(synced, price), seenProduct{err: errOwnLimit}, v1alpha1.ReasonSynced, true, v1alpha1.ProductOnSale, inAMoment},
		"throttled by them":          {newProduct(synced, price), seenProduct{err: errTooMany}, v1alpha1.ReasonThrottled, false, v1alpha1.ProductOnSale, failed},
		"being loaded":               {newProduct(synced, price), seenProduct{loading: true}, v1alpha1.ReasonSynced, true, v1alpha1.ProductOnSale, failed},
		"suspended, news":            {newProduct(synced, price), seenProduct{notAsked: suspended}, v1alpha1.ReasonSuspended, false, v1alpha1.ProductOnSale, resync},
		"suspended, no news":         {newProduct(synced, asks("1")), seenProduct{notAsked: suspended}, v1alpha1.ReasonSynced, true, v1alpha1.ProductOnSale, resync},
		"Channel not ready, news":    {newProduct(synced, price), seenProduct{notAsked: notReady}, v1alpha1.ReasonChannelNotReady, false, v1alpha1.ProductOnSale, resync},
		"Channel not ready, no news": {newProduct(synced, asks("1")), seenProduct{notAsked: notReady}, v1alpha1.ReasonSynced, true, v1alpha1.ProductOnSale, resync},
		"nothing to ask":             {newProduct(synced), seenProduct{due: noon.Add(time.Minute)}, v1alpha1.ReasonSynced, true, v1alpha1.ProductOnSale, again{after: time.Minute}},
	} {
		t.Run(name, func(t *testing.T) {
			test.seen.interval = interval
			test.seen.question = productQuestion(test.ps, noon.Add(time.Minute), noon)
			status, next := decideProduct(test.ps, test.seen, noon)
			if reason, ready := conditions.Of(status.Conditions); reason != test.reason || ready != test.ready || status.State != test.state || next != test.next {
				t.Errorf("%s, ready %v, %s, %+v; want %s, %v, %s, %+v", reason, ready, status.State, next, test.reason, test.ready, test.state, test.next)
			}
			handled := test.seen.notAsked == nil && !test.seen.loading && answered(test.seen.err) && test.seen.question != nil
			if requested(test.ps.Annotations, status.LastHandledRequestedAt) == handled && len(test.ps.Annotations) > 0 {
				t.Errorf("handled %q", status.LastHandledRequestedAt)
			}
			if was := test.ps.Status.FetchedAt; was != nil && platform.KindOf(test.seen.err) == platform.Refused && !status.FetchedAt.Equal(was) {
				t.Errorf("a refusal fetched something at %s", status.FetchedAt)
			}
		})
	}
}

func TestOnlyWhatWasAskedIsObserved(t *testing.T) {
	ps := newProduct(synced, news(platform.AspectInfo, 0), news(platform.AspectPrice, 1))
	status, _ := decideProduct(ps, seenProduct{question: &platform.ProductQuestion{Aspects: onlyPrices}, answer: answer(100), interval: interval}, noon)
	if status.Observed.Price == nil || status.Observed.Info != nil {
		t.Errorf("observed %+v", status.Observed)
	}
}

// TestProductsOverTime walks products through announcements, requests and looks of all
// outcomes, and checks what always holds.
func TestProductsOverTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ps, now, minute := newProduct(), noon, 0
		due := time.Time{}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(1, 7200).Draw(t, "seconds")) * time.Second)
			switch rapid.SampledFrom([]string{"announce", "request", "edit", "look", "look", "look"}).Draw(t, "step") {
			case "announce":
				minute++
				news(rapid.SampledFrom(everything).Draw(t, "aspect"), minute)(ps)
			case "request":
				asks(strconv.Itoa(minute))(ps)
			case "edit":
				ps.Generation++
			case "look":
				due = lookAndCheck(t, ps, due, now)
			}
		}
	})
}

// lookAndCheck looks once, as the reconciler would, and returns when the next is due.
func lookAndCheck(t *rapid.T, ps *v1alpha1.ProductSync, due, now time.Time) time.Time {
	seen := seenProduct{interval: interval, due: due, question: productQuestion(ps, due, now)}
	if seen.question != nil {
		switch rapid.SampledFrom([]string{"asked", "asked", "asked", "not asked", "loading"}).Draw(t, "outcome") {
		case "not asked":
			seen.notAsked = &conditions.Verdict{State: conditions.Waiting, Reason: v1alpha1.ReasonChannelNotReady, Message: "no"}
		case "loading":
			seen.loading = true
		default:
			if seen.err = rapid.SampledFrom(allErrors).Draw(t, "error"); seen.err == nil {
				seen.answer = answer(rapid.SampledFrom([]int64{100, 200}).Draw(t, "price"))
			}
		}
	}
	before := ps.DeepCopy()
	status, next := decideProduct(ps, seen, now)
	if !cmp.Equal(before, ps) {
		t.Fatalf("the object was altered: %s", cmp.Diff(before, ps))
	}
	checkProduct(t, ps, seen, status, next)
	ps.Status = status

	for what, question := range map[string]*platform.ProductQuestion{"the same look": seen.question, "the next look": productQuestion(ps, now.Add(interval), now)} {
		seen.question = question
		if again, _ := decideProduct(ps, seen, now.Add(time.Minute)); !cmp.Equal(status, again) {
			t.Errorf("%s with the same answer is a write: %s", what, cmp.Diff(status, again))
		}
	}
	if status.FetchedAt != nil && answered(seen.err) {
		return now.Add(interval)
	}
	return due
}

func checkProduct(t *rapid.T, ps *v1alpha1.ProductSync, seen seenProduct, status v1alpha1.ProductSyncStatus, next again) {
	if len(status.Conditions) > 0 || !briefly(seen.err) && !seen.loading {
		if err := conditions.Check(status.Conditions, ps.Generation, status.ObservedGeneration); err != nil {
			t.Errorf("conditions: %v", err)
		}
	}
	if next.after <= 0 || next.after > interval {
		t.Errorf("the next look is in %s", next.after)
	}
	if !hasNews(ps) && (seen.question == nil || seen.notAsked != nil || seen.loading || !answered(seen.err)) && !cmp.Equal(ps.Status, status) {
		t.Errorf("nothing was learned, and yet: %s", cmp.Diff(ps.Status, status))
	}
	was, is := aspects(ps, &ps.Status.Observed), aspects(ps, &status.Observed)
	for i, one := range is {
		switch {
		case cmp.Equal(*was[i].observed, *one.observed):
		case one.announced == nil || !(*one.observed).Equal(&one.announced.ChangedAt):
			t.Errorf("observed %s is %v, announced %v", one.aspect, *one.observed, one.announced)
		case seen.question == nil || !slices.Contains(seen.question.Aspects, one.aspect) || seen.notAsked != nil || seen.loading:
			t.Errorf("observed %s, which was not asked", one.aspect)
		}
	}
	after := ps.DeepCopy()
	after.Status = status
	if ready(status.Conditions) && status.ObservedGeneration == ps.Generation && len(pendingAspects(after)) > 0 {
		t.Errorf("Ready with %v pending", pendingAspects(after))
	}
}

// TestFailureWithNewsIsWrittenOnce: with ever other words.
func TestFailureWithNewsIsWrittenOnce(t *testing.T) {
	ps := newProduct(synced, news(platform.AspectPrice, 0))
	writes := 0
	for i := range 5 {
		err := &platform.Error{Kind: platform.Transient, Op: "ask", Text: fmt.Sprintf("trace %d", i)}
		status, _ := decideProduct(ps, seenProduct{question: productQuestion(ps, noon.Add(time.Hour), noon), err: err, interval: interval}, noon.Add(time.Duration(i)*time.Minute))
		if !cmp.Equal(ps.Status, status) {
			writes++
		}
		ps.Status = status
	}
	if writes != 1 || ready(ps.Status.Conditions) {
		t.Errorf("%d writes, conditions %+v", writes, ps.Status.Conditions)
	}
}

// TestNoteIsTheMessage: what people must know of an answer stands in the condition as long
// as it is so, and is written once.
func TestNoteIsTheMessage(t *testing.T) {
	const note = "no prices: nobody says in which currency they are"
	ps := newProduct()
	look := func(text string, err error, minute int) v1alpha1.ProductSyncStatus {
		t.Helper()
		now := noon.Add(time.Duration(minute) * time.Minute)
		told := answer(35050)
		told.Note = text
		status, _ := decideProduct(ps, seenProduct{question: productQuestion(ps, time.Time{}, now), answer: told, err: err, interval: interval}, now)
		return status
	}
	message := func() string { return standing(ps.Status.Conditions).Message }
	ps.Status = look(note, nil, 0)
	if !ready(ps.Status.Conditions) || message() != note {
		t.Errorf("a note: %+v", ps.Status.Conditions)
	}
	if diff := cmp.Diff(ps.Status, look(note, nil, 1)); diff != "" {
		t.Errorf("the same note is a write: %s", diff)
	}
	if diff := cmp.Diff(ps.Status, look("", errDown, 2)); diff != "" {
		t.Errorf("a resync that failed is a write: %s", diff)
	}
	if status, _ := decideProduct(ps, seenProduct{interval: interval, due: noon.Add(time.Hour)}, noon); !cmp.Equal(ps.Status, status) {
		t.Errorf("a look that asks nothing is a write: %s", cmp.Diff(ps.Status, status))
	}
	if gone := look(note, errOffSale, 3); standing(gone.Conditions).Message != "" {
		t.Errorf("off sale: %+v", gone.Conditions)
	}
	ps.Status = look("", nil, 4)
	if fetched := ps.Status.FetchedAt.Time; message() != "" || !ready(ps.Status.Conditions) || !fetched.Equal(noon.Add(4*time.Minute)) {
		t.Errorf("the note is gone: fetched %s, %+v", fetched, ps.Status.Conditions)
	}
	ps.Status = look("another", nil, 5)
	if message() != "another" {
		t.Errorf("another note: %+v", ps.Status.Conditions)
	}
}

// TestResyncsOfWhatWasFoundTogetherDrawApart: products that live by resyncs alone, and were
// all found by one listing, are not asked for in the same second again and again.
func TestResyncsOfWhatWasFoundTogetherDrawApart(t *testing.T) {
	const products, rounds = 25, 4
	l := newLooks(noon.Add(-time.Hour))
	found := newProduct(synced)
	next := map[types.NamespacedName]time.Time{}
	for i := range products {
		next[types.NamespacedName{Name: fmt.Sprint(i)}] = noon
	}
	for round := range rounds {
		bySecond := map[int64]int{}
		first, last := noon.AddDate(1, 0, 0), noon
		for key, now := range next {
			if due := l.due(key, noon, every(defaultResync)); round > 0 && now.Before(due) {
				t.Fatalf("looked at %s, due at %s", now, due)
			}
			l.answeredNow(key, now)
			_, soon := decideProduct(found, seenProduct{question: &platform.ProductQuestion{Aspects: everything}, answer: answer(35050),
				interval: defaultResync}, now)
			now = now.Add(l.result(key, soon).RequeueAfter)
			next[key] = now
			bySecond[now.Unix()]++
			if now.Before(first) {
				first = now
			}
			if now.After(last) {
				last = now
			}
		}
		for second, n := range bySecond {
			if n > products/5 {
				t.Errorf("round %d: %d products in second %d", round, n, second)
			}
		}
		if span := last.Sub(first); span < defaultResync/20 {
			t.Errorf("round %d: all within %s", round, span)
		}
	}
}
