package order

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/money"
)

// Generators. Few ids and few instants, so that pushes meet; numbers that are missing,
// negative and far too large, so that the fold must bear them.

func optional[T any](g *rapid.Generator[T]) *rapid.Generator[*T] { return rapid.Ptr(g, true) }

var (
	someNumber = rapid.OneOf(rapid.Int64Range(-1, 4), rapid.Int64Range(-1, 4), rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64}))
	someMoney  = rapid.Custom(func(t *rapid.T) v1alpha1.Money {
		return v1alpha1.Money{
			Currency: rapid.SampledFrom([]string{"CNY", "CNY", "CNY", "JPY", "", "A$"}).Draw(t, "currency"),
			Amount:   someNumber.Draw(t, "amount"),
		}
	})
	someCode = rapid.Custom(func(t *rapid.T) v1alpha1.Code {
		id := rapid.SampledFrom([]string{"a", "b", "c", ""}).Draw(t, "code")
		return v1alpha1.Code{
			ID: id, Hint: id + rapid.SampledFrom([]string{"•••", "••", ""}).Draw(t, "hint"), Persons: optional(someNumber).Draw(t, "persons"),
			Ref:  rapid.SampledFrom([]string{"", "a1", "b1", strings.Repeat("c", 200)}).Draw(t, "ref"),
			Used: optional(someNumber).Draw(t, "used"), Refunded: optional(someNumber).Draw(t, "refunded"),
		}
	})
	someMoment = rapid.Custom(func(t *rapid.T) metav1.MicroTime {
		return *moment(rapid.Int64Range(0, 3).Draw(t, "second"))
	})
	someRefundID = rapid.SampledFrom([]string{"", "r1", "r2"})
	someRefund   = rapid.Custom(func(t *rapid.T) v1alpha1.NotifiedRefund {
		return v1alpha1.NotifiedRefund{
			ID: someRefundID.Draw(t, "refund"), Amount: optional(someMoney).Draw(t, "amount"),
			Quantity: optional(someNumber).Draw(t, "quantity"), Full: rapid.Bool().Draw(t, "full"),
			Succeeded: optional(rapid.Bool()).Draw(t, "refund succeeded"),
		}
	})
	someType = rapid.SampledFrom([]v1alpha1.NotificationType{
		issued, used, unused, paidFor, requested, refunded, cancelled, refunded, used, wanted, wanted, requested,
		v1alpha1.NotificationStatusChanged, v1alpha1.NotificationBooking, v1alpha1.NotificationOther,
	})
	somePush = rapid.Custom(func(t *rapid.T) v1alpha1.Notification {
		kind := someType.Draw(t, "type")
		return v1alpha1.Notification{
			ID: fmt.Sprintf("n%d", rapid.IntRange(0, 15).Draw(t, "id")), Type: kind, PlatformType: string(kind),
			OccurredAt: optional(someMoment).Draw(t, "occurredAt"), ReceivedAt: someMoment.Draw(t, "receivedAt"),
			Succeeded: optional(rapid.Bool()).Draw(t, "succeeded"), Codes: rapid.SliceOfN(someCode, 0, 3).Draw(t, "codes"),
			Refund: optional(someRefund).Draw(t, "refund"), Reply: optional(someReply).Draw(t, "reply"),
			Deadline: optional(someDeadline).Draw(t, "deadline"),
		}
	})
	someResult = rapid.SampledFrom([]v1alpha1.Result{
		v1alpha1.ResultPending, v1alpha1.ResultPending, v1alpha1.ResultIssued, v1alpha1.ResultApproved, v1alpha1.ResultRefused,
	})
	someGivenResult = rapid.SampledFrom([]v1alpha1.Result{v1alpha1.ResultIssued, v1alpha1.ResultApproved, v1alpha1.ResultRefused})
	someReply       = rapid.Custom(func(t *rapid.T) v1alpha1.NotificationReply {
		return v1alpha1.NotificationReply{Result: someResult.Draw(t, "result")}
	})
	someDeadline = rapid.Custom(func(t *rapid.T) metav1.Time { return metav1.NewTime(someMoment.Draw(t, "deadline").Time) })
	someGiven    = rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) v1alpha1.OrderAnswer {
		return v1alpha1.OrderAnswer{NotificationID: fmt.Sprintf("n%d", rapid.IntRange(0, 15).Draw(t, "answered")), Result: someGivenResult.Draw(t, "answer")}
	}), 0, 4, func(a v1alpha1.OrderAnswer) string { return a.NotificationID })
	somePushes      = rapid.SliceOfN(somePush, 0, 12)
	someRefundState = rapid.SampledFrom([]RefundState{"", RefundNone, RefundRequested, RefundPartly, RefundFull, RefundFailed})
	someListed      = rapid.Custom(func(t *rapid.T) v1alpha1.Refund {
		return v1alpha1.Refund{
			ID: someRefundID.Draw(t, "listed"), Amount: optional(someMoney).Draw(t, "amount"), At: optional(someMoment).Draw(t, "at"),
			Quantity: optional(someNumber).Draw(t, "quantity"), Succeeded: optional(rapid.Bool()).Draw(t, "succeeded"),
		}
	})
	someAnswer = rapid.Custom(func(t *rapid.T) *Answer {
		return &Answer{
			State:       rapid.SampledFrom([]State{"", Pending, Paid, Issued, Issued, Failed, Finished, Cancelled, Other}).Draw(t, "state"),
			RefundState: someRefundState.Draw(t, "refund state"), Refunded: optional(someMoney).Draw(t, "refunded"),
			RefundedQuantity: optional(someNumber).Draw(t, "refunded quantity"), Quantity: optional(someNumber).Draw(t, "quantity"),
			Currency: rapid.SampledFrom([]string{"", "CNY", "¥"}).Draw(t, "currency"),
			Codes:    rapid.SliceOfN(someCode, 0, 4).Draw(t, "codes"), Refunds: rapid.SliceOfN(someListed, 0, 3).Draw(t, "refunds"),
		}
	})
	someEvidence = rapid.Custom(func(t *rapid.T) Evidence {
		e := Evidence{Trusted: rapid.Bool().Draw(t, "trusted"), Given: someGiven.Draw(t, "given")}
		if rapid.Bool().Draw(t, "answered") {
			e.Answer = someAnswer.Draw(t, "answer")
		}
		return e
	})
)

// Order and repetition do not matter, nor does when a copy was received.
func TestFoldIgnoresOrderAndRepetition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all, evidence := somePushes.Draw(t, "pushes"), someEvidence.Draw(t, "evidence")
		again := slices.Clone(all)
		if len(all) > 0 {
			again = append(again, rapid.SliceOfN(rapid.SampledFrom(all), 0, 5).Draw(t, "redelivered")...)
		}
		again = rapid.Permutation(again).Draw(t, "permutation")
		for i := range again {
			again[i].ReceivedAt = metav1.NewMicroTime(again[i].ReceivedAt.Add(time.Duration(i) * time.Hour))
			again[i].Sealed = fmt.Sprint(i)
		}
		if diff := cmp.Diff(Fold(all, evidence), Fold(again, evidence)); diff != "" {
			t.Fatalf("want -, got +:\n%s", diff)
		}
	})
}

// The fold reads and does not write.
func TestFoldLeavesItsArgumentsAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all, evidence := somePushes.Draw(t, "pushes"), someEvidence.Draw(t, "evidence")
		text := func() string {
			b, err := json.Marshal([]any{all, evidence})
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		before := text()
		Fold(all, evidence)
		Compact(all, 1)
		if diff := cmp.Diff(before, text()); diff != "" {
			t.Fatal(diff)
		}
	})
}

// A push whose sender is not proven makes nothing used, refunded, cancelled or failed.
func TestFoldUnprovenPushesTakeNothingAway(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		got := Fold(somePushes.Draw(t, "pushes"), Evidence{})
		switch got.Status.Phase {
		case v1alpha1.OrderPending, v1alpha1.OrderPaid, v1alpha1.OrderIssuing, v1alpha1.OrderIssued, v1alpha1.OrderRefundRequested:
		default:
			t.Fatalf("phase %s", got.Status.Phase)
		}
		if got.Final || len(got.Unconfirmed) > 0 {
			t.Fatalf("final %t, unconfirmed %v", got.Final, got.Unconfirmed)
		}
		totals := got.Status.Totals
		if totals.Used != 0 || totals.Refunded != 0 || minor(totals.RefundedAmount) != 0 {
			t.Fatalf("totals %+v", totals)
		}
		for _, c := range got.Status.Codes {
			if *c.Used != 0 || *c.Refunded != 0 {
				t.Fatalf("code %s: used %d, refunded %d", c.ID, *c.Used, *c.Refunded)
			}
		}
		for _, r := range got.Status.Refunds {
			if r.Succeeded != nil {
				t.Fatalf("refund %+v", r)
			}
		}
	})
}

// With an answer, pushes change nothing but what it cannot contradict.
func TestFoldBelievesTheAnswer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		evidence := Evidence{Answer: someAnswer.Draw(t, "answer"), Trusted: rapid.Bool().Draw(t, "trusted")}
		alone, got := Fold(nil, evidence), Fold(somePushes.Draw(t, "pushes"), evidence)

		unknown := evidence.Answer.State == Other || evidence.Answer.State == ""
		lifecycle := []v1alpha1.OrderPhase{v1alpha1.OrderPending, v1alpha1.OrderPaid, v1alpha1.OrderIssuing}
		switch phase := got.Status.Phase; {
		case phase == alone.Status.Phase, phase == v1alpha1.OrderRefundRequested:
		case unknown && alone.Status.Phase == v1alpha1.OrderPending && slices.Contains(lifecycle, phase):
		case phase == v1alpha1.OrderIssuing && alone.Status.Phase == v1alpha1.OrderPaid:
		case phase == v1alpha1.OrderIssuing && alone.Status.Phase == v1alpha1.OrderIssued && // units without codes
			evidence.Answer.State != Issued && evidence.Answer.State != Finished && !slices.ContainsFunc(evidence.Answer.Codes, isIssued):
		default:
			t.Fatalf("the answer says %s, pushes made it %s", alone.Status.Phase, phase)
		}
		if got.Final && !alone.Final {
			t.Fatal("pushes made it final")
		}
		if diff := cmp.Diff(alone.Status.Codes, got.Status.Codes); diff != "" {
			t.Fatalf("pushes changed codes:\n%s", diff)
		}
		if diff := cmp.Diff(alone.Status.Totals, got.Status.Totals); diff != "" {
			t.Fatalf("pushes changed totals:\n%s", diff)
		}
	})
}

// An answer that knows of no refund: none is shown, whatever is pushed.
func TestFoldNothingRefunded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := someAnswer.Draw(t, "answer")
		a.RefundState = rapid.SampledFrom([]RefundState{"", RefundNone, RefundRequested, RefundFailed}).Draw(t, "refund state")
		a.Refunded, a.RefundedQuantity, a.Refunds = nil, nil, nil
		for i := range a.Codes {
			a.Codes[i].Refunded = nil
		}
		got := Fold(somePushes.Draw(t, "pushes"), Evidence{Answer: a, Trusted: rapid.Bool().Draw(t, "trusted")}).Status
		if got.Phase == v1alpha1.OrderRefunded || got.Phase == v1alpha1.OrderPartlyRefunded {
			t.Fatalf("phase %s", got.Phase)
		}
		if got.Totals.Refunded != 0 || minor(got.Totals.RefundedAmount) != 0 {
			t.Fatalf("totals %+v", got.Totals)
		}
	})
}

// What pushes claim is confirmed by an answer that shows just that. Requests that nobody
// decides and codes that are announced without being named cannot be shown.
func TestFoldConfirmsWhatIsShown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := slices.DeleteFunc(somePushes.Draw(t, "pushes"), func(n v1alpha1.Notification) bool {
			return n.Type == requested || n.Type == issued && n.Succeeded == nil && len(n.Codes) == 0
		})
		for i := range all { // amounts of several currencies, or of none, have no sum
			if r := all[i].Refund; r != nil && r.Amount != nil {
				r.Amount.Currency = "CNY"
			}
		}
		told := read(all, nil)
		if got := Fold(all, Evidence{Answer: told.answer(true)}); len(got.Unconfirmed) > 0 {
			t.Fatalf("unconfirmed: %v", got.Unconfirmed)
		}
	})
}

// Unconfirmed claims are of notifications that are there, each at most once, in order.
func TestFoldUnconfirmedIsSorted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := somePushes.Draw(t, "pushes")
		last := ""
		for _, claim := range Fold(all, Evidence{Answer: someAnswer.Draw(t, "answer")}).Unconfirmed {
			if claim.NotificationID <= last {
				t.Fatalf("%q after %q", claim.NotificationID, last)
			}
			last = claim.NotificationID
			if !slices.ContainsFunc(all, func(n v1alpha1.Notification) bool { return n.ID == last }) {
				t.Fatalf("no notification %q", last)
			}
		}
	})
}

// Whatever comes in, what goes out fits the schema.
func TestFoldIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		checkBounds(t, Fold(somePushes.Draw(t, "pushes"), someEvidence.Draw(t, "evidence")))
	})
}

func TestFoldBoundsLists(t *testing.T) {
	a := &Answer{State: Issued, Currency: "CNY"}
	all := pushes{}
	for i := range int64(700) {
		id := fmt.Sprintf("%04d", i)
		many := code(id, math.MaxInt64, 1, 1)
		a.Codes = append(a.Codes, many)
		a.Refunds = append(a.Refunds, v1alpha1.Refund{ID: id, At: moment(i), Amount: yuan(math.MaxInt64), Quantity: &i})
		all = append(all, push(id, issued, i, naming(many)), push("r"+id, requested, i, refund(v1alpha1.NotifiedRefund{ID: id})))
	}
	answered := Fold(nil, Evidence{Answer: a})
	checkBounds(t, answered)
	if got := answered.Status.Totals; got.Persons != math.MaxInt64 || got.Used != 700 || len(answered.Status.Codes) != maxCodes {
		t.Errorf("%d codes, totals %+v", len(answered.Status.Codes), got)
	}
	if first := answered.Status.Refunds[0].ID; first != "0636" {
		t.Errorf("the oldest refund left is %s", first)
	}
	checkBounds(t, Fold(all, Evidence{Trusted: true}))
}

func checkBounds(t interface {
	Helper()
	Fatalf(format string, arguments ...any)
}, got Outcome,
) {
	t.Helper()
	status := got.Status
	if len(status.Codes) > maxCodes || len(status.Refunds) > maxRefunds {
		t.Fatalf("%d codes, %d refunds", len(status.Codes), len(status.Refunds))
	}
	negative := func(numbers ...*int64) bool {
		return slices.ContainsFunc(numbers, func(n *int64) bool { return n != nil && *n < 0 })
	}
	between := func(text string, least, most int) bool {
		n := utf8.RuneCountInString(text)
		return least <= n && n <= most
	}
	for _, c := range status.Codes {
		if negative(c.Persons, c.Used, c.Refunded) || !between(c.ID, 1, 80) || !between(c.Hint, 1, 32) || !between(c.Ref, 0, 128) || c.Refunded == nil {
			t.Fatalf("code %+v", c)
		}
	}
	amounts := []*v1alpha1.Money{status.Totals.RefundedAmount}
	for _, r := range status.Refunds {
		if negative(r.Quantity) || !between(r.ID, 0, 128) || !between(r.Reason, 0, 512) {
			t.Fatalf("refund %+v", r)
		}
		amounts = append(amounts, r.Amount)
	}
	for _, amount := range amounts {
		if amount != nil && !money.IsCode(amount.Currency) {
			t.Fatalf("amount %+v", amount)
		}
	}
	totals := status.Totals
	if negative(&totals.Persons, &totals.Used, &totals.Refunded) || minor(totals.RefundedAmount) < 0 {
		t.Fatalf("totals %+v", totals)
	}
	if !between(status.Summary.Codes, 1, 32) || !between(status.Summary.Used, 3, 48) || !between(status.Summary.Refunded, 0, 64) {
		t.Fatalf("summary %+v", status.Summary)
	}
}

// What Compact drops is missed by nobody: not now, and not with what is pushed later.
func TestCompactKeepsTheFold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all, keep := somePushes.Draw(t, "pushes"), rapid.IntRange(0, 12).Draw(t, "keep")
		drop := Compact(all, keep)
		left := slices.DeleteFunc(slices.Clone(all), func(n v1alpha1.Notification) bool { return slices.Contains(drop, n.ID) })

		if excess := len(distinct(all)) - keep; len(drop) > max(0, excess) {
			t.Fatalf("dropped %d where %d were too many", len(drop), excess)
		}
		if again := Compact(left, keep); len(again) > 0 {
			t.Fatalf("dropped %v only the second time", again)
		}
		if kept := distinct(left); len(kept) > keep && slices.ContainsFunc(kept, isHint) {
			t.Fatal("kept a hint")
		}
		// A later push has an id of its own: the platform's ids do not come again changed.
		later := slices.DeleteFunc(somePushes.Draw(t, "later"), func(n v1alpha1.Notification) bool {
			return slices.ContainsFunc(all, func(known v1alpha1.Notification) bool { return known.ID == n.ID })
		})
		if len(drop) > 0 { // and a dropped one may be delivered once more
			again := slices.IndexFunc(all, func(n v1alpha1.Notification) bool { return n.ID == drop[0] })
			later = append(later, *distinct(append(slices.Clone(all[again:]), all[:again]...))[0])
		}
		evidence := someEvidence.Draw(t, "evidence")
		if diff := cmp.Diff(Fold(all, evidence), Fold(left, evidence)); diff != "" {
			t.Fatalf("dropping %v: want -, got +:\n%s", drop, diff)
		}
		if diff := cmp.Diff(Fold(append(slices.Clone(all), later...), evidence), Fold(append(left, later...), evidence)); diff != "" {
			t.Fatalf("dropping %v, then later pushes: want -, got +:\n%s", drop, diff)
		}
		status := Fold(all, evidence).Status
		status.Answers = evidence.Given
		if rapid.Bool().Draw(t, "confirmed") {
			status.Confirmed = &v1alpha1.OrderConfirmation{}
		}
		for _, more := range []pushes{nil, later} {
			before, after := spec(append(slices.Clone(all), more...)), spec(append(slices.Clone(left), more...))
			if diff := cmp.Diff(Owed(before, status), Owed(after, status), sinceAside); diff != "" {
				t.Fatalf("dropping %v: owed: want -, got +:\n%s", drop, diff)
			}
		}
		if AsksForRefunds(all, v1alpha1.OrderVoucherStatus{}) != AsksForRefunds(left, v1alpha1.OrderVoucherStatus{}) {
			t.Fatalf("dropping %v changed whether refunds are asked for", drop)
		}
	})
}

// FuzzFold reads notifications as the API server would hand them out.
func FuzzFold(f *testing.F) {
	f.Add([]byte(`[{"id":"1","type":"CodesIssued","occurredAt":"2025-09-23T04:00:00.500000Z","codes":[{"id":"a","hint":"A•••","persons":2}]}]`), "Issued", "Partly")
	f.Add([]byte(`[{"id":"2","type":"Refunded","succeeded":true,"refund":{"id":"r1","full":true,"amount":{"currency":"CNY","amount":1}}}]`), "Finished", "")
	f.Add([]byte(`[{"id":"3","type":"CodeUsed","codes":[{"id":"a","used":9223372036854775807},{"id":"a","used":-1}]},{"id":"3"}]`), "", "None")
	f.Fuzz(func(t *testing.T, data []byte, state, refunds string) {
		var all pushes
		if json.Unmarshal(data, &all) != nil {
			return
		}
		reversed := slices.Clone(all)
		slices.Reverse(reversed)
		for _, evidence := range []Evidence{
			{}, {Trusted: true}, {Answer: &Answer{State: State(state), RefundState: RefundState(refunds), Currency: "CNY"}},
		} {
			got := Fold(all, evidence)
			checkBounds(t, got)
			if diff := cmp.Diff(got, Fold(reversed, evidence)); diff != "" {
				t.Fatalf("reversed: want -, got +:\n%s", diff)
			}
			drop := Compact(all, 0)
			left := slices.DeleteFunc(slices.Clone(all), func(n v1alpha1.Notification) bool { return slices.Contains(drop, n.ID) })
			if diff := cmp.Diff(got, Fold(left, evidence)); diff != "" {
				t.Fatalf("dropping %v: want -, got +:\n%s", drop, diff)
			}
		}
	})
}
