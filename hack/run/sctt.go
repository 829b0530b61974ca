package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
)

// The account on SCTT, and the orders of the story.
const (
	scttChannel   = "sctt"
	scttAccount   = "255456"
	scttCatalogue = 25       // three pages of ten
	sampleOrder   = "123456" // of the sample that the platform prints
	bookedOrder   = "700001"
	failedOrder   = "700002"
	bigOrder      = "9007199254740995"
)

// The fake's numbers for what becomes of an order.
const (
	scttWaiting = 1
	scttBooked  = 2
	scttFailed  = 3
	scttUndone  = 3 // of cancelling
)

// sendSCTTPushes makes things happen on the fake SCTT, so that it sends both its pushes,
// signed on the common path and as they are printed on the Channel's own.
func (s *stack) sendSCTTPushes(ctx context.Context) error {
	return s.tellAll(ctx, []deed{
		{"sctt/sample", object{}}, // byte for byte

		{"sctt/orders/" + bookedOrder + "/voucher", object{"status": scttWaiting, "push": true}},
		{"sctt/orders/" + bookedOrder + "/voucher", object{"status": scttBooked, "push": true}}, // tickets of the five kinds
		{"sctt/orders/" + bookedOrder + "/voucher", object{"push": true}},                       // the same, sent again
		{"sctt/orders/" + bookedOrder + "/change", object{"voucher": 1, "ticket": 0, "push": true,
			"changed": object{"voucher_type": 4, "voucher_confirmation": "LOCAL-CHANGED"}}},

		{"sctt/orders/" + failedOrder + "/voucher", object{"status": scttFailed, "remark": "满房", "push": true}},

		{"sctt/orders/" + bigOrder + "/voucher", object{"status": scttBooked, "push": true, "channel": true}},
		{"sctt/orders", object{"id": "700003", "tradeNumber": "T-700003", "total": "45", "currency": "HK$"}},
		{"sctt/orders/700003/voucher", object{"status": scttBooked, "push": true}},
		{"sctt/cancel", object{"orders": []string{bigOrder, "700003"}, "status": scttUndone, "push": true}}, // a batch
	})
}

// waitForSCTT waits until all that was told shows.
func (s *stack) waitForSCTT(ctx context.Context) error {
	return until(ctx, readyTimeout, func(ctx context.Context) error {
		return errors.Join(s.scttTold(ctx),
			s.orderTold(ctx, scttChannel, sampleOrder, v1alpha1.OrderIssuing, "order-voucher CodesIssued"),
			s.orderTold(ctx, scttChannel, bookedOrder, v1alpha1.OrderIssued, "order-voucher CodesIssued"),
			s.orderTold(ctx, scttChannel, failedOrder, v1alpha1.OrderFailed, "order-voucher CodesIssued"),
			s.orderTold(ctx, scttChannel, bigOrder, v1alpha1.OrderCancelled, "order-voucher CodesIssued", "order-cancel Cancelled"),
			s.orderTold(ctx, scttChannel, "700003", v1alpha1.OrderCancelled, "order-voucher CodesIssued", "order-cancel Cancelled"))
	})
}

func (s *stack) scttTold(ctx context.Context) error {
	var channel v1alpha1.Channel
	if err := s.list(ctx, "channels/"+scttChannel, &channel); err != nil {
		return err
	}
	if channel.Status.Credit == nil || channel.Status.Catalogue == nil || channel.Status.Catalogue.Products != scttCatalogue {
		return fmt.Errorf("channel %s: credit %v, catalogue %v, want %d products", scttChannel, channel.Status.Credit, channel.Status.Catalogue, scttCatalogue)
	}
	return nil
}
