package platformtest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// order_status of Douyin (DOC).
const (
	DouyinWaitPay = 100
	DouyinClosed  = 101
	DouyinPaid    = 200
	DouyinUsable  = 201
	DouyinDone    = 1
)

// status of a certificate (DOC).
const (
	DouyinCertificateInit          = 0
	DouyinCertificateUnused        = 1
	DouyinCertificateUsed          = 2
	DouyinCertificateRefundAsked   = 3
	DouyinCertificateRefunded      = 4
	DouyinCertificateRefundRefused = 5
)

// States of the issue of an order's third-party codes.
const (
	DouyinIssueAsked   = "asked"   // no answer yet
	DouyinIssuePending = "pending" // told to wait for the callback
	DouyinIssued       = "issued"
	DouyinIssueFailed  = "failed"
	DouyinIssueOverdue = "overdue" // no callback within ten minutes
)

// Personal data in the fake's answers, made up.
const (
	DouyinContactName  = "测试联系人"
	DouyinContactPhone = "138****2345"
)

// DouyinOrder is one order.
type DouyinOrder struct {
	ID        string `json:"id"`
	ProductID string `json:"productID"`
	OpenID    string `json:"openID,omitempty"`
	// Count of certificates; Price of one in fen.
	Count int64 `json:"count"`
	Price int64 `json:"price"`
	// ThirdParty: the codes are the merchant's (三方码); else they are the platform's own.
	ThirdParty bool `json:"thirdParty,omitempty"`
	// Status is the order_status; default 100.
	Status    int       `json:"status,omitempty"`
	CreatedAt time.Time `json:"createdAt,omitzero"`
	PaidAt    time.Time `json:"paidAt,omitzero"`
	// OutOrderID is the merchant's id of it, from the callback.
	OutOrderID string `json:"outOrderID,omitempty"`
	// Issue is how far the issue of third-party codes came, empty where it was not asked
	// for; IssueDue is when a callback is owed.
	Issue    string    `json:"issue,omitempty"`
	IssueDue time.Time `json:"issueDue,omitzero"`
	// Certificates are made with the order; their codes come with the issue.
	Certificates []DouyinCertificate `json:"certificates,omitempty"`
}

// DouyinCertificate is one unit of an order. Its Code is a secret.
type DouyinCertificate struct {
	ID     string `json:"id"`
	Code   string `json:"code,omitempty"`
	Status int    `json:"status"`
	// VerifyID and VerifiedAt are of the use that stands.
	VerifyID   string    `json:"verifyID,omitempty"`
	VerifiedAt time.Time `json:"verifiedAt,omitzero"`
	// RefundAmount in fen and RefundedAt, where it was refunded.
	RefundAmount int64     `json:"refundAmount,omitempty"`
	RefundedAt   time.Time `json:"refundedAt,omitzero"`
}

func (o *DouyinOrder) clone() *DouyinOrder {
	copied := *o
	copied.Certificates = slices.Clone(o.Certificates)
	return &copied
}

// certificate is the one with the id; nil if the order has none such.
func (o *DouyinOrder) certificate(id string) *DouyinCertificate {
	for i := range o.Certificates {
		if o.Certificates[i].ID == id {
			return &o.Certificates[i]
		}
	}
	return nil
}

// codes of the order, in the order of its certificates.
func (o *DouyinOrder) codes() []string {
	var codes []string
	for _, c := range o.Certificates {
		codes = append(codes, c.Code)
	}
	return codes
}

// PutOrder creates or replaces an order. Certificates it lacks are made.
func (f *Douyin) PutOrder(o DouyinOrder) error {
	if !isID(o.ID) || !isID(o.ProductID) {
		return fmt.Errorf("order %q of product %q: ids are decimal numbers", o.ID, o.ProductID)
	}
	if o.Count < 1 || o.Count > 500 || o.Price < 0 {
		return fmt.Errorf("order %s: count 1 to 500, price from 0", o.ID)
	}
	placed := o.clone()
	f.mu.Lock()
	defer f.mu.Unlock()
	placed.Status = cmp.Or(placed.Status, DouyinWaitPay)
	placed.OpenID = cmp.Or(placed.OpenID, "_000gD8s5QbuDg3hh4HcqfAaMklpHu0zayFu")
	if placed.CreatedAt.IsZero() {
		placed.CreatedAt = f.now()
	}
	for i := int64(len(placed.Certificates)); i < placed.Count; i++ {
		placed.Certificates = append(placed.Certificates, DouyinCertificate{ID: fmt.Sprintf("7%s%02d", o.ID[1:], i+1)})
	}
	f.orders[o.ID] = placed
	if placed.Status == DouyinPaid || placed.Status == DouyinUsable {
		f.paid(placed)
	}
	for _, c := range placed.Certificates {
		if placed.ThirdParty && c.Code != "" {
			f.codeOf[c.Code] = placed.ID
		}
	}
	return nil
}

// Order is a copy of an order; false if there is none.
func (f *Douyin) Order(id string) (DouyinOrder, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o, known := f.orders[id]
	if !known {
		return DouyinOrder{}, false
	}
	return *o.clone(), true
}

// Orders are copies of all orders, by id.
func (f *Douyin) Orders() []DouyinOrder {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]DouyinOrder, 0, len(f.orders))
	for _, id := range slices.Sorted(maps.Keys(f.orders)) {
		all = append(all, *f.orders[id].clone())
	}
	return all
}

// transition alters an order and makes the push that tells it. A transition that fails
// changes nothing.
func (f *Douyin) transition(id string, alter func(*DouyinOrder) error, tell func(*Douyin, *DouyinOrder) []byte) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	known, ok := f.orders[id]
	if !ok {
		return nil, fmt.Errorf("no order %s", id)
	}
	changed := known.clone()
	if err := alter(changed); err != nil {
		return nil, fmt.Errorf("order %s: %w", id, err)
	}
	f.orders[id] = changed
	return tell(f, changed), nil
}

// Pay pays an order and returns the push that tells it, as all transitions do.
func (f *Douyin) Pay(id string) ([]byte, error) {
	return f.transition(id, func(o *DouyinOrder) error {
		if o.Status != DouyinWaitPay {
			return fmt.Errorf("it has the status %d", o.Status)
		}
		o.Status = DouyinPaid
		f.paid(o)
		return nil
	}, (*Douyin).payPush)
}

// PayPush is the push that tells that an order was paid, without a change.
func (f *Douyin) PayPush(id string) ([]byte, error) {
	return f.transition(id, func(*DouyinOrder) error { return nil }, (*Douyin).payPush)
}

// paid is what payment brings: the platform's own codes are usable at once.
func (f *Douyin) paid(o *DouyinOrder) {
	if o.PaidAt.IsZero() {
		o.PaidAt = f.now()
	}
	if o.ThirdParty {
		return
	}
	o.Status = DouyinUsable
	for i := range o.Certificates {
		c := &o.Certificates[i]
		c.Code = cmp.Or(c.Code, "DY"+newSerial()[:12])
		c.Status = cmp.Or(c.Status, DouyinCertificateUnused)
	}
}

// Close closes an unpaid order. No push of it is documented.
func (f *Douyin) Close(id string) error {
	_, err := f.transition(id, func(o *DouyinOrder) error { o.Status = DouyinClosed; return nil },
		func(*Douyin, *DouyinOrder) []byte { return nil })
	return err
}

// Verify uses a certificate.
func (f *Douyin) Verify(id, certificateID string) ([]byte, error) {
	return f.onCertificate(id, certificateID, "verify", func(c *DouyinCertificate) error {
		if c.Status != DouyinCertificateUnused && c.Status != DouyinCertificateRefundRefused {
			return fmt.Errorf("the certificate has the status %d", c.Status)
		}
		c.Status, c.VerifyID, c.VerifiedAt = DouyinCertificateUsed, newSerial()[:16], f.now()
		return nil
	})
}

// VerifyCancel takes the use of a certificate back.
func (f *Douyin) VerifyCancel(id, certificateID string) ([]byte, error) {
	return f.onCertificate(id, certificateID, "verify_cancel", func(c *DouyinCertificate) error {
		if c.Status != DouyinCertificateUsed {
			return fmt.Errorf("the certificate has the status %d", c.Status)
		}
		c.Status, c.VerifyID, c.VerifiedAt = DouyinCertificateUnused, "", time.Time{}
		return nil
	})
}

// onCertificate is a transition that life_trade_certificate_notify tells.
func (f *Douyin) onCertificate(id, certificateID, action string, alter func(*DouyinCertificate) error) ([]byte, error) {
	return f.transition(id, func(o *DouyinOrder) error {
		c := o.certificate(certificateID)
		if c == nil {
			return errors.New("no such certificate")
		}
		if err := alter(c); err != nil {
			return err
		}
		o.conclude()
		return nil
	}, func(f *Douyin, o *DouyinOrder) []byte { return f.certificatePush(o, certificateID, action) })
}

// conclude sets the order's status by its certificates: done when none can be used any
// more (INFER; what a wholly refunded order has is UNKNOWN).
func (o *DouyinOrder) conclude() {
	if o.Status != DouyinUsable && o.Status != DouyinDone && o.Status != DouyinPaid {
		return
	}
	over := func(c DouyinCertificate) bool {
		return c.Status == DouyinCertificateUsed || c.Status == DouyinCertificateRefunded
	}
	switch open := slices.IndexFunc(o.Certificates, func(c DouyinCertificate) bool { return !over(c) }); {
	case open < 0:
		o.Status = DouyinDone
	case o.Status == DouyinDone:
		o.Status = DouyinUsable
	}
}

// answerOrderQuery lists orders by the call's conditions, oldest first.
func (f *Douyin) answerOrderQuery(call douyinCall) (map[string]any, error) {
	size, err1 := call.number("page_size", 20, 1, 100)
	page, err2 := call.number("page_num", 1, 1, 10000)
	if err1 != nil || err2 != nil {
		f.complain("%s: page_num or page_size is out of bounds", call.op)
		return nil, douyinFailure{2100005, "page_num or page_size"}
	}
	var matching []*DouyinOrder
	for _, id := range slices.Sorted(maps.Keys(f.orders)) {
		if o := f.orders[id]; !call.empty && o.matches(call) {
			matching = append(matching, o)
		}
	}
	from := min((page-1)*size, len(matching))
	if cursor := call.text("cursor"); cursor != "" {
		from = slices.IndexFunc(matching, func(o *DouyinOrder) bool { return o.ID > cursorID(cursor) })
		if from < 0 {
			from = len(matching)
		}
	}
	orders, after := []any{}, []any{}
	for _, o := range matching[from:min(from+size, len(matching))] {
		orders = append(orders, f.wireOrder(o))
		after = []any{o.CreatedAt.UnixMilli(), o.ID}
	}
	return map[string]any{"orders": orders, "page": map[string]any{"page_num": page, "page_size": size, "total": len(matching)},
		"search_after": map[string]any{"CursorValue": after}}, nil
}

// cursorID is the last order id of a cursor: "0" is before all.
func cursorID(cursor string) string {
	parts := strings.Split(cursor, ",")
	return parts[len(parts)-1]
}

func (o *DouyinOrder) matches(call douyinCall) bool {
	same := func(name, value string) bool { return call.text(name) == "" || call.text(name) == value }
	within := func(name string, at time.Time) bool {
		from, err1 := call.number(name+"_start_time", 0, 0, 1<<40)
		to, err2 := call.number(name+"_end_time", 1<<40, 0, 1<<40)
		return err1 == nil && err2 == nil && at.Unix() >= int64(from) && at.Unix() <= int64(to)
	}
	return same("order_id", o.ID) && same("ext_order_id", o.OutOrderID) && same("open_id", o.OpenID) &&
		same("order_status", fmt.Sprint(o.Status)) && within("create_order", o.CreatedAt) && within("update_order", o.PaidAt)
}

// itemStatus is a certificate's item_status (DOC: the numbers; which of 1 and 401 a used
// one has is UNKNOWN).
func (o *DouyinOrder) itemStatus(c DouyinCertificate) int {
	switch c.Status {
	case DouyinCertificateUnused, DouyinCertificateRefundRefused:
		return 100
	case DouyinCertificateUsed:
		return 401
	case DouyinCertificateRefundAsked:
		return 300
	case DouyinCertificateRefunded:
		return 301
	}
	if o.Status == DouyinClosed {
		return 101
	}
	if o.Status == DouyinWaitPay {
		return 10
	}
	return 20
}

// wireOrder is an order as the order query shows it.
func (f *Douyin) wireOrder(o *DouyinOrder) map[string]any {
	items := []any{}
	for _, c := range o.Certificates {
		item := map[string]any{"certificate_id": c.ID, "order_item_id": "8" + c.ID[1:], "item_status": o.itemStatus(c),
			"item_update_time": o.PaidAt.Unix(), "refund_amount": c.RefundAmount, "refund_time": 0}
		if !c.RefundedAt.IsZero() {
			item["refund_time"] = c.RefundedAt.UnixMilli() // "13-digit … seconds" (DOC): ambiguous
		}
		items = append(items, item)
	}
	amount := o.Count * o.Price
	wire := map[string]any{
		"order_id": o.ID, "order_status": o.Status, "order_type": 21, "count": o.Count, "pay_amount": amount, "original_amount": amount,
		"sku_id": o.ProductID, "open_id": o.OpenID, "create_order_time": o.CreatedAt.Unix(), "update_order_time": o.CreatedAt.Unix(),
		"certificate": items, "contacts": []any{map[string]any{"name": DouyinContactName, "phone": DouyinContactPhone}},
		"sub_order_amount_infos": []any{map[string]any{"sub_order_type": 100, "original_amount": amount, "pay_amount": amount}},
	}
	if p := f.products[o.ProductID]; p != nil {
		wire["sku_id"], wire["sku_name"], wire["third_sku_id"] = p.SkuID, p.Title, p.OutID
	}
	if !o.PaidAt.IsZero() {
		wire["pay_time"], wire["update_order_time"] = o.PaidAt.Unix(), o.PaidAt.Unix()
	}
	if o.OutOrderID != "" {
		wire["ext_order_id"] = o.OutOrderID
	}
	return wire
}

// answerCertificateQuery lists the certificates of an order, or the one with the code.
func (f *Douyin) answerCertificateQuery(call douyinCall) (map[string]any, error) {
	if call.text("order_id") == "" && call.text("encrypted_code") == "" {
		return nil, f.lacks(call.op, "order_id or encrypted_code")
	}
	return map[string]any{"certificates": f.certificates(call)}, nil
}

// answerCertificateGet answers one certificate.
func (f *Douyin) answerCertificateGet(call douyinCall) (map[string]any, error) {
	if call.text("encrypted_code") == "" && call.text("code") == "" {
		return nil, f.lacks(call.op, "encrypted_code or code")
	}
	found := f.certificates(call)
	if len(found) == 0 {
		return nil, douyinFailure{2100005, "no such certificate"}
	}
	return map[string]any{"certificate": found[0]}, nil
}

// certificates that the call names. One that is not usable yet is not shown (INFER).
func (f *Douyin) certificates(call douyinCall) []any {
	found := []any{}
	code := cmp.Or(call.text("encrypted_code"), call.text("code"))
	for _, id := range slices.Sorted(maps.Keys(f.orders)) {
		o := f.orders[id]
		if wanted := call.text("order_id"); wanted != "" && wanted != id {
			continue
		}
		for _, c := range o.Certificates {
			if c.Status != DouyinCertificateInit && (code == "" || code == c.Code) {
				found = append(found, f.wireCertificate(o, c))
			}
		}
	}
	return found
}

// wireCertificate is a certificate as certificate/query shows it. Third-party codes are
// shown, of the platform's own the encrypted form (CODE).
func (f *Douyin) wireCertificate(o *DouyinOrder, c DouyinCertificate) map[string]any {
	stamp := func(t time.Time) int64 {
		if f.config.Quirks.CertificatesInMillis {
			return t.UnixMilli()
		}
		return t.Unix()
	}
	wire := map[string]any{
		"certificate_id": c.ID, "order_id": o.ID, "status": c.Status, "start_time": stamp(o.PaidAt), "expire_time": stamp(o.PaidAt.AddDate(0, 3, 0)),
		"amount": map[string]any{"original_amount": o.Price, "pay_amount": o.Price, "list_market_amount": o.Price, "merchant_ticket_amount": 0, "coupon_pay_amount": o.Price},
		"sku":    map[string]any{"sku_id": o.ProductID, "groupon_type": 1, "sold_start_time": 0},
	}
	field := "encrypted_code"
	if o.ThirdParty {
		field = "code"
	}
	wire[field] = c.Code
	if p := f.products[o.ProductID]; p != nil {
		wire["sku"] = map[string]any{"sku_id": p.SkuID, "title": p.Title, "groupon_type": 1, "third_sku_id": p.OutID}
	}
	if c.Status == DouyinCertificateUsed {
		wire["verify"] = map[string]any{"verify_id": c.VerifyID, "certificate_id": c.ID, "verify_time": c.VerifiedAt.Unix(),
			"verify_type": 0, "can_cancel": f.now().Sub(c.VerifiedAt) < time.Hour}
	}
	return wire
}
