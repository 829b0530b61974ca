package order

import (
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// The printed example comes out as printed, given its notifications and the answer
// that agrees with them.
func TestFoldExample(t *testing.T) {
	text, err := os.ReadFile("testdata/order.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var example v1alpha1.OrderVoucher
	if err := yaml.UnmarshalStrict(text, &example); err != nil {
		t.Fatal(err)
	}
	code := example.Spec.Notifications[0].Codes[0]
	code.Used = ptr.To[int64](1)
	got := Fold(example.Spec.Notifications, Evidence{Answer: &Answer{
		State: Issued, PlatformStatus: "1003", RefundState: RefundNone, Currency: "CNY", Codes: []v1alpha1.Code{code},
	}})

	want := v1alpha1.OrderVoucherStatus{
		Phase: example.Status.Phase, Summary: example.Status.Summary, Codes: example.Status.Codes, Totals: example.Status.Totals,
	}
	if diff := cmp.Diff(Outcome{Status: want}, got); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

// push builders: the second of the day at which it occurred orders them.

func push(id string, kind v1alpha1.NotificationType, second int64, change ...func(*v1alpha1.Notification)) v1alpha1.Notification {
	n := v1alpha1.Notification{ID: id, Type: kind, PlatformType: string(kind), OccurredAt: moment(second)}
	for _, c := range change {
		c(&n)
	}
	return n
}

func moment(second int64) *metav1.MicroTime {
	return ptr.To(metav1.NewMicroTime(time.Unix(1758600000+second, 0).UTC()))
}

func succeeded(yes bool) func(*v1alpha1.Notification) {
	return func(n *v1alpha1.Notification) { n.Succeeded = &yes }
}

func naming(codes ...v1alpha1.Code) func(*v1alpha1.Notification) {
	return func(n *v1alpha1.Notification) { n.Codes = codes }
}

func refund(r v1alpha1.NotifiedRefund) func(*v1alpha1.Notification) {
	return func(n *v1alpha1.Notification) { n.Refund = &r }
}

// code of so many persons, used and refunded so often; negative is not told.
func code(id string, persons, used, refunded int64) v1alpha1.Code {
	told := func(n int64) *int64 {
		if n < 0 {
			return nil
		}
		return &n
	}
	return v1alpha1.Code{ID: id, Hint: id + "•••", Persons: told(persons), Used: told(used), Refunded: told(refunded)}
}

// unit is a code of which only the platform's own id is known.
func unit(ref string) v1alpha1.Code {
	c := code(ref, 1, 0, 0)
	c.Ref, c.Hint = ref, sealing.Hint(sealing.NewSecret(ref))
	return c
}

func replied(result v1alpha1.Result) func(*v1alpha1.Notification) {
	return func(n *v1alpha1.Notification) { n.Reply = &v1alpha1.NotificationReply{Result: result} }
}

func told(id string, result v1alpha1.Result) []v1alpha1.OrderAnswer {
	return []v1alpha1.OrderAnswer{{NotificationID: id, Result: result}}
}

func yuan(fen int64) *v1alpha1.Money { return &v1alpha1.Money{Currency: "CNY", Amount: fen} }

type pushes = []v1alpha1.Notification

const (
	wanted    = v1alpha1.NotificationCodesRequested
	issued    = v1alpha1.NotificationCodesIssued
	used      = v1alpha1.NotificationCodeUsed
	unused    = v1alpha1.NotificationCodeUseCancelled
	paidFor   = v1alpha1.NotificationPaid
	requested = v1alpha1.NotificationRefundRequested
	refunded  = v1alpha1.NotificationRefunded
	cancelled = v1alpha1.NotificationCancelled
)

// The truth table of the package comment.
func TestFold(t *testing.T) {
	two := naming(code("a", 2, -1, -1), code("b", 1, -1, -1))
	units := naming(unit("u-1"), unit("u-2"))
	r1, pending := refund(v1alpha1.NotifiedRefund{ID: "r1"}), replied(v1alpha1.ResultPending)
	for name, test := range map[string]struct {
		pushes  pushes
		answer  *Answer
		trusted bool
		given   []v1alpha1.OrderAnswer

		phase     v1alpha1.OrderPhase
		codes     string
		used      string
		refunded  string
		undecided int
		doubts    []string
		final     bool
	}{
		// With an answer.
		"answer: pending": {
			answer: &Answer{State: Pending, Currency: "CNY"},
			phase:  v1alpha1.OrderPending, refunded: "0.00 CNY",
		},
		"answer: pending, paid was pushed": {
			pushes: pushes{push("1", paidFor, 0)}, answer: &Answer{State: Pending},
			phase: v1alpha1.OrderPending, doubts: []string{"Paid says paid"},
		},
		"answer: paid": {
			pushes: pushes{push("1", paidFor, 0)}, answer: &Answer{State: Paid},
			phase: v1alpha1.OrderPaid,
		},
		"answer: paid, codes were pushed": {
			pushes: pushes{push("1", issued, 0, succeeded(true), two)}, answer: &Answer{State: Paid},
			phase: v1alpha1.OrderPaid, doubts: []string{"CodesIssued says a••• issued, and 1 more"},
		},
		"answer: paid, but lists codes": {
			pushes: pushes{push("1", issued, 0, succeeded(true), two)},
			answer: &Answer{State: Paid, Codes: []v1alpha1.Code{code("b", 1, -1, -1), code("a", 2, 0, 0)}},
			phase:  v1alpha1.OrderIssued, codes: "2", used: "0/3",
		},
		"answer: lists another code than was pushed": {
			pushes: pushes{push("1", issued, 0, succeeded(true), two)},
			answer: &Answer{State: Issued, Codes: []v1alpha1.Code{code("a", 2, 0, 0)}},
			phase:  v1alpha1.OrderIssued, codes: "1", used: "0/2", doubts: []string{"CodesIssued says b••• issued"},
		},
		"answer: unknown state, codes were pushed": {
			pushes: pushes{push("1", issued, 0, succeeded(true), two)}, answer: &Answer{State: Other},
			phase: v1alpha1.OrderIssuing, doubts: []string{"CodesIssued says a••• issued, and 1 more"},
		},
		"answer: unknown state, paid was pushed": {
			pushes: pushes{push("1", paidFor, 0)}, answer: &Answer{State: Other},
			phase: v1alpha1.OrderPaid,
		},
		"answer: issued without codes": {
			pushes: pushes{push("1", issued, 0, succeeded(true))}, answer: &Answer{State: Issued},
			phase: v1alpha1.OrderIssued,
		},
		"answer: paid, issuing is said to have failed": {
			pushes: pushes{push("1", issued, 0, succeeded(false))}, answer: &Answer{State: Paid},
			phase: v1alpha1.OrderPaid, doubts: []string{"CodesIssued says issuing failed"},
		},
		"answer: issued after a failed attempt": {
			pushes: pushes{push("1", issued, 0, succeeded(false))},
			answer: &Answer{State: Issued, Codes: []v1alpha1.Code{code("a", 1, 0, 0)}},
			phase:  v1alpha1.OrderIssued, codes: "1", used: "0/1",
		},
		"answer: failed": {
			pushes: pushes{push("1", issued, 0, succeeded(false))}, answer: &Answer{State: Failed, RefundState: RefundFull},
			phase: v1alpha1.OrderFailed, final: true,
		},
		"answer: failed, the money is on its way back": {
			answer: &Answer{State: Failed, RefundState: RefundRequested},
			phase:  v1alpha1.OrderFailed,
		},
		"answer: cancelled": {
			pushes: pushes{push("1", cancelled, 0)}, answer: &Answer{State: Cancelled},
			phase: v1alpha1.OrderCancelled, final: true,
		},
		"answer: not cancelled, whatever is pushed": {
			pushes: pushes{push("1", cancelled, 0)}, answer: &Answer{State: Issued},
			phase: v1alpha1.OrderIssued, doubts: []string{"Cancelled says cancelled"},
		},
		"answer: cancelling failed": {
			pushes: pushes{push("1", cancelled, 0, succeeded(false))}, answer: &Answer{State: Issued},
			phase: v1alpha1.OrderIssued,
		},
		"answer: partly used": {
			pushes: pushes{push("1", used, 0, naming(code("a", 2, 1, -1)))},
			answer: &Answer{State: Issued, Codes: []v1alpha1.Code{code("a", 2, 1, 0)}},
			phase:  v1alpha1.OrderPartlyUsed, codes: "1", used: "1/2",
		},
		"answer: used less than was pushed": {
			pushes: pushes{push("1", used, 0, naming(code("a", 2, 2, -1)))},
			answer: &Answer{State: Issued, Codes: []v1alpha1.Code{code("a", 2, 1, 0)}},
			phase:  v1alpha1.OrderPartlyUsed, codes: "1", used: "1/2", doubts: []string{"CodeUsed says 2 used of a•••"},
		},
		"answer: not used, whatever is pushed": {
			pushes: pushes{push("1", used, 0, naming(code("a", 2, 2, -1), code("x", 1, 1, -1)))},
			answer: &Answer{State: Issued, Codes: []v1alpha1.Code{code("a", 2, 0, 0)}},
			phase:  v1alpha1.OrderIssued, codes: "1", used: "0/2", doubts: []string{"CodeUsed says 2 used of a•••, and 1 more"},
		},
		"answer: used": {
			answer: &Answer{State: Issued, Codes: []v1alpha1.Code{code("a", 2, 2, 0), code("b", -1, 1, 0)}},
			phase:  v1alpha1.OrderUsed, codes: "2", used: "3/3", final: true,
		},
		"answer: finished, nothing counted": {
			pushes: pushes{push("1", used, 0, naming(code("a", 2, 2, -1)))}, answer: &Answer{State: Finished},
			phase: v1alpha1.OrderUsed, final: true,
		},
		"answer: finished, partly used": {
			answer: &Answer{State: Finished, Codes: []v1alpha1.Code{code("a", 2, 1, 0)}},
			phase:  v1alpha1.OrderPartlyUsed, codes: "1", used: "1/2", final: true,
		},
		"answer: finished, never used": {
			answer: &Answer{State: Finished, Codes: []v1alpha1.Code{code("a", 2, 0, 0)}},
			phase:  v1alpha1.OrderIssued, codes: "1", used: "0/2", final: true,
		},
		"answer: a use that was cancelled later": {
			pushes: pushes{push("2", unused, 1, naming(code("a", 1, -1, -1))), push("1", used, 0, naming(code("a", 1, 1, -1)))},
			answer: &Answer{State: Issued, Codes: []v1alpha1.Code{code("a", 1, 0, 0)}},
			phase:  v1alpha1.OrderIssued, codes: "1", used: "0/1",
		},
		"answer: a cancelled use is still counted": {
			pushes: pushes{push("2", unused, 1, naming(code("a", 1, -1, -1))), push("1", used, 0, naming(code("a", 1, 1, -1)))},
			answer: &Answer{State: Issued, Codes: []v1alpha1.Code{code("a", 1, 1, 0)}},
			phase:  v1alpha1.OrderUsed, codes: "1", used: "1/1", doubts: []string{"CodeUseCancelled says a use of a••• cancelled"},
		},
		"answer: refunded in full": {
			pushes: pushes{push("1", refunded, 0, refund(v1alpha1.NotifiedRefund{Full: true, Amount: yuan(12345)}))},
			answer: &Answer{State: Issued, RefundState: RefundFull, Refunded: yuan(12345), Codes: []v1alpha1.Code{code("a", 1, 0, 1)}},
			phase:  v1alpha1.OrderRefunded, codes: "1", used: "0/1", refunded: "123.45 CNY", final: true,
		},
		"answer: refunded in full by the codes": {
			answer: &Answer{State: Issued, Codes: []v1alpha1.Code{code("a", 2, 0, 2), code("b", -1, -1, 1)}},
			phase:  v1alpha1.OrderRefunded, codes: "2", used: "0/3", final: true,
		},
		"answer: refunded in full by the quantity": {
			answer: &Answer{State: Issued, Quantity: ptr.To[int64](2), RefundedQuantity: ptr.To[int64](2)},
			phase:  v1alpha1.OrderRefunded, final: true,
		},
		"answer: not refunded, whatever is pushed": {
			pushes: pushes{push("1", refunded, 0, succeeded(true), refund(v1alpha1.NotifiedRefund{Full: true, Amount: yuan(12345)}))},
			answer: &Answer{State: Issued, RefundState: RefundNone, Currency: "CNY"},
			phase:  v1alpha1.OrderIssued, refunded: "0.00 CNY", doubts: []string{"Refunded says 123.45 CNY refunded"},
		},
		"answer: partly refunded, as pushed": {
			pushes: pushes{
				push("1", refunded, 0, refund(v1alpha1.NotifiedRefund{Amount: yuan(100), Quantity: ptr.To[int64](1)})),
				push("2", refunded, 0, refund(v1alpha1.NotifiedRefund{Amount: yuan(200), Quantity: ptr.To[int64](1)})),
			},
			answer: &Answer{State: Issued, RefundState: RefundPartly, Refunded: yuan(300), RefundedQuantity: ptr.To[int64](2)},
			phase:  v1alpha1.OrderPartlyRefunded, refunded: "3.00 CNY",
		},
		"answer: partly refunded, less than was pushed": {
			pushes: pushes{
				push("1", refunded, 0, refund(v1alpha1.NotifiedRefund{ID: "r1", Amount: yuan(100)})),
				push("2", refunded, 0, refund(v1alpha1.NotifiedRefund{Amount: yuan(200)})),
			},
			answer: &Answer{
				State: Issued, RefundState: RefundPartly, Currency: "CNY",
				Refunds: []v1alpha1.Refund{{ID: "r1", Amount: yuan(100), Succeeded: ptr.To(true)}},
			},
			phase: v1alpha1.OrderPartlyRefunded, refunded: "1.00 CNY", doubts: []string{"Refunded says 2.00 CNY refunded"},
		},
		"answer: partly refunded, fewer than were pushed": {
			pushes: pushes{push("1", refunded, 0, refund(v1alpha1.NotifiedRefund{Quantity: ptr.To[int64](2)}))},
			answer: &Answer{State: Issued, RefundState: RefundPartly, RefundedQuantity: ptr.To[int64](1)},
			phase:  v1alpha1.OrderPartlyRefunded, doubts: []string{"Refunded says 2 refunded"},
		},
		"answer: partly refunded, says the platform of codes that all are": {
			answer: &Answer{State: Issued, RefundState: RefundPartly, Codes: []v1alpha1.Code{code("a", 1, 0, 1)}},
			phase:  v1alpha1.OrderPartlyRefunded, codes: "1", used: "0/1", final: true,
		},
		"answer: a refund without numbers that it does not know": {
			pushes: pushes{push("1", refunded, 0)}, answer: &Answer{State: Issued, RefundState: RefundNone},
			phase: v1alpha1.OrderIssued, doubts: []string{"Refunded says refunded"},
		},
		"answer: a code is gone with its cancelled order": {
			pushes: pushes{push("1", issued, 0, succeeded(true), two)}, answer: &Answer{State: Cancelled},
			phase: v1alpha1.OrderCancelled, final: true,
		},
		"answer: partly refunded, all was pushed": {
			pushes: pushes{push("1", refunded, 0, refund(v1alpha1.NotifiedRefund{Full: true}))},
			answer: &Answer{State: Issued, RefundState: RefundPartly, Currency: "CNY"},
			phase:  v1alpha1.OrderPartlyRefunded, doubts: []string{"Refunded says all refunded"},
		},
		"answer: the refund that was pushed is listed as failed": {
			pushes: pushes{push("1", refunded, 0, refund(v1alpha1.NotifiedRefund{ID: "r1", Amount: yuan(100)}))},
			answer: &Answer{
				State: Issued, RefundState: RefundPartly, Refunded: yuan(900),
				Refunds: []v1alpha1.Refund{{ID: "r1", Amount: yuan(100), Succeeded: ptr.To(false)}},
			},
			phase: v1alpha1.OrderPartlyRefunded, refunded: "9.00 CNY", doubts: []string{"Refunded says 1.00 CNY refunded"},
		},
		"answer: partly refunded, the rest used": {
			answer: &Answer{State: Issued, Codes: []v1alpha1.Code{code("a", 2, 1, 1)}},
			phase:  v1alpha1.OrderPartlyRefunded, codes: "1", used: "1/2", final: true,
		},
		"answer: a code refunded, as pushed": {
			pushes: pushes{push("1", refunded, 0, naming(code("a", -1, -1, -1)), refund(v1alpha1.NotifiedRefund{ID: "s-1"}))},
			answer: &Answer{State: Issued, Codes: []v1alpha1.Code{code("a", 1, 0, 1), code("b", 1, 0, 0)}},
			phase:  v1alpha1.OrderPartlyRefunded, codes: "2", used: "0/2",
		},
		"answer: a refund failed": {
			pushes: pushes{push("1", refunded, 0, succeeded(false), refund(v1alpha1.NotifiedRefund{ID: "r1"}))},
			answer: &Answer{State: Issued, RefundState: RefundFailed, Currency: "CNY"},
			phase:  v1alpha1.OrderIssued, refunded: "0.00 CNY",
		},
		"answer: a refund is said to have failed and still waits": {
			pushes: pushes{push("1", refunded, 0, succeeded(false), refund(v1alpha1.NotifiedRefund{ID: "r1"}))},
			answer: &Answer{State: Issued, RefundState: RefundRequested, Refunds: []v1alpha1.Refund{{ID: "r1"}}},
			phase:  v1alpha1.OrderRefundRequested, undecided: 1, doubts: []string{"Refunded says a refund failed"},
		},
		"answer: refund requested": {
			answer: &Answer{State: Issued, RefundState: RefundRequested, Codes: []v1alpha1.Code{code("a", 2, 2, 0)}},
			phase:  v1alpha1.OrderRefundRequested, codes: "1", used: "2/2",
		},
		"answer: a listed refund is undecided": {
			pushes: pushes{push("1", requested, 0, refund(v1alpha1.NotifiedRefund{ID: "r1"}))},
			answer: &Answer{State: Issued, RefundState: RefundPartly, Refunds: []v1alpha1.Refund{{ID: "r1"}}},
			phase:  v1alpha1.OrderRefundRequested, undecided: 1,
		},
		"answer: a pushed request it does not know": {
			pushes: pushes{push("1", requested, 0, refund(v1alpha1.NotifiedRefund{ID: "r1", Amount: yuan(100)}))},
			answer: &Answer{State: Issued, RefundState: RefundNone, Currency: "CNY"},
			phase:  v1alpha1.OrderRefundRequested, refunded: "0.00 CNY", undecided: 1, doubts: []string{"RefundRequested says refund requested"},
		},
		"answer: a pushed request it has decided": {
			pushes: pushes{push("1", requested, 0, refund(v1alpha1.NotifiedRefund{ID: "r1"}))},
			answer: &Answer{State: Issued, RefundState: RefundFailed, Refunds: []v1alpha1.Refund{{ID: "r1", Succeeded: ptr.To(false)}}},
			phase:  v1alpha1.OrderIssued,
		},
		"answer: a pushed request for a code that is refunded": {
			pushes: pushes{push("1", requested, 0, naming(code("a", 1, -1, -1)), refund(v1alpha1.NotifiedRefund{ID: "r1"}))},
			answer: &Answer{State: Issued, Codes: []v1alpha1.Code{code("a", 1, 0, 1), code("b", 1, 0, 0)}},
			phase:  v1alpha1.OrderPartlyRefunded, codes: "2", used: "0/2",
		},
		"answer: hints claim nothing": {
			pushes: pushes{
				push("1", v1alpha1.NotificationStatusChanged, 0), push("2", v1alpha1.NotificationBooking, 0, two),
				push("3", v1alpha1.NotificationOther, 0, refund(v1alpha1.NotifiedRefund{Full: true})),
			},
			answer: &Answer{State: Pending}, phase: v1alpha1.OrderPending,
		},

		// Codes that are requested.
		"answer: paid, codes are requested": {
			pushes: pushes{push("1", wanted, 0, units, pending)}, answer: &Answer{State: Paid},
			phase: v1alpha1.OrderIssuing,
		},
		"answer: paid, codes were given and are not to be seen yet": {
			pushes: pushes{push("1", wanted, 0, units, pending)}, answer: &Answer{State: Paid}, given: told("1", v1alpha1.ResultIssued),
			phase: v1alpha1.OrderIssuing,
		},
		"answer: paid, units without codes": {
			pushes: pushes{push("1", wanted, 0, units, pending)}, answer: &Answer{State: Paid, Codes: []v1alpha1.Code{unit("u-1"), unit("u-2")}},
			phase: v1alpha1.OrderIssuing, codes: "2", used: "0/2",
		},
		"answer: paid, units that were given codes": {
			pushes: pushes{push("1", wanted, 0, units, pending)}, answer: &Answer{State: Paid, Codes: []v1alpha1.Code{unit("u-1"), unit("u-2")}},
			given: told("1", v1alpha1.ResultIssued), phase: v1alpha1.OrderIssued, codes: "2", used: "0/2",
		},
		"answer: units that nobody asks codes for": {
			answer: &Answer{State: Paid, Codes: []v1alpha1.Code{unit("u-1")}},
			phase:  v1alpha1.OrderIssued, codes: "1", used: "0/1",
		},
		"answer: a unit used, codes are requested": {
			pushes: pushes{push("1", wanted, 0, units, pending)}, answer: &Answer{State: Paid, Codes: []v1alpha1.Code{code("a", 1, 1, 0), unit("u-2")}},
			phase: v1alpha1.OrderPartlyUsed, codes: "2", used: "1/2",
		},
		"answer: codes requested and shown": {
			pushes: pushes{push("1", wanted, 0, units, pending)}, answer: &Answer{State: Paid, Codes: []v1alpha1.Code{code("a", 1, 0, 0)}},
			phase: v1alpha1.OrderIssued, codes: "1", used: "0/1",
		},
		"answer: paid, codes requested and pushed": {
			pushes: pushes{push("1", wanted, 0, units, pending), push("2", issued, 0, succeeded(true), two)}, answer: &Answer{State: Paid},
			phase: v1alpha1.OrderPaid, doubts: []string{"CodesIssued says a••• issued, and 1 more"},
		},
		"answer: lists codes, announced only": {
			pushes: pushes{push("1", issued, 0, two)}, answer: &Answer{State: Paid, Codes: []v1alpha1.Code{code("a", 2, 0, 0), code("b", 1, 0, 0)}},
			phase: v1alpha1.OrderIssued, codes: "2", used: "0/3",
		},
		"answer: pending, codes are requested": {
			pushes: pushes{push("1", wanted, 0, units, pending)}, answer: &Answer{State: Pending},
			phase: v1alpha1.OrderPending,
		},
		"answer: unknown state, codes are requested": {
			pushes: pushes{push("1", wanted, 0, units, pending)}, answer: &Answer{State: Other},
			phase: v1alpha1.OrderIssuing,
		},
		"answer: issued, codes are requested": {
			pushes: pushes{push("1", wanted, 0, units, pending)}, answer: &Answer{State: Issued},
			phase: v1alpha1.OrderIssued,
		},
		"trusted: codes requested": {
			trusted: true, pushes: pushes{push("1", wanted, 0, units, pending)},
			phase: v1alpha1.OrderIssuing,
		},
		"trusted: codes requested and issued": {
			trusted: true, pushes: pushes{push("1", wanted, 1, units, pending), push("2", issued, 0, succeeded(true), two)},
			phase: v1alpha1.OrderIssued, codes: "2", used: "0/3",
		},
		"unproven: codes requested": {
			pushes: pushes{push("1", wanted, 0, units, pending)}, phase: v1alpha1.OrderIssuing,
		},
		"unproven: codes requested, a refund of units without codes asked for": {
			pushes: pushes{push("1", wanted, 0, units, pending), push("2", requested, 0, units, r1, replied(v1alpha1.ResultRefused))},
			phase:  v1alpha1.OrderIssuing, codes: "2", used: "0/2",
		},

		// Refund requests that were answered.
		"answer: a request refused at once": {
			pushes: pushes{push("1", requested, 0, r1, replied(v1alpha1.ResultRefused))}, answer: &Answer{State: Issued, RefundState: RefundNone},
			phase: v1alpha1.OrderIssued,
		},
		"answer: a request refused later": {
			pushes: pushes{push("1", requested, 0, r1, pending)}, answer: &Answer{State: Issued, RefundState: RefundNone},
			given: told("1", v1alpha1.ResultRefused), phase: v1alpha1.OrderIssued,
		},
		"answer: a request refused by us, and still listed as open": {
			pushes: pushes{push("1", requested, 0, r1, pending)}, answer: &Answer{State: Issued, Refunds: []v1alpha1.Refund{{ID: "r1"}}},
			given: told("1", v1alpha1.ResultRefused), phase: v1alpha1.OrderRefundRequested, undecided: 1,
		},
		"answer: a request refused by us, and paid all the same": {
			pushes: pushes{push("1", requested, 0, r1, pending), push("2", refunded, 1, r1)},
			answer: &Answer{State: Issued, Refunds: []v1alpha1.Refund{{ID: "r1", Succeeded: ptr.To(true)}}},
			given:  told("1", v1alpha1.ResultRefused), phase: v1alpha1.OrderPartlyRefunded,
		},
		"answer: a request approved, and not to be seen yet": {
			pushes: pushes{push("1", requested, 0, r1, pending)}, answer: &Answer{State: Issued, RefundState: RefundNone},
			given: told("1", v1alpha1.ResultApproved), phase: v1alpha1.OrderRefundRequested, undecided: 1, doubts: []string{"RefundRequested says refund requested"},
		},
		"answer: a request refused, and asked again": {
			pushes: pushes{push("1", requested, 0, r1, replied(v1alpha1.ResultRefused)), push("2", requested, 1, r1, pending)},
			answer: &Answer{State: Issued, Refunds: []v1alpha1.Refund{{ID: "r1"}}},
			phase:  v1alpha1.OrderRefundRequested, undecided: 1,
		},
		"trusted: a request refused by us": {
			trusted: true, pushes: pushes{push("1", requested, 0, r1, pending)}, given: told("1", v1alpha1.ResultRefused),
			phase: v1alpha1.OrderPending,
		},
		"unproven: a request refused by us": {
			pushes: pushes{push("1", requested, 0, r1, pending)}, given: told("1", v1alpha1.ResultRefused),
			phase: v1alpha1.OrderPending,
		},

		// Pushes that are proven, and no query.
		"trusted: nothing": {trusted: true, phase: v1alpha1.OrderPending},
		"trusted: paid":    {trusted: true, pushes: pushes{push("1", paidFor, 0)}, phase: v1alpha1.OrderPaid},
		"trusted: announced": {
			trusted: true, pushes: pushes{push("1", issued, 0)},
			phase: v1alpha1.OrderIssuing,
		},
		"trusted: announced by name": {
			trusted: true, pushes: pushes{push("1", issued, 0, two)},
			phase: v1alpha1.OrderIssuing, codes: "2", used: "0/3",
		},
		"trusted: announced by name after others were issued": {
			trusted: true,
			pushes:  pushes{push("2", issued, 9, two), push("1", issued, 0, succeeded(true), naming(code("b", 1, -1, -1), code("c", 1, -1, -1)))},
			phase:   v1alpha1.OrderIssued, codes: "3", used: "0/4",
		},
		"trusted: announced by name, and failed": {
			trusted: true, pushes: pushes{push("2", issued, 0, two), push("1", issued, 0, succeeded(false), naming(code("c", 1, -1, -1)))},
			phase: v1alpha1.OrderFailed, codes: "2", used: "0/3", final: true,
		},
		"trusted: announced by name, and used": {
			trusted: true, pushes: pushes{push("1", issued, 0, two), push("2", used, 0, naming(code("a", -1, 1, -1)))},
			phase: v1alpha1.OrderPartlyUsed, codes: "2", used: "1/3",
		},
		"trusted: announced by name, used, and not": {
			trusted: true, pushes: pushes{push("1", issued, 0, two), push("2", unused, 0, naming(code("a", -1, -1, -1)))},
			phase: v1alpha1.OrderIssued, codes: "2", used: "0/3",
		},
		"trusted: announced by name, and refunded in part": {
			trusted: true, pushes: pushes{push("1", issued, 0, two), push("2", refunded, 0, naming(code("a", -1, -1, 1)))},
			phase: v1alpha1.OrderPartlyRefunded, codes: "2", used: "0/3",
		},
		"trusted: announced by name, and cancelled": {
			trusted: true, pushes: pushes{push("1", issued, 0, two), push("2", cancelled, 0, succeeded(true))},
			phase: v1alpha1.OrderCancelled, codes: "2", used: "0/3", final: true,
		},
		"trusted: failed and cancelled": {
			trusted: true, pushes: pushes{push("1", issued, 0, succeeded(false)), push("2", cancelled, 9, succeeded(true))},
			phase: v1alpha1.OrderFailed, final: true,
		},
		"trusted: cancelling failed, or waits": {
			trusted: true,
			pushes: pushes{
				push("1", issued, 0, succeeded(true), two), push("2", cancelled, 9, succeeded(false)),
				push("3", v1alpha1.NotificationStatusChanged, 9),
			},
			phase: v1alpha1.OrderIssued, codes: "2", used: "0/3",
		},
		"trusted: issued": {
			trusted: true, pushes: pushes{push("1", issued, 0, succeeded(true), two)},
			phase: v1alpha1.OrderIssued, codes: "2", used: "0/3",
		},
		"trusted: issued without codes": {
			trusted: true, pushes: pushes{push("1", issued, 0, succeeded(true))},
			phase: v1alpha1.OrderIssued,
		},
		"trusted: failed": {
			trusted: true, pushes: pushes{push("1", issued, 0, succeeded(false))},
			phase: v1alpha1.OrderFailed, final: true,
		},
		"trusted: issued, and failed in another attempt": {
			trusted: true, pushes: pushes{push("1", issued, 1, succeeded(false)), push("2", issued, 0, succeeded(true), two)},
			phase: v1alpha1.OrderIssued, codes: "2", used: "0/3",
		},
		"trusted: cancelled": {
			trusted: true, pushes: pushes{push("1", cancelled, 0), push("2", issued, 9, succeeded(true), two)},
			phase: v1alpha1.OrderCancelled, codes: "2", used: "0/3", final: true,
		},
		"trusted: partly used": {
			trusted: true, pushes: pushes{push("1", issued, 0, succeeded(true), two), push("2", used, 1, naming(code("a", -1, 1, -1)))},
			phase: v1alpha1.OrderPartlyUsed, codes: "2", used: "1/3",
		},
		"trusted: used whole, without numbers": {
			trusted: true,
			pushes:  pushes{push("1", issued, 0, succeeded(true), two), push("2", used, 1, naming(code("a", -1, -1, -1), code("b", -1, -1, -1)))},
			phase:   v1alpha1.OrderUsed, codes: "2", used: "3/3", final: true,
		},
		"trusted: a use cancelled": {
			trusted: true,
			pushes:  pushes{push("2", unused, 2, naming(code("a", 1, -1, -1))), push("1", used, 1, naming(code("a", 1, 1, -1)))},
			phase:   v1alpha1.OrderIssued, codes: "1", used: "0/1",
		},
		"trusted: refund requested": {
			trusted: true, pushes: pushes{push("1", requested, 0, refund(v1alpha1.NotifiedRefund{Amount: yuan(5)}))},
			phase: v1alpha1.OrderRefundRequested, undecided: 1, refunded: "0.00 CNY",
		},
		"trusted: refund requested and refused": {
			trusted: true,
			pushes: pushes{
				push("1", requested, 0, refund(v1alpha1.NotifiedRefund{ID: "r1"})),
				push("2", refunded, 1, refund(v1alpha1.NotifiedRefund{ID: "r1", Succeeded: ptr.To(false)})),
			},
			phase: v1alpha1.OrderPending,
		},
		"trusted: refund refused and requested again": {
			trusted: true,
			pushes: pushes{
				push("3", requested, 2, refund(v1alpha1.NotifiedRefund{ID: "r1"})),
				push("2", refunded, 1, refund(v1alpha1.NotifiedRefund{ID: "r1", Succeeded: ptr.To(false)})),
			},
			phase: v1alpha1.OrderRefundRequested, undecided: 1,
		},
		"trusted: refunded, and failed in another attempt": {
			trusted: true,
			pushes: pushes{
				push("1", refunded, 1, refund(v1alpha1.NotifiedRefund{ID: "r1", Succeeded: ptr.To(false)})),
				push("2", refunded, 0, refund(v1alpha1.NotifiedRefund{ID: "r1", Amount: yuan(100)})),
			},
			phase: v1alpha1.OrderPartlyRefunded, refunded: "1.00 CNY",
		},
		"trusted: partly refunded": {
			trusted: true,
			pushes: pushes{
				push("1", refunded, 0, refund(v1alpha1.NotifiedRefund{ID: "r1", Amount: yuan(100)})),
				push("2", refunded, 1, refund(v1alpha1.NotifiedRefund{Amount: yuan(50)})),
				push("3", requested, 0, refund(v1alpha1.NotifiedRefund{})),
			},
			phase: v1alpha1.OrderPartlyRefunded, refunded: "1.50 CNY",
		},
		"trusted: refunded": {
			trusted: true,
			pushes:  pushes{push("1", refunded, 0, refund(v1alpha1.NotifiedRefund{ID: "r1", Full: true, Amount: yuan(100)}))},
			phase:   v1alpha1.OrderRefunded, refunded: "1.00 CNY", final: true,
		},

		// Pushes that are not proven, and no answer (yet).
		"unproven: nothing":   {phase: v1alpha1.OrderPending},
		"unproven: paid":      {pushes: pushes{push("1", paidFor, 0)}, phase: v1alpha1.OrderPaid},
		"unproven: issued":    {pushes: pushes{push("1", issued, 0, succeeded(true), two)}, phase: v1alpha1.OrderIssued, codes: "2", used: "0/3"},
		"unproven: announced": {pushes: pushes{push("1", issued, 0, two)}, phase: v1alpha1.OrderIssuing, codes: "2", used: "0/3"},
		"unproven: announced by name, and used": {
			pushes: pushes{push("1", issued, 0, two), push("2", used, 0, naming(code("a", 2, 2, -1)))},
			phase:  v1alpha1.OrderIssued, codes: "2", used: "0/3",
		},
		"unproven: announced by name, and failed": {
			pushes: pushes{push("1", issued, 0, two), push("2", issued, 0, succeeded(false))},
			phase:  v1alpha1.OrderIssuing, codes: "2", used: "0/3",
		},
		"unproven: failed":    {pushes: pushes{push("1", issued, 0, succeeded(false))}, phase: v1alpha1.OrderIssuing},
		"unproven: cancelled": {pushes: pushes{push("1", cancelled, 0)}, phase: v1alpha1.OrderPending},
		"unproven: used": {
			pushes: pushes{push("1", used, 0, naming(code("a", 2, 2, -1)))},
			phase:  v1alpha1.OrderIssued, codes: "1", used: "0/2",
		},
		"unproven: refunded": {
			pushes: pushes{push("1", issued, 0, succeeded(true), two), push("2", refunded, 0, refund(v1alpha1.NotifiedRefund{Full: true, Amount: yuan(1)}))},
			phase:  v1alpha1.OrderIssued, codes: "2", used: "0/3", refunded: "0.00 CNY",
		},
		"unproven: refund requested": {
			pushes: pushes{push("1", requested, 0, refund(v1alpha1.NotifiedRefund{ID: "r1"}))},
			phase:  v1alpha1.OrderRefundRequested, undecided: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := Fold(test.pushes, Evidence{Answer: test.answer, Trusted: test.trusted, Given: test.given})
			if got.Status.Phase != test.phase {
				t.Errorf("phase %s, want %s", got.Status.Phase, test.phase)
			}
			want := v1alpha1.OrderSummary{Codes: "0", Used: "0/0", Refunded: test.refunded}
			if test.codes != "" {
				want.Codes, want.Used = test.codes, test.used
			}
			if diff := cmp.Diff(want, got.Status.Summary); diff != "" {
				t.Errorf("summary: want -, got +:\n%s", diff)
			}
			undecided := 0
			for _, r := range got.Status.Refunds {
				if r.Succeeded == nil {
					undecided++
				}
			}
			if undecided != test.undecided {
				t.Errorf("%d undecided refunds, want %d: %v", undecided, test.undecided, got.Status.Refunds)
			}
			var texts []string
			for _, claim := range got.Unconfirmed {
				texts = append(texts, claim.Text)
			}
			if diff := cmp.Diff(test.doubts, texts); diff != "" {
				t.Errorf("unconfirmed: want -, got +:\n%s", diff)
			}
			if got.Final != test.final {
				t.Errorf("final %t, want %t", got.Final, test.final)
			}
		})
	}
}

// What no push tells of a code is not told in the status, and the totals are numbers.
func TestFoldUseThatIsNotToldIsAbsent(t *testing.T) {
	all := pushes{
		push("1", issued, 0, succeeded(true), naming(code("a", 1, -1, -1), code("b", 1, -1, -1), code("c", 1, -1, -1))),
		push("2", used, 1, naming(code("b", 1, 1, -1))), push("3", unused, 2, naming(code("c", 1, 0, -1))),
	}
	told := func(evidence Evidence) (counts []*int64) {
		status := Fold(all, evidence).Status
		for _, c := range status.Codes {
			counts = append(counts, c.Used)
		}
		if want := *counts[1]; status.Totals.Used != want {
			t.Errorf("%+v: the totals say %d used", evidence, status.Totals.Used)
		}
		return counts
	}
	none, one := ptr.To[int64](0), ptr.To[int64](1)
	if diff := cmp.Diff([]*int64{nil, one, none}, told(Evidence{Trusted: true})); diff != "" {
		t.Errorf("trusted: want -, got +:\n%s", diff)
	}
	if diff := cmp.Diff([]*int64{none, none, none}, told(Evidence{})); diff != "" {
		t.Errorf("unproven: want -, got +:\n%s", diff)
	}
}

// Pushed codes are listed by the push that issued them and their place in it.
func TestFoldSortsPushedCodes(t *testing.T) {
	got := Fold(pushes{
		push("3", used, 9, naming(code("c", 1, 1, -1))),
		push("2", issued, 5, naming(code("b", 1, -1, -1))),
		push("1", issued, 4, naming(code("d", 1, -1, -1), code("c", 1, -1, -1), code("", 1, -1, -1))),
	}, Evidence{})
	var ids []string
	for _, c := range got.Status.Codes {
		ids = append(ids, c.ID)
	}
	if diff := cmp.Diff([]string{"d", "c", "b"}, ids); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

func TestAsksForRefunds(t *testing.T) {
	for name, test := range map[string]struct {
		pushes   pushes
		previous v1alpha1.OrderVoucherStatus
		want     bool
	}{
		"nothing":             {},
		"a use":               {pushes: pushes{push("1", used, 0, naming(code("a", 1, 1, -1)))}},
		"a refund":            {pushes: pushes{push("1", refunded, 0)}, want: true},
		"a failed refund":     {pushes: pushes{push("1", refunded, 0, succeeded(false))}, want: true},
		"a request":           {pushes: pushes{push("1", requested, 0)}, want: true},
		"refunded before":     {previous: v1alpha1.OrderVoucherStatus{Phase: v1alpha1.OrderPartlyRefunded}, want: true},
		"an amount before":    {previous: v1alpha1.OrderVoucherStatus{Totals: v1alpha1.OrderTotals{RefundedAmount: yuan(1)}}, want: true},
		"zero amount before":  {previous: v1alpha1.OrderVoucherStatus{Totals: v1alpha1.OrderTotals{RefundedAmount: yuan(0)}}},
		"a refund on a code":  {previous: v1alpha1.OrderVoucherStatus{Totals: v1alpha1.OrderTotals{Refunded: 1}}, want: true},
		"listed before":       {previous: v1alpha1.OrderVoucherStatus{Refunds: []v1alpha1.Refund{{ID: "r"}}}, want: true},
		"failed with refunds": {previous: v1alpha1.OrderVoucherStatus{Phase: v1alpha1.OrderFailed}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := AsksForRefunds(test.pushes, test.previous); got != test.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

// The refunded quantity counts as persons where the codes do not tell theirs.
func TestFoldRefundedPersons(t *testing.T) {
	answer := Answer{State: Issued, RefundedQuantity: ptr.To[int64](1), Codes: []v1alpha1.Code{code("a", 3, 0, -1)}}
	if got := Fold(nil, Evidence{Answer: &answer}).Status.Totals.Refunded; got != 1 {
		t.Errorf("by the quantity: %d", got)
	}
	answer.Codes = []v1alpha1.Code{code("a", 3, 0, 2)}
	if got := Fold(nil, Evidence{Answer: &answer}).Status.Totals.Refunded; got != 2 {
		t.Errorf("by the codes: %d", got)
	}
}

// Each of these has a part of the status that only it tells.
func TestCompactKeepsWhatIsNeeded(t *testing.T) {
	r1 := refund(v1alpha1.NotifiedRefund{ID: "r1"})
	for name, all := range map[string]pushes{
		"the persons":  {push("1", used, 1, naming(code("a", 4, 1, -1))), push("2", used, 2, naming(code("a", -1, 1, -1)))},
		"the issuing":  {push("1", issued, 1, naming(code("a", 1, -1, -1))), push("2", used, 2, naming(code("a", 1, 1, -1)))},
		"another code": {push("1", used, 1, naming(code("b", 1, 1, -1))), push("2", used, 2, naming(code("a", 1, 1, -1)))},
		"the refunded": {
			push("1", refunded, 1, naming(code("a", -1, -1, 1)), r1), push("2", refunded, 2, r1),
			push("3", used, 3, naming(code("a", 2, 1, -1))),
		},
		"the requested":    {push("1", requested, 1, naming(code("a", 1, -1, -1)), r1), push("2", requested, 2, r1)},
		"the request":      {push("1", requested, 1, r1), push("2", refunded, 0, r1, succeeded(false))},
		"the cancellation": {push("1", cancelled, 1), push("2", refunded, 2)},
		"the payment":      {push("1", paidFor, 1), push("2", issued, 2)},
		"the wanted codes": {push("1", wanted, 1), push("2", issued, 2)},
	} {
		t.Run(name, func(t *testing.T) {
			if drop := Compact(all, 0); len(drop) > 0 {
				t.Errorf("dropped %v", drop)
			}
		})
	}
}

func TestCompact(t *testing.T) {
	all := pushes{
		push("hint-2", v1alpha1.NotificationStatusChanged, 8),
		push("issued", issued, 0, naming(code("a", 3, -1, -1))),
		push("used-1", used, 1, naming(code("a", 3, 1, -1))),
		push("used-2", used, 2, naming(code("a", 3, 2, -1))),
		push("hint-1", v1alpha1.NotificationBooking, 7),
		push("used-3", used, 3, naming(code("a", 3, 3, -1))),
	}
	for name, test := range map[string]struct {
		keep int
		want []string
	}{
		"enough room":         {keep: 6},
		"the oldest hint":     {keep: 5, want: []string{"hint-1"}},
		"hints, then the use": {keep: 3, want: []string{"hint-1", "hint-2", "used-1"}},
		"no more than safe":   {keep: 0, want: []string{"hint-1", "hint-2", "used-1", "used-2"}},
		"nonsense":            {keep: -7, want: []string{"hint-1", "hint-2", "used-1", "used-2"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, Compact(all, test.keep)); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
		})
	}
}
