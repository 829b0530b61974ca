package controllers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

func inMinutes(n int) time.Time { return time.Now().Add(time.Duration(n) * time.Minute) }

func isAtRisk(ov *v1alpha1.OrderVoucher) bool {
	return meta.IsStatusConditionTrue(ov.Status.Conditions, v1alpha1.ConditionAtRisk)
}

// saying is a condition message that holds a text.
func saying(text string) func(*v1alpha1.OrderVoucher) bool {
	return func(ov *v1alpha1.OrderVoucher) bool {
		c := meta.FindStatusCondition(ov.Status.Conditions, v1alpha1.ConditionReady)
		return c != nil && strings.Contains(c.Message, text)
	}
}

func (s *stack) wasTold(id string, want ...string) {
	s.Helper()
	if diff := cmp.Diff(want, s.script.told(id)); diff != "" {
		s.Errorf("order %s, what the platform was told: want -, got +:\n%s", id, diff)
	}
}

// TestCodesMadeElsewhere goes the whole way: codes are asked for, a Secret is named, made,
// corrected, and its codes are told once, though the platform fails at first.
func TestCodesMadeElsewhere(t *testing.T) {
	s := start(t)
	s.scripted()
	s.script.sell("1", 2)
	deadline := inMinutes(10)
	s.tell(wantsCodes("1", 2, deadline))
	ov := orderIs(s, "dy-1", v1alpha1.ReasonCodesNeeded, phase(v1alpha1.OrderIssuing), saying("2 codes until "+deadline.UTC().Truncate(time.Second).Format(time.RFC3339)))
	if ov.Status.Deadline == nil || !ov.Status.Deadline.Time.Equal(deadline.Truncate(time.Second)) || isAtRisk(ov) || len(ov.Status.Codes) != 0 {
		t.Errorf("status %+v", ov.Status)
	}
	s.patch(&v1alpha1.OrderVoucher{}, "dy-1", `{"spec":{"codesSecretRef":{"name":"codes-1"}}}`)
	orderIs(s, "dy-1", v1alpha1.ReasonCodesNeeded, saying("Secret codes-1 does not exist"))
	s.codes("codes-1", "\n PLANTED-1 \n\n")
	orderIs(s, "dy-1", v1alpha1.ReasonCodesNeeded, saying("has 1 under the key codes"))
	s.wasTold("1")
	s.script.fail("issue", &platform.Error{Kind: platform.Transient, Reason: platform.ReasonUnavailable, Op: "issue", Text: "down"}, nil)
	s.codes("codes-1", "PLANTED-1\r\n\r\nPLANTED-2")
	orderIs(s, "dy-1", v1alpha1.ReasonConfirmed, phase(v1alpha1.OrderIssued), func(ov *v1alpha1.OrderVoucher) bool {
		return ov.Status.Deadline == nil && !isAtRisk(ov) && len(ov.Status.Answers) == 1 && ov.Status.Summary.Codes == "2"
	})
	s.wasTold("1", "u-1=PLANTED-1 u-2=PLANTED-2")
	states := history[*v1alpha1.OrderVoucher](s, "OrderVoucher", "dy-1")
	if !slices.ContainsFunc(states, func(ov *v1alpha1.OrderVoucher) bool {
		c := meta.FindStatusCondition(ov.Status.Conditions, v1alpha1.ConditionAtRisk)
		return c != nil && c.Reason == v1alpha1.ReasonAnswerFailed
	}) {
		t.Error("the failed try put nothing at risk")
	}
	for _, state := range states {
		if text := fmt.Sprintf("%+v", state); strings.Contains(text, "PLANTED") {
			t.Fatalf("a code in clear: %s", text)
		}
	}
	ov = get[v1alpha1.OrderVoucher](s, "dy-1")
	if answer := ov.Status.Answers[0]; answer.NotificationID != "issue:1" || answer.Result != v1alpha1.ResultIssued || answer.At.IsZero() {
		t.Errorf("answer %+v", answer)
	}
	if ov.Status.Codes[1].Ref != "u-2" {
		t.Errorf("codes %+v", ov.Status.Codes)
	}
	// Whatever becomes of the Secret, what was told is told.
	s.codes("codes-1", "OTHER-1\nOTHER-2\n")
	s.request(&v1alpha1.OrderVoucher{}, "dy-1", "1")
	orderIs(s, "dy-1", v1alpha1.ReasonConfirmed, func(ov *v1alpha1.OrderVoucher) bool { return ov.Status.LastHandledRequestedAt == "1" })
	s.wasTold("1", "u-1=PLANTED-1 u-2=PLANTED-2")
}

// TestCodesThatAreThereAlready are told at the first look.
func TestCodesThatAreThereAlready(t *testing.T) {
	s := start(t)
	s.scripted()
	s.script.sell("1", 1)
	s.codes("codes-1", "PLANTED-1")
	s.tell(platform.OrderNotification{OrderID: "1", MessageID: "paid:1", Kind: string(v1alpha1.NotificationPaid), PlatformType: "order"})
	orderIs(s, "dy-1", v1alpha1.ReasonConfirmed, phase(v1alpha1.OrderPaid))
	s.patch(&v1alpha1.OrderVoucher{}, "dy-1", `{"spec":{"codesSecretRef":{"name":"codes-1"}}}`)
	s.tell(wantsCodes("1", 1, inMinutes(10)))
	orderIs(s, "dy-1", v1alpha1.ReasonConfirmed, phase(v1alpha1.OrderIssued))
	s.wasTold("1", "u-1=PLANTED-1")
	for _, state := range history[*v1alpha1.OrderVoucher](s, "OrderVoucher", "dy-1") {
		if isAtRisk(state) || len(state.Status.Answers) == 1 && state.Status.Phase != v1alpha1.OrderIssued {
			t.Errorf("not told at once, or told in two writes: %+v", state.Status)
		}
	}
}

// TestRefundWaitsForAPerson: nothing is decided before, and what was decided stays so.
func TestRefundWaitsForAPerson(t *testing.T) {
	s := start(t)
	s.scripted()
	s.script.sell("1", 2).codes = map[string]string{"u-1": "A", "u-2": "B"}
	s.tell(s.script.wantsRefund("1", "r1", inMinutes(24*60), "u-1"))
	s.tell(s.script.wantsRefund("1", "r2", time.Time{}, "u-2"))
	orderIs(s, "dy-1", v1alpha1.ReasonDecisionNeeded, phase(v1alpha1.OrderRefundRequested), saying("refund r1"), func(ov *v1alpha1.OrderVoucher) bool {
		return ov.Status.Deadline != nil && !isAtRisk(ov)
	})
	s.wasTold("1")
	s.patch(&v1alpha1.OrderVoucher{}, "dy-1", `{"spec":{"refundDecisions":[{"refundID":"r1","approve":true,"reason":"as you like"}]}}`)
	orderIs(s, "dy-1", v1alpha1.ReasonDecisionNeeded, saying("refund r2"), func(ov *v1alpha1.OrderVoucher) bool {
		return ov.Status.Deadline == nil && len(ov.Status.Answers) == 1
	})
	s.patch(&v1alpha1.OrderVoucher{}, "dy-1", `{"spec":{"refundDecisions":[{"refundID":"r1","approve":false},{"refundID":"r2","approve":false,"reason":"too late"}]}}`)
	ov := orderIs(s, "dy-1", v1alpha1.ReasonConfirmed, phase(v1alpha1.OrderPartlyRefunded))
	s.wasTold("1", "r1 of refund_apply: true as you like u-1=", "r2 of refund_apply: false too late u-2=")
	if len(ov.Status.Answers) != 2 || ov.Status.Answers[0].Result != v1alpha1.ResultApproved || ov.Status.Answers[1].Result != v1alpha1.ResultRefused {
		t.Errorf("answers %+v", ov.Status.Answers)
	}
}

// TestRefundByPolicy: what is not used is approved, what is used is refused, and of what
// is half used somebody decides.
func TestRefundByPolicy(t *testing.T) {
	s := start(t)
	s.script.approvesUnused = true
	s.scripted()
	order := s.script.sell("1", 4)
	order.codes = map[string]string{"u-1": "A", "u-2": "B", "u-3": "C", "u-4": "D"}
	order.used = map[string]bool{"u-2": true, "u-3": true}
	s.tell(s.script.wantsRefund("1", "r1", inMinutes(60), "u-1"))
	s.tell(s.script.wantsRefund("1", "r2", inMinutes(60), "u-2"))
	s.tell(s.script.wantsRefund("1", "r3", inMinutes(60), "u-3", "u-4"))
	orderIs(s, "dy-1", v1alpha1.ReasonDecisionNeeded, saying("refund r3"), func(ov *v1alpha1.OrderVoucher) bool { return len(ov.Status.Answers) == 2 })
	told := s.script.told("1")
	slices.Sort(told)
	if diff := cmp.Diff([]string{"r1 of refund_apply: true  u-1=", "r2 of refund_apply: false used already u-2="}, told); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

// TestSuspendedOrderTellsNothing and shows what that puts at risk.
func TestSuspendedOrderTellsNothing(t *testing.T) {
	s := start(t)
	s.scripted()
	s.script.sell("1", 1)
	s.codes("codes-1", "PLANTED-1")
	s.tell(platform.OrderNotification{OrderID: "1", MessageID: "paid:1", Kind: string(v1alpha1.NotificationPaid), PlatformType: "order"})
	orderIs(s, "dy-1", v1alpha1.ReasonConfirmed)
	s.patch(&v1alpha1.OrderVoucher{}, "dy-1", `{"spec":{"suspend":true,"codesSecretRef":{"name":"codes-1"}}}`)
	orderIs(s, "dy-1", v1alpha1.ReasonSuspended)
	s.tell(wantsCodes("1", 1, time.Now().Add(20*time.Second))) // at risk for the second half of it
	orderIs(s, "dy-1", v1alpha1.ReasonSuspended, func(ov *v1alpha1.OrderVoucher) bool {
		c := meta.FindStatusCondition(ov.Status.Conditions, v1alpha1.ConditionAtRisk)
		return c != nil && c.Reason == v1alpha1.ReasonSuspended
	})
	orderIs(s, "dy-1", v1alpha1.ReasonSuspended, func(ov *v1alpha1.OrderVoucher) bool {
		c := meta.FindStatusCondition(ov.Status.Conditions, v1alpha1.ConditionAtRisk)
		return c != nil && c.Reason == v1alpha1.ReasonDeadlineMissed
	})
	s.wasTold("1")
	s.patch(&v1alpha1.OrderVoucher{}, "dy-1", `{"spec":{"suspend":false}}`)
	orderIs(s, "dy-1", v1alpha1.ReasonConfirmed, func(ov *v1alpha1.OrderVoucher) bool { return !isAtRisk(ov) })
	s.wasTold("1", "u-1=PLANTED-1")
}

// TestWhatThePlatformWaitsForComesFirst: an order with a deadline overtakes those that
// were pushed before it and wait for their turn.
func TestWhatThePlatformWaitsForComesFirst(t *testing.T) {
	s := start(t)
	s.scripted()
	const others = 200
	gate := make(chan struct{})
	s.script.gate = gate
	asked := func() []string {
		s.script.mu.Lock()
		defer s.script.mu.Unlock()
		return slices.Clone(s.script.asked)
	}
	for i := range others {
		id := fmt.Sprintf("other-%d", i)
		s.script.sell(id, 1)
		s.tell(platform.OrderNotification{OrderID: id, MessageID: "paid:" + id, Kind: string(v1alpha1.NotificationPaid), PlatformType: "order"})
	}
	s.script.sell("urgent", 1)
	s.tell(wantsCodes("urgent", 1, inMinutes(10)))
	s.eventually(func() string { // the workers are held, and the cache has seen the last push
		if err := s.cached.Get(s.Context(), types.NamespacedName{Namespace: s.namespace, Name: "dy-urgent"}, &v1alpha1.OrderVoucher{}); err != nil {
			return err.Error()
		}
		return ""
	})
	if n := len(asked()); n != 2 {
		t.Fatalf("%d workers asked", n)
	}
	s.script.mu.Lock()
	s.script.gate = nil
	s.script.mu.Unlock()
	close(gate)
	s.eventually(func() string {
		if n := len(asked()); n < others {
			return fmt.Sprintf("asked for %d", n)
		}
		return ""
	})
	// Two were under way, and the event itself takes a moment.
	if at := slices.Index(asked(), "urgent"); at < 0 || at > others/4 {
		t.Errorf("the urgent order was asked for after %d others", at)
	}
	orderIs(s, "dy-urgent", v1alpha1.ReasonCodesNeeded)
}
