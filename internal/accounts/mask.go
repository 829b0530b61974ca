package accounts

import (
	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// maxCodes is how many codes a notification, and a status, holds (the schema's bound).
const maxCodes = 500

// Mask hashes and masks codes with the account's key, at most as many as the API holds.
func (a *Account) Mask(codes []platform.Code) []v1alpha1.Code {
	var masked []v1alpha1.Code
	for _, code := range codes[:min(len(codes), maxCodes)] {
		named := code.Text
		if named.IsZero() {
			named = sealing.NewSecret(code.ID)
		}
		masked = append(masked, v1alpha1.Code{
			ID: a.CodeID(code), Hint: sealing.Hint(named), Ref: code.ID, Form: code.Form,
			Persons: code.Persons, Used: code.Used, Refunded: code.Refunded,
		})
	}
	return masked
}

// CodeID names a code: by a keyed hash of the platform's own id of it, or of the code
// itself where it has none.
func (a *Account) CodeID(code platform.Code) string {
	if code.ID != "" {
		return a.Sealer.CodeID(sealing.NewSecret(code.ID))
	}
	return a.Sealer.CodeID(code.Text)
}

// MessageID names a notification: by the platform's own id of the message or, where it has
// none, by a keyed hash of what it says as well. Only who has the key can tell from the id
// what was said.
func (a *Account) MessageID(told *platform.OrderNotification) string {
	if len(told.Content) == 0 {
		return told.MessageID
	}
	return told.MessageID + ":" + a.Sealer.ContentID(told.Content)
}

// MakeCode makes the voucher code of a unit of an order.
func (a *Account) MakeCode(orderID, unit string) sealing.Secret {
	return a.Sealer.MakeCode(a.Namespace, a.Name, orderID, unit)
}
