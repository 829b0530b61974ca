package webhookserver

import (
	"net/netip"
	"time"
)

// Crowded bounds the pushes in hand.
func (o Options) Crowded(inHand int64) Options { o.inHand = inHand; return o }

// Hasty cuts off whoever is slow to send a header or a request, or to take a reply.
func (o Options) Hasty(header, request, reply time.Duration) Options {
	o.headerTimeout, o.timeout, o.replyTimeout, o.firstUnit = header, request, reply, request
	return o
}

// Impatient gives the first unit of a body so long to come.
func (o Options) Impatient(firstUnit time.Duration) Options { o.firstUnit = firstUnit; return o }

// Guesses remember who guesses at one Channel.
type Guesses struct{ *guesses }

// NewGuesses remember nobody.
func NewGuesses() Guesses { return Guesses{newGuesses()} }

func (g Guesses) Allow(from netip.Prefix) bool { return g.allow(guesser{from: from}) }
func (g Guesses) Miss(from netip.Prefix)       { g.miss(guesser{from: from}) }
func (g Guesses) Hit(from netip.Prefix)        { g.hit(guesser{from: from}) }

// Remembered are how many guess, and how many are proven.
func (g Guesses) Remembered() (wrong, proven int) { return g.wrong.Len(), g.proven.Len() }
