package platformtest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// DouyinPartnerOrder is a cooperation (代运营) between the merchant and a partner.
type DouyinPartnerOrder struct {
	ID         string `json:"id"`
	MerchantID string `json:"merchantID"`
	PartnerID  string `json:"partnerID"`
	// Status: 102 waiting merchant, 201 finished, 301 waiting to start, 302 in service,
	// 401 cancelled (DOC).
	Status int `json:"status"`
	// At is when it came to be so.
	At time.Time `json:"at,omitzero"`
}

// DouyinCommission is one record of a partner order's commissions.
type DouyinCommission struct {
	ID        string `json:"id"`
	ProductID string `json:"productID"`
	// Audit is commission_audit_status; only 1 was ever seen.
	Audit int `json:"audit"`
	// Ratio asked for, in 1/10000.
	Ratio int64 `json:"ratio"`
	// Reason of a refusal.
	Reason string `json:"reason,omitempty"`
}

// PutPartnerOrder creates or replaces a partner order and its commission records.
func (f *Douyin) PutPartnerOrder(o DouyinPartnerOrder, commissions ...DouyinCommission) error {
	if !isID(o.ID) {
		return fmt.Errorf("the partner order id %q is not a decimal number", o.ID)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if o.At.IsZero() {
		o.At = f.now()
	}
	f.partners[o.ID] = o
	if commissions != nil {
		f.commissions[o.ID] = slices.Clone(commissions)
	}
	return nil
}

// PartnerOrders are the partner orders by id.
func (f *Douyin) PartnerOrders() []DouyinPartnerOrder {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]DouyinPartnerOrder, 0, len(f.partners))
	for _, id := range slices.Sorted(maps.Keys(f.partners)) {
		all = append(all, f.partners[id])
	}
	return all
}

// answerPartnerGet answers one partner order; the fields are those of a client (CODE).
func (f *Douyin) answerPartnerGet(call douyinCall) (map[string]any, error) {
	o, known := f.partners[call.text("order_id")]
	if !known {
		return nil, douyinFailure{2100005, "no such order"}
	}
	return o.wire(), nil
}

// answerPartnerQuery lists partner orders by status.
func (f *Douyin) answerPartnerQuery(call douyinCall) (map[string]any, error) {
	page, err1 := call.number("page", 1, 1, 10000)
	size, err2 := call.number("size", 20, 1, 50)
	if err1 != nil || err2 != nil {
		return nil, douyinFailure{2100005, "page or size"}
	}
	matching := []any{}
	for _, id := range slices.Sorted(maps.Keys(f.partners)) {
		o := f.partners[id]
		if wanted := call.query["status"]; len(wanted) == 0 || slices.Contains(wanted, strconv.Itoa(o.Status)) {
			matching = append(matching, o.wire())
		}
	}
	from := min((page-1)*size, len(matching))
	return map[string]any{"orders": matching[from:min(from+size, len(matching))], "total": len(matching)}, nil
}

func (o DouyinPartnerOrder) wire() map[string]any {
	return map[string]any{"id": o.ID, "account_id": o.MerchantID, "merchant_name": "千岛湖文旅", "product_name": "代运营服务",
		"cooperation_content": 1, "charge_type": 1, "commission_ratio": "1234", "status": o.Status,
		"create_time": o.At.Unix(), "start_time": o.At.Unix(), "end_time": o.At.AddDate(1, 0, 0).Unix(), "product_items": []any{}}
}

// answerCommissionQuery lists the commission records of a partner order.
func (f *Douyin) answerCommissionQuery(call douyinCall) (map[string]any, error) {
	page, err1 := call.number("page", 1, 1, 10000)
	size, err2 := call.number("size", 20, 1, 50)
	if err1 != nil || err2 != nil {
		return nil, douyinFailure{2100005, "page or size"}
	}
	items := []any{}
	for _, c := range f.commissions[call.text("order_id")] {
		items = append(items, c.wire())
	}
	from := min((page-1)*size, len(items))
	return map[string]any{"items": items[from:min(from+size, len(items))], "total": len(items)}, nil
}

// answerCommissionGet answers one commission record.
func (f *Douyin) answerCommissionGet(call douyinCall) (map[string]any, error) {
	for _, c := range f.commissions[call.text("order_id")] {
		if c.ID == call.text("record_id") {
			return map[string]any{"items": []any{c.wire()}}, nil
		}
	}
	return nil, douyinFailure{2100005, "no such record"}
}

// wire: ratios are texts in 1/10000 (DOC).
func (c DouyinCommission) wire() map[string]any {
	ratio := strconv.FormatInt(c.Ratio, 10)
	return map[string]any{"item_id": c.ID, "product_id": c.ProductID, "commission_audit_status": c.Audit,
		"audit_commission_ratio": ratio, "effective_commission_ratio": ratio, "merchant_ack_time": 1722175771, "reject_reason": c.Reason}
}
