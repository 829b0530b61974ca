package platform

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	handshakeTimeout = 5 * time.Second
	// maxHeader bounds the header of an answer, in bytes.
	maxHeader = 256 << 10
)

// ErrEndpoint is an endpoint that this manager does not call.
var ErrEndpoint = errors.New("endpoint not allowed")

// CheckEndpoint refuses an endpoint that is no https URL with the host of a public
// platform; with allowPrivate, plain http and any host pass too. What a public name
// resolves to is seen when it is dialled: see NewRoundTripper.
func CheckEndpoint(endpoint string, allowPrivate bool) error {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil || strings.ContainsAny(endpoint, "?#"):
		return fmt.Errorf("%w: it must be a plain URL such as https://api.example.com", ErrEndpoint)
	case u.Scheme != "https" && (u.Scheme != "http" || !allowPrivate):
		return fmt.Errorf("%w: it must be https (plain http needs --allow-private-endpoints)", ErrEndpoint)
	case !allowPrivate && inner(u.Hostname()):
		return fmt.Errorf("%w: its host is one of the cluster or the machine (see --allow-private-endpoints)", ErrEndpoint)
	}
	return nil
}

// innerDomains are those that only a cluster, a machine, a site or a cloud resolves.
var innerDomains = []string{".svc", ".local", ".localhost", ".internal"}

// inner reports whether a host is no public name or address. A name without a dot is one of
// the cluster: its search domains complete it.
func inner(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if ip, err := netip.ParseAddr(host); err == nil {
		return !public(ip)
	}
	ends := func(domain string) bool { return strings.HasSuffix(host, domain) }
	return !strings.Contains(host, ".") || slices.ContainsFunc(innerDomains, ends)
}

// NewRoundTripper makes the connections shared by all accounts: TLS 1.2 at least, no
// proxy, unless allowPrivate no address that is not public, and none of those that are
// denied. The address is checked when it is dialled, so that no DNS answer leads inside.
func NewRoundTripper(allowPrivate bool, denied ...netip.Prefix) *http.Transport {
	return &http.Transport{
		DialContext:            newDialer(allowPrivate, denied...).DialContext,
		ForceAttemptHTTP2:      true,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    handshakeTimeout,
		ResponseHeaderTimeout:  callTimeout,
		MaxResponseHeaderBytes: maxHeader,
		MaxIdleConnsPerHost:    32,
		MaxConnsPerHost:        128,
		IdleConnTimeout:        90 * time.Second,
	}
}

func newDialer(allowPrivate bool, denied ...netip.Prefix) *net.Dialer {
	return &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second, Control: func(network, address string, c syscall.RawConn) error {
		if !allowPrivate {
			if err := publicOnly(network, address, c); err != nil {
				return err
			}
		}
		return notDenied(denied, address)
	}}
}

func notDenied(denied []netip.Prefix, address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %s", ErrEndpoint, address)
	}
	dialled, ip := at.Addr().Unmap().WithZone(""), Untranslated(at.Addr())
	if slices.ContainsFunc(denied, func(p netip.Prefix) bool { return p.Contains(ip) || p.Contains(dialled) }) {
		return fmt.Errorf("%w: it resolves to %s, which --denied-cidrs names", ErrEndpoint, ip)
	}
	return nil
}

func publicOnly(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %s", ErrEndpoint, address)
	}
	if ip := at.Addr(); !public(ip) {
		return fmt.Errorf("%w: it resolves to %s, which is not public (see --allow-private-endpoints)", ErrEndpoint, ip)
	}
	return nil
}

func public(ip netip.Addr) bool {
	if ip.Zone() != "" { // a zone is of this machine, and no prefix has an address with one
		return false
	}
	ip = Untranslated(ip)
	inside := func(p netip.Prefix) bool { return p.Contains(ip) }
	return ip.IsGlobalUnicast() && !ip.IsPrivate() && !slices.ContainsFunc(notPublic, inside)
}

// Untranslated is the address that counts: of a mapped or translated one the IPv4 address, without
// a zone.
func Untranslated(ip netip.Addr) netip.Addr {
	ip = ip.Unmap().WithZone("")
	if translated.Contains(ip) {
		b := ip.As16()
		ip = netip.AddrFrom4([4]byte(b[12:]))
	}
	return ip
}

// translated is how a cluster without IPv4 reaches IPv4 addresses (NAT64, RFC 6052):
// the last four bytes are the address that counts.
var translated = netip.MustParsePrefix("64:ff9b::/96")

// notPublic passes for public by Go's reckoning.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),        // this network
	netip.MustParsePrefix("100.64.0.0/10"),    // shared address space (RFC 6598): clusters put their pods there
	netip.MustParsePrefix("168.63.129.16/32"), // a cloud's own server of each machine, with its secrets: a public address
	netip.MustParsePrefix("192.0.0.0/24"),     // protocol assignments; a cloud's metadata
	netip.MustParsePrefix("198.18.0.0/15"),    // benchmarks
	netip.MustParsePrefix("240.0.0.0/4"),      // reserved
	netip.MustParsePrefix("::/96"),            // IPv4-compatible
	netip.MustParsePrefix("64:ff9b:1::/48"),   // a site's own NAT64
	netip.MustParsePrefix("2001::/32"),        // Teredo: any IPv4 address within
	netip.MustParsePrefix("2002::/16"),        // 6to4: any IPv4 address within
	netip.MustParsePrefix("fec0::/10"),        // site-local
}
