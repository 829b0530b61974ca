package platform_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/laidoulaile/channel-operator/internal/platform"
)

// FuzzWire: whatever a platform sends back, down to what is no HTTP, it is an answer within
// bounds or a classified error that quotes none of it.
func FuzzWire(f *testing.F) {
	for _, answer := range []string{
		ok + "Content-Length: 7\r\n\r\nPLANTED", chunked + "7\r\nPLANTED\r\n0\r\nX-PLANTED: PLANTED\r\n\r\n", "HTTP/1.1 103 PLANTED\r\n\r\n" + ok + "\r\n",
		ok + "Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x00PLANTED", "HTTP/1.1 PLANTED OK\r\n\r\n", "HTTP/1.1 302 Found\r\nLocation: https://x.example/%PLANTED\r\n\r\n",
		"HTTP/1.1 429 PLANTED\r\nRetry-After: 99999999999999\r\n\r\n", "HTTP/1.1 200 OK\r\nPLANTED PLANTED\r\n\r\n", "HTTP/9.9 200 PLANTED\r\n\r\n",
		ok + "Transfer-Encoding: PLANTED\r\n\r\n", ok + "Content-Length: PLANTED\r\n\r\n", ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nPLANTED",
	} {
		f.Add(answer)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		base := platform.NewRoundTripper(true)
		defer base.CloseIdleConnections()
		base.DialContext = func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, theirs) }()
			go func() { _, _ = io.WriteString(theirs, answer); _ = theirs.Close() }()
			return ours, nil
		}
		call := question()
		call.URL = "http://api.example.com/v1?sign=PLANTED"
		got, err := platform.NewTransport("fuzz", generous, base).Do(t.Context(), call)
		if err == nil {
			if len(got) > maxAnswer {
				t.Errorf("%d bytes", len(got))
			}
			return
		}
		e, classified := errors.AsType[*platform.Error](err)
		if !classified || e.Op != "op" || e.Kind == "" || e.Reason == "" || e.RetryAfter < 0 || e.RetryAfter > maxRetryAfter {
			t.Errorf("%#v", err)
		}
		if text := strings.ToUpper(err.Error()); strings.Contains(text, "PLANTED") || len(text) > 300 {
			t.Errorf("%q shows what was sent", err)
		}
	})
}

// FuzzRetryAfter: whatever the platform asks, it is waited for no less than not at all and no
// longer than ten minutes.
func FuzzRetryAfter(f *testing.F) {
	for _, value := range []string{"", "1", "-1", "1e9", "99999999999999999999", "Thu, 31 Dec 9999 23:59:59 GMT", "Mon Jan  2 15:04:05 0001"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		s := statuses(http.StatusTooManyRequests)
		s.header = []string{"Retry-After", value}
		_, err := platform.NewTransport("fuzz", generous, s).Do(t.Context(), question())
		if e := want(t, err, platform.Throttled, platform.ReasonThrottled); e.RetryAfter < 0 || e.RetryAfter > maxRetryAfter {
			t.Errorf("Retry-After %q: %s", value, e.RetryAfter)
		}
	})
}

// FuzzCheckEndpoint: what passes is https, to a host that is outside as far as its name tells,
// and no refusal quotes.
func FuzzCheckEndpoint(f *testing.F) {
	for _, endpoint := range []string{"https://api.example.com/v1", "http://localhost:80", "https://[::ffff:127.0.0.1]:443", "https://x.svc.", "https://a@b", "//x.example"} {
		f.Add(endpoint)
	}
	f.Fuzz(func(t *testing.T, endpoint string) {
		err := platform.CheckEndpoint(endpoint, false)
		if err != nil {
			if !errors.Is(err, platform.ErrEndpoint) || len(err.Error()) > 150 {
				t.Errorf("%v", err)
			}
			return
		}
		if err := platform.CheckEndpoint(endpoint, true); err != nil {
			t.Errorf("passes only without --allow-private-endpoints: %v", err)
		}
		u, err := url.Parse(endpoint)
		if err != nil || u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			t.Fatalf("passes: %q, %v", endpoint, err)
		}
		host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
		if ip, err := netip.ParseAddr(host); err == nil {
			if err := platform.PublicOnly("tcp", netip.AddrPortFrom(ip, 443).String(), nil); err != nil {
				t.Errorf("passes: %v", err)
			}
			return
		}
		labels := strings.Split(host, ".")
		if last := labels[len(labels)-1]; len(labels) < 2 || last == "svc" || last == "local" || last == "localhost" || last == "internal" {
			t.Errorf("passes: %q", endpoint)
		}
	})
}

// inside are addresses that lead inside, in the words of those who assign them: what
// FuzzDialledAddress compares with is written out once more.
var inside = prefixes("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
	"192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4", "::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16", "fc00::/7", "fe80::/10",
	"fec0::/10", "ff00::/8")

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// FuzzDialledAddress: no address that leads inside is dialled, in whatever form, and all others are.
func FuzzDialledAddress(f *testing.F) {
	for _, text := range []string{"8.8.8.8", "169.254.169.254", "::1", "fd00:ec2::254", "2400:3200::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "168.63.129.16",
		"64:ff9b::a83f:8110", "168.63.129.17", "0.0.0.1", "100.64.0.1", "192.0.0.192", "198.18.0.1", "240.0.0.1", "64:ff9b:1::1", "2001::1", "2002::1", "fec0::1"} {
		ip := netip.MustParseAddr(text)
		mapped := ip.As16()
		f.Add(ip.AsSlice(), uint16(443), "")
		f.Add(mapped[:], uint16(443), "")
		f.Add(mapped[:], uint16(443), "eth0")
	}
	f.Fuzz(func(t *testing.T, raw []byte, port uint16, zone string) {
		ip, valid := netip.AddrFromSlice(raw)
		if !valid {
			return
		}
		counts := ip.Unmap()
		if in16 := ip.As16(); counts.Is6() && netip.MustParsePrefix("64:ff9b::/96").Contains(ip) {
			counts = netip.AddrFrom4([4]byte(in16[12:]))
		}
		leadsInside := false
		for _, prefix := range inside {
			leadsInside = leadsInside || prefix.Contains(counts)
		}
		err := platform.PublicOnly("tcp", netip.AddrPortFrom(ip.WithZone(zone), port).String(), nil)
		if zoned := ip.Is6() && zone != ""; err == nil && (leadsInside || zoned) || err != nil && !leadsInside && !zoned {
			t.Errorf("%s: %v", ip.WithZone(zone), err)
		}
	})
}

// TestNoFormOfAnInnerAddressIsDialled: each inner network, by its first and last addresses and
// one between, plain, mapped and translated.
func TestNoFormOfAnInnerAddressIsDialled(t *testing.T) {
	for _, prefix := range inside {
		for _, ip := range []netip.Addr{prefix.Masked().Addr(), between(prefix), last(prefix)} {
			forms := []netip.Addr{ip}
			if ip.Is4() {
				mapped := ip.As16()
				v4 := ip.As4()
				forms = append(forms, netip.AddrFrom16(mapped), netip.AddrFrom16([16]byte{0, 0x64, 0xff, 0x9b, 12: v4[0], v4[1], v4[2], v4[3]}))
			}
			for _, form := range forms {
				if err := platform.PublicOnly("tcp", netip.AddrPortFrom(form, 443).String(), nil); !errors.Is(err, platform.ErrEndpoint) {
					t.Errorf("%s of %s: %v", form, prefix, err)
				}
			}
		}
	}
}

func last(prefix netip.Prefix) netip.Addr { return filled(prefix, 0xff) }

func between(prefix netip.Prefix) netip.Addr { return filled(prefix, 0x5a) }

// filled is the address of the prefix whose other bits are those of the byte, again and again.
func filled(prefix netip.Prefix, with byte) netip.Addr {
	raw := prefix.Masked().Addr().AsSlice()
	for bit := prefix.Bits(); bit < len(raw)*8; bit++ {
		raw[bit/8] |= with & (0x80 >> (bit % 8))
	}
	ip, _ := netip.AddrFromSlice(raw)
	return ip
}
