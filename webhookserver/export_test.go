package webhookserver

import (
	"net/http"
	"net/netip"
	"time"
)

// Crowded bounds the pushes in hand.
func (o Options) Crowded(inHand int64) Options { o.inHand = inHand; return o }

// Hasty cuts off whoever is slow to send a header or a request, or to take a reply.
func (o Options) Hasty(header, request, reply time.Duration) Options {
	o.headerTimeout, o.timeout, o.replyTimeout = header, request, reply
	return o
}

// Sender is whom a request comes from, behind these proxies.
func Sender(proxies []netip.Prefix, r *http.Request) netip.Addr {
	return (&handler{proxies: proxies}).sender(r)
}
