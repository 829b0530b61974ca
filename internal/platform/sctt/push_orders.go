package sctt

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/laidoulaile/channel-operator/internal/money"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fields"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// The values of order_status and cancel_status (documented).
const (
	orderWaiting   = 1
	orderBooked    = 2
	orderFailed    = 3
	orderCancelled = 4

	cancelFailed  = 1
	cancelWaiting = 2
	cancelDone    = 3
)

// readVoucherPush reads the push about one order and its vouchers.
func readVoucherPush(push fields.Object) []platform.Event {
	order := notification(push, pathVoucher, "order_status")
	remark := push.Text("remark")
	if readOrderStatus(push, order) {
		order.Reason, remark = fields.Shorten(remark, maxText), ""
	}
	order.Price = readPrice(push)
	vouchers := push.Objects("vouchers")
	order.Remark = remarks(remark, vouchers)
	order.Secrets = secrets(push.Text("travel_itinerary_url"))
	for _, voucher := range vouchers {
		readVoucher(voucher, order)
	}
	events := []platform.Event{{Order: order}}
	if credit := readCredit(push); credit != nil {
		events = append(events, platform.Event{Credit: credit})
	}
	return events
}

// readOrderStatus reads what has become of the order, and reports whether the push's remark
// says why. An order that waits for its booking has its codes announced, and no more.
func readOrderStatus(push fields.Object, order *platform.OrderNotification) (explains bool) {
	status := push.Count("order_status")
	if status == nil {
		return false
	}
	switch *status {
	case orderWaiting:
		order.Kind = kindCodesIssued
	case orderBooked:
		order.Kind, order.Succeeded = kindCodesIssued, new(true)
	case orderFailed:
		order.Kind, order.Succeeded = kindCodesIssued, new(false)
		return true
	case orderCancelled:
		order.Kind, order.Succeeded = kindCancelled, new(true)
		return true
	default:
		order.Kind = kindOther
	}
	return false
}

// remarks joins what the push remarks on the order and on its vouchers.
func remarks(first string, vouchers []fields.Object) string {
	all := []string{fields.Shorten(first, maxText)}
	for _, voucher := range vouchers {
		all = append(all, fields.Shorten(voucher.Text("confirm_remarks"), maxText))
	}
	all = slices.DeleteFunc(all, func(text string) bool { return text == "" })
	return fields.Shorten(strings.Join(all, "; "), maxText)
}

// readVoucher reads a voucher's tickets, each a code, and what must not be shown of it.
func readVoucher(voucher fields.Object, order *platform.OrderNotification) {
	order.Secrets = append(order.Secrets, secrets(voucher.Text("confirmation_url"))...)
	for _, row := range voucher.Objects("voucherlist") {
		t := readTicket(row)
		order.Secrets = append(order.Secrets, secrets(t.url, t.confirmation, t.verification)...)
		code := platform.Code{Text: sealing.NewSecret(t.text()), Form: forms[t.kind]}
		known := slices.ContainsFunc(order.Codes, func(c platform.Code) bool { return c.Text.Equal(code.Text) })
		if !known && !code.Text.IsZero() {
			order.Codes = append(order.Codes, code)
		}
	}
}

// secrets are the texts that are not empty.
func secrets(texts ...string) []sealing.Secret {
	var all []sealing.Secret
	for _, text := range texts {
		if text != "" {
			all = append(all, sealing.NewSecret(text))
		}
	}
	return all
}

// The values of voucher_type whose ticket is a link (documented).
const (
	voucherPDF = "1"
	voucherURL = "5"
)

// forms are the values of voucher_type (documented). A ticket of any other type is kept
// without a form: refusing it would lose it.
var forms = map[string]string{
	voucherPDF: platform.FormPDF, "2": platform.FormBarcode, "3": platform.FormQRCode,
	"4": platform.FormConfirmationNumber, voucherURL: platform.FormURL,
}

// ticket is a row of voucherlist.
type ticket struct{ kind, url, confirmation, verification string }

func readTicket(row fields.Object) ticket {
	return ticket{
		kind:         row.Text("voucher_type"),
		url:          row.Text("voucher_url"),
		confirmation: row.Exact("voucher_confirmation"),
		verification: row.Exact("voucher_verification"),
	}
}

// text is what is presented: the link of a file or a page, else the number (documented);
// where that is empty, whatever there is.
func (t ticket) text() string {
	if t.kind == voucherPDF || t.kind == voucherURL {
		return cmp.Or(t.url, t.confirmation, t.verification)
	}
	return cmp.Or(t.confirmation, t.url, t.verification)
}

// number is what JSON calls one; total_price may be written so in a text too.
var number = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// readPrice reads what the order costs; nil if the push does not say. Whether
// order_currency is a code, as the table says, or a symbol, as the sample has it, is
// unknown: it counts where it is clear, and is kept as it came in any case.
func readPrice(push fields.Object) *platform.Price {
	total := push.Text("total_price")
	currency := strings.TrimSpace(push.Text("order_currency"))
	switch {
	case total == "":
		return nil
	case len(total) > maxAmount || !number.MatchString(total):
		push.Fail("total_price", "is no amount")
		return nil
	case total[0] == '-' && strings.ContainsAny(total, "123456789"):
		push.Fail("total_price", "is negative")
		return nil
	}
	price := &platform.Price{Text: strings.TrimSpace(total + " " + fields.Shorten(currency, maxSymbol))}
	if code := money.Code(currency); code != "" {
		if amount, err := money.MinorUnits(total, code); err == nil {
			price.Currency, price.Amount = code, &amount
		}
	}
	return price
}

// readCancelPush reads what became of cancelling, one row for each order. A row that comes
// twice says it once.
func readCancelPush(push fields.Object) []platform.Event {
	push.Require("orderlist")
	rows := push.Objects("orderlist")
	if len(rows) == 0 {
		push.Fail("orderlist", "is empty")
	}
	var events []platform.Event
	seen := map[string]bool{}
	for _, row := range rows {
		order := readCancelRow(row)
		if id := order.MessageID + string(order.Content); !seen[id] {
			seen[id] = true
			events = append(events, platform.Event{Order: order})
		}
	}
	return events
}

func readCancelRow(row fields.Object) *platform.OrderNotification {
	order := notification(row, pathCancel, "cancel_status")
	remark := fields.Shorten(row.Text("remark"), maxText)
	order.Kind, order.Remark = kindOther, remark
	status := row.Count("cancel_status")
	switch {
	case status == nil:
	case *status == cancelFailed:
		order.Kind, order.Succeeded = kindCancelled, new(false)
		order.Reason, order.Remark = remark, ""
	case *status == cancelWaiting:
		order.Kind = kindStatusChanged
	case *status == cancelDone:
		order.Kind, order.Succeeded = kindCancelled, new(true)
	}
	return order
}
