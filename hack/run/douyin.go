package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
)

// The account on Douyin, and what the story is about.
const (
	douyinChannel   = "douyin"
	douyinClientKey = "aw6ufdiwwmx4x7tf"
	douyinAccount   = "7376546762393143333"
	douyinProduct   = "1805831187321867"
	// ownOrder has a code of Douyin's own, voucherOrder codes made here.
	ownOrder     = "1065946966824670001"
	voucherOrder = "1065946966824670002"
	partnerOrder = "7212142857733638179"
)

// sendDouyinPushes makes things happen on the fake Douyin, so that it sends each push and
// asks each question that is known of it. It signs, and so its Channel needs no token.
func (s *stack) sendDouyinPushes(ctx context.Context) error {
	if err := s.tellAll(ctx, []deed{{"douyin/aim", object{"base": "http://" + s.push}}}); err != nil {
		return err
	}
	for _, scene := range []func(context.Context) error{
		s.registerWebhook, s.changeDouyinProduct, s.refundOwnCode, s.sellVouchers, s.refundVoucher, s.sendNotices,
	} {
		if err := scene(ctx); err != nil {
			return err
		}
	}
	return nil
}

// registerWebhook is what the console does when the URL is saved, in both shapes.
func (s *stack) registerWebhook(ctx context.Context) error {
	return s.tellAll(ctx, []deed{
		{"douyin/verify-webhook", object{"challenge": 12345}},
		{"douyin/verify-webhook", object{"challenge": 67890, "asText": true}},
	})
}

// changeDouyinProduct has a product reviewed and put on sale.
func (s *stack) changeDouyinProduct(ctx context.Context) error {
	return s.tellAll(ctx, []deed{
		{"douyin/products/" + douyinProduct + "/audit", object{"pass": true, "push": true}},
		{"douyin/products/" + douyinProduct + "/online", object{"push": true}},
	})
}

// refundOwnCode has a code of Douyin's own used, and refunded after a person's decision.
func (s *stack) refundOwnCode(ctx context.Context) error {
	if err := s.tellAll(ctx, []deed{
		{"douyin/orders", douyinOrder(ownOrder, 1, false)},
		{"douyin/orders/" + ownOrder + "/pay", object{"push": true}},
	}); err != nil {
		return err
	}
	certificates, err := s.certificates(ctx, ownOrder)
	if err != nil {
		return err
	}
	if err := s.tellAll(ctx, []deed{
		{"douyin/orders/" + ownOrder + "/verify", object{"certificateID": certificates[0], "push": true}},
		{"douyin/orders/" + ownOrder + "/after-sale", object{"certificateID": certificates[0], "reason": "not as described", "push": true}},
	}); err != nil {
		return err
	}
	return s.decide(ctx, ownOrder, certificates[0])
}

// sellVouchers asks whether a product may be ordered, then has codes made for an order, one
// of them used, and a use of another cancelled.
func (s *stack) sellVouchers(ctx context.Context) error {
	if err := s.tellAll(ctx, []deed{
		{"douyin/spi/pre-create", object{"productID": douyinProduct, "count": 3}},
		{"douyin/orders", douyinOrder(voucherOrder, 3, true)},
		{"douyin/orders/" + voucherOrder + "/pay", object{"push": true}},
		{"douyin/orders/" + voucherOrder + "/issue", object{}},
	}); err != nil {
		return err
	}
	certificates, err := s.certificates(ctx, voucherOrder)
	if err != nil {
		return err
	}
	return s.tellAll(ctx, []deed{
		{"douyin/orders/" + voucherOrder + "/verify", object{"certificateID": certificates[0], "push": true}},
		{"douyin/orders/" + voucherOrder + "/verify", object{"certificateID": certificates[1], "push": true}},
		{"douyin/orders/" + voucherOrder + "/verify-cancel", object{"certificateID": certificates[1], "push": true}},
	})
}

// refundVoucher applies for the refund of a code made here, and decides; then Douyin asks
// how the order stands.
func (s *stack) refundVoucher(ctx context.Context) error {
	certificates, err := s.certificates(ctx, voucherOrder)
	if err != nil {
		return err
	}
	text, err := s.tell(ctx, "douyin/orders/"+voucherOrder+"/apply-refund",
		object{"certificateIDs": certificates[2:], "reason": "plans changed"})
	if err != nil {
		return err
	}
	var applied struct {
		AfterSale struct {
			ID string `json:"id"`
		} `json:"afterSale"`
	}
	if err := json.Unmarshal(text, &applied); err != nil {
		return err
	}
	if err := s.decide(ctx, voucherOrder, applied.AfterSale.ID); err != nil {
		return err
	}
	text, err = s.tell(ctx, "douyin/spi/status-query", object{"scene": "order", "orderIDs": []string{voucherOrder}})
	if err != nil {
		return err
	}
	var status struct {
		Result map[string]json.RawMessage `json:"result"`
	}
	if err := json.Unmarshal(text, &status); err != nil {
		return err
	}
	if status.Result[voucherOrder] == nil {
		return fmt.Errorf("status_query: the answer does not know order %s", voucherOrder)
	}
	return nil
}

// sendNotices tells what is about no product, and all but the first about no order.
func (s *stack) sendNotices(ctx context.Context) error {
	return s.tellAll(ctx, []deed{
		{"douyin/events", event("life_hermes_akte_booking_status_notification", object{"order_id": voucherOrder})},
		{"douyin/events", event("life_hermes_akte_merchant_config_update", object{"poi_id": "6601136811005708292"})},
		{"douyin/events", event("life_hermes_akte_booking_config_result", object{"task": 1})},
		{"douyin/spi/member-update", object{"openID": "open-1", "oldMobile": "13800000000", "newMobile": "13900000000"}},
		{"douyin/partner-orders", object{"id": partnerOrder, "merchantID": douyinAccount, "partnerID": "7207450161063135284", "status": 302, "push": true}},
		{"douyin/events", event("life_partner_commission_notify", object{"order_id": partnerOrder})},
	})
}

func douyinOrder(id string, count int, thirdParty bool) object {
	return object{"id": id, "productID": douyinProduct, "count": count, "price": 100, "thirdParty": thirdParty}
}

func event(name string, content object) object { return object{"event": name, "content": content} }

// certificates are the ids of an order's units.
func (s *stack) certificates(ctx context.Context, orderID string) ([]string, error) {
	var order struct {
		Certificates []struct {
			ID string `json:"id"`
		} `json:"certificates"`
	}
	if err := s.ask(ctx, "douyin/orders/"+orderID, nil, &order); err != nil {
		return nil, err
	}
	var ids []string
	for _, c := range order.Certificates {
		ids = append(ids, c.ID)
	}
	return ids, nil
}

// decide approves a refund as a person does.
func (s *stack) decide(ctx context.Context, orderID, refundID string) error {
	patch := fmt.Sprintf(`{"spec":{"refundDecisions":[{"refundID":%q,"approve":true,"reason":"as agreed"}]}}`, refundID)
	_, err := s.kubectl(ctx, "", "patch", "order", douyinChannel+"-"+orderID, "--namespace", namespace, "--type=merge", "-p", patch)
	return err
}

// waitForDouyin waits until all that was told shows, with what follows from decisions: the
// platform tells that by itself.
func (s *stack) waitForDouyin(ctx context.Context) error {
	return until(ctx, readyTimeout, func(ctx context.Context) error {
		return errors.Join(s.productTold(ctx), s.noticesTold(ctx),
			s.orderTold(ctx, douyinChannel, ownOrder, v1alpha1.OrderRefunded, "life_trade_order_notify Paid", "life_trade_certificate_notify CodeUsed",
				"life_hermes_akte_after_sale_audit RefundRequested", "life_trade_certificate_notify Refunded"),
			s.orderTold(ctx, douyinChannel, voucherOrder, v1alpha1.OrderPartlyRefunded, "life_trade_order_notify Paid", "issue_codes CodesIssued",
				"life_trade_certificate_notify CodeUsed", "life_trade_certificate_notify CodeUseCancelled", "refund_apply RefundRequested",
				"refund_notice Refunded", "life_trade_certificate_notify Refunded", "life_hermes_akte_booking_status_notification Booking"))
	})
}

// orderTold fails unless the Channel's order has the phase, and holds pushes, each by name
// and type.
func (s *stack) orderTold(ctx context.Context, channel, id string, phase v1alpha1.OrderPhase, pushes ...string) error {
	var order v1alpha1.OrderVoucher
	if err := s.list(ctx, "orders/"+channel+"-"+id, &order); err != nil {
		return err
	}
	for _, n := range order.Spec.Notifications {
		pushes = slices.DeleteFunc(pushes, func(push string) bool { return push == n.PlatformType+" "+string(n.Type) })
	}
	if order.Status.Phase != phase || len(pushes) > 0 {
		return fmt.Errorf("order %s: phase %q, want %s; not pushed: %q", id, order.Status.Phase, phase, pushes)
	}
	return nil
}

func (s *stack) productTold(ctx context.Context) error {
	var product v1alpha1.ProductSync
	if err := s.list(ctx, "products/"+douyinChannel+"-"+douyinProduct, &product); err != nil {
		return err
	}
	if told := product.Spec.Announced; told.Info == nil || told.Availability == nil {
		return fmt.Errorf("product %s: the review or the change of its state does not show", douyinProduct)
	}
	return nil
}

func (s *stack) noticesTold(ctx context.Context) error {
	var channel v1alpha1.Channel
	if err := s.list(ctx, "channels/"+douyinChannel, &channel); err != nil {
		return err
	}
	missing := []string{"life_hermes_akte_merchant_config_update", "life_hermes_akte_booking_config_result", "member_info_update",
		"life_partner_order_notify", "life_partner_commission_notify"}
	for _, n := range channel.Status.Notices {
		missing = slices.DeleteFunc(missing, func(push string) bool { return push == n.PlatformType })
	}
	if len(missing) > 0 || len(channel.Status.Inquiries) < 2 {
		return fmt.Errorf("channel %s: notices that are not there: %q; %d of 2 were asked about", douyinChannel, missing, len(channel.Status.Inquiries))
	}
	return nil
}

// noComplaints fails if a fake platform was called or answered in a way that the platform
// would not take.
func (s *stack) noComplaints(ctx context.Context) error {
	for _, platform := range []string{"douyin", "sctt"} {
		var complaints []string
		if err := s.ask(ctx, platform+"/complaints", nil, &complaints); err != nil {
			return err
		}
		if len(complaints) > 0 {
			return fmt.Errorf("%s does:\n%s", platform, strings.Join(complaints, "\n"))
		}
	}
	return nil
}
