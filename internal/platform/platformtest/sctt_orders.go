package platformtest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/shopspring/decimal"
)

// order_status of an order (DOC).
const (
	SCTTWaiting   = 1
	SCTTBooked    = 2
	SCTTFailed    = 3
	SCTTCancelled = 4
)

// cancel_status of an order in a cancel push (DOC).
const (
	SCTTCancelFailed  = 1
	SCTTCancelWaiting = 2
	SCTTCancelDone    = 3
)

// voucher_type of a ticket (DOC).
const (
	SCTTPdf                = 1
	SCTTBarcode            = 2
	SCTTQRCode             = 3
	SCTTConfirmationNumber = 4
	SCTTUrl                = 5
)

// SCTTOrder is one order of the fake.
type SCTTOrder struct {
	// ID is order_code, a bigint; TradeNumber is the merchant's own.
	ID          string `json:"id"`
	TradeNumber string `json:"tradeNumber,omitempty"`
	// Total is a decimal; Currency a code or a symbol: the page's table says the one and its
	// sample the other. Default AUD.
	Total    string `json:"total"`
	Currency string `json:"currency,omitempty"`
	Label    string `json:"label,omitempty"`
	// Status is the order_status; default SCTTWaiting.
	Status int `json:"status,omitempty"`
	// Mode is the certificate_mode, 1 immediate or 2 asynchronous; default 1.
	Mode      int           `json:"mode,omitempty"`
	Itinerary string        `json:"itinerary,omitempty"`
	Vouchers  []SCTTVoucher `json:"vouchers,omitempty"`
	// CancelType is on what terms it can be cancelled, 1 to 5; default 3, by the rules.
	CancelType int              `json:"cancelType,omitempty"`
	Rules      []SCTTCancelRule `json:"rules,omitempty"`
	// CancelStatus of the last cancel push; 0 if there was none.
	CancelStatus int    `json:"cancelStatus,omitempty"`
	Remark       string `json:"remark,omitempty"`
}

// SCTTVoucher is one confirmation and its tickets. Links and numbers are secrets.
type SCTTVoucher struct {
	ConfirmationURL string       `json:"confirmation_url"`
	Remarks         string       `json:"confirm_remarks"`
	Tickets         []SCTTTicket `json:"voucherlist"`
}

// SCTTTicket is one voucher: URL is there with the types 1 and 5, the two others with the
// types 2, 3 and 4 (DOC).
type SCTTTicket struct {
	Type         int    `json:"voucher_type"`
	URL          string `json:"voucher_url"`
	Confirmation string `json:"voucher_confirmation"`
	Verification string `json:"voucher_verification"`
}

// SCTTCancelRule is one rule of cancelling, as the platform writes it.
type SCTTCancelRule struct {
	Type     int    `json:"canr_type"`
	StartDay string `json:"canr_startday"`
	EndDay   string `json:"canr_endday"`
	Percent  string `json:"canr_percent"`
	Text     string `json:"canr_text"`
}

// SCTTVouchers are two confirmations with tickets of all five kinds.
func SCTTVouchers(orderID string) []SCTTVoucher {
	link := func(name string) string { return "https://voucher.invalid/" + orderID + "/" + name }
	number := func(kind string) string { return kind + "-" + orderID + "-8812" }
	return []SCTTVoucher{
		{ConfirmationURL: link("confirmation.pdf"), Remarks: "请出示护照", Tickets: []SCTTTicket{
			{Type: SCTTPdf, URL: link("ticket.pdf")},
			{Type: SCTTBarcode, Confirmation: number("BAR"), Verification: number("VB")},
			{Type: SCTTQRCode, Confirmation: number("QR"), Verification: number("VQ")},
		}},
		{ConfirmationURL: link("second.pdf"), Tickets: []SCTTTicket{
			{Type: SCTTConfirmationNumber, Confirmation: number("CNF"), Verification: number("VC")},
			{Type: SCTTUrl, URL: link("open")},
		}},
	}
}

// Secrets are the links and numbers of the order.
func (o *SCTTOrder) Secrets() []string {
	all := []string{o.Itinerary}
	for _, v := range o.Vouchers {
		all = append(all, v.ConfirmationURL)
		for _, t := range v.Tickets {
			all = append(all, t.URL, t.Confirmation, t.Verification)
		}
	}
	return slices.DeleteFunc(all, func(text string) bool { return text == "" })
}

func (o *SCTTOrder) clone() *SCTTOrder {
	copied := *o
	copied.Rules, copied.Vouchers = slices.Clone(o.Rules), slices.Clone(o.Vouchers)
	for i := range copied.Vouchers {
		copied.Vouchers[i].Tickets = slices.Clone(copied.Vouchers[i].Tickets)
	}
	return &copied
}

// PutOrder creates or replaces an order. No push tells it.
func (f *SCTT) PutOrder(o SCTTOrder) error {
	if !isID(o.ID) || !isDecimal(o.Total) {
		return fmt.Errorf("order %q for %q: the id is a decimal number, and the total a decimal", o.ID, o.Total)
	}
	put := o.clone()
	put.Currency = cmp.Or(put.Currency, "AUD")
	put.Status, put.Mode, put.CancelType = cmp.Or(put.Status, SCTTWaiting), cmp.Or(put.Mode, 1), cmp.Or(put.CancelType, 3)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.orders[o.ID] == nil {
		f.placed = append(f.placed, o.ID)
	}
	f.orders[o.ID] = put
	return nil
}

// Order is a copy of an order; false if there is none.
func (f *SCTT) Order(id string) (SCTTOrder, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := f.orders[id]
	if o == nil {
		return SCTTOrder{}, false
	}
	return *o.clone(), true
}

// Orders are copies of all, in the order they were first put.
func (f *SCTT) Orders() []SCTTOrder {
	f.mu.Lock()
	defer f.mu.Unlock()
	orders := make([]SCTTOrder, 0, len(f.placed))
	for _, id := range f.placed {
		orders = append(orders, *f.orders[id].clone())
	}
	return orders
}

// transition alters an order and makes the push that tells it, as it is printed: without
// merchant_id, request_time and sign. A transition that fails changes nothing.
func (f *SCTT) transition(id string, alter func(*SCTTOrder) error) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	known := f.orders[id]
	if known == nil {
		return nil, fmt.Errorf("no order %s", id)
	}
	changed := known.clone()
	if err := alter(changed); err != nil {
		return nil, fmt.Errorf("order %s: %w", id, err)
	}
	if changed.Status == SCTTBooked && known.Status != SCTTBooked {
		f.credit = f.credit.Sub(decimal.RequireFromString(changed.Total)) // checked when put
	}
	f.orders[id] = changed
	return f.voucherPush(changed), nil
}

// VoucherPush is the push that tells the order as it is.
func (f *SCTT) VoucherPush(id string) ([]byte, error) {
	return f.transition(id, func(*SCTTOrder) error { return nil })
}

// SetStatus sets the order_status and gives the push that tells it, as all transitions do.
// A booking issues SCTTVouchers unless the order has vouchers, and a failed one has none.
func (f *SCTT) SetStatus(id string, status int, remark string) ([]byte, error) {
	return f.transition(id, func(o *SCTTOrder) error {
		o.Status, o.Remark = status, remark
		switch {
		case status == SCTTBooked && len(o.Vouchers) == 0:
			o.Vouchers, o.Itinerary = SCTTVouchers(id), "https://voucher.invalid/"+id+"/itinerary"
		case status == SCTTFailed:
			o.Vouchers, o.Itinerary = nil, ""
		}
		return nil
	})
}

// Issue books the order with the vouchers.
func (f *SCTT) Issue(id string, vouchers ...SCTTVoucher) ([]byte, error) {
	return f.transition(id, func(o *SCTTOrder) error {
		o.Status, o.Vouchers = SCTTBooked, vouchers
		return nil
	})
}

// ChangeTicket puts another ticket in the place of one.
func (f *SCTT) ChangeTicket(id string, voucher, ticket int, changed SCTTTicket) ([]byte, error) {
	return f.transition(id, func(o *SCTTOrder) error {
		if voucher < 0 || voucher >= len(o.Vouchers) || ticket < 0 || ticket >= len(o.Vouchers[voucher].Tickets) {
			return fmt.Errorf("no ticket %d of voucher %d", ticket, voucher)
		}
		o.Vouchers[voucher].Tickets[ticket] = changed
		return nil
	})
}

// Cancel sets the cancel_status of several orders, or of none if one is not known, and
// gives the one push that tells it. One that is done cancels the order.
func (f *SCTT) Cancel(status int, remark string, ids ...string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var orders []*SCTTOrder
	for _, id := range ids {
		if f.orders[id] == nil {
			return nil, fmt.Errorf("no order %s", id)
		}
		orders = append(orders, f.orders[id])
	}
	if len(orders) == 0 {
		return nil, fmt.Errorf("no orders to cancel")
	}
	for _, o := range orders {
		o.CancelStatus, o.Remark = status, remark
		if status == SCTTCancelDone {
			o.Status = SCTTCancelled
		}
	}
	return cancelPush(orders), nil
}

// scttVoucherPush is the body of a voucher push, in the order of the printed sample (DOC).
type scttVoucherPush struct {
	TradeNumber  string           `json:"trade_number"`
	OrderCode    json.Number      `json:"order_code"`
	TotalPrice   json.Number      `json:"total_price"`
	OrderLabel   string           `json:"order_label"`
	Currency     string           `json:"order_currency"`
	Status       int              `json:"order_status"`
	Mode         int              `json:"certificate_mode"`
	Itinerary    string           `json:"travel_itinerary_url"`
	Vouchers     []SCTTVoucher    `json:"vouchers"`
	SurplusQuota json.Number      `json:"surplus_quota"`
	CancelType   int              `json:"cancel_type"`
	Subjoin      scttSubjoin      `json:"subjoin"`
	Remark       string           `json:"remark"`
	Cancels      []SCTTCancelRule `json:"cancels"`
}

// scttSubjoin is the subjoin object; what its texts hold is UNKNOWN, the sample's are empty.
type scttSubjoin struct {
	Processing   string `json:"processing"`
	ItemID       string `json:"itemid"`
	Number       string `json:"number"`
	CancelID     string `json:"cancel_id"`
	CancelNumber string `json:"cancel_number"`
}

func (f *SCTT) voucherPush(o *SCTTOrder) []byte {
	return mustMarshal(scttVoucherPush{
		TradeNumber: o.TradeNumber, OrderCode: json.Number(o.ID), TotalPrice: json.Number(o.Total), OrderLabel: o.Label,
		Currency: o.Currency, Status: o.Status, Mode: o.Mode, Itinerary: o.Itinerary,
		Vouchers: append([]SCTTVoucher{}, o.Vouchers...), SurplusQuota: json.Number(f.credit.String()),
		CancelType: o.CancelType, Remark: o.Remark, Cancels: append([]SCTTCancelRule{}, o.Rules...),
	})
}

// cancelPush is the body of a cancel push (DOC).
func cancelPush(orders []*SCTTOrder) []byte {
	rows := []any{}
	for _, o := range orders {
		rows = append(rows, map[string]any{"trade_number": o.TradeNumber, "order_code": json.Number(o.ID), "cancel_type": o.CancelType,
			"cancel_status": o.CancelStatus, "remark": o.Remark, "subjoin": scttSubjoin{}})
	}
	return mustMarshal(map[string]any{"orderlist": rows})
}
