package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/conditions"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

var (
	noon   = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	anyKey = types.NamespacedName{Namespace: "travel", Name: "x"}
)

// Answers that are no answers, one of each class.
var (
	errDown        = &platform.Error{Kind: platform.Transient, Reason: platform.ReasonUnavailable, Op: "ask", Text: "down"}
	errOwnLimit    = &platform.Error{Kind: platform.Throttled, Reason: platform.ReasonThrottled, Op: "ask", RetryAfter: 2 * time.Second}
	errTold        = &platform.Error{Kind: platform.Throttled, Reason: platform.ReasonThrottled, Op: "ask", Code: "429", RetryAfter: time.Minute}
	errTooMany     = &platform.Error{Kind: platform.Throttled, Reason: platform.ReasonThrottled, Op: "ask", Code: "429"}
	errNotFound    = &platform.Error{Kind: platform.Gone, Reason: platform.ReasonNotFound, Op: "ask", Code: "4005"}
	errOffSale     = &platform.Error{Kind: platform.Gone, Reason: platform.ReasonOffSale, Op: "ask", Code: "4006"}
	errNotGranted  = &platform.Error{Kind: platform.Refused, Reason: platform.ReasonNotGranted, Op: "ask", Code: "5002"}
	errCredentials = &platform.Error{Kind: platform.Refused, Reason: platform.ReasonCredentials, Op: "ask", Code: "5001"}
	errRequest     = &platform.Error{Kind: platform.Refused, Reason: platform.ReasonRequest, Op: "ask", Code: "5004"}
)

var allErrors = []error{nil, errDown, errors.New("dial"), errOwnLimit, errTold, errTooMany, errNotFound, errOffSale, errNotGranted, errCredentials, errRequest}

func TestVerdictOf(t *testing.T) {
	const slow = time.Hour
	for name, test := range map[string]struct {
		err    error
		state  conditions.State
		reason string
		next   again
	}{
		"down":                       {errDown, conditions.Reconciling, v1alpha1.ReasonProgressingWithRetry, again{after: slow, failing: true, urgent: true}},
		"ours or the network's":      {errors.New("dial"), conditions.Reconciling, v1alpha1.ReasonProgressingWithRetry, again{after: slow, failing: true, urgent: true}},
		"wrapped":                    {fmt.Errorf("look: %w", errDown), conditions.Reconciling, v1alpha1.ReasonProgressingWithRetry, again{after: slow, failing: true, urgent: true}},
		"throttled, told how long":   {errTold, conditions.Reconciling, v1alpha1.ReasonThrottled, again{after: time.Minute, putOff: true, urgent: true}},
		"throttled, not how long":    {errTooMany, conditions.Reconciling, v1alpha1.ReasonThrottled, again{after: slow, failing: true, urgent: true}},
		"not known":                  {errNotFound, conditions.Waiting, v1alpha1.ReasonNotFound, again{after: slow}},
		"not granted":                {errNotGranted, conditions.Stalled, v1alpha1.ReasonNotGranted, again{after: slow}},
		"account refused":            {errCredentials, conditions.Waiting, v1alpha1.ReasonChannelNotReady, again{after: slow, failing: true}},
		"the request itself refused": {errRequest, conditions.Stalled, v1alpha1.ReasonRefused, again{after: slow}},
	} {
		t.Run(name, func(t *testing.T) {
			verdict, next := verdictOf(test.err, "product 88", slow)
			if verdict.State != test.state || verdict.Reason != test.reason || next != test.next {
				t.Errorf("%+v, %+v", verdict, next)
			}
			if !strings.Contains(verdict.Message, "product 88") {
				t.Errorf("the message does not name it: %q", verdict.Message)
			}
		})
	}
}

func TestNotAskedChannel(t *testing.T) {
	channel := func(s conditions.State, reason string) *v1alpha1.Channel {
		c := &v1alpha1.Channel{}
		c.Status.Conditions = conditions.Set(nil, conditions.Verdict{State: s, Reason: reason}, 1, noon)
		return c
	}
	works := channel(conditions.Ready, v1alpha1.ReasonConnected)
	for name, test := range map[string]struct {
		channel *v1alpha1.Channel
		account *accounts.Account
		want    string
	}{
		"works":                {works, &accounts.Account{}, ""},
		"platform down":        {channel(conditions.Reconciling, v1alpha1.ReasonProgressingWithRetry), &accounts.Account{}, ""},
		"not there":            {nil, nil, "does not exist"},
		"with a problem":       {works, &accounts.Account{Problem: &accounts.Problem{Reason: v1alpha1.ReasonAccountTaken}}, v1alpha1.ReasonAccountTaken},
		"suspended":            {works, &accounts.Account{Suspended: true}, "suspended"},
		"refused at the check": {channel(conditions.Stalled, v1alpha1.ReasonCredentialsRefused), &accounts.Account{}, v1alpha1.ReasonCredentialsRefused},
	} {
		t.Run(name, func(t *testing.T) {
			verdict := notAskedChannel(test.channel, test.account, types.NamespacedName{Name: "ch"})
			if test.want == "" {
				if verdict != nil {
					t.Errorf("not asked: %+v", verdict)
				}
				return
			}
			if verdict == nil || verdict.State != conditions.Waiting || verdict.Reason != v1alpha1.ReasonChannelNotReady || !strings.Contains(verdict.Message, test.want) {
				t.Errorf("%+v, want %q", verdict, test.want)
			}
		})
	}
}

// unreadable is an API server that gives no Channel.
type unreadable struct{ client.Client }

func (unreadable) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return context.DeadlineExceeded
}

// TestChannelThatCannotBeReadIsNotSaidToBeMissing: and what waits for it looks again soon.
func TestChannelThatCannotBeReadIsNotSaidToBeMissing(t *testing.T) {
	registry, now := accounts.NewRegistry(accounts.Options{}), func() time.Time { return noon }
	products := &ProductSyncReconciler{Client: unreadable{}, Accounts: registry, Now: now, looks: newLooks(noon)}
	if seen := products.observe(t.Context(), newProduct()); !seen.loading || seen.notAsked != nil {
		t.Errorf("product: %+v", seen)
	}
	orders := &OrderVoucherReconciler{Client: unreadable{}, Accounts: registry, Now: now, looks: newLooks(noon)}
	if seen := orders.observe(t.Context(), newOrder()); !seen.loading || seen.notAsked != nil {
		t.Errorf("order: %+v", seen)
	}
}

func TestGrowing(t *testing.T) {
	for name, test := range map[string]struct{ waited, least, most, want time.Duration }{
		"just begun":           {0, 5 * time.Second, time.Hour, 5 * time.Second},
		"the clock went back":  {-time.Hour, 5 * time.Second, time.Hour, 5 * time.Second},
		"half of what it took": {time.Minute, 5 * time.Second, time.Hour, 30 * time.Second},
		"bounded":              {24 * time.Hour, 5 * time.Second, time.Hour, time.Hour},
		"a bound below least":  {24 * time.Hour, 5 * time.Second, time.Second, 5 * time.Second},
	} {
		if got := growing(test.waited, test.least, test.most); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func TestKeepWords(t *testing.T) {
	for name, test := range map[string]struct {
		before, verdict conditions.Verdict
		want            string
	}{
		"the same failure in other words": {
			conditions.Verdict{State: conditions.Reconciling, Reason: v1alpha1.ReasonProgressingWithRetry, Message: "first"},
			conditions.Verdict{State: conditions.Reconciling, Reason: v1alpha1.ReasonProgressingWithRetry, Message: "second"}, "first"},
		"another failure": {
			conditions.Verdict{State: conditions.Reconciling, Reason: v1alpha1.ReasonThrottled, Message: "first"},
			conditions.Verdict{State: conditions.Reconciling, Reason: v1alpha1.ReasonProgressingWithRetry, Message: "second"}, "second"},
		"other claims that are not confirmed": {
			conditions.Verdict{State: conditions.Reconciling, Reason: v1alpha1.ReasonNotConfirmed, Message: "first"},
			conditions.Verdict{State: conditions.Reconciling, Reason: v1alpha1.ReasonNotConfirmed, Message: "second"}, "second"},
		"another reason of the Channel": {
			conditions.Verdict{State: conditions.Waiting, Reason: v1alpha1.ReasonChannelNotReady, Message: "first"},
			conditions.Verdict{State: conditions.Waiting, Reason: v1alpha1.ReasonChannelNotReady, Message: "second"}, "second"},
		"Ready": {
			conditions.Verdict{State: conditions.Ready, Reason: v1alpha1.ReasonConnected, Message: "first"},
			conditions.Verdict{State: conditions.Ready, Reason: v1alpha1.ReasonConnected, Message: "second"}, "second"},
	} {
		t.Run(name, func(t *testing.T) {
			got := keepWords(conditions.Set(nil, test.before, 1, noon), test.verdict)
			if got.Message != test.want || got.Reason != test.verdict.Reason || got.State != test.verdict.State {
				t.Errorf("%+v, want %q", got, test.want)
			}
		})
	}
}

// TestStandingIsWhatConditionsShow: set again, they are the same.
func TestStandingIsWhatConditionsShow(t *testing.T) {
	if got := standing(nil); got.State != conditions.Reconciling || got.Reason != v1alpha1.ReasonProgressing {
		t.Errorf("of none: %+v", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		verdict := conditions.Verdict{
			State:   rapid.SampledFrom([]conditions.State{conditions.Ready, conditions.Waiting, conditions.Reconciling, conditions.Stalled}).Draw(t, "state"),
			Reason:  "Because",
			Message: strings.Repeat(rapid.SampledFrom([]string{"x", "票", "é"}).Draw(t, "letter"), rapid.IntRange(0, 1100).Draw(t, "length")),
		}
		set := conditions.Set(nil, verdict, 1, noon)
		if diff := cmp.Diff(set, conditions.Set(set, *standing(set), 1, noon.Add(time.Hour))); diff != "" {
			t.Error(diff)
		}
	})
}

func TestRequested(t *testing.T) {
	long := strings.Repeat("票", 300)
	for name, test := range map[string]struct {
		value, handled string
		want           bool
	}{
		"never":           {"", "", false},
		"taken back":      {"", "1", false},
		"new":             {"2", "1", true},
		"handled":         {"2", "2", false},
		"longer than fit": {long, strings.Repeat("票", 256), false},
	} {
		annotations := map[string]string{v1alpha1.AnnotationRequestedAt: test.value}
		if got := requested(annotations, test.handled); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := len([]rune(cutRequest(long))); got != 256 {
		t.Errorf("cut to %d characters", got)
	}
}

func TestBriefly(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want bool
	}{
		"our own limit":                     {errOwnLimit, true},
		"our own limit, for long":           {&platform.Error{Kind: platform.Throttled, RetryAfter: shortWait}, false},
		"the platform itself, not how long": {errTooMany, false},
		"down":                              {errDown, false},
		"none":                              {nil, false},
	} {
		if got := briefly(test.err); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestFailuresComeSlowerAndSlower(t *testing.T) {
	l := newLooks(noon)
	within := func(what string, got, want time.Duration) {
		t.Helper()
		if got < want || got > want+want/5 {
			t.Errorf("%s after %s, want %s and up to a fifth more", what, got, want)
		}
	}
	failing := again{after: time.Hour, failing: true, urgent: true}
	for n := range 14 {
		within(fmt.Sprintf("retry %d", n), l.result(anyKey, failing).RequeueAfter, min(time.Second<<n, lastRetry))
	}
	bounded := failing
	bounded.after = 30 * time.Second
	within("bounded by the interval", l.result(anyKey, bounded).RequeueAfter, 30*time.Second)
	within("put off at first", l.result(types.NamespacedName{Name: "z"}, inAMoment).RequeueAfter, time.Second)
	within("put off for long", l.result(anyKey, inAMoment).RequeueAfter, 30*time.Second)
	within("what was put off still counts as failing", l.result(anyKey, failing).RequeueAfter, lastRetry)
	within("another object", l.result(types.NamespacedName{Name: "y"}, failing).RequeueAfter, time.Second)
	within("answered", l.result(anyKey, again{after: time.Minute}).RequeueAfter, time.Minute)
	within("begins anew", l.result(anyKey, failing).RequeueAfter, time.Second)
	if got := l.result(anyKey, again{}); !got.IsZero() {
		t.Errorf("nothing to do: %+v", got)
	}
}

func TestWhatIsNotUrgentWaitsBehindPushes(t *testing.T) {
	l := newLooks(noon)
	if got := l.result(anyKey, again{after: time.Minute}).Priority; got == nil || *got != handler.LowPriority {
		t.Errorf("a resync has priority %v", got)
	}
	if got := l.result(anyKey, again{after: time.Minute, urgent: true}).Priority; got != nil {
		t.Errorf("a retry has priority %d, not the one it had", *got)
	}
}

func TestDue(t *testing.T) {
	const gap = time.Hour
	l := newLooks(noon)
	if got := l.due(anyKey, noon.Add(-time.Minute), every(gap)); !got.Equal(noon.Add(gap - time.Minute)) {
		t.Errorf("after the start: %s", got)
	}
	l.answeredNow(anyKey, noon.Add(time.Minute))
	if got := l.due(anyKey, noon.Add(-time.Minute), every(gap)); !got.Equal(noon.Add(gap + time.Minute)) {
		t.Errorf("after the last answer: %s", got)
	}
	if got := l.due(anyKey, noon.Add(2*time.Minute), every(gap)); !got.Equal(noon.Add(gap + 2*time.Minute)) {
		t.Errorf("after what was first fetched later: %s", got)
	}
	l.forget(anyKey)
	if got := l.due(anyKey, noon.Add(-time.Minute), every(gap)); !got.Equal(noon.Add(gap - time.Minute)) {
		t.Errorf("forgotten: %s", got)
	}
}

// TestRestartSpreadsWhatIsOverdue: over a quarter of the gap that comes next, evenly, and
// the same for an object each time it is asked.
func TestRestartSpreadsWhatIsOverdue(t *testing.T) {
	fetched := noon.Add(-24 * time.Hour)
	for name, test := range map[string]struct {
		gap  func(time.Time) time.Duration
		span time.Duration
	}{
		"every":   {every(4 * time.Hour), time.Hour},
		"growing": {func(last time.Time) time.Duration { return growing(last.Sub(fetched), time.Minute, 4*time.Hour) }, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLooks(noon)
			const objects = 1000
			early := 0
			for i := range objects {
				k := types.NamespacedName{Name: fmt.Sprint(i)}
				due := l.due(k, fetched, test.gap)
				if due.Before(noon) || due.After(noon.Add(test.span)) || !due.Equal(l.due(k, fetched, test.gap)) {
					t.Fatalf("object %d is due at %s", i, due)
				}
				if due.Before(noon.Add(test.span / 4)) {
					early++
				}
			}
			if early < objects/6 || early > objects/3 {
				t.Errorf("%d of %d in the first quarter", early, objects)
			}
		})
	}
}

func TestToApplyKeepsEveryField(t *testing.T) {
	status := v1alpha1.OrderVoucherStatus{Phase: v1alpha1.OrderIssued, Codes: []v1alpha1.Code{{ID: "a", Hint: "A•••", Used: ptr.To(int64(0))}},
		Totals: v1alpha1.OrderTotals{Persons: 1}, Conditions: conditions.Set(nil, conditions.Verdict{Reason: "R"}, 3, noon), ObservedGeneration: 3}
	applied, err := toApply[v1alpha1.OrderVoucherStatus](status)
	must(t, err)
	if applied.Conditions[0].LastTransitionTime = status.Conditions[0].LastTransitionTime; !cmp.Equal(status, *applied) {
		t.Error(cmp.Diff(status, *applied))
	}
}
