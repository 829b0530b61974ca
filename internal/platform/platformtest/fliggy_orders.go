package platformtest

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Order statuses of Fliggy (DOC).
const (
	FliggyCreated  = 1001
	FliggyPaid     = 1002
	FliggyTicketed = 1003
	FliggyFailed   = 1004
	FliggyFinished = 1005
	FliggyClosed   = 1010
)

// Refund statuses of Fliggy (DOC).
const (
	FliggyNoRefund       = 2000
	FliggyRefundApplying = 2001
	FliggyRefunded       = 2002
	FliggyRefundFailed   = 2003
	FliggyPartRefunded   = 2004
)

// Order is one order of the fake.
type Order struct {
	// ID is a Long; it may exceed 2^53.
	ID         string `json:"id"`
	OutOrderID string `json:"outOrderID,omitempty"`
	ProductID  string `json:"productID"`
	// Quantity of pieces; Price of one in fen.
	Quantity int64 `json:"quantity"`
	Price    int64 `json:"price"`
	// TravelDate is yyyy-mm-dd.
	TravelDate string `json:"travelDate,omitempty"`
	// CreatedAt defaults to now.
	CreatedAt time.Time `json:"createdAt,omitzero"`
	// Status and RefundStatus default to 1001 created and 2000 none.
	Status       int           `json:"status,omitempty"`
	RefundStatus int           `json:"refundStatus,omitempty"`
	Codes        []OrderCode   `json:"codes,omitempty"`
	Refunds      []OrderRefund `json:"refunds,omitempty"`
}

// OrderCode is one voucher code of an order. Code and Users are secrets.
type OrderCode struct {
	Code string `json:"code"`
	// Persons it admits, of them Used and Refunded.
	Persons  int64 `json:"persons"`
	Used     int64 `json:"used,omitempty"`
	Refunded int64 `json:"refunded,omitempty"`
	// Users are the travellers' certificate numbers.
	Users []string `json:"users,omitempty"`
}

// OrderRefund is one refund of an order; Fee is in fen, Status one of the refund statuses.
type OrderRefund struct {
	ID        string    `json:"id"`
	AppliedAt time.Time `json:"appliedAt"`
	Status    int       `json:"status"`
	Reason    string    `json:"reason,omitempty"`
	Quantity  int64     `json:"quantity"`
	Fee       int64     `json:"fee"`
	Full      bool      `json:"full"`
}

func (r OrderRefund) paid() bool {
	return r.Status == FliggyRefunded || r.Status == FliggyPartRefunded
}

func (o *Order) clone() *Order {
	copied := *o
	copied.Codes, copied.Refunds = slices.Clone(o.Codes), slices.Clone(o.Refunds)
	return &copied
}

// PutOrder creates or replaces an order.
func (f *Fliggy) PutOrder(o Order) error {
	if !isID(o.ID) || !isID(o.ProductID) {
		return fmt.Errorf("order %q of product %q: ids are decimal numbers", o.ID, o.ProductID)
	}
	if o.Quantity < 1 || o.Price < 0 {
		return fmt.Errorf("order %s: quantity from 1, price from 0", o.ID)
	}
	placed := o.clone()
	if placed.Status == 0 {
		placed.Status = FliggyCreated
	}
	if placed.RefundStatus == 0 {
		placed.RefundStatus = FliggyNoRefund
	}
	if placed.CreatedAt.IsZero() {
		placed.CreatedAt = time.Now()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.orders[o.ID] = placed
	return nil
}

// Order is a copy of an order; false if there is none.
func (f *Fliggy) Order(id string) (Order, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o, known := f.orders[id]
	if !known {
		return Order{}, false
	}
	return *o.clone(), true
}

// transition alters an order and makes the push that tells it. A transition that
// fails changes nothing.
func (f *Fliggy) transition(id string, alter func(*Order) error, tell func(*Fliggy, *Order) []byte) ([]byte, error) {
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

// setStatus is a transition that only the order's status tells.
func (f *Fliggy) setStatus(id string, status int) ([]byte, error) {
	return f.transition(id, func(o *Order) error { o.Status = status; return nil }, (*Fliggy).statusPush)
}

// Pay pays the order and returns the push that tells it, as all transitions do.
func (f *Fliggy) Pay(id string) ([]byte, error) { return f.setStatus(id, FliggyPaid) }

// Close closes the unpaid order.
func (f *Fliggy) Close(id string) ([]byte, error) { return f.setStatus(id, FliggyClosed) }

// IssueCodes tickets the order with the codes.
func (f *Fliggy) IssueCodes(id string, codes ...OrderCode) ([]byte, error) {
	return f.transition(id, func(o *Order) error {
		o.Status, o.Codes = FliggyTicketed, slices.Clone(codes)
		return nil
	}, func(f *Fliggy, o *Order) []byte { return f.sendCodePush(o, "") })
}

// IssueFails fails to ticket the order.
func (f *Fliggy) IssueFails(id, reason string) ([]byte, error) {
	return f.transition(id, func(o *Order) error { o.Status = FliggyFailed; return nil },
		func(f *Fliggy, o *Order) []byte { return f.sendCodePush(o, reason) })
}

// UseCode redeems n persons of a code. An order whose codes are used up is finished (INFER).
func (f *Fliggy) UseCode(id, code string, n int64) ([]byte, error) {
	return f.transition(id, func(o *Order) error {
		i := slices.IndexFunc(o.Codes, func(c OrderCode) bool { return c.Code == code })
		if i < 0 {
			return fmt.Errorf("no such code")
		}
		c := &o.Codes[i]
		if n < 1 || c.Used+c.Refunded+n > c.Persons {
			return fmt.Errorf("%d more uses of a code for %d persons, %d used and %d refunded", n, c.Persons, c.Used, c.Refunded)
		}
		c.Used += n
		if !slices.ContainsFunc(o.Codes, func(c OrderCode) bool { return c.Used+c.Refunded < c.Persons }) {
			o.Status = FliggyFinished
		}
		return nil
	}, func(f *Fliggy, o *Order) []byte { return f.verifyPush(o, code) })
}

// RequestRefund applies for a refund of fee fen and quantity pieces. No push of its own
// is documented: a status push tells it.
func (f *Fliggy) RequestRefund(id string, fee, quantity int64, full bool) ([]byte, error) {
	return f.transition(id, func(o *Order) error {
		o.applyRefund(fee, quantity, full)
		o.RefundStatus = FliggyRefundApplying
		return nil
	}, (*Fliggy).statusPush)
}

// Refund pays a refund of fee fen and quantity pieces: the one applied for, if there
// is one, else a new one. The order's status stays as it is (UNKNOWN).
func (f *Fliggy) Refund(id string, fee, quantity int64, full bool) ([]byte, error) {
	return f.transition(id, func(o *Order) error {
		o.RefundStatus = FliggyPartRefunded
		if full {
			o.RefundStatus = FliggyRefunded
		}
		refund := o.openRefund(fee, quantity, full)
		refund.Status, refund.Fee, refund.Quantity, refund.Full = o.RefundStatus, fee, quantity, full
		o.refundCodes(quantity, full)
		return nil
	}, (*Fliggy).refundPush)
}

// RefundFails turns down the refund applied for, or a new one of the whole order.
func (f *Fliggy) RefundFails(id, reason string) ([]byte, error) {
	return f.transition(id, func(o *Order) error {
		refund := o.openRefund(o.Price*o.Quantity, o.Quantity, true)
		refund.Status, refund.Reason = FliggyRefundFailed, reason
		o.RefundStatus = FliggyRefundFailed
		return nil
	}, (*Fliggy).refundPush)
}

// openRefund is the refund that was applied for last and is undecided, or a new one.
func (o *Order) openRefund(fee, quantity int64, full bool) *OrderRefund {
	for i := range o.Refunds {
		if o.Refunds[i].Status == FliggyRefundApplying {
			return &o.Refunds[i]
		}
	}
	return o.applyRefund(fee, quantity, full)
}

func (o *Order) applyRefund(fee, quantity int64, full bool) *OrderRefund {
	o.Refunds = append(o.Refunds, OrderRefund{
		ID: "R" + o.ID + "-" + strconv.Itoa(len(o.Refunds)+1), AppliedAt: time.Now(),
		Status: FliggyRefundApplying, Fee: fee, Quantity: quantity, Full: full,
	})
	return &o.Refunds[len(o.Refunds)-1]
}

// refundCodes takes the quantity from the unused persons of the codes, first code first
// (UNKNOWN); a full refund takes them all.
func (o *Order) refundCodes(quantity int64, full bool) {
	for i := range o.Codes {
		c := &o.Codes[i]
		n := c.Persons - c.Used - c.Refunded
		if !full {
			n = min(n, quantity)
			quantity -= n
		}
		c.Refunded += n
	}
}

// refunded is what was paid back in all.
func (o *Order) refunded() (fee, quantity int64) {
	for _, r := range o.Refunds {
		if r.paid() {
			fee, quantity = fee+r.Fee, quantity+r.Quantity
		}
	}
	return fee, quantity
}
