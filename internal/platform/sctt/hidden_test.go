package sctt

import (
	"fmt"
	"testing"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fields"
	"github.com/laidoulaile/channel-operator/internal/sealing/sealingtest"
)

// An opened push holds the body, with vouchers, and does not show it; nor does a ticket.
func TestMessageShowsNothing(t *testing.T) {
	const row = `{"voucher_type":1,"voucher_url":%[1]q,"voucher_confirmation":%[1]q,"voucher_verification":%[1]q}`
	for _, path := range (Adapter{}).Paths() {
		message, err := Adapter{}.Open(platform.Push{Path: path, Body: fmt.Appendf(nil, `{"order_code":1,"vouchers":[{"voucherlist":[`+row+`]}]}`, sealingtest.Planted)})
		if err != nil {
			t.Fatal(err)
		}
		sealingtest.Hidden(t, fmt.Sprintf("%T", message), message)
	}
	object, _ := fields.Parse(fmt.Appendf(nil, row, sealingtest.Planted))
	sealingtest.Hidden(t, "ticket", readTicket(object))
}
