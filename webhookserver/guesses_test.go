package webhookserver_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
	"github.com/laidoulaile/channel-operator/webhookserver"
)

const (
	ingress = "10.0.0.1:4711"
	// guessBurst, firstPause and longestPause are what docs/security.md says.
	guessBurst   = 10
	firstPause   = time.Second
	longestPause = time.Minute
)

// proxied is what is declared.
var proxied = netip.MustParsePrefix("10.0.0.0/24")

// pusher pushes through the ingress, or from where adjust says.
type pusher struct {
	*testing.T
	h    http.Handler
	tail string
	body string
}

func (p pusher) push(from, token string, adjust ...func(*http.Request)) int {
	p.Helper()
	return post(p.h, p.tail+"?token="+token, p.body, append([]func(*http.Request){func(r *http.Request) {
		r.RemoteAddr = ingress
		r.Header.Set("X-Forwarded-For", from)
	}}, adjust...)...).Code
}

// want pushes and checks the answer.
func (p pusher) want(status int, from, token string, adjust ...func(*http.Request)) {
	p.Helper()
	if got := p.push(from, token, adjust...); got != status {
		p.Errorf("answered %d, want %d", got, status)
	}
}

// guess sends as many wrong tokens as get an address slowed.
func (p pusher) guess(from string, adjust ...func(*http.Request)) {
	p.Helper()
	for i := range guessBurst {
		p.want(403, from, fmt.Sprint("wrong", i), adjust...)
	}
}

func tokened() *accounts.Account {
	a := account()
	a.Guard.Tokens = []sealing.Secret{sealing.NewSecret("right")}
	return a
}

func newPusher(t *testing.T, a *accounts.Account, proxies ...netip.Prefix) pusher {
	return pusher{T: t, h: with(a, nil).handler(proxies...), tail: byAccount + productTail, body: sample(t, "product-info.json")}
}

// Beyond a burst of wrong tokens nothing that comes from there is looked at but one push for each
// pause: not even the right token tells that it is. The pauses grow, and not for ever.
func TestGuessesAreSlowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPusher(t, tokened(), proxied)
		const attacker = "203.0.113.9"
		p.guess(attacker)
		for pause := firstPause; pause < 10*longestPause; pause *= 2 {
			for range 100 {
				p.want(503, attacker, "wrong")
				p.want(503, attacker, "right")
			}
			p.want(200, "203.0.113.10", "right") // another address
			time.Sleep(min(pause, longestPause) - time.Millisecond)
			p.want(503, attacker, "right")
			time.Sleep(time.Millisecond)
			p.want(403, attacker, "wrong")
		}
	})
}

// A right push is late at most: it passes at the first look, and all that follow pass at once.
func TestRightPushEndsTheSlowing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPusher(t, tokened(), proxied)
		p.guess("203.0.113.9")
		p.want(503, "203.0.113.9", "right")
		time.Sleep(firstPause)
		p.want(200, "203.0.113.9", "right")
		for range 10 * guessBurst {
			p.want(403, "203.0.113.9", "wrong")
			p.want(200, "203.0.113.9", "right")
		}
	})
}

// Who has not guessed for a while is as good as new.
func TestGuessesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPusher(t, tokened(), proxied)
		p.guess("203.0.113.9")
		time.Sleep(10 * time.Minute)
		p.guess("203.0.113.9")
		p.want(503, "203.0.113.9", "right")
	})
}

// Where the address does not tell one sender from another, or nothing can be guessed, guesses of
// one must not shut out another: right pushes pass, whatever else comes.
func TestWhoIsNotSlowed(t *testing.T) {
	direct := func(peer string) func(*http.Request) {
		return func(r *http.Request) { r.RemoteAddr = peer; r.Header.Del("X-Forwarded-For") }
	}
	none := func(*http.Request) {}
	for name, test := range map[string]struct {
		from    string
		adjust  func(*http.Request)
		proxies []netip.Prefix
		account func(*accounts.Account)
		proven  bool
		refused int
	}{
		"no proxy is declared: all comes from it":   {from: "203.0.113.9", adjust: none},
		"an undeclared proxy with a public address": {from: "203.0.113.9", adjust: direct("198.51.100.1:1"), proxies: []netip.Prefix{proxied}},
		"the ingress itself":                        {from: "", adjust: none, proxies: []netip.Prefix{proxied}},
		"what a proxy tells is no address":          {from: "unknown", adjust: none, proxies: []netip.Prefix{proxied}},
		"a node that put its address in its place":  {from: "192.168.7.7", adjust: none, proxies: []netip.Prefix{proxied}},
		"a gateway of the provider's":               {from: "100.64.3.3", adjust: none, proxies: []netip.Prefix{proxied}},
		"a declared proxy with a public address":    {from: "198.51.100.7", adjust: none, proxies: []netip.Prefix{proxied, netip.MustParsePrefix("198.51.100.0/24")}},
		"an address of the cluster's own, IPv6":     {from: "fd00::7", adjust: none, proxies: []netip.Prefix{proxied}},
		"a translation of a site's own":             {from: "64:ff9b:1::203.0.113.9", adjust: none, proxies: []netip.Prefix{proxied}},
		"an address from which a right push came":   {from: "203.0.113.9", adjust: none, proxies: []netip.Prefix{proxied}, proven: true},
		"CIDRs, and the address is in them":         {from: "203.0.113.9", adjust: none, proxies: []netip.Prefix{proxied}, account: within("203.0.113.0/24")},
		"a secret that may have changed in the meantime": {from: "203.0.113.9", adjust: none, proxies: []netip.Prefix{proxied},
			account: func(a *accounts.Account) { a.Restored = true }, refused: 503},
	} {
		t.Run(name, func(t *testing.T) {
			a := tokened()
			if test.account != nil {
				test.account(a)
			}
			p := newPusher(t, a, test.proxies...)
			if test.proven {
				p.want(200, test.from, "right", test.adjust)
			}
			refused := test.refused
			if refused == 0 {
				refused = 403
			}
			for range 3 * guessBurst {
				p.want(refused, test.from, "wrong", test.adjust)
			}
			p.want(200, test.from, "right", test.adjust)
		})
	}
}

func within(cidrs ...string) func(*accounts.Account) {
	return func(a *accounts.Account) {
		for _, cidr := range cidrs {
			a.Guard.Networks = append(a.Guard.Networks, netip.MustParsePrefix(cidr))
		}
	}
}

// CIDRs so wide that they prove nothing let everybody guess.
func TestWideNetworksDoNotKeepFromSlowing(t *testing.T) {
	a := tokened()
	within("0.0.0.0/0")(a)
	p := newPusher(t, a, proxied)
	p.guess("203.0.113.9")
	p.want(503, "203.0.113.9", "right")
}

// A network of IPv6 that one owner has counts as one address; its neighbour as another.
func TestGuessesFromOneNetworkOfIPv6(t *testing.T) {
	p := newPusher(t, tokened(), proxied)
	for i := range guessBurst {
		p.want(403, fmt.Sprintf("2001:db8:1:2:%x::1", i), "wrong")
	}
	p.want(503, "2001:db8:1:2:ffff::1", "right")
	p.want(200, "2001:db8:1:3::1", "right")
}

// Behind NAT64 all of IPv4 has one /64: there an address counts as what it stands for, so that guesses
// from one do not shut out all others, and it does not begin anew in another form.
func TestGuessesFromBehindNAT64(t *testing.T) {
	p := newPusher(t, tokened(), proxied)
	p.guess("64:ff9b::203.0.113.9")
	for _, same := range []string{"64:ff9b::203.0.113.9", "203.0.113.9", "::ffff:203.0.113.9"} {
		p.want(503, same, "right")
	}
	for _, other := range []string{"64:ff9b::203.0.113.10", "64:ff9b::1:203.0.113.9"} {
		p.want(200, other, "right")
	}
	for range 3 * guessBurst { // that of a node, or of a gateway
		p.want(403, "64:ff9b::10.7.7.7", "wrong")
	}
	p.want(200, "64:ff9b::10.7.7.7", "right")
}

// Who comes by a tunnel has an address like anybody, though nobody may be called there.
func TestGuessesFromTunnelsAreSlowed(t *testing.T) {
	for name, from := range map[string]string{"6to4": "2002:cb00:7109::9", "Teredo": "2001:0:cb00:7109::9"} {
		t.Run(name, func(t *testing.T) {
			p := newPusher(t, tokened(), proxied)
			p.guess(from)
			p.want(503, from, "right")
		})
	}
}

// A site of IPv6 has 65,536 networks: they count together too, in a wider measure. Neither a network
// of it from which a right push came nor another site is slowed by that.
func TestGuessesFromOneSiteOfIPv6(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPusher(t, tokened(), proxied)
		const proven, fresh, outside = "2001:db8:1:fffe::1", "2001:db8:1:ffff::1", "2001:db8:2::1"
		p.want(200, proven, "right")
		for i := range 16 * guessBurst {
			p.want(403, fmt.Sprintf("2001:db8:1:%x::1", i), "wrong")
		}
		for range 100 {
			p.want(503, fresh, "right")
		}
		p.want(200, proven, "right")
		p.want(200, outside, "right")
		time.Sleep(firstPause)
		p.want(403, "2001:db8:1:1000::1", "wrong")
		p.want(503, fresh, "right")
		time.Sleep(2 * firstPause)
		p.want(200, fresh, "right")
		p.want(200, fresh, "right")
	})
}

// A network that is slowed does not use up what is looked at of its site.
func TestSlowedNetworkTakesNoLooksOfItsSite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := webhookserver.NewGuesses()
		network := func(i int) netip.Prefix { return netip.MustParsePrefix(fmt.Sprintf("2001:db8:1:%x::/64", i)) }
		for range 16 * guessBurst {
			g.Miss(network(1))
		}
		time.Sleep(firstPause)
		if g.Allow(network(1)) || !g.Allow(network(2)) {
			t.Error("its site is not looked at")
		}
	})
}

// However many networks of however many sites guess, so many are remembered.
func TestSitesAreBounded(t *testing.T) {
	g := webhookserver.NewGuesses()
	for i := range 10000 {
		g.Miss(netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(i >> 8), byte(i)}), 64))
	}
	if wrong, _ := g.Remembered(); wrong != 4096 {
		t.Errorf("%d that guess are remembered", wrong)
	}
}

// Guesses at one Channel do not slow what comes from there for another.
func TestGuessesCountByChannel(t *testing.T) {
	mine, other := tokened(), tokened()
	other.Name, other.ID = "other", "777"
	b := with(mine, nil)
	b.accounts["777"] = found{account: other}
	p := newPusher(t, mine, proxied)
	p.h = b.handler(proxied)
	p.guess("203.0.113.9")
	p.want(503, "203.0.113.9", "right")
	p.body = strings.Replace(p.body, holder, "777", 1)
	p.want(200, "203.0.113.9", "right")
}

// Wrong signatures are slowed as wrong tokens are; a right one passes all the same, for nobody
// guesses it, and so do all that come from there after it.
func TestSignaturesThatAreGuessed(t *testing.T) {
	a := account()
	var decoded int
	answer := error(nil)
	adapter := hinting{decoded: &decoded, verify: func(platform.Credentials) (platform.Proof, error) { return platform.ProofSigned, answer }}
	a.Receiver = adapter
	b := with(a, nil)
	options := b.options(proxied)
	options.Receivers[v1alpha1.PlatformFliggy] = adapter
	p := pusher{T: t, h: webhookserver.NewHandler(options), tail: byAccount + orderTail, body: sample(t, "order-refund.json")}
	wrong := fmt.Errorf("%w: it is wrong", platform.ErrForged)

	answer = wrong
	p.guess("203.0.113.9")
	p.want(503, "203.0.113.9", "")
	answer = platform.ErrOtherAccount
	p.want(404, "203.0.113.9", "")
	answer = errors.New("it cannot be checked")
	p.want(503, "203.0.113.9", "")
	answer = nil
	p.want(200, "203.0.113.9", "")
	answer = wrong
	p.want(403, "203.0.113.9", "")
}

// A signed push that somebody caught, and can send again, does not tell the token: beside a token
// a right signature is slowed as a wrong one is. Who has both passes, unless it is slowed.
func TestSignatureIsNoOracleForTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSigned(t, tokened())
		p.want(200, "203.0.113.10", "right")
		p.guess("203.0.113.9")
		for range 100 {
			p.want(503, "203.0.113.9", "wrong")
			p.want(503, "203.0.113.9", "right")
			p.want(200, "203.0.113.10", "right")
		}
		time.Sleep(firstPause)
		p.want(200, "203.0.113.9", "right")
		for range 3 * guessBurst {
			p.want(403, "203.0.113.9", "wrong")
			p.want(200, "203.0.113.9", "right")
		}
	})
}

// An address that a signature proved, before the Channel had a token, has not proven to know it.
func TestSignatureDoesNotProveATokenToCome(t *testing.T) {
	a := account()
	p := newSigned(t, a)
	p.want(200, "203.0.113.9", "")
	a.Guard = tokened().Guard
	p.guess("203.0.113.9")
	p.want(503, "203.0.113.9", "right")
}

// newSigned pushes with a right signature.
func newSigned(t *testing.T, a *accounts.Account) pusher {
	p := newPusher(t, a)
	options := with(a, nil).options(proxied)
	options.Receivers[v1alpha1.PlatformFliggy] = signs{a.Receiver}
	p.h = webhookserver.NewHandler(options)
	return p
}

// What carries no signature, and a right token, has guessed nothing: by the wrong path it is
// refused, however often, and by the right one it passes.
func TestRightTokenOnTheWrongPathIsNoGuess(t *testing.T) {
	a := tokened()
	var decoded int
	adapter := hinting{decoded: &decoded, verify: func(platform.Credentials) (platform.Proof, error) { return platform.ProofMissing, nil }}
	a.Receiver = adapter
	options := with(a, nil).options(proxied)
	options.Receivers[v1alpha1.PlatformFliggy] = adapter
	p := pusher{T: t, h: webhookserver.NewHandler(options), tail: byAccount + orderTail, body: sample(t, "order-refund.json")}
	for range 3 * guessBurst {
		p.want(403, "203.0.113.9", "right")
	}
	p.tail = byChannel + orderTail
	p.want(200, "203.0.113.9", "right")
}

// However many addresses guess, those remembered are so many; and they do not make us forget who
// was proven.
func TestGuessersAreBounded(t *testing.T) {
	address := func(i int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), 32)
	}
	g, friend := webhookserver.NewGuesses(), netip.MustParsePrefix("203.0.113.9/32")
	g.Hit(friend)
	for i := range 10000 {
		g.Miss(address(i))
	}
	for range 3 * guessBurst {
		g.Miss(friend)
	}
	if wrong, proven := g.Remembered(); wrong != 4096 || proven != 1 || !g.Allow(friend) {
		t.Errorf("%d that guess and %d that are proven are remembered", wrong, proven)
	}
	for i := range 10000 {
		g.Hit(address(i))
	}
	if wrong, proven := g.Remembered(); wrong != 0 || proven != 4096 {
		t.Errorf("%d that guess and %d that are proven are remembered", wrong, proven)
	}
}

// However many come at once, one is looked at for each pause.
func TestOneLookForEachPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, from := webhookserver.NewGuesses(), netip.MustParsePrefix("203.0.113.9/32")
		for range guessBurst {
			g.Miss(from)
		}
		time.Sleep(firstPause)
		if !g.Allow(from) || g.Allow(from) { // what came of the first is not known yet
			t.Error("not one is looked at")
		}
		time.Sleep(firstPause)
		if !g.Allow(from) {
			t.Error("the next is never looked at")
		}
	})
}

// What is slowed is counted by Channel, and told in lines of its own, which do not use up those
// of what could not be recorded.
func TestSlowingIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := with(tokened(), nil)
		p := newPusher(t, tokened(), proxied)
		p.h = b.handler(proxied)
		before := counted(t)
		lines.take()
		p.guess("203.0.113.9")
		for range 100 {
			p.want(503, "203.0.113.9", "PLANTED")
		}
		got := lines.take()
		if len(got) != guessBurst+20 || !strings.Contains(got[guessBurst], "203.0.113.9") || !strings.Contains(got[guessBurst], "travel/fliggy-main") {
			t.Errorf("%d lines, among them %q", len(got), got[guessBurst])
		}
		if strings.Contains(strings.Join(got, ""), "PLANTED") {
			t.Error("a token is logged")
		}
		if n := since(before, counted(t))["slowed travel/fliggy-main"]; n != 100 {
			t.Errorf("counted %v", n)
		}
		b.accounts[holder] = found{err: errors.New("away")}
		p.want(503, "203.0.113.9", "right")
		if got := lines.take(); len(got) != 1 || !strings.Contains(got[0], "away") {
			t.Errorf("of another trouble: %q", got)
		}
	})
}

// What does not look at tokens answers as before: the reply to a slowed push is the platform's
// "try again", and none that ends its attempts.
func TestSlowedReply(t *testing.T) {
	p := newPusher(t, tokened(), proxied)
	p.guess("203.0.113.9")
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, p.tail+"?token=right", strings.NewReader(p.body))
	r.RemoteAddr = ingress
	r.Header.Set("X-Forwarded-For", "203.0.113.9")
	p.h.ServeHTTP(w, r)
	answered(t, w, 503, "retry later")
}

// Where proxies are declared, and pushes come by none, or it does not say from where, that is told:
// once, however many come, and again after a while. What comes as it is declared is not told of.
func TestPushesByNoDeclaredProxyAreTold(t *testing.T) {
	direct := func(r *http.Request) { r.RemoteAddr = "198.51.100.1:1" }
	silent := func(r *http.Request) { r.Header.Del("X-Forwarded-For") }
	garbled := func(r *http.Request) { r.Header.Set("X-Forwarded-For", "PLANTED") }
	for name, test := range map[string]struct {
		adjust  func(*http.Request)
		proxies []netip.Prefix
		says    string
	}{
		"as it is declared":       {func(*http.Request) {}, []netip.Prefix{proxied}, ""},
		"nothing is declared":     {direct, nil, ""},
		"past the proxy":          {direct, []netip.Prefix{proxied}, "198.51.100.1"},
		"a proxy that is silent":  {silent, []netip.Prefix{proxied}, "X-Forwarded-For"},
		"a proxy that is garbled": {garbled, []netip.Prefix{proxied}, "X-Forwarded-For"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPusher(t, tokened(), test.proxies...)
				for range 2 {
					lines.take()
					for range 100 {
						p.want(200, "203.0.113.9", "right", test.adjust)
					}
					got := lines.take()
					if test.says == "" && len(got) > 0 || test.says != "" && (len(got) != 1 || !strings.Contains(got[0], test.says) || strings.Contains(got[0], "PLANTED")) {
						t.Errorf("%q", got)
					}
					time.Sleep(10 * time.Minute)
				}
			})
		})
	}
}

// Who goes past the proxy all the time does not hide that the proxy is silent, nor the other way round.
func TestOneReasonDoesNotHideTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPusher(t, tokened(), proxied)
		lines.take()
		for range 6 {
			for range 100 {
				p.want(200, "203.0.113.9", "right", func(r *http.Request) { r.RemoteAddr = "198.51.100.1:1" })
				p.want(200, "203.0.113.9", "right", func(r *http.Request) { r.Header.Del("X-Forwarded-For") })
			}
			got := strings.Join(lines.take(), "")
			if past, silent := strings.Count(got, "not from an address"), strings.Count(got, "X-Forwarded-For"); past != 1 || silent != 1 {
				t.Errorf("%d lines of the one, %d of the other: %q", past, silent, got)
			}
			time.Sleep(10 * time.Minute)
		}
	})
}
