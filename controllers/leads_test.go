package controllers

import (
	"testing"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

// A leader that stood still, and is not sure that it leads, tells no platform anything: another may have
// decided otherwise since.
func TestALeaderThatIsNotSureAnswersNothing(t *testing.T) {
	account := &accounts.Account{Client: struct {
		platform.Client
		platform.OrderAnswerer
	}{}}
	ov := &v1alpha1.OrderVoucher{Spec: v1alpha1.OrderVoucherSpec{OrderID: "1", Notifications: []v1alpha1.Notification{
		{ID: "m-1", Type: v1alpha1.NotificationCodesRequested, Reply: &v1alpha1.NotificationReply{Result: v1alpha1.ResultPending}},
	}}}
	for _, sure := range []bool{true, false} {
		var seen seenOrder
		r := &OrderVoucherReconciler{Leads: func() bool { return sure }}
		r.answer(t.Context(), ov, account, &seen)
		if dealtWith := len(seen.owed) == 1; dealtWith != sure {
			t.Errorf("sure %t: what is owed is dealt with: %t", sure, dealtWith)
		}
	}
}
