package fliggy

import (
	"bytes"
	"fmt"
	"net/url"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fields"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// typeUnknown labels a push whose type is none of the documented ten.
const typeUnknown = "unknown"

// typeInvalid announces that a product went off sale.
const typeInvalid = "VACATION_RESOURCE_INVALID_CHANGE"

// Kinds of notifications, as the API names them.
const (
	kindCodesIssued   = "CodesIssued"
	kindCodeUsed      = "CodeUsed"
	kindRefunded      = "Refunded"
	kindStatusChanged = "StatusChanged"
	kindOther         = "Other"
)

// productPushes are the documented types of the product push, and what each says
// has changed (inferred from their names: 变更, 生效, 失效, 价库, 价格, 库存).
var productPushes = map[string][]platform.Aspect{
	"VACATION_RESOURCE_INFO_CHANGE":        {platform.AspectInfo},
	"VACATION_RESOURCE_VALID_CHANGE":       {platform.AspectAvailability},
	typeInvalid:                            {platform.AspectAvailability},
	"VACATION_RESOURCE_PRICE_STOCK_CHANGE": {platform.AspectPrice, platform.AspectStock},
	"VACATION_RESOURCE_PRICE_CHANGE":       {platform.AspectPrice},
	"VACATION_RESOURCE_STOCK_CHANGE":       {platform.AspectStock},
}

// orderPushes are the documented types of the order push, and how the data of each
// is read into the notification.
var orderPushes = map[string]func(push fields.Object, into *platform.OrderNotification){
	"ORDER_SEND_CODE_NOTIFY": readSendCode,
	"ORDER_REFUND_NOTIFY":    readRefund,
	"ORDER_VERIFY_NOTIFY":    readVerify,
	"ORDER_STATUS_CHANGE":    readStatusChange,
}

// message is one opened push.
type message struct {
	sealing.Hidden

	path     string
	pushType string // as it came
	account  string
	push     fields.Object
}

// Open reads a push's body, whose method, content type and charset are unknown:
// what begins with a brace is JSON, all else must be a form. An account, as the
// document requires one, and a type there must be.
func (Adapter) Open(p platform.Push) (platform.Message, error) {
	if p.Path != pathProductChange && p.Path != pathOrderStatus {
		return nil, fmt.Errorf("%w: no such push path", platform.ErrMalformed)
	}
	push, err := parseBody(p.Body)
	if err != nil {
		return nil, err
	}
	push.Require("pushType", "distributorId")
	m := message{path: p.Path, push: push, pushType: push.Text("pushType"), account: push.ID("distributorId")}
	if fields.Shorten(m.pushType, fields.MaxID) == "" {
		push.Fail("pushType", "is blank")
	}
	if err := malformed(push); err != nil {
		return nil, err
	}
	return m, nil
}

// Account is the push's distributorId.
func (m message) Account() string { return m.account }

// Type is the push's type if it is a documented one, else "unknown".
func (m message) Type() string {
	if _, ok := productPushes[m.pushType]; ok {
		return m.pushType
	}
	if _, ok := orderPushes[m.pushType]; ok {
		return m.pushType
	}
	return typeUnknown
}

// Verify has nothing to check: neither push has a documented signature, and every
// signing rule of the document is for the distributor's own calls. If a `sign`
// field arrives, nobody can say how it is made, so it is ignored: refusing a push
// for a guess would lose it. What protects these pushes is the Channel's token and
// address ranges, and that the platform is asked before anything is believed.
func (m message) Verify(platform.Holder) (platform.Proof, error) { return platform.ProofNone, nil }

// Events are what the push says.
func (m message) Events() ([]platform.Event, error) {
	event, err := m.event()
	if err != nil {
		return nil, err
	}
	return []platform.Event{event}, nil
}

func (m message) event() (platform.Event, error) {
	var event platform.Event
	m.push.Require("messageId")
	aspects, isProduct := productPushes[m.pushType]
	read, isOrder := orderPushes[m.pushType]
	switch {
	case isProduct && m.path == pathProductChange:
		event.Product = m.productChange(aspects)
	case isOrder && m.path == pathOrderStatus:
		m.push.Require("orderId", "timestamp")
		event.Order = m.notification()
		read(m.push, event.Order)
	case isProduct || isOrder:
		m.push.Fail("pushType", "belongs to the other push path")
	case m.path == pathOrderStatus && m.push.Has("orderId"):
		event.Order = m.notification()
		event.Order.Kind = kindOther
	default:
		event.Notice = m.notice()
	}
	return event, malformed(m.push)
}

// productChange reads a product push. The field productCategory is documented as
// required, and always HOTEL_TICKET; nothing depends on it, so it is not read.
func (m message) productChange(aspects []platform.Aspect) *platform.ProductChange {
	m.push.Require("productId", "changedTime", "timestamp")
	m.push.Millis("timestamp") // when it was pushed: of no use, but it must be possible
	return &platform.ProductChange{
		ProductID: m.push.ID("productId"),
		Aspects:   append([]platform.Aspect(nil), aspects...),
		ChangedAt: m.push.Millis("changedTime"),
		MessageID: m.push.ID("messageId"),
		Type:      m.pushType,
	}
}

// notification reads what all order pushes have. The field outOrderId is documented
// as required; without it the order is still known, so it may be absent.
func (m message) notification() *platform.OrderNotification {
	return &platform.OrderNotification{
		OrderID:      m.push.ID("orderId"),
		OutOrderID:   m.push.ID("outOrderId"),
		MessageID:    m.push.ID("messageId"),
		PlatformType: fields.Shorten(m.pushType, fields.MaxID),
		OccurredAt:   m.push.Millis("timestamp"),
	}
}

// notice reads a push of an unknown type that names no order.
func (m message) notice() *platform.Notice {
	return &platform.Notice{
		MessageID:    m.push.ID("messageId"),
		PlatformType: fields.Shorten(m.pushType, fields.MaxID),
		Subject:      m.push.ID("productId"),
	}
}

// readSendCode reads the push that codes were issued, or could not be.
func readSendCode(push fields.Object, into *platform.OrderNotification) {
	push.Require("data")
	data := push.Object("data")
	data.Require("success")
	into.Kind = kindCodesIssued
	into.Succeeded = data.Boolean("success")
	into.Reason = fields.Shorten(data.Text("failReason"), maxReason)
	for _, info := range data.Objects("codeInfos") {
		info.Require("code", "num")
		into.Codes = append(into.Codes, readCode(info))
	}
}

// readRefund reads the push that a refund was made, or could not be. Documented: an
// absent refundType is 1, the whole order; 3 is a part. That refundFee is in fen is
// inferred: the order query says so of the same field.
func readRefund(push fields.Object, into *platform.OrderNotification) {
	push.Require("data")
	data := push.Object("data")
	data.Require("success")
	into.Kind = kindRefunded
	into.Succeeded = data.Boolean("success")
	into.Reason = fields.Shorten(data.Text("failReason"), maxReason)
	refundType := data.Count("refundType")
	into.Refund = &platform.RefundFact{
		ID:        data.ID("distributorRefundId"),
		Currency:  currency,
		Amount:    data.Count("refundFee"),
		Quantity:  data.Count("refundQuantity"),
		Full:      refundType == nil || *refundType == 1,
		Succeeded: into.Succeeded,
	}
}

// readVerify reads the push that a code was used. verifyTime has no zone; that it
// is China's is inferred. Without it, the time of the push has to do.
func readVerify(push fields.Object, into *platform.OrderNotification) {
	push.Require("data")
	data := push.Object("data")
	data.Require("codeInfo")
	info := data.Object("codeInfo")
	info.Require("code", "num", "verifiedNum")
	into.Kind = kindCodeUsed
	into.Codes = []platform.Code{readCode(info)}
	if at := data.LocalTime("verifyTime"); !at.IsZero() {
		into.OccurredAt = at
	}
}

// readStatusChange reads nothing: what data holds is unknown. The push says that
// the order is worth asking for.
func readStatusChange(_ fields.Object, into *platform.OrderNotification) {
	into.Kind = kindStatusChanged
}

// readCode reads what the pushes and the order query say of a code. Links to the
// code and the travellers' documents (qrImagePath, filePath, codeUserInfos) are
// left where they are. More uses than persons are not refused: num may be read as
// what is still open, and a count that we misread must not lose a push.
func readCode(info fields.Object) platform.Code {
	return platform.Code{
		Text:    sealing.NewSecret(info.Exact("code")),
		Persons: info.Count("num"),
		Used:    info.Count("verifiedNum"),
	}
}

// parseBody reads a JSON fields.Object, or a form whose values become its texts.
func parseBody(body []byte) (fields.Object, error) {
	body = bytes.TrimSpace(body)
	if bytes.HasPrefix(body, []byte("{")) {
		push, ok := fields.Parse(body)
		if !ok {
			return push, fmt.Errorf("%w: the body is not one JSON object", platform.ErrMalformed)
		}
		return push, nil
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || !form.Has("pushType") {
		return fields.Object{}, fmt.Errorf("%w: the body is neither JSON nor a form with a pushType", platform.ErrMalformed)
	}
	return fields.FromForm(form), nil
}

// malformed gives the object's fault as an error.
func malformed(o fields.Object) error {
	if o.Fault() == "" {
		return nil
	}
	return fmt.Errorf("%w: %s", platform.ErrMalformed, o.Fault())
}
