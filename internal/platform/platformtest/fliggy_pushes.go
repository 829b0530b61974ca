package platformtest

import (
	"crypto/rand"
	"encoding/json"
	"net/url"
	"time"
)

// ProductPush is the body of a product push of the type, such as
// VACATION_RESOURCE_PRICE_CHANGE, with a fresh messageId (DOC: the seed's field table).
func (f *Fliggy) ProductPush(pushType, productID string, changedAt time.Time) []byte {
	return mustMarshal(map[string]any{
		"pushType": pushType, "productCategory": "HOTEL_TICKET", "productId": productID,
		"distributorId": f.wireAccount(), "changedTime": changedAt.UnixMilli(),
		"timestamp": time.Now().UnixMilli(), "messageId": newMessageID(),
	})
}

// SendCodePush is the body that tells the order's codes.
func (f *Fliggy) SendCodePush(orderID string) ([]byte, error) {
	return f.transition(orderID, unchanged, func(f *Fliggy, o *Order) []byte { return f.sendCodePush(o, "") })
}

// RefundPush is the body that tells the order's newest refund.
func (f *Fliggy) RefundPush(orderID string) ([]byte, error) {
	return f.transition(orderID, unchanged, (*Fliggy).refundPush)
}

// VerifyPush is the body that tells how far the code is used.
func (f *Fliggy) VerifyPush(orderID, code string) ([]byte, error) {
	return f.transition(orderID, unchanged, func(f *Fliggy, o *Order) []byte { return f.verifyPush(o, code) })
}

// StatusPush is the body that tells that the order's status changed.
func (f *Fliggy) StatusPush(orderID string) ([]byte, error) {
	return f.transition(orderID, unchanged, (*Fliggy).statusPush)
}

func unchanged(*Order) error { return nil }

func (f *Fliggy) sendCodePush(o *Order, failure string) []byte {
	if failure != "" {
		return f.orderPush("ORDER_SEND_CODE_NOTIFY", o, map[string]any{"success": false, "failReason": failure})
	}
	codes := make([]any, 0, len(o.Codes))
	for _, c := range o.Codes {
		info := map[string]any{"code": c.Code, "num": c.Persons, "verifiedNum": c.Used, "qrImagePath": qrImage(c)}
		if len(c.Users) > 0 {
			info["codeUserInfos"] = c.Users
		}
		codes = append(codes, info)
	}
	return f.orderPush("ORDER_SEND_CODE_NOTIFY", o, map[string]any{"success": true, "codeInfos": codes})
}

// refundPush tells the newest refund; an order without one is told as wholly refunded,
// which is what absent fields mean (DOC: refundType absent = 1). refundFee is in fen (INFER).
func (f *Fliggy) refundPush(o *Order) []byte {
	data := map[string]any{"success": true}
	if len(o.Refunds) > 0 {
		r := o.Refunds[len(o.Refunds)-1]
		data = map[string]any{"success": r.paid(), "refundFee": r.Fee, "refundType": 3,
			"distributorRefundId": r.ID, "refundQuantity": r.Quantity}
		if r.Full {
			data["refundType"] = 1
		}
		if r.Reason != "" {
			data["failReason"] = r.Reason
		}
	}
	return f.orderPush("ORDER_REFUND_NOTIFY", o, data)
}

func (f *Fliggy) verifyPush(o *Order, code string) []byte {
	info := map[string]any{"code": code, "num": 0, "verifiedNum": 0}
	for _, c := range o.Codes {
		if c.Code == code {
			info = map[string]any{"code": c.Code, "num": c.Persons, "verifiedNum": c.Used, "qrImagePath": qrImage(c)}
		}
	}
	return f.orderPush("ORDER_VERIFY_NOTIFY", o,
		map[string]any{"codeInfo": info, "verifyTime": time.Now().In(china).Format(timeLayout)})
}

// statusPush: what its data holds is not documented; orderStatus is one client's guess (CODE).
func (f *Fliggy) statusPush(o *Order) []byte {
	return f.orderPush("ORDER_STATUS_CHANGE", o, map[string]any{"orderStatus": o.Status})
}

// orderPush is the envelope of an order push (DOC: no productCategory, no changedTime).
func (f *Fliggy) orderPush(pushType string, o *Order, data map[string]any) []byte {
	return mustMarshal(map[string]any{
		"pushType": pushType, "distributorId": f.wireAccount(), "orderId": o.ID, "outOrderId": o.OutOrderID,
		"timestamp": time.Now().UnixMilli(), "messageId": newMessageID(), "data": data,
	})
}

func (f *Fliggy) wireAccount() any {
	if f.quirks.QuotedAccount {
		return f.account
	}
	return json.Number(f.account)
}

// newMessageID is unique; the form of the platform's own is UNKNOWN.
func newMessageID() string { return "m-" + rand.Text() }

// asForm is a push as a form: values as text, `data` as JSON.
func asForm(body []byte) ([]byte, bool) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil {
		return nil, false
	}
	form := url.Values{}
	for name, raw := range fields {
		text := string(raw)
		if unquoted := ""; json.Unmarshal(raw, &unquoted) == nil {
			text = unquoted
		}
		form.Set(name, text)
	}
	return []byte(form.Encode()), true
}

func mustMarshal(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own types always marshal
	}
	return raw
}
