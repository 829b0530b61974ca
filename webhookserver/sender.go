package webhookserver

// This file says who sent a push: from which address it comes, and what that proves.

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// checkSender has the sender proven, as far as can be, unless somebody at its address has
// guessed wrong too often. A right signature counts all the same, for nobody guesses one; but not
// beside a token, which whoever caught a signed push could guess with it. Unproven is a push that
// passes though neither a signature nor the Channel's guard proves its sender.
func (h *handler) checkSender(r *http.Request, at route, push platform.Push, account *accounts.Account, message platform.Message) (unproven bool, err error) {
	proof, err := message.Verify(account.Holder)
	if err != nil && !errors.Is(err, platform.ErrForged) {
		return false, err
	}
	who := h.guesser(r, account)
	signed := err == nil && proof == platform.ProofSigned
	guessable := !signed || who.token
	if guessable && !h.guesses.allow(who) {
		return false, errSlowed
	}
	if err == nil && !account.Guard.Admits(sealing.NewSecret(push.Query.Get("token")), h.sender(r)) {
		err = fmt.Errorf("%w: the token or the address is not the Channel's (spec.receive)", platform.ErrForged)
	}
	if err != nil {
		h.guesses.miss(who)
		return false, err
	}
	guard := h.proving(r, account.Guard)
	proven := signed || guard.Proves()
	if proven {
		h.guesses.hit(who)
	}
	err = suffices(proof, at, guard)
	if account.MustProve && !proven || err != nil && suffices(proof, at, account.Guard) == nil {
		err = errNotOwn
	}
	return !proven, err
}

// errNotOwn is a push that would pass if its address were known to be its sender's. Somebody has to say so.
var errNotOwn = errors.New("it passes the CIDRs of spec.receive, but they prove nothing: the address is that of a proxy, or is not public and no proxy in --trusted-proxies told it, so it may be everybody's; declare the proxies, or set spec.receive.tokenSecretRef")

// suffices reports whether what is proven of a sender is enough. Where the platform signs
// nothing the push still counts as a hint: it makes us ask, and only the answer counts. Where it
// does and this push cannot be proven so, the guard must prove it.
func suffices(proof platform.Proof, at route, guard accounts.Guard) error {
	switch {
	case proof == platform.ProofMissing && (at.channel == nil || !guard.Proves()):
		return fmt.Errorf("%w: it carries none, and passes only on the Channel's own path with a token or CIDRs in spec.receive", platform.ErrForged)
	case proof == platform.ProofUnchecked && !guard.Proves():
		return errUnchecked
	}
	return nil
}

// errUnchecked is a push that may well be right: somebody has to say how to tell.
var errUnchecked = errors.New("its signature cannot be checked: configure the rule in the Channel's own block for its platform, or a token or CIDRs in spec.receive")

// sender is the address a push comes from: the connection's, or, behind declared
// proxies only, the last address in X-Forwarded-For that is not such a proxy.
func (h *handler) sender(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	from := peer.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && h.trusts(from); i-- {
		hop, err := parseHop(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		from = hop.Unmap()
	}
	return from
}

// parseHop reads an address of X-Forwarded-For; some proxies write its port too.
func parseHop(hop string) (netip.Addr, error) {
	if from, err := netip.ParseAddrPort(hop); err == nil {
		return from.Addr(), nil
	}
	return netip.ParseAddr(hop)
}

func (h *handler) trusts(address netip.Addr) bool {
	return slices.ContainsFunc(h.proxies, func(p netip.Prefix) bool { return p.Contains(address) })
}

// network is the address that a request comes from, or the network of IPv6 that one owner has. It is
// not valid where that says nothing of who sent it: where no declared proxy told it, or it is one
// that many share behind a translation of addresses.
func (h *handler) network(r *http.Request) (none netip.Prefix) {
	if len(h.proxies) == 0 {
		return none
	}
	from := h.sender(r)
	told := h.told(r, from)
	from = platform.Untranslated(from)
	if !told || accounts.Shared(from) {
		return none
	}
	bits := 32
	if from.Is6() {
		bits = networkBits
	}
	network, err := from.Prefix(bits)
	if err != nil {
		return none
	}
	return network
}

// told reports whether a declared proxy told the address that a request is from (see sender).
func (h *handler) told(r *http.Request, from netip.Addr) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && peer.Addr().Unmap() != from && !h.trusts(from)
}

// proving is what of a guard proves the sender of a request: its networks do where the address is the
// sender's own, for a declared proxy told it, or it is the connection's and public. Else it may be that of
// an ingress in front of everybody: then they let in, and prove nothing.
func (h *handler) proving(r *http.Request, guard accounts.Guard) accounts.Guard {
	from := h.sender(r)
	if own := h.told(r, from) || !accounts.Shared(platform.Untranslated(from)) && !h.trusts(from); !own {
		guard.Networks = nil
	}
	return guard
}

// unproxiedEvery is how often it is told that a push did not come as is declared: it is a mistake of who
// set it up, or a pod that goes past the ingress, and so it is the same for many. Each of the two reasons
// has its own line: who makes the one does not hide the other.
const unproxiedEvery = 10 * time.Minute

// tellUnproxied says now and then that proxies are declared, and a push does not come through one, or the
// proxy does not say from where: then its sender is not slowed, and CIDRs see the wrong address.
func (h *handler) tellUnproxied(r *http.Request) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || len(h.proxies) == 0 {
		return
	}
	lines, why := h.unproxied, "its connection is not from an address in --trusted-proxies"
	if h.trusts(peer.Addr().Unmap()) {
		if !h.trusts(h.sender(r)) {
			return
		}
		lines, why = h.unnamed, "X-Forwarded-For names nobody in front of --trusted-proxies"
	}
	if leftOut, allowed := lines.Next(); allowed {
		ctrl.Log.WithName("push").Info("a push comes by no declared proxy: see --trusted-proxies", "why", why, "connection", peer.Addr().String(), "linesLeftOut", leftOut)
	}
}
