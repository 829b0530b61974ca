package platformtest

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// online_status of a product (DOC).
const (
	DouyinOnline  = 1
	DouyinOffline = 2
	DouyinBanned  = 3
)

// draft_status of a product's newest edit (DOC).
const (
	DouyinDraftReviewing = 10
	DouyinDraftFailed    = 12
	DouyinDraftPassed    = 1
)

// DouyinProduct is one product of the merchant.
type DouyinProduct struct {
	// ID is a text of digits; SkuID that of its one unit, by default the same.
	ID    string `json:"id"`
	SkuID string `json:"skuID,omitempty"`
	Title string `json:"title,omitempty"`
	// OutID is the merchant's own code of it.
	OutID string `json:"outID,omitempty"`
	// Amount to pay and the list price Market, in fen.
	Amount int64 `json:"amount"`
	Market int64 `json:"market,omitempty"`
	// Stock; nil is unlimited.
	Stock *int64 `json:"stock,omitempty"`
	// Online is the online_status; 0 is a product that was never approved, which only the
	// drafts show.
	Online int `json:"online,omitempty"`
	// SaleStart and SaleEnd bound its sale; zero does not.
	SaleStart time.Time `json:"saleStart,omitzero"`
	SaleEnd   time.Time `json:"saleEnd,omitzero"`
	// Draft is the draft_status of its newest edit and AuditMsg why it failed; 0 has none.
	Draft    int    `json:"draft,omitempty"`
	AuditMsg string `json:"auditMsg,omitempty"`
}

// PutProduct creates or replaces a product.
func (f *Douyin) PutProduct(p DouyinProduct) error {
	if !isID(p.ID) || p.SkuID != "" && !isID(p.SkuID) {
		return fmt.Errorf("product %q with the unit %q: ids are decimal numbers", p.ID, p.SkuID)
	}
	if p.Amount < 0 || p.Market < 0 || p.Online < 0 || p.Online > DouyinBanned {
		return fmt.Errorf("product %s: prices are not negative and online is 0 to 3", p.ID)
	}
	p.SkuID = cmp.Or(p.SkuID, p.ID)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.products[p.ID] == nil {
		f.listing = append(f.listing, p.ID)
	}
	f.products[p.ID] = &p
	return nil
}

// AlterProduct alters a product in place.
func (f *Douyin) AlterProduct(id string, alter func(*DouyinProduct)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.products[id]
	if p == nil {
		return fmt.Errorf("no product %s", id)
	}
	changed := *p
	alter(&changed)
	changed.ID = id
	f.products[id] = &changed
	return nil
}

// DeleteProduct takes a product away.
func (f *Douyin) DeleteProduct(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.products, id)
	f.listing = slices.DeleteFunc(f.listing, func(listed string) bool { return listed == id })
}

// Products are the products, in the order they were first put.
func (f *Douyin) Products() []DouyinProduct {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]DouyinProduct, 0, len(f.listing))
	for _, id := range f.listing {
		all = append(all, *f.products[id])
	}
	return all
}

// named are the products that the call's ids name, in the call's order.
func (f *Douyin) named(call douyinCall) ([]*DouyinProduct, error) {
	ids, byOut := strings.Split(call.text("product_ids"), ","), false
	if call.text("product_ids") == "" {
		ids, byOut = strings.Split(call.text("out_ids"), ","), true
	}
	if len(ids) > 10 || ids[0] == "" {
		f.complain("%s: names %d products, not 1 to 10", call.op, len(ids))
		return nil, douyinFailure{2100005, "1 to 10 ids are needed"}
	}
	var found []*DouyinProduct
	for _, id := range ids {
		for _, listed := range f.listing {
			if p := f.products[listed]; byOut && p.OutID == id || !byOut && p.ID == id {
				found = append(found, p)
			}
		}
	}
	return found, nil
}

// answerOnlineGet answers approved products; the others are left out (INFER).
func (f *Douyin) answerOnlineGet(call douyinCall) (map[string]any, error) {
	products, err := f.named(call)
	if err != nil {
		return nil, err
	}
	onlines := []any{}
	for _, p := range products {
		if p.Online != 0 {
			onlines = append(onlines, p.wire())
		}
	}
	return map[string]any{"product_onlines": onlines}, nil
}

// answerOnlineQuery lists approved products page by page.
func (f *Douyin) answerOnlineQuery(call douyinCall) (map[string]any, error) {
	count, err1 := call.number("count", 5, 1, 50)
	status, err2 := call.number("status", 0, 1, 3)
	from, err3 := call.number("cursor", 0, 0, len(f.listing))
	if err := errors.Join(err1, err2, err3); err != nil {
		f.complain("%s: count, status or cursor is out of bounds", call.op)
		return nil, douyinFailure{2100005, "count, status or cursor"}
	}
	page, next := []any{}, from
	for ; next < len(f.listing) && len(page) < count; next++ {
		p := f.products[f.listing[next]]
		if p.Online != 0 && (status == 0 || p.Online == status) {
			page = append(page, p.wire())
		}
	}
	more := next < len(f.listing)
	return map[string]any{"products": page, "next_cursor": fmt.Sprint(next), "has_more": more}, nil
}

// answerDraftGet answers the newest edits; the name of the list is INFER.
func (f *Douyin) answerDraftGet(call douyinCall) (map[string]any, error) {
	products, err := f.named(call)
	if err != nil {
		return nil, err
	}
	drafts := []any{}
	for _, p := range products {
		if p.Draft != 0 {
			draft := p.wire()
			delete(draft, "online_status")
			draft["draft_status"], draft["audit_msg"] = p.Draft, p.AuditMsg
			drafts = append(drafts, draft)
		}
	}
	return map[string]any{"product_drafts": drafts}, nil
}

// wire is a product as online/get and online/query show it (O).
func (p *DouyinProduct) wire() map[string]any {
	stock := map[string]any{"limit_type": 2, "stock_qty": 0, "avail_qty": 0, "frozen_qty": 0, "sold_qty": 0, "sold_count": 0}
	if p.Stock != nil {
		stock["limit_type"], stock["stock_qty"], stock["avail_qty"] = 1, *p.Stock, *p.Stock
	}
	product := map[string]any{
		"product_id": p.ID, "out_id": p.OutID, "product_name": p.Title, "product_type": 1, "category_id": 1004004,
		"category_full_name": "休闲娱乐-景点", "pois": []any{map[string]any{"poi_id": "6601248937917548557"}},
		"attr_key_value_map": map[string]string{"appointment": `{"need_appointment":false}`, "RefundPolicy": "1"},
		"create_time":        1722170000, "update_time": 1722175771,
	}
	if !p.SaleStart.IsZero() {
		product["sold_start_time"] = p.SaleStart.Unix()
	}
	if !p.SaleEnd.IsZero() {
		product["sold_end_time"] = p.SaleEnd.Unix()
	}
	return map[string]any{"online_status": p.Online, "product": product, "sku": map[string]any{
		"sku_id": p.SkuID, "sku_name": p.Title, "out_sku_id": p.OutID, "actual_amount": p.Amount, "origin_amount": max(p.Market, p.Amount),
		"stock": stock, "status": 1,
	}}
}

// newSerial is a random text of capitals and digits.
func newSerial() string { return rand.Text() }
