package platform

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

// ErrEndpoint is an endpoint that this manager does not call.
var ErrEndpoint = errors.New("endpoint not allowed")

// CheckEndpoint refuses an endpoint that is no https URL with a host; with
// allowPrivate, plain http passes too.
func CheckEndpoint(endpoint string, allowPrivate bool) error {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("%w: it must be a plain URL such as https://api.example.com", ErrEndpoint)
	case u.Scheme == "https", u.Scheme == "http" && allowPrivate:
		return nil
	default:
		return fmt.Errorf("%w: it must be https (plain http needs --allow-private-endpoints)", ErrEndpoint)
	}
}

// NewRoundTripper makes the connections shared by all accounts: TLS 1.2 at least, no
// proxy, and, unless allowPrivate, no address that is not public. The address is
// checked when it is dialled, so that no DNS answer leads inside.
func NewRoundTripper(allowPrivate bool) *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	if !allowPrivate {
		dialer.Control = publicOnly
	}
	return &http.Transport{
		DialContext:           dialer.DialContext,
		ForceAttemptHTTP2:     true,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: callTimeout,
		MaxIdleConnsPerHost:   32,
		MaxConnsPerHost:       128,
		IdleConnTimeout:       90 * time.Second,
	}
}

func publicOnly(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %s", ErrEndpoint, address)
	}
	if ip := at.Addr().Unmap(); !ip.IsGlobalUnicast() || ip.IsPrivate() || carrierGrade.Contains(ip) {
		return fmt.Errorf("%w: it resolves to %s, which is not public (see --allow-private-endpoints)", ErrEndpoint, ip)
	}
	return nil
}

// carrierGrade is shared address space (RFC 6598): public by Go's reckoning, and where
// clusters like to put their pods.
var carrierGrade = netip.MustParsePrefix("100.64.0.0/10")
