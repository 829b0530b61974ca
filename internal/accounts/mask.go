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
		masked = append(masked, v1alpha1.Code{
			ID: a.Sealer.CodeID(code.Text), Hint: sealing.Hint(code.Text),
			Persons: code.Persons, Used: code.Used, Refunded: code.Refunded,
		})
	}
	return masked
}
