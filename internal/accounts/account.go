// Package accounts turns Channels and their Secrets into accounts that are ready to
// receive and to ask, and finds them by platform and account id, or by name. Every
// replica keeps its own registry, in memory: looking up an account costs no API call.
// It knows no platform by name and records nothing but the keys it makes.
package accounts

import (
	"net/netip"
	"slices"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// Account is a Channel made ready. It never changes: a changed Channel or Secret gives
// another Account.
type Account struct {
	// Namespace and Name of the Channel.
	Namespace, Name string
	Platform        v1alpha1.Platform
	// Holder is the account's id on the platform, and what signed pushes are checked with.
	platform.Holder

	// Receiver reads this account's pushes; nil if no adapter knows the platform.
	Receiver platform.Receiver
	// PushesDecide: the platform cannot be asked for orders.
	PushesDecide bool
	// Guard is what every push must satisfy.
	Guard Guard
	// MustProve: no push is accepted whose sender nothing proves.
	MustProve bool
	// MaxUnknown is how many objects, that the platform has not confirmed, unproven pushes may
	// make.
	MaxUnknown int
	// Sealer seals what is recorded.
	Sealer *sealing.Sealer
	// Client asks the platform; nil when Problem says why not.
	Client platform.Client

	// Restored: it was made from the copy, and the API server has not been asked since. What
	// it refuses may be right by now.
	Restored bool

	// Suspended: nothing may be asked.
	Suspended bool
	// Problem is why the account cannot be asked; nil if it can.
	Problem *Problem
	// Unreadable is an error that says why nothing can be received now, though the
	// account is known; nil if it can.
	Unreadable error
}

// Problem is why an account cannot be asked, as a condition says it.
type Problem struct {
	Reason, Message string
}

// Guard is what every push for an account must satisfy, beside the platform's signature.
type Guard struct {
	// Tokens of which a push must carry one; empty asks for none.
	Tokens []sealing.Secret
	// Networks a push may come from; empty allows all.
	Networks []netip.Prefix
}

// Admits reports whether a push with this token from this address passes. All tokens
// are compared, in constant time.
func (g Guard) Admits(token sealing.Secret, from netip.Addr) bool {
	tokenFits := len(g.Tokens) == 0
	for _, want := range g.Tokens {
		if want.Equal(token) {
			tokenFits = true
		}
	}
	addressFits := len(g.Networks) == 0
	for _, network := range g.Networks {
		if network.Contains(from.Unmap()) {
			addressFits = true
		}
	}
	return tokenFits && addressFits
}

// Proves reports whether a push that passed has proven its sender by that alone, if its address is the
// sender's own. A network that is wider than any one owner's (/8, or /16 of IPv6) proves nothing.
func (g Guard) Proves() bool {
	everywhere := func(network netip.Prefix) bool {
		if network.Addr().Is4() {
			return network.Bits() < 8
		}
		return network.Bits() < 16
	}
	return len(g.Tokens) > 0 || len(g.Networks) > 0 && !slices.ContainsFunc(g.Networks, everywhere)
}

// ProvesDirectly reports whether a push can have proven its sender so where no proxy tells addresses: by
// a token, or by a connection from an address that is one sender's own. Any other may be that of an ingress.
func (g Guard) ProvesDirectly() bool {
	own := func(network netip.Prefix) bool { return !Shared(network.Addr()) || !Shared(lastOf(network)) }
	return len(g.Tokens) > 0 || slices.ContainsFunc(g.Networks, own)
}

// carrier are the addresses behind a provider's translation (RFC 6598); clouds use them within.
var carrier = netip.MustParsePrefix("100.64.0.0/10")

// siteTranslation is of IPv6 what a site may put in front of IPv4 by a rule of its own (RFC 8215): which
// address stands for which nobody can tell from here.
var siteTranslation = netip.MustParsePrefix("64:ff9b:1::/48")

// Shared reports whether an address is no single sender's: a private one is that of a node or a
// gateway that put its own in the place of the sender's. It is not for what may be called: an address of 6to4
// leads anywhere, and is somebody's.
func Shared(from netip.Addr) bool {
	return !from.IsGlobalUnicast() || from.IsPrivate() || carrier.Contains(from) || siteTranslation.Contains(from)
}

// lastOf is the last address of a network.
func lastOf(network netip.Prefix) netip.Addr {
	bytes := network.Addr().AsSlice()
	for bit := network.Bits(); bit < 8*len(bytes); bit++ {
		bytes[bit/8] |= 0x80 >> (bit % 8)
	}
	last, _ := netip.AddrFromSlice(bytes) // as long as it was
	return last
}
