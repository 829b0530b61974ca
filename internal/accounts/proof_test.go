package accounts_test

import (
	"testing"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform/sctt"
)

func withNetworks(cidrs ...string) func(*v1alpha1.Channel) {
	return func(c *v1alpha1.Channel) { c.Spec.Receive.AllowedCIDRs = cidrs }
}

func acceptUnproven(c *v1alpha1.Channel) { c.Spec.Receive.AcceptUnproven = true }

// strict gives the place a registry that wants senders proven, as --require-proof does.
func (p *place) strict(proxies bool) {
	options := p.options()
	options.RequireProof, options.ProxiesTell = true, proxies
	options.Adapters[v1alpha1.PlatformSCTT] = sctt.Adapter{}
	p.Registry = accounts.NewRegistry(options)
}

// Where senders must be proven, a Channel of a platform that signs nothing receives only with a
// token, or CIDRs that are somebody's, or if it says that it needs neither. What is pushed
// otherwise is to be sent again, and its condition says what to do.
func TestProofIsRequired(t *testing.T) {
	for name, test := range map[string]struct {
		adjust       func(*v1alpha1.Channel)
		proxies      bool
		passes, must bool
	}{
		"nothing":                            {func(*v1alpha1.Channel) {}, true, false, true},
		"CIDRs that are no one":              {withNetworks("0.0.0.0/0"), true, false, true},
		"one of them too wide":               {withNetworks("203.0.113.0/24", "::/0"), true, false, true},
		"CIDRs":                              {withNetworks("203.0.113.0/24"), true, true, true},
		"CIDRs, and nobody tells":            {withNetworks("203.0.113.0/24"), false, true, true},
		"private CIDRs, and nobody tells":    {withNetworks("10.0.0.0/8", "100.64.0.0/10", "fd00::/16"), false, false, true},
		"private CIDRs, which a proxy tells": {withNetworks("10.0.0.0/8"), true, true, true},
		"CIDRs that begin in private":        {withNetworks("192.168.0.0/15"), false, true, true},
		"a token":                            {withToken("token"), false, true, true},
		"its own word":                       {acceptUnproven, false, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			p.secret("push-token", map[string]string{"token": "t"})
			channel := p.channel("main", test.adjust)
			if p.load(channel).MustProve { // nobody asks for proof: all is as before
				t.Error("each push must prove its sender")
			}
			p.holds("main")
			p.strict(test.proxies)
			account := p.loadAny(channel)
			if account.MustProve != test.must { // an address may be everybody's, which only the door can tell
				t.Errorf("each push must prove its sender: %v", account.MustProve)
			}
			if test.passes {
				p.load(channel)
				p.holds("main")
				return
			}
			for _, says := range []string{"spec.receive.tokenSecretRef", "allowedCIDRs", "acceptUnproven"} {
				p.problem(account, v1alpha1.ReasonSenderNotProven, says, false)
			}
		})
	}
}

// A platform that signs its pushes is proven by that.
func TestProofOfAPlatformThatSigns(t *testing.T) {
	p := open(t)
	channel := p.channel("main", func(c *v1alpha1.Channel) { c.Spec.Platform = v1alpha1.PlatformSCTT })
	p.strict(true)
	account := p.loadAny(channel)
	if account.Unreadable != nil || account.MustProve {
		t.Error(account.Unreadable, account.MustProve)
	}
}

// A token that is to prove it and is not there is told first: it is what to mend.
func TestProofByATokenThatIsMissing(t *testing.T) {
	p := open(t)
	channel := p.channel("main", withToken("token"))
	p.strict(true)
	p.problem(p.loadAny(channel), v1alpha1.ReasonCredentialsMissing, "Secret push-token has no key token", false)
}
