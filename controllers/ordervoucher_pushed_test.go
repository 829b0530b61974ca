package controllers

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

// pushesDecide is a stack whose script cannot be asked for orders.
func pushesDecide(t *testing.T) *stack {
	t.Helper()
	s := start(t)
	s.script.set(func(p *script) { p.pushesDecide = true })
	t.Cleanup(func() {
		s.script.mu.Lock()
		defer s.script.mu.Unlock()
		if len(s.script.asked) > 0 {
			t.Errorf("asked for %v", s.script.asked)
		}
	})
	return s
}

// says is a push about an order that bears no time.
func says(id string, kind v1alpha1.NotificationType, succeeded *bool, codes ...string) platform.OrderNotification {
	told := platform.OrderNotification{OrderID: id, MessageID: fmt.Sprint(kind, codes, ptr.Deref(succeeded, false)), Kind: string(kind),
		PlatformType: "voucher", Succeeded: succeeded}
	for _, code := range codesOf(codes...) {
		told.Codes = append(told.Codes, platform.Code{Text: code, Form: platform.FormPDF})
	}
	return told
}

// byHand makes an order that nothing was pushed about.
func (s *stack) byHand(name, id string) {
	s.Helper()
	must(s.T, s.api.Create(s.Context(), &v1alpha1.OrderVoucher{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name},
		Spec: v1alpha1.OrderVoucherSpec{ChannelRef: v1alpha1.ChannelReference{Name: "dy"}, OrderID: id}}))
}

// TestPushesDecideWhateverHindersAsking: each push about an order shows, in whatever state
// the asking of its Channel is.
func TestPushesDecideWhateverHindersAsking(t *testing.T) {
	s := pushesDecide(t)
	s.channel("dy", onScript, func(c *v1alpha1.Channel) { c.Spec.Suspend = true })
	wake := 0
	for _, step := range []struct {
		name   string
		before func()
		reason string
		push   platform.OrderNotification
		phase  v1alpha1.OrderPhase
		codes  string
	}{
		{"no Secret", func() {}, v1alpha1.ReasonCredentialsMissing,
			says("1", v1alpha1.NotificationCodesIssued, nil, "TICKET-A"), v1alpha1.OrderIssuing, "1"},
		{"a Secret of no use", func() {
			s.script.set(func(p *script) { p.client = platform.ErrCredentials })
			s.secret("key")
		}, v1alpha1.ReasonCredentialsInvalid,
			says("1", v1alpha1.NotificationCodesIssued, ptr.To(false)), v1alpha1.OrderFailed, "1"},
		{"settings that asking needs", func() { s.script.set(func(p *script) { p.client = platform.ErrSettings }) }, v1alpha1.ReasonSettingsInvalid,
			says("1", v1alpha1.NotificationCodesIssued, ptr.To(true), "TICKET-B"), v1alpha1.OrderIssued, "2"},
		{"settings that are none", func() {
			s.script.set(func(p *script) { p.client, p.settings = nil, platform.ErrSettings })
		}, v1alpha1.ReasonSettingsInvalid,
			says("1", v1alpha1.NotificationCodesIssued, nil, "TICKET-C"), v1alpha1.OrderIssued, "3"},
		{"suspended", func() { s.script.set(func(p *script) { p.settings = nil }) }, v1alpha1.ReasonSuspended,
			says("1", v1alpha1.NotificationCodesIssued, ptr.To(true), "TICKET-D"), v1alpha1.OrderIssued, "4"},
		{"refused", func() {
			s.script.set(func(p *script) { p.account = errCredentials })
			s.patch(&v1alpha1.Channel{}, "dy", `{"spec":{"suspend":false}}`)
		}, v1alpha1.ReasonCredentialsRefused,
			says("1", v1alpha1.NotificationCancelled, ptr.To(true)), v1alpha1.OrderCancelled, "4"},
		{"connected", func() { s.script.set(func(p *script) { p.account = nil }) }, v1alpha1.ReasonConnected,
			says("1", v1alpha1.NotificationCodesIssued, nil, "TICKET-E"), v1alpha1.OrderCancelled, "5"},
	} {
		step.before()
		wake++
		s.patch(&v1alpha1.Channel{}, "dy", fmt.Sprintf(`{"spec":{"limits":{"burst":%d}}}`, 20+wake))
		channelIs(s, "dy", step.reason)
		s.tell(step.push)
		ov := orderIs(s, "dy-1", v1alpha1.ReasonNotConfirmable, phase(step.phase), func(ov *v1alpha1.OrderVoucher) bool {
			return len(ov.Spec.Notifications) == wake && ready(ov.Status.Conditions)
		})
		if ov.Status.Summary.Codes != step.codes || ov.Status.Confirmed != nil || ov.Status.Codes[0].Used != nil || ov.Status.Codes[0].Form != platform.FormPDF {
			t.Errorf("%s: %+v", step.name, ov.Status)
		}
	}
}

// TestSuspendedOrderIsFolded: to suspend an order stops asking, and there is none. A look
// that is asked for is settled all the same.
func TestSuspendedOrderIsFolded(t *testing.T) {
	s := pushesDecide(t)
	s.scripted()
	s.tell(says("1", v1alpha1.NotificationCodesIssued, nil))
	orderIs(s, "dy-1", v1alpha1.ReasonNotConfirmable, phase(v1alpha1.OrderIssuing))
	s.patch(&v1alpha1.OrderVoucher{}, "dy-1", `{"spec":{"suspend":true}}`)
	orderIs(s, "dy-1", v1alpha1.ReasonNotConfirmable)
	s.tell(says("1", v1alpha1.NotificationCodesIssued, ptr.To(true), "TICKET-A"))
	orderIs(s, "dy-1", v1alpha1.ReasonNotConfirmable, phase(v1alpha1.OrderIssued))
	s.request(&v1alpha1.OrderVoucher{}, "dy-1", "now")
	orderIs(s, "dy-1", v1alpha1.ReasonNotConfirmable, handled("now"))
}

func handled(request string) func(*v1alpha1.OrderVoucher) bool {
	return func(ov *v1alpha1.OrderVoucher) bool { return ov.Status.LastHandledRequestedAt == request }
}

// TestOrderMadeByHandWaitsForAPush: there is nobody to ask what it is. Before there is its
// Channel there is nobody to push either.
func TestOrderMadeByHandWaitsForAPush(t *testing.T) {
	s := pushesDecide(t)
	s.byHand("dy-1", "1")
	orderIs(s, "dy-1", v1alpha1.ReasonChannelNotReady)
	s.channel("dy", onScript)
	waits := func(ov *v1alpha1.OrderVoucher) bool {
		return !ready(ov.Status.Conditions) && strings.HasPrefix(standing(ov.Status.Conditions).Message, "nothing was pushed about this order yet")
	}
	orderIs(s, "dy-1", v1alpha1.ReasonProgressing, waits, phase(v1alpha1.OrderPending))
	s.request(&v1alpha1.OrderVoucher{}, "dy-1", "now")
	orderIs(s, "dy-1", v1alpha1.ReasonProgressing, waits, handled("now"))
	s.tell(says("1", v1alpha1.NotificationCodesIssued, ptr.To(true), "TICKET-A"))
	orderIs(s, "dy-1", v1alpha1.ReasonNotConfirmable, phase(v1alpha1.OrderIssued))

	must(t, s.api.Delete(t.Context(), get[v1alpha1.Channel](s, "dy")))
	left := orderIs(s, "dy-1", v1alpha1.ReasonChannelNotReady)
	if left.Status.Phase != v1alpha1.OrderIssued || len(left.Status.Codes) != 1 || left.Status.Codes[0].Used != nil {
		t.Errorf("without its Channel: %+v", left.Status)
	}
}

// TestPushesDecideAndNothingIsTold: a platform that is never called is owed no answer.
func TestPushesDecideAndNothingIsTold(t *testing.T) {
	s := pushesDecide(t)
	s.scripted()
	s.script.sell("1", 2)
	s.tell(wantsCodes("1", 2, time.Now().Add(time.Hour)))
	ov := orderIs(s, "dy-1", v1alpha1.ReasonNotConfirmable, phase(v1alpha1.OrderIssuing))
	if ov.Status.Deadline != nil || len(s.script.told("1")) > 0 {
		t.Errorf("deadline %v, told %v", ov.Status.Deadline, s.script.told("1"))
	}
}

// TestPushesDecideAfterARestart: what was pushed while nobody looked is folded then.
func TestPushesDecideAfterARestart(t *testing.T) {
	s := pushesDecide(t)
	s.channel("dy", onScript)
	for i := range 3 {
		s.tell(says(strconv.Itoa(i), v1alpha1.NotificationCodesIssued, nil))
		orderIs(s, "dy-"+strconv.Itoa(i), v1alpha1.ReasonNotConfirmable, phase(v1alpha1.OrderIssuing))
	}
	calm := get[v1alpha1.OrderVoucher](s, "dy-2")
	s.restart(func() {
		for i := range 2 {
			s.tell(says(strconv.Itoa(i), v1alpha1.NotificationCodesIssued, ptr.To(true), "TICKET-A"))
		}
	})
	for i := range 2 {
		orderIs(s, "dy-"+strconv.Itoa(i), v1alpha1.ReasonNotConfirmable, phase(v1alpha1.OrderIssued))
	}
	if now := get[v1alpha1.OrderVoucher](s, "dy-2"); now.ResourceVersion != calm.ResourceVersion {
		t.Errorf("an order without news was written: %+v", now.Status)
	}
}

// TestPlatformThatNeitherDecidesNorAnswers: an adapter without a way to know what an order
// is has nothing to show as the truth.
func TestPlatformThatNeitherDecidesNorAnswers(t *testing.T) {
	s := start(t)
	s.script.set(func(p *script) { p.onlyChecks = true })
	s.scripted()
	s.tell(says("1", v1alpha1.NotificationCancelled, ptr.To(true)))
	orderIs(s, "dy-1", v1alpha1.ReasonPlatformNotSupported, phase(v1alpha1.OrderPending), func(ov *v1alpha1.OrderVoucher) bool {
		return !ready(ov.Status.Conditions)
	})
}

// TestAccountThatAnotherChannelHolds: it receives nothing, and what it received stays.
func TestAccountThatAnotherChannelHolds(t *testing.T) {
	s := pushesDecide(t)
	s.scripted()
	s.channel("dz", onScript)
	channelIs(s, "dz", v1alpha1.ReasonAccountTaken)
	must(t, s.api.Create(t.Context(), &v1alpha1.OrderVoucher{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "dz-1"},
		Spec: v1alpha1.OrderVoucherSpec{ChannelRef: v1alpha1.ChannelReference{Name: "dz"}, OrderID: "1", Notifications: []v1alpha1.Notification{
			{ID: "m", Type: v1alpha1.NotificationCodesIssued, PlatformType: "voucher", Succeeded: ptr.To(true), ReceivedAt: metav1.NowMicro()}}}}))
	orderIs(s, "dz-1", v1alpha1.ReasonNotConfirmable, phase(v1alpha1.OrderIssued))
}
