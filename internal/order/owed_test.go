package order

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
)

func spec(all pushes) v1alpha1.OrderVoucherSpec {
	return v1alpha1.OrderVoucherSpec{Notifications: all}
}

// sinceAside: two deliveries of one push are received at different times.
var sinceAside = cmpopts.IgnoreFields(Debt{}, "Since")

func until(second int64) func(*v1alpha1.Notification) {
	return func(n *v1alpha1.Notification) {
		n.ReceivedAt = *moment(0)
		n.Deadline = ptr.To(metav1.NewTime(moment(second).Time))
	}
}

func TestOwed(t *testing.T) {
	pending := replied(v1alpha1.ResultPending)
	units := naming(unit("u-1"), unit("u-2"))
	r1 := refund(v1alpha1.NotifiedRefund{ID: "r1"})
	codes := push("1", wanted, 5, units, pending)
	back := push("2", requested, 5, r1, naming(unit("u-1")), pending)
	confirmed := func(phase v1alpha1.OrderPhase, codes ...v1alpha1.Code) v1alpha1.OrderVoucherStatus {
		return v1alpha1.OrderVoucherStatus{Phase: phase, Codes: codes, Confirmed: &v1alpha1.OrderConfirmation{}}
	}
	refunds := func(refunds ...v1alpha1.Refund) v1alpha1.OrderVoucherStatus {
		return v1alpha1.OrderVoucherStatus{Refunds: refunds}
	}
	for name, test := range map[string]struct {
		pushes pushes
		status v1alpha1.OrderVoucherStatus
		want   []string
	}{
		"nothing asked":  {pushes: pushes{push("1", issued, 0, succeeded(true), units), push("2", requested, 0, r1)}},
		"codes":          {pushes: pushes{codes}, want: []string{"1"}},
		"codes answered": {pushes: pushes{codes}, status: v1alpha1.OrderVoucherStatus{Answers: told("1", v1alpha1.ResultIssued)}},
		"codes, another answered": {pushes: pushes{codes}, status: v1alpha1.OrderVoucherStatus{Answers: told("0", v1alpha1.ResultIssued)},
			want: []string{"1"}},
		"codes issued at once":           {pushes: pushes{push("1", wanted, 0, units, replied(v1alpha1.ResultIssued))}},
		"codes issued later":             {pushes: pushes{codes, push("2", issued, 6, succeeded(true), units)}},
		"codes issued, nobody says when": {pushes: pushes{push("2", wanted, 0, units, pending), push("1", issued, 0, succeeded(true), units)}},
		"codes announced later":          {pushes: pushes{codes, push("2", issued, 6, units)}, want: []string{"1"}},
		"codes issued before":            {pushes: pushes{codes, push("2", issued, 4, succeeded(true), units)}, want: []string{"1"}},
		"issuing failed":                 {pushes: pushes{codes, push("2", issued, 6, succeeded(false))}, want: []string{"1"}},
		"codes requested again":          {pushes: pushes{codes, push("2", wanted, 6, units, pending)}, want: []string{"2"}},
		"codes shown":                    {pushes: pushes{codes}, status: confirmed(v1alpha1.OrderIssued, code("a", 1, 0, 0))},
		"units shown":                    {pushes: pushes{codes}, status: confirmed(v1alpha1.OrderIssuing, unit("u-1"), unit("u-2")), want: []string{"1"}},
		"codes shown, on whose word":     {pushes: pushes{codes}, status: v1alpha1.OrderVoucherStatus{Codes: []v1alpha1.Code{code("a", 1, 0, 0)}}, want: []string{"1"}},
		"codes, order refunded":          {pushes: pushes{codes, back}, status: confirmed(v1alpha1.OrderRefunded)},
		"codes, order cancelled":         {pushes: pushes{codes, back}, status: confirmed(v1alpha1.OrderCancelled)},
		"codes, order failed":            {pushes: pushes{codes, back}, status: confirmed(v1alpha1.OrderFailed)},

		"refund":                   {pushes: pushes{back}, want: []string{"2"}},
		"refund answered":          {pushes: pushes{back}, status: v1alpha1.OrderVoucherStatus{Answers: told("2", v1alpha1.ResultApproved)}},
		"refund refused":           {pushes: pushes{back}, status: v1alpha1.OrderVoucherStatus{Answers: told("2", v1alpha1.ResultRefused)}},
		"refund approved at once":  {pushes: pushes{push("2", requested, 0, r1, replied(v1alpha1.ResultApproved))}},
		"refund without a reply":   {pushes: pushes{push("2", requested, 0, r1)}},
		"refund paid":              {pushes: pushes{back, push("3", refunded, 4, r1)}},
		"another refund paid":      {pushes: pushes{back, push("3", refunded, 6, refund(v1alpha1.NotifiedRefund{ID: "r2"}))}, want: []string{"2"}},
		"refund failed":            {pushes: pushes{back, push("3", refunded, 6, r1, succeeded(false))}},
		"refund failed before":     {pushes: pushes{back, push("3", refunded, 4, r1, succeeded(false))}, want: []string{"2"}},
		"refund asked for again":   {pushes: pushes{back, push("3", requested, 6, r1, pending)}, want: []string{"3"}},
		"refund listed":            {pushes: pushes{back}, status: refunds(v1alpha1.Refund{ID: "r1"}), want: []string{"2"}},
		"refund listed as paid":    {pushes: pushes{back}, status: refunds(v1alpha1.Refund{ID: "r1", Succeeded: ptr.To(true)})},
		"refund listed as refused": {pushes: pushes{back}, status: refunds(v1alpha1.Refund{ID: "r1", Succeeded: ptr.To(false)})},
		"refund without an id": {pushes: pushes{push("2", requested, 0, pending)}, status: refunds(v1alpha1.Refund{Succeeded: ptr.To(true)}),
			want: []string{"2"}},
		"the code is refunded": {pushes: pushes{back}, status: confirmed(v1alpha1.OrderPartlyRefunded, func() v1alpha1.Code {
			c := unit("u-1")
			c.Refunded = ptr.To[int64](1)
			return c
		}())},
		"another code is refunded": {pushes: pushes{back}, status: confirmed(v1alpha1.OrderPartlyRefunded, code("b", 1, 0, 1)), want: []string{"2"}},

		"the most urgent first": {pushes: pushes{
			push("1", requested, 0, pending), push("2", wanted, 0, pending, until(600)),
			push("3", requested, 0, r1, pending, until(90)), push("0", requested, 9, pending),
		}, want: []string{"3", "2", "0", "1"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, debt := range Owed(spec(test.pushes), test.status) {
				got = append(got, debt.NotificationID)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
		})
	}
}

// A debt has all that its answer needs.
func TestOwedIsWhole(t *testing.T) {
	units := []v1alpha1.Code{unit("u-2"), unit("u-1")}
	pending := replied(v1alpha1.ResultPending)
	got := Owed(spec(pushes{
		push("1", wanted, 5, naming(units...), pending, until(600)),
		push("2", requested, 5, refund(v1alpha1.NotifiedRefund{ID: "r1"}), naming(units[1]), pending),
	}), v1alpha1.OrderVoucherStatus{})
	want := []Debt{
		{Kind: DebtCodes, NotificationID: "1", PlatformType: "CodesRequested", Codes: units, Since: moment(0).Time, Deadline: moment(600).Time},
		{Kind: DebtRefund, NotificationID: "2", PlatformType: "RefundRequested", RefundID: "r1", Codes: units[1:]},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

// Order and repetition do not matter to what is owed; what was answered is owed no more,
// and an answer to one thing takes nothing away from another but what it decides.
func TestOwedIsSettledByAnswers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all, evidence := somePushes.Draw(t, "pushes"), someEvidence.Draw(t, "evidence")
		status := Fold(all, evidence).Status
		status.Answers = evidence.Given
		if evidence.Answer != nil {
			status.Confirmed = &v1alpha1.OrderConfirmation{}
		}
		owed := Owed(spec(all), status)
		again := rapid.Permutation(append(slices.Clone(all), all...)).Draw(t, "permutation")
		if diff := cmp.Diff(owed, Owed(spec(again), status), sinceAside); diff != "" {
			t.Fatalf("want -, got +:\n%s", diff)
		}
		for len(owed) > 0 {
			status.Answers = append(slices.Clone(status.Answers), v1alpha1.OrderAnswer{NotificationID: owed[0].NotificationID, Result: v1alpha1.ResultApproved})
			if diff := cmp.Diff(owed[1:], Owed(spec(all), status), cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("after an answer to %s: want -, got +:\n%s", owed[0].NotificationID, diff)
			}
			owed = owed[1:]
		}
	})
}

// What is owed has a notification that was told to wait, with its own deadline.
func TestOwedIsAskedFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := somePushes.Draw(t, "pushes")
		last := time.Time{}
		for i, debt := range Owed(spec(all), v1alpha1.OrderVoucherStatus{Answers: someGiven.Draw(t, "given")}) {
			if !slices.ContainsFunc(distinct(all), func(n *v1alpha1.Notification) bool {
				deadline := time.Time{}
				if n.Deadline != nil {
					deadline = n.Deadline.Time
				}
				return n.ID == debt.NotificationID && n.Reply != nil && deadline.Equal(debt.Deadline)
			}) {
				t.Fatalf("nobody asks for %+v", debt)
			}
			if i > 0 && (last.IsZero() && !debt.Deadline.IsZero() || !debt.Deadline.IsZero() && debt.Deadline.Before(last)) {
				t.Fatalf("%s after %s", debt.Deadline, last)
			}
			last = debt.Deadline
		}
	})
}

// The platform's own ids of the codes reach the status.
func TestFoldKeepsRefs(t *testing.T) {
	named := unit("u-1")
	for name, evidence := range map[string]Evidence{
		"answered": {Answer: &Answer{State: Issued, Codes: []v1alpha1.Code{named}}}, "pushed": {}, "trusted": {Trusted: true},
	} {
		got := Fold(pushes{push("1", issued, 0, naming(named))}, evidence).Status.Codes
		if len(got) != 1 || got[0].Ref != "u-1" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// What we refused is listed as failed where nobody else lists refunds.
func TestFoldListsWhatWeRefused(t *testing.T) {
	all := pushes{push("1", requested, 3, refund(v1alpha1.NotifiedRefund{ID: "r1", Amount: yuan(100)}), replied(v1alpha1.ResultRefused))}
	want := []v1alpha1.Refund{{ID: "r1", Amount: yuan(100), Succeeded: ptr.To(false), At: moment(3)}}
	if diff := cmp.Diff(want, Fold(all, Evidence{Trusted: true}).Status.Refunds); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

// Should two copies of one push ever differ, no more than in what was replied or until
// when, the choice does not depend on their order.
func TestOwedOfCopiesThatDiffer(t *testing.T) {
	ask := func(change ...func(*v1alpha1.Notification)) v1alpha1.Notification {
		return push("1", wanted, 0, change...)
	}
	pending := replied(v1alpha1.ResultPending)
	for name, copies := range map[string]pushes{
		"the reply":    {ask(pending), ask(replied(v1alpha1.ResultIssued))},
		"the deadline": {ask(pending, until(60)), ask(pending, until(90))},
	} {
		owed := Owed(spec(copies), v1alpha1.OrderVoucherStatus{})
		slices.Reverse(copies)
		if diff := cmp.Diff(owed, Owed(spec(copies), v1alpha1.OrderVoucherStatus{}), sinceAside); diff != "" {
			t.Errorf("%s: want -, got +:\n%s", name, diff)
		}
	}
}
