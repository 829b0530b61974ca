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
	// siteBurst is how many a site of IPv6 may (/48), whatever networks of it they come from: it has
	// 65,536, and each would begin anew. It is wider, for the networks may be those of many.
	siteBurst = 16 * guessBurst
	// firstPause is how long nothing more of it is looked at then; each further wrong one doubles
	// it, up to longestPause.
	firstPause   = time.Second
	longestPause = time.Minute
	// guessesForgotten is how long after its last wrong one an address is as good as new.
	guessesForgotten = 10 * time.Minute
	// networkBits and siteBits are how long the prefixes are that one owner of IPv6 has, and a site.
	networkBits, siteBits = 64, 48
	// maxGuessers bounds the addresses and sites that are remembered, those that guess and those that are
	// proven each; the ones that were not seen for longest are forgotten.
	maxGuessers = 4096
)

// errSlowed is a push that was not looked at. It may be right, so it is to be sent again.
var errSlowed = errors.New("too many wrong tokens or signatures came from its address: for a while only some of its pushes are looked at")

// guesser is an address, a network of IPv6 that one owner has (/64), or a site of such networks (/48),
// that sends to a Channel.
// The zero guesser is nobody in particular, and never slowed.
type guesser struct {
	channel types.NamespacedName
	from    netip.Prefix
	// token says that the Channel has one: an address that a signature proved before there was
	// has not proven that it knows it.
	token bool
}

// guesses slows those who guess a Channel's token or signatures: each address, and each site of IPv6
// as a whole. An address from which a right push came is never slowed after that, whatever else comes
// from its site. It is safe for concurrent use.
type guesses struct {
	mu     sync.Mutex
	wrong  *lru.Cache // guesser → *misses
	proven *lru.Cache // guesser → nothing
}

// misses are the wrong pushes of one guesser.
type misses struct {
	count int
	// burst is how many are looked at without a pause.
	burst int
	last  time.Time
	// next is when one more is looked at.
	next time.Time
}

func newGuesses() *guesses {
	return &guesses{wrong: lru.New(maxGuessers), proven: lru.New(maxGuessers)}
}

// counted is where a push of a guesser counts: for itself and, of IPv6, for its site.
func (who guesser) counted() []guesser {
	all := []guesser{who}
	if site, err := who.from.Addr().Prefix(siteBits); err == nil && who.from.Addr().Is6() {
		all = append(all, guesser{channel: who.channel, from: site, token: who.token})
	}
	return all
}

func (who guesser) burst() int {
	if who.from.Addr().Is6() && who.from.Bits() == siteBits {
		return siteBurst
	}
	return guessBurst
}

// allow reports whether a push may be looked at now. Of a guesser that is slowed, or whose site is,
// that is one for each pause.
func (g *guesses) allow(who guesser) bool {
	if who == (guesser{}) || g.isProven(who) {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	var slowed []*misses
	for _, from := range who.counted() {
		m := g.misses(from)
		if m.count < m.burst {
			continue
		}
		if now.Before(m.next) {
			return false
		}
		slowed = append(slowed, m)
	}
	for _, m := range slowed {
		m.next = now.Add(m.pause())
	}
	return true
}

// miss notes a push that was wrong.
func (g *guesses) miss(who guesser) {
	if who == (guesser{}) || g.isProven(who) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, from := range who.counted() {
		m := g.misses(from)
		m.count, m.last = m.count+1, time.Now()
		m.next = m.last.Add(m.pause())
		g.wrong.Add(from, m)
	}
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
	return &misses{burst: who.burst()}
}

// pause until the next is looked at.
func (m *misses) pause() time.Duration {
	pause := firstPause
	for i := m.burst; i < m.count && pause < longestPause; i++ {
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
