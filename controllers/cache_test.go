package controllers

import (
	"strings"
	"testing"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/unproven"
)

// What the cache drops is noted, for whoever bounds what is written.
func TestDroppedBodiesAreNoted(t *testing.T) {
	body := strings.Repeat("x", 3<<10)
	voucher := &v1alpha1.OrderVoucher{Spec: v1alpha1.OrderVoucherSpec{Notifications: []v1alpha1.Notification{
		{Sealed: body}, {Sealed: body, Reply: &v1alpha1.NotificationReply{Sealed: body}},
	}}}
	for range 2 { // what was in the cache may come again
		if _, err := stripSealed(voucher); err != nil {
			t.Fatal(err)
		}
	}
	if n := voucher.Spec.Notifications[1]; n.Sealed+n.Reply.Sealed != "" || unproven.Sealed(voucher) != 3*len(body) {
		t.Errorf("%d bytes are noted; %+v", unproven.Sealed(voucher), n)
	}
}
