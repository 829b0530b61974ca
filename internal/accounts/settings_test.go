package accounts_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

// settled keeps the blocks it is given to read. It is Fliggy's adapter in all else.
type settled struct {
	adapter
	given []json.RawMessage
	fails error
	// lacks is what the client finds missing; decides is whether pushes decide.
	lacks   error
	decides bool
}

func (s *settled) PushesDecide() bool { return s.decides }

func (s *settled) NewClient(account platform.Account, transport *platform.Transport) (platform.Client, error) {
	if s.lacks != nil {
		return nil, s.lacks
	}
	return s.adapter.NewClient(account, transport)
}

func (s *settled) Settings(block json.RawMessage) (any, error) {
	s.given = append(s.given, block)
	if s.fails != nil {
		return nil, s.fails
	}
	return "read: " + string(block), nil
}

// settle gives the place a registry in which one adapter serves all platforms.
func (p *place) settle(fails error) *settled {
	s := &settled{fails: fails}
	options := p.options()
	options.Adapters = map[v1alpha1.Platform]platform.Adapter{
		v1alpha1.PlatformFliggy: s, v1alpha1.PlatformDouyin: s, v1alpha1.PlatformSCTT: s,
	}
	p.Registry = accounts.NewRegistry(options)
	return s
}

// A Channel's own block reaches its adapter as it stands in the spec, the others' do not.
func TestSettings(t *testing.T) {
	douyin := func(c *v1alpha1.Channel) {
		c.Spec.Platform = v1alpha1.PlatformDouyin
		c.Spec.Douyin = &v1alpha1.DouyinChannel{AccountID: "7001", AllowLegacySign: true,
			Members: &v1alpha1.DouyinMembers{Updates: "Refuse", Reason: "号码不改"}}
	}
	sctt := func(c *v1alpha1.Channel) {
		c.Spec.Platform = v1alpha1.PlatformSCTT
		c.Spec.SCTT = &v1alpha1.SCTTChannel{Language: "zh-cn"}
	}
	for name, test := range map[string]struct {
		adjust []func(*v1alpha1.Channel)
		want   string // empty: none
	}{
		"none":     {nil, ""},
		"empty":    {[]func(*v1alpha1.Channel){func(c *v1alpha1.Channel) { c.Spec.Fliggy = &v1alpha1.FliggyChannel{} }}, `{}`},
		"Douyin's": {[]func(*v1alpha1.Channel){douyin}, `{"accountID":"7001","members":{"updates":"Refuse","reason":"号码不改"},"allowLegacySign":true}`},
		"SCTT's":   {[]func(*v1alpha1.Channel){sctt}, `{"language":"zh-cn"}`},
		"Douyin, without one": {[]func(*v1alpha1.Channel){func(c *v1alpha1.Channel) {
			c.Spec.Platform = v1alpha1.PlatformDouyin
		}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			s := p.settle(nil)
			account := p.load(p.channel("main", test.adjust...))
			if len(s.given) != 1 {
				t.Fatalf("settings were read %d times", len(s.given))
			}
			if (s.given[0] == nil) != (test.want == "") {
				t.Errorf("given %q", s.given[0])
			}
			if diff := cmp.Diff(decoded(t, test.want), decoded(t, string(s.given[0]))); diff != "" {
				t.Errorf("block (-want +got):\n%s", diff)
			}
			want := any("read: " + string(s.given[0]))
			if account.Settings != want || s.account.Settings != want {
				t.Errorf("the account has %v, its client %v", account.Settings, s.account.Settings)
			}
		})
	}
}

func decoded(t *testing.T, text string) any {
	t.Helper()
	var value any
	if text == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	return value
}

// The API server refuses a block of another platform's; one that came past it, from an
// older schema, still does not reach the adapter.
func TestSettingsOfOtherPlatformsAreNotRead(t *testing.T) {
	p := open(t)
	s := p.settle(nil)
	channel := p.channel("main")
	channel.Spec.Douyin = &v1alpha1.DouyinChannel{AccountID: "7001"}
	channel.Spec.SCTT = &v1alpha1.SCTTChannel{Language: "zh-cn"}
	account := p.load(channel)
	if len(s.given) != 1 || s.given[0] != nil {
		t.Errorf("given %q", s.given)
	}
	if account.Settings != any("read: ") {
		t.Errorf("settings %v", account.Settings)
	}
}

// Settings that the adapter refuses stop our asking, not receiving, and are told by the
// name of their field; mended, all is well.
func TestSettingsAreRefused(t *testing.T) {
	p := open(t)
	s := p.settle(errors.New("accountID is no number"))
	channel := p.channel("main", func(c *v1alpha1.Channel) {
		c.Spec.Platform = v1alpha1.PlatformDouyin
		c.Spec.Douyin = &v1alpha1.DouyinChannel{AccountID: "x"}
	})
	account := p.loadAny(channel)
	p.problem(account, v1alpha1.ReasonSettingsInvalid, "spec.douyin: accountID is no number", true)
	if account.Settings != nil {
		t.Errorf("settings %v", account.Settings)
	}
	s.fails = nil
	if settings, _ := p.load(channel).Settings.(string); !strings.Contains(settings, "accountID") {
		t.Errorf("settings %q", settings)
	}
}

// What is wrong with the settings is told ahead of what is wrong with the credentials.
func TestSettingsProblemIsToldFirst(t *testing.T) {
	p := open(t)
	p.settle(errors.New("no such choice"))
	account := p.loadAny(p.channel("main", func(c *v1alpha1.Channel) { c.Spec.CredentialsRef.Name = "none" }))
	p.problem(account, v1alpha1.ReasonSettingsInvalid, "spec.fliggy: no such choice", true)
}

// Settings that asking needs and the Channel lacks stop our asking, not receiving, and are
// told as such: the Secret is not to blame.
func TestSettingsThatAskingNeeds(t *testing.T) {
	p := open(t)
	s := p.settle(nil)
	s.lacks = fmt.Errorf("%w: spec.sctt.signature is not set", platform.ErrSettings)
	s.decides = true
	sctt := func(c *v1alpha1.Channel) { c.Spec.Platform = v1alpha1.PlatformSCTT }
	channel := p.channel("main", sctt)
	account := p.loadAny(channel)
	p.problem(account, v1alpha1.ReasonSettingsInvalid, "spec.sctt.signature is not set", true)
	if account.Client != nil || account.Receiver == nil || !account.PushesDecide {
		t.Errorf("client %v, receiver %v, pushes decide %t", account.Client, account.Receiver, account.PushesDecide)
	}
	s.lacks = nil
	if account := p.load(channel); account.Client == nil {
		t.Error("mended, it has no client")
	}
}
