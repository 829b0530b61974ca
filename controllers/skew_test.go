package controllers

import (
	"fmt"
	"testing"
	"time"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
)

// Leaders follow each other whose clocks are five minutes ahead, and five behind: what one could
// not ask, the next does at once, and no status goes back.
func TestLeadersWhoseClocksDifferTakeNothingBackAndHoldUpNothing(t *testing.T) {
	const skew = 5 * time.Minute
	s := connected(t)
	s.push(platformtest.FliggyOrderPath, s.sell(s.fake, "1"))
	orderIs(s, "ch-1", v1alpha1.ReasonConfirmed, phase(v1alpha1.OrderIssued))
	for i, ahead := range []time.Duration{skew, -skew} {
		s.restart(func() { s.ahead.Store(int64(ahead)) })
		s.offer("88")
		s.announce("INFO_CHANGE", "88")
		productIs(s, "ch-88", v1alpha1.ReasonSynced, func(ps *v1alpha1.ProductSync) bool { return ps.Status.Summary.Price == "350.50 CNY" })
		price := fmt.Sprintf("%d.00", 100+i)
		s.fake.Down()
		must(t, s.fake.SetPrice("88", price))
		s.announce("PRICE_CHANGE", "88")
		body, err := s.fake.UseCode("1", fmt.Sprintf("CODE-1-%d", i+1), 1)
		s.push(platformtest.FliggyOrderPath, body, err)
		productIs(s, "ch-88", v1alpha1.ReasonProgressingWithRetry)
		orderIs(s, "ch-1", v1alpha1.ReasonProgressingWithRetry)
		s.restart(func() { s.ahead.Store(int64(-ahead)) })
		s.fake.Up()
		productIs(s, "ch-88", v1alpha1.ReasonSynced, func(ps *v1alpha1.ProductSync) bool { return ps.Status.Summary.Price == price+" CNY" })
		orderIs(s, "ch-1", v1alpha1.ReasonConfirmed, phase([]v1alpha1.OrderPhase{v1alpha1.OrderPartlyUsed, v1alpha1.OrderUsed}[i]))
	}
	var used int64
	for _, ov := range history[*v1alpha1.OrderVoucher](s, "OrderVoucher", "ch-1") {
		if ov.Status.Totals.Used < used {
			t.Errorf("%d were used, and then %d", used, ov.Status.Totals.Used)
		}
		used = ov.Status.Totals.Used
	}
}
