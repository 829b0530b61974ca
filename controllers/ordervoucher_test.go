package controllers

import (
	"testing"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
)

const (
	searchOrder  = "searchOrder"
	searchRefund = "searchRefundOrder"
)

func phase(want v1alpha1.OrderPhase) func(*v1alpha1.OrderVoucher) bool {
	return func(ov *v1alpha1.OrderVoucher) bool { return ov.Status.Phase == want }
}

func TestOrderFollowsThePlatform(t *testing.T) {
	s := connected(t)
	s.push(platformtest.FliggyOrderPath, s.sell(s.fake, "1"))
	ov := orderIs(s, "ch-1", v1alpha1.ReasonConfirmed, phase(v1alpha1.OrderIssued))
	if ov.Status.Summary.Codes != "2" || ov.Status.Confirmed == nil || ov.Status.Confirmed.PlatformStatus != "1003" {
		t.Errorf("status %+v", ov.Status)
	}
	for _, step := range []struct {
		code string
		want v1alpha1.OrderPhase
	}{{"CODE-1-1", v1alpha1.OrderPartlyUsed}, {"CODE-1-2", v1alpha1.OrderUsed}} {
		body, err := s.fake.UseCode("1", step.code, 1)
		s.push(platformtest.FliggyOrderPath, body, err)
		orderIs(s, "ch-1", v1alpha1.ReasonConfirmed, phase(step.want))
	}
	if s.fake.Calls(searchRefund) != 0 {
		t.Error("asked for refunds of an order without one")
	}
}

// TestUnconfirmedRefundNeverShows is promise 4: a push is a trigger, not the truth.
func TestUnconfirmedRefundNeverShows(t *testing.T) {
	s := connected(t)
	s.push(platformtest.FliggyOrderPath, s.sell(s.fake, "1"))
	orderIs(s, "ch-1", v1alpha1.ReasonConfirmed, phase(v1alpha1.OrderIssued))

	liar := newFake(t) // pushes what the platform does not confirm
	s.sell(liar, "1")
	body, err := liar.Refund("1", 70100, 2, true)
	s.push(platformtest.FliggyOrderPath, body, err)
	claimed := orderIs(s, "ch-1", v1alpha1.ReasonNotConfirmed)
	asked := s.fake.Calls(searchOrder)
	s.eventually(func() string {
		if s.fake.Calls(searchOrder) < asked+2 {
			return "not asked again"
		}
		return ""
	})
	if now := get[v1alpha1.OrderVoucher](s, "ch-1"); now.ResourceVersion != claimed.ResourceVersion {
		t.Errorf("asking again in vain wrote: %+v", now.Status)
	}
	states := history[*v1alpha1.OrderVoucher](s, "OrderVoucher", "ch-1")
	for _, ov := range states {
		if ov.Status.Phase == v1alpha1.OrderRefunded || ov.Status.Totals.Refunded > 0 {
			t.Errorf("shown as refunded on the word of a push: %+v", ov.Status)
		}
	}

	_, err = s.fake.Refund("1", 70100, 2, true)
	must(t, err)
	ov := orderIs(s, "ch-1", v1alpha1.ReasonConfirmed, phase(v1alpha1.OrderRefunded))
	if ov.Status.Summary.Refunded != "701.00 CNY" || !ready(ov.Status.Conditions) {
		t.Errorf("status %+v", ov.Status)
	}
}

// TestUnconfirmedRefundOfAnOrderNeverAskedFor: not even while the platform is away.
func TestUnconfirmedRefundOfAnOrderNeverAskedFor(t *testing.T) {
	s := connected(t)
	s.sell(s.fake, "1")
	s.fake.Down()
	body, err := s.fake.Refund("1", 70100, 2, true)
	s.push(platformtest.FliggyOrderPath, body, err)
	ov := orderIs(s, "ch-1", v1alpha1.ReasonProgressingWithRetry)
	if ov.Status.Phase == v1alpha1.OrderRefunded || ov.Status.Confirmed != nil {
		t.Errorf("status %+v", ov.Status)
	}
	s.fake.Up()
	orderIs(s, "ch-1", v1alpha1.ReasonConfirmed, phase(v1alpha1.OrderRefunded))
}

func TestOrderThatIsNotVisibleYetIsFoundWithoutAPush(t *testing.T) {
	s := connected(t)
	elsewhere := newFake(t)
	s.push(platformtest.FliggyOrderPath, s.sell(elsewhere, "1"))
	orderIs(s, "ch-1", v1alpha1.ReasonNotFound, phase(v1alpha1.OrderIssued))
	s.sell(s.fake, "1")
	orderIs(s, "ch-1", v1alpha1.ReasonConfirmed, phase(v1alpha1.OrderIssued))
}

func TestFinishedOrderIsAskedForOnRequestOnly(t *testing.T) {
	s := connected(t)
	s.sell(s.fake, "1")
	body, err := s.fake.Refund("1", 70100, 2, true)
	s.push(platformtest.FliggyOrderPath, body, err)
	done := orderIs(s, "ch-1", v1alpha1.ReasonConfirmed, phase(v1alpha1.OrderRefunded))
	asked := s.fake.Calls(searchOrder)
	s.restart(func() {}) // a restart looks at all orders
	s.push(platformtest.FliggyOrderPath, s.sell(s.fake, "2"))
	orderIs(s, "ch-2", v1alpha1.ReasonConfirmed)
	if now := get[v1alpha1.OrderVoucher](s, "ch-1"); now.ResourceVersion != done.ResourceVersion || s.fake.Calls(searchOrder) != asked+1 {
		t.Errorf("asked %d times for two orders", s.fake.Calls(searchOrder)-asked)
	}
	s.request(&v1alpha1.OrderVoucher{}, "ch-1", "now")
	orderIs(s, "ch-1", v1alpha1.ReasonConfirmed, func(ov *v1alpha1.OrderVoucher) bool { return ov.Status.LastHandledRequestedAt == "now" })
	if s.fake.Calls(searchOrder) != asked+2 {
		t.Errorf("a request asked %d times", s.fake.Calls(searchOrder)-asked-1)
	}
}
