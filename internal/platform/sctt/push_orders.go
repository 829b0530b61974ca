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

// readVoucherPush reads the push about one order and its vouchers. Its secrets are read
// first: no other text may show them.
func readVoucherPush(push fields.Object) []platform.Event {
	vouchers := push.Objects("vouchers")
	var tickets []ticket
	hidden := []string{push.Text("travel_itinerary_url")}
	for _, voucher := range vouchers {
		hidden = append(hidden, voucher.Text("confirmation_url"))
		for _, row := range voucher.Objects("voucherlist") {
			t := readTicket(row)
			tickets = append(tickets, t)
			hidden = append(hidden, t.url, t.confirmation, t.verification)
		}
	}
	secrets := secretsOf(hidden)

	order, status := notification(push, pathVoucher, "order_status", secrets)
	remark := push.Text("remark")
	if readOrderStatus(status, order) {
		order.Reason, remark = sealing.Excerpt(remark, maxText, secrets...), ""
	}
	order.Price = readPrice(push, secrets)
	order.Remark = sealing.Excerpt(remarks(remark, vouchers), maxText, secrets...)
	order.Codes = codesOf(tickets)
	events := []platform.Event{{Order: order}}
	if credit := readCredit(push); credit != nil {
		events = append(events, platform.Event{Credit: credit})
	}
	return events
}

// readOrderStatus reads what has become of the order, and reports whether the push's remark
// says why. An order that waits for its booking has its codes announced, and no more.
func readOrderStatus(status *int64, order *platform.OrderNotification) (explains bool) {
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
	all := []string{first}
	for _, voucher := range vouchers {
		all = append(all, voucher.Text("confirm_remarks"))
	}
	all = slices.DeleteFunc(all, blank)
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return strings.Join(all, "; ")
}

// codesOf are the codes of the tickets, each once. A confirmation number that comes with
// several verifications is several tickets, and each is named with its own.
func codesOf(tickets []ticket) []platform.Code {
	first, several := map[string]string{}, map[string]bool{}
	for _, t := range tickets {
		if verification, known := first[t.text()]; known && verification != t.verification {
			several[t.text()] = true
		} else {
			first[t.text()] = t.verification
		}
	}
	var codes []platform.Code
	seen := map[string]bool{"": true}
	for _, t := range tickets {
		text := t.text()
		if several[text] {
			text = strings.TrimSpace(text + " " + t.verification)
		}
		if !seen[text] {
			seen[text] = true
			codes = append(codes, platform.Code{Text: sealing.NewSecret(text), Form: forms[t.kind]})
		}
	}
	return codes
}

// secretsOf are the texts that are not blank, each once.
func secretsOf(texts []string) []sealing.Secret {
	var all []sealing.Secret
	seen := map[string]bool{}
	for _, text := range texts {
		if !seen[text] && !blank(text) {
			seen[text] = true
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
type ticket struct {
	sealing.Hidden
	kind, url, confirmation, verification string
}

func readTicket(row fields.Object) ticket {
	t := ticket{
		kind:         row.Text("voucher_type"),
		url:          exact(row, "voucher_url"),
		confirmation: exact(row, "voucher_confirmation"),
		verification: exact(row, "voucher_verification"),
	}
	if t.url == "" && t.confirmation == "" {
		t.confirmation, t.verification = t.verification, "" // what there is
	}
	return t
}

// exact reads a text that may be a code; one that is only white space is none.
func exact(row fields.Object, name string) string {
	text := row.Exact(name)
	if blank(text) {
		return ""
	}
	return text
}

// text is what is presented: the link of a file or a page, else the number (documented);
// where that is empty, the other.
func (t ticket) text() string {
	if t.kind == voucherPDF || t.kind == voucherURL {
		return cmp.Or(t.url, t.confirmation)
	}
	return cmp.Or(t.confirmation, t.url)
}

// number is what JSON calls one; total_price may be written so in a text too.
var number = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// readPrice reads what the order costs; nil if the push does not say. Whether
// order_currency is a code, as the table says, or a symbol, as the sample has it, is
// unknown: it counts where it is clear, and is kept as it came where it can be one.
func readPrice(push fields.Object, secrets []sealing.Secret) *platform.Price {
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
	code := money.Code(currency)
	if code == "" {
		currency = sealing.Excerpt(currency, maxSymbol, secrets...)
	}
	price := &platform.Price{Text: strings.TrimSpace(total + " " + currency)}
	if code != "" {
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

// readCancelRow reads what became of cancelling one order. The order's codes are not known
// here, so what its texts may show of them is told by their looks only.
func readCancelRow(row fields.Object) *platform.OrderNotification {
	order, status := notification(row, pathCancel, "cancel_status", nil)
	remark := sealing.Excerpt(row.Text("remark"), maxText)
	order.Kind, order.Remark, order.Part = kindOther, remark, sealing.NewSecret(string(row.Written()))
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
