package accounts_test

import (
	"net/netip"
	"testing"

	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

func guard(tokens []string, networks ...string) accounts.Guard {
	var g accounts.Guard
	for _, token := range tokens {
		g.Tokens = append(g.Tokens, sealing.NewSecret(token))
	}
	for _, network := range networks {
		g.Networks = append(g.Networks, netip.MustParsePrefix(network))
	}
	return g
}

func TestGuardTokens(t *testing.T) {
	several := []string{"first", "second", "third"}
	for name, test := range map[string]struct {
		tokens []string
		token  string
		admits bool
	}{
		"none wanted":            {nil, "", true},
		"none wanted, one given": {nil, "x", true},
		"the one":                {[]string{"first"}, "first", true},
		"another":                {[]string{"first"}, "second", false},
		"none given":             {[]string{"first"}, "", false},
		"the first of several":   {several, "first", true},
		"the middle of several":  {several, "second", true},
		"the last of several":    {several, "third", true},
		"none of several":        {several, "fourth", false},
		"all of several":         {several, "first\nsecond\nthird", false},
		"the same twice":         {[]string{"first", "first"}, "first", true},
		"a beginning":            {several, "fir", false},
		"with a space":           {several, "first ", false},
		"of the same length":     {several, "firsT", false},
	} {
		t.Run(name, func(t *testing.T) {
			// Whatever the order: no match early or late decides alone.
			for turn := range max(1, len(test.tokens)) {
				tokens := append(append([]string{}, test.tokens[min(turn, len(test.tokens)):]...), test.tokens[:min(turn, len(test.tokens))]...)
				if got := guard(tokens).Admits(sealing.NewSecret(test.token), netip.Addr{}); got != test.admits {
					t.Errorf("tokens %q admit %q: %v", tokens, test.token, got)
				}
			}
		})
	}
	if guard(several).Admits(sealing.Secret{}, netip.Addr{}) {
		t.Error("no token at all is admitted")
	}
}

func TestGuardNetworks(t *testing.T) {
	networks := []string{"203.0.113.0/24", "198.51.100.7/32", "2001:db8:7::/48"}
	for from, admits := range map[string]bool{
		"203.0.113.0": true, "203.0.113.255": true, "198.51.100.7": true, "2001:db8:7::1": true, "2001:db8:7:ffff::": true,
		"::ffff:203.0.113.9": true, "::ffff:198.51.100.7": true,
		"203.0.112.255": false, "203.0.114.0": false, "198.51.100.8": false, "2001:db8:8::1": false,
		"::ffff:198.51.100.8": false, "::203.0.113.9": false, "127.0.0.1": false, "::1": false, "2001:db8:7::1%eth0": false,
	} {
		if got := guard(nil, networks...).Admits(sealing.Secret{}, netip.MustParseAddr(from)); got != admits {
			t.Errorf("%s: %v", from, got)
		}
	}
	if guard(nil, networks...).Admits(sealing.Secret{}, netip.Addr{}) {
		t.Error("an unknown address is admitted")
	}
	if guard(nil, "0.0.0.0/0").Admits(sealing.Secret{}, netip.Addr{}) {
		t.Error("an unknown address is admitted where all of IPv4 is")
	}
	if !guard(nil).Admits(sealing.Secret{}, netip.Addr{}) {
		t.Error("without networks any address passes")
	}
}

// Token and network must both fit, and only what was checked proves anything.
func TestGuardWantsBoth(t *testing.T) {
	right, wrong := sealing.NewSecret("t"), sealing.NewSecret("x")
	inside, outside := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("11.0.0.1")
	both := guard([]string{"t"}, "10.0.0.0/8")
	if !both.Admits(right, inside) || both.Admits(right, outside) || both.Admits(wrong, inside) || both.Admits(wrong, outside) {
		t.Error("one of the two is enough, or both are not")
	}
	for name, test := range map[string]struct {
		guard  accounts.Guard
		proves bool
	}{
		"nothing": {guard(nil), false}, "a token": {guard([]string{"t"}), true},
		"a network": {guard(nil, "10.0.0.0/8"), true}, "both": {both, true},
		"every address": {guard(nil, "0.0.0.0/0"), false}, "every address among others": {guard(nil, "10.0.0.0/8", "::/0"), false},
		"every address in two halves": {guard(nil, "0.0.0.0/1", "128.0.0.0/1"), false}, "all of IPv6 that is given out": {guard(nil, "2000::/3"), false},
		"every address and a token": {guard([]string{"t"}, "0.0.0.0/0"), true},
	} {
		if test.guard.Proves() != test.proves {
			t.Errorf("%s proves: %v", name, !test.proves)
		}
	}
}
