package platformtest

import (
	"encoding/json"
	"net/url"
	"strconv"
	"time"
)

// The person on every order of the fake: invented, and to be found nowhere in clear.
const (
	FliggyTravellerName        = "张三丰"
	FliggyTravellerMobile      = "13800001234"
	FliggyTravellerCertificate = "110101199003078888"
)

// findOrder finds by orderId, or else by outOrderId (DOC: at least one).
func (f *Fliggy) findOrder(q fliggyQuestion) (*Order, error) {
	if q.OrderID == nil && q.OutOrderID == "" {
		return nil, fliggyFailure{"5003", "orderId or outOrderId is needed"}
	}
	if q.OrderID != nil {
		if o, known := f.orders[strconv.FormatInt(*q.OrderID, 10)]; known {
			return o, nil
		}
		return nil, fliggyFailure{"7004", ""}
	}
	for _, o := range f.orders {
		if o.OutOrderID == q.OutOrderID {
			return o, nil
		}
	}
	return nil, fliggyFailure{"7004", ""}
}

// answerOrder is searchOrder's data (DOC). Fields the document calls optional are left
// out where they say nothing.
func (f *Fliggy) answerOrder(q fliggyQuestion) (any, error) {
	o, err := f.findOrder(q)
	if err != nil {
		return nil, err
	}
	traveller := map[string]any{"name": FliggyTravellerName, "mobile": FliggyTravellerMobile,
		"certificatesType": 3, "certificates": FliggyTravellerCertificate}
	data := map[string]any{
		"orderId": json.Number(o.ID), "outOrderId": o.OutOrderID,
		"orderStatus": o.Status, "refundStatus": o.RefundStatus,
		"productInfo": map[string]any{"productId": json.Number(o.ProductID), "price": o.Price,
			"quantity": o.Quantity, "travelDate": o.TravelDate},
		"contactInfo": traveller, "passengerInfos": []any{traveller},
		"totalFee": o.Price * o.Quantity, "orderCreateTime": o.CreatedAt.In(china).Format(timeLayout),
	}
	if fee, quantity := o.refunded(); quantity > 0 || fee > 0 {
		data["refundFee"], data["refundQuantity"] = fee, quantity
	}
	if len(o.Codes) > 0 {
		data["codeInfos"] = o.codeInfos()
	}
	return data, nil
}

// codeInfos are CodeInfo as searchOrder answers it (DOC, `refundSucessNum` printed so).
func (o *Order) codeInfos() []any {
	infos := make([]any, 0, len(o.Codes))
	for _, c := range o.Codes {
		info := map[string]any{"code": c.Code, "num": c.Persons, "verifiedNum": c.Used,
			"refundSucessNum": c.Refunded, "refundingNum": 0, "qrImagePath": qrImage(c)}
		if len(c.Users) > 0 {
			info["codeUserInfos"] = c.Users
		}
		infos = append(infos, info)
	}
	return infos
}

// qrImage is a link that shows the code: as secret as the code.
func qrImage(c OrderCode) string { return "https://img.invalid/qr/" + url.PathEscape(c.Code) + ".png" }

// answerRefunds is searchRefundOrder's data: the list itself (DOC). An order without
// refunds has an empty one (INFER).
func (f *Fliggy) answerRefunds(q fliggyQuestion) (any, error) {
	o, err := f.findOrder(q)
	if err != nil {
		return nil, err
	}
	refunds := []any{}
	for _, r := range o.Refunds {
		if q.DistributorRefundID != "" && q.DistributorRefundID != r.ID {
			continue
		}
		refund := map[string]any{"distributorRefundId": r.ID, "gmtApplyRefund": f.refundTime(r.AppliedAt),
			"refundStatus": f.refundStatus(r), "refundQuantity": r.Quantity, "refundFee": r.Fee}
		if r.Reason != "" {
			refund["failReason"] = r.Reason
		}
		refunds = append(refunds, refund)
	}
	return refunds, nil
}

// refundStatus of one refund: 2004 where it paid back a part (INFER from the one list
// of refund statuses there is).
func (f *Fliggy) refundStatus(r OrderRefund) int {
	if r.paid() && f.quirks.PaidRefundIs2002 {
		return FliggyRefunded
	}
	return r.Status
}

func (f *Fliggy) refundTime(t time.Time) any {
	if f.quirks.RefundTimeMillis {
		return t.UnixMilli()
	}
	return t.In(china).Format(timeLayout)
}
