package platformtest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Douyin's webhook events (DOC; the names of the last but one group are all that is known
// of them).
const (
	DouyinVerifyWebhook     = "verify_webhook"
	DouyinCommonAudit       = "life_product_common_audit"
	DouyinProductAudit      = "life_product_audit"
	DouyinStatusChange      = "life_product_status_change"
	DouyinTradeOrder        = "life_trade_order_notify"
	DouyinTradeCertificate  = "life_trade_certificate_notify"
	DouyinAfterSaleEvent    = "life_hermes_akte_after_sale_audit"
	DouyinBookingStatus     = "life_hermes_akte_booking_status_notification"
	DouyinMerchantConfig    = "life_hermes_akte_merchant_config_update"
	DouyinBookingConfig     = "life_hermes_akte_booking_config_result"
	DouyinStoreConfig       = "life_hermes_akte_store_config_update"
	DouyinPartnerOrderEvent = "life_partner_order_notify"
	DouyinCommissionEvent   = "life_partner_commission_notify"
)

// Event is the body of a webhook of any type. The content is written as JSON text within
// JSON (DOC), or as the quirks say.
func (f *Douyin) Event(event string, content any) []byte {
	inner := mustMarshal(content)
	body := map[string]any{"event": event, "client_key": f.config.ClientKey, "from_user_id": "", "content": string(inner), "log_id": newLogID()}
	if f.config.Quirks.ContentAsObject {
		body["content"] = json.RawMessage(inner)
	}
	if !f.config.Quirks.NoMsgIDField {
		body["msg_id"] = strings.ToLower(newSerial())
	}
	return mustMarshal(body)
}

// VerifyWebhook is the body by which the platform asks whether the URL is ours. Its
// client_key is empty (DOC); its content is an object, or as older pages have it a text.
func (f *Douyin) VerifyWebhook(challenge int64, asText bool) []byte {
	content := map[string]any{"challenge": challenge}
	body := map[string]any{"event": DouyinVerifyWebhook, "client_key": "", "from_user_id": "", "content": content}
	if asText {
		body["content"] = fmt.Sprintf("{ \"challenge\": %d }", challenge)
	}
	return mustMarshal(body)
}

// ProductAudit is the body that tells a review's result: PASS, or FAIL with a reason.
func (f *Douyin) ProductAudit(productID string, pass bool, reason string) []byte {
	status := "PASS"
	if !pass {
		status = "FAIL"
	}
	return f.Event(DouyinCommonAudit, map[string]any{"product_id": productID, "status": status, "reason": reason})
}

// ProductStatus is the body that tells a change of state: GOODS_ONLINE, GOODS_OFFLINE,
// GOODS_DELETE or GOODS_BAN.
func (f *Douyin) ProductStatus(productID, status string) []byte {
	return f.Event(DouyinStatusChange, map[string]any{"product_id": productID, "status": status})
}

// CertificatePush is the body of life_trade_certificate_notify, without a change.
func (f *Douyin) CertificatePush(orderID, certificateID, action string) ([]byte, error) {
	return f.onCertificate(orderID, certificateID, action, func(*DouyinCertificate) error { return nil })
}

// PartnerOrderPush is the body that tells a partner order's status (CODE: the fields, from
// two captures).
func (f *Douyin) PartnerOrderPush(id string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o, known := f.partners[id]
	if !known {
		return nil, fmt.Errorf("no partner order %s", id)
	}
	return f.Event(DouyinPartnerOrderEvent, map[string]any{"order_id": o.ID, "merchant_id": o.MerchantID,
		"partner_id": o.PartnerID, "status": o.Status, "event_time": o.At.UnixMilli()}), nil
}

func (f *Douyin) payPush(o *DouyinOrder) []byte {
	return f.Event(DouyinTradeOrder, map[string]any{"action": "pay_success", "msg_time": time.Now().Unix(), "order": map[string]any{
		"order_id": o.ID, "account_id": f.config.AccountID, "pay_amount": o.Count * o.Price, "original_amount": o.Count * o.Price,
		"create_time": o.CreatedAt.Unix(), "pay_time": o.PaidAt.Unix()}})
}

// certificatePush: the code only of third-party codes (DOC).
func (f *Douyin) certificatePush(o *DouyinOrder, certificateID, action string) []byte {
	certificate := map[string]any{"order_id": o.ID, "certificate_id": certificateID, "account_id": f.config.AccountID}
	if c := o.certificate(certificateID); c != nil && o.ThirdParty && c.Code != "" {
		certificate["code"] = c.Code
	}
	return f.Event(DouyinTradeCertificate, map[string]any{"action": action, "msg_time": time.Now().Unix(), "certificate": certificate})
}

// afterSalePush: the unit of refund_time is UNKNOWN, seconds here.
func (f *Douyin) afterSalePush(a *DouyinAfterSale) []byte {
	return f.Event(DouyinAfterSaleEvent, map[string]any{
		"account_id": f.config.AccountID, "order_id": a.OrderID, "certificate_id": a.CertificateIDs[0],
		"refund_amount": a.Amount, "refund_time": a.AppliedAt.Unix(),
		"apply_reason": map[string]any{"code": []int{101}, "reason_items": []any{map[string]any{"code": 101, "msg": a.Reason}}, "additional_msg": ""}})
}

// messageIDOf stands for the platform's message id where a body has none.
func messageIDOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:16])
}
