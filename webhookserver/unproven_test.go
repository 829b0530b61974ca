package webhookserver_test

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// signs is a platform whose pushes carry a right signature.
type signs struct{ platform.Receiver }

type signed struct{ platform.Message }

func (s signs) Open(push platform.Push) (platform.Message, error) {
	message, err := s.Receiver.Open(push)
	return signed{message}, err
}

func (signed) Verify(platform.Holder) (platform.Proof, error) { return platform.ProofSigned, nil }

// What is recorded knows whether anything proves its sender: a signature, a token, or an
// address among few.
func TestWhatNothingProvesIsHandedOverAsUnproven(t *testing.T) {
	for name, test := range map[string]struct {
		alter    func(*accounts.Account)
		query    string
		unproven bool
	}{
		"nothing":           {func(*accounts.Account) {}, "", true},
		"any address":       {func(a *accounts.Account) { a.Guard.Networks = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")} }, "", true},
		"a token it has":    {func(*accounts.Account) {}, "?token=of+no+meaning", true},
		"the token":         {func(a *accounts.Account) { a.Guard.Tokens = []sealing.Secret{sealing.NewSecret("s3cret")} }, "?token=s3cret", false},
		"one of few hosts":  {func(a *accounts.Account) { a.Guard.Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} }, "", false},
		"a right signature": {func(a *accounts.Account) { a.Receiver = signs{a.Receiver} }, "", false},
	} {
		a := account()
		test.alter(a)
		b := with(a, nil)
		if w := post(b.handler(), byChannel+productTail+test.query, sample(t, "product-price.json")); w.Code != http.StatusOK {
			t.Fatalf("%s: %d %q", name, w.Code, w.Body)
		}
		if len(b.recorded) != 1 || b.recorded[0].push.Unproven != test.unproven {
			t.Errorf("%s: recorded %+v", name, b.recorded)
		}
	}
}
