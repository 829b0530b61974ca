package fliggy

import (
	"fmt"
	"testing"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing/sealingtest"
)

// An opened push holds the body, with codes and document numbers, and does not show it.
func TestMessageShowsNothing(t *testing.T) {
	for _, path := range (Adapter{}).Paths() {
		message, err := Adapter{}.Open(platform.Push{Path: path, Body: fmt.Appendf(nil,
			`{"pushType":"ORDER_SEND_CODE_NOTIFY","distributorId":"1","orderId":"1","messageId":"m","timestamp":1,"data":{"code":%q}}`, sealingtest.Planted)})
		if err != nil {
			t.Fatal(err)
		}
		sealingtest.Hidden(t, fmt.Sprintf("%T", message), message)
	}
}
