package webhookserver

import (
	"errors"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/lru"

	"github.com/laidoulaile/channel-operator/internal/accounts"
)

const (
	// guessBurst is how many wrong tokens or signatures an address may send to a Channel before
	// it is slowed.
	guessBurst = 10
	// firstPause is how long nothing more of it is looked at then; each further wrong one doubles
	// it, up to longestPause.
	firstPause   = time.Second
	longestPause = time.Minute
	// guessesForgotten is how long after its last wrong one an address is as good as new.
	guessesForgotten = 10 * time.Minute
	// maxGuessers bounds the addresses that are remembered, those that guess and those that are
	// proven each; the ones that were not seen for longest are forgotten.
	maxGuessers = 4096
)

// errSlowed is a push that was not looked at. It may be right, so it is to be sent again.
var errSlowed = errors.New("too many wrong tokens or signatures came from its address: for a while only some of its pushes are looked at")

// guesser is an address, or a network of IPv6 that one owner has (/64), that sends to a Channel.
// The zero guesser is nobody in particular, and never slowed.
type guesser struct {
	channel types.NamespacedName
	from    netip.Prefix
	// token says that the Channel has one: an address that a signature proved before there was
	// has not proven that it knows it.
	token bool
}

// guesses slows those who guess a Channel's token or signatures. An address from which a right
// push came is never slowed after that. It is safe for concurrent use.
type guesses struct {
	mu     sync.Mutex
	wrong  *lru.Cache // guesser → *misses
	proven *lru.Cache // guesser → nothing
}

// misses are the wrong pushes of one guesser.
type misses struct {
	count int
	last  time.Time
	// next is when one more is looked at.
	next time.Time
}

func newGuesses() *guesses {
	return &guesses{wrong: lru.New(maxGuessers), proven: lru.New(maxGuessers)}
}

// allow reports whether a push may be looked at now. Of a guesser that is slowed that is one for
// each pause.
func (g *guesses) allow(who guesser) bool {
	if who == (guesser{}) || g.isProven(who) {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	m, now := g.misses(who), time.Now()
	if m.count < guessBurst {
		return true
	}
	if now.Before(m.next) {
		return false
	}
	m.next = now.Add(m.pause())
	return true
}

// miss notes a push that was wrong.
func (g *guesses) miss(who guesser) {
	if who == (guesser{}) || g.isProven(who) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.misses(who)
	m.count, m.last = m.count+1, time.Now()
	m.next = m.last.Add(m.pause())
	g.wrong.Add(who, m)
}

// hit notes a push that was right, and proven to be so.
func (g *guesses) hit(who guesser) {
	if who == (guesser{}) || g.isProven(who) {
		return
	}
	g.proven.Add(who, nil)
	g.wrong.Remove(who)
}

func (g *guesses) isProven(who guesser) bool {
	_, is := g.proven.Get(who)
	return is
}

// misses of a guesser; fresh ones if there are none, or none any more.
func (g *guesses) misses(who guesser) *misses {
	if known, there := g.wrong.Get(who); there && time.Since(known.(*misses).last) < guessesForgotten {
		return known.(*misses)
	}
	return &misses{}
}

// pause until the next is looked at.
func (m *misses) pause() time.Duration {
	pause := firstPause
	for i := guessBurst; i < m.count && pause < longestPause; i++ {
		pause *= 2
	}
	return min(pause, longestPause)
}

// guesser is who may be guessing with a push for an account: nobody where the address says nothing of
// who sent it. Nor where nothing can be guessed: the Channel's CIDRs let nobody else in.
func (h *handler) guesser(r *http.Request, account *accounts.Account) guesser {
	network := h.network(r)
	if !network.IsValid() || account.Restored || (accounts.Guard{Networks: account.Guard.Networks}).Proves() {
		return guesser{}
	}
	return guesser{channel: types.NamespacedName{Namespace: account.Namespace, Name: account.Name}, from: network, token: len(account.Guard.Tokens) > 0}
}

// network is the address that a request comes from, or the network of IPv6 that one owner has. It is
// not valid where that says nothing of who sent it: where no declared proxy told it, or it is one
// that many share behind a translation of addresses.
func (h *handler) network(r *http.Request) (none netip.Prefix) {
	if len(h.proxies) == 0 {
		return none
	}
	from := h.sender(r)
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	told := err == nil && peer.Addr().Unmap() != from && !h.trusts(from)
	if !told || shared(from) {
		return none
	}
	bits := 32
	if from.Is6() {
		bits = 64
	}
	network, err := from.Prefix(bits)
	if err != nil {
		return none
	}
	return network
}

// carrier are the addresses behind a provider's translation (RFC 6598); clouds use them within.
var carrier = netip.MustParsePrefix("100.64.0.0/10")

// shared reports whether an address is no single sender's: a private one is that of a node or a
// gateway that put its own in the place of the sender's.
func shared(from netip.Addr) bool {
	return !from.IsGlobalUnicast() || from.IsPrivate() || carrier.Contains(from)
}
