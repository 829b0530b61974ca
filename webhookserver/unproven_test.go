package webhookserver_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
	"github.com/laidoulaile/channel-operator/webhookserver"
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

// networksOf is what each of these tests lets in.
var networksOf = within("10.0.0.0/8", "127.0.0.0/8", "203.0.113.0/24", "2001:db8:7::/48", "64:ff9b::/96", "100.64.0.0/10")

// CIDRs prove the sender where the address is the sender's own: where a declared proxy told it, or it is
// the connection's, and public. Else it may be that of an ingress in front of everybody: it is let in as
// before, and proves nothing. Where proof is wanted it is to be sent again, and told why.
func TestWhatAnAddressProves(t *testing.T) {
	declared := []netip.Prefix{proxied, netip.MustParsePrefix("203.0.113.128/25")}
	for name, test := range map[string]struct {
		peer, forwarded string
		proxies         []netip.Prefix
		proves          bool
	}{
		"an ingress, and none is declared":         {peer: "10.0.0.1:1"},
		"the same, with what it says":              {peer: "10.0.0.1:1", forwarded: "203.0.113.9"},
		"a pod, past the ingress":                  {peer: "10.1.1.1:1", proxies: declared},
		"a proxy in the pod":                       {peer: "127.0.0.6:1"},
		"a gateway of the provider's":              {peer: "100.64.3.3:1"},
		"a private address behind NAT64":           {peer: "[64:ff9b::10.1.1.1]:1"},
		"a declared proxy that is silent":          {peer: "203.0.113.200:1", proxies: declared},
		"a declared proxy that is garbled":         {peer: "10.0.0.1:1", forwarded: "unknown", proxies: declared},
		"nobody in front of the declared":          {peer: "10.0.0.1:1", forwarded: "203.0.113.200", proxies: declared},
		"what a declared proxy told":               {peer: "10.0.0.1:1", forwarded: "203.0.113.9", proxies: declared, proves: true},
		"a private one that a declared proxy told": {peer: "10.0.0.1:1", forwarded: "10.7.7.7", proxies: declared, proves: true},
		"a public one":                             {peer: "203.0.113.9:1", proves: true},
		"a public one, and others are declared":    {peer: "203.0.113.9:1", proxies: declared, proves: true},
		"a public one, mapped":                     {peer: "[::ffff:203.0.113.9]:1", proves: true},
		"a public one, IPv6":                       {peer: "[2001:db8:7::1]:1", proves: true},
	} {
		t.Run(name, func(t *testing.T) {
			from := func(r *http.Request) {
				r.RemoteAddr = test.peer
				if test.forwarded != "" {
					r.Header.Set("X-Forwarded-For", test.forwarded)
				}
			}
			push := func(alter func(*accounts.Account)) (code int, b *book) {
				a := account()
				networksOf(a)
				alter(a)
				b = with(a, nil)
				return post(b.handler(test.proxies...), byChannel+productTail+"?token=s3cret", sample(t, "product-price.json"), from).Code, b
			}
			if code, b := push(func(*accounts.Account) {}); code != http.StatusOK || len(b.recorded) != 1 || b.recorded[0].push.Unproven == test.proves {
				t.Errorf("%d, recorded %+v", code, b.recorded)
			}
			lines.take()
			code, b := push(func(a *accounts.Account) { a.MustProve = true })
			said := strings.Join(lines.take(), "")
			if test.proves != (code == http.StatusOK) || test.proves != (len(b.recorded) == 1) {
				t.Errorf("where proof is wanted: %d, recorded %+v", code, b.recorded)
			}
			if !test.proves && (code != http.StatusServiceUnavailable || !strings.Contains(said, "--trusted-proxies told it")) {
				t.Errorf("%d, said %q", code, said)
			}
			code, b = push(func(a *accounts.Account) {
				a.MustProve, a.Guard.Tokens = true, []sealing.Secret{sealing.NewSecret("s3cret")}
			})
			if code != http.StatusOK || len(b.recorded) != 1 || b.recorded[0].push.Unproven {
				t.Errorf("with a token: %d, recorded %+v", code, b.recorded)
			}
		})
	}
}

// What a platform signs and this push does not is no better proven by an address that may be everybody's:
// but it may be right, so it is to be sent again.
func TestAddressOfAnIngressDoesNotReplaceASignature(t *testing.T) {
	for proof, common := range map[platform.Proof]int{platform.ProofMissing: 403, platform.ProofUnchecked: 503} {
		var decoded int
		a := account()
		networksOf(a)
		adapter := hinting{decoded: &decoded, verify: func(platform.Credentials) (platform.Proof, error) { return proof, nil }}
		a.Receiver = adapter
		b := with(a, nil)
		options := b.options()
		options.Receivers[v1alpha1.PlatformFliggy] = adapter
		for prefix, want := range map[string]int{byAccount: common, byChannel: 503} {
			w := post(webhookserver.NewHandler(options), prefix+orderTail, sample(t, "order-refund.json"), func(r *http.Request) { r.RemoteAddr = "10.0.0.1:1" })
			if w.Code != want || len(b.recorded) != 0 {
				t.Errorf("%v by %s: %d, want %d, recorded %d times", proof, prefix, w.Code, want, len(b.recorded))
			}
		}
	}
}
