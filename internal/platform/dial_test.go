package platform_test

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/laidoulaile/channel-operator/internal/platform"
)

func TestCheckEndpoint(t *testing.T) {
	cases := map[string]struct {
		endpoint         string
		public, loopback bool // passes; passes with allowPrivate
	}{
		"https":               {"https://api.example.com", true, true},
		"a port":              {"https://api.example.com:8443", true, true},
		"a path":              {"https://api.example.com/v1/", true, true},
		"upper case":          {"HTTPS://API.EXAMPLE.COM", true, true},
		"an address":          {"https://[2001:db8::1]:443", true, true},
		"plain http":          {"http://127.0.0.1:9000", false, true},
		"empty":               {"", false, false},
		"no scheme":           {"api.example.com", false, false},
		"no host":             {"https:///v1", false, false},
		"only a port":         {"https://:443", false, false},
		"opaque":              {"https:api.example.com", false, false},
		"another scheme":      {"ftp://api.example.com", false, false},
		"a file":              {"file:///etc/passwd", false, false},
		"a user":              {"https://me@api.example.com", false, false},
		"a user and password": {"https://me:s3cret@api.example.com", false, false},
		"a query":             {"https://api.example.com?a=s3cret", false, false},
		"an empty query":      {"https://api.example.com?", false, false},
		"a fragment":          {"https://api.example.com#s3cret", false, false},
		"an empty fragment":   {"https://api.example.com#", false, false},
		"a space":             {"https://api example.com", false, false},
		"a control character": {"https://api.example.com/\n", false, false},
		"a bad escape":        {"https://api.example.com/%s3cret", false, false},
		"a bad port":          {"https://api.example.com:s3cret", false, false},

		"a public address":                 {"https://8.8.8.8", true, true},
		"a final dot":                      {"https://api.example.com.", true, true},
		"an inner word in a name":          {"https://localhost.svc.example.com", true, true},
		"localhost":                        {"https://localhost:8443", false, true},
		"localhost, capitals":              {"https://LocalHost", false, true},
		"localhost, a final dot":           {"https://localhost.", false, true},
		"below localhost":                  {"https://api.localhost", false, true},
		"a Service":                        {"https://vault.secrets.svc", false, true},
		"a Service, in full":               {"https://kubernetes.default.svc.cluster.local.", false, true},
		"a Service, in short":              {"https://kubernetes", false, true},
		"multicast DNS":                    {"https://printer.local", false, true},
		"a cloud's metadata":               {"https://metadata.google.internal/computeMetadata/v1/", false, true},
		"the metadata's address":           {"https://169.254.169.254/latest", false, true},
		"a cloud's server of each machine": {"https://168.63.129.16/machine", false, true},
		"loopback":                         {"https://127.0.0.1", false, true},
		"loopback, final dot":              {"https://127.0.0.1.", false, true},
		"loopback, IPv6":                   {"https://[::1]:443", false, true},
		"loopback, mapped":                 {"https://[::ffff:127.0.0.1]", false, true},
		"loopback, translated":             {"https://[64:ff9b::7f00:1]", false, true},
		"loopback, a number":               {"https://2130706433", false, true},
		"a private address":                {"https://10.96.0.1", false, true},
		"a zone":                           {"https://[64:ff9b::a9fe:a9fe%25eth0]", false, true},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			for allowPrivate, want := range map[bool]bool{false: test.public, true: test.loopback} {
				err := platform.CheckEndpoint(test.endpoint, allowPrivate)
				if (err == nil) != want {
					t.Errorf("CheckEndpoint(%q, %v) = %v", test.endpoint, allowPrivate, err)
				}
				if err != nil && (!errors.Is(err, platform.ErrEndpoint) || strings.Contains(err.Error(), "s3cret")) {
					t.Errorf("CheckEndpoint(%q, %v): %v, want an ErrEndpoint that quotes nothing", test.endpoint, allowPrivate, err)
				}
			}
		})
	}
}

func TestOnlyPublicAddressesAreDialled(t *testing.T) {
	cases := map[string][]string{
		"public": {"8.8.8.8:443", "100.63.255.255:443", "100.128.0.0:443", "172.15.0.1:443", "172.32.0.1:443", "168.63.129.15:443", "168.63.129.17:443",
			"[2400:3200::1]:443", "[::ffff:8.8.8.8]:443", "[64:ff9b::808:808]:443"},
		"loopback":                             {"127.0.0.1:443", "127.255.255.254:443", "[::1]:443"},
		"private":                              {"10.0.0.1:443", "172.16.0.1:443", "172.31.255.255:443", "192.168.1.1:443", "[fc00::1]:443", "[fd00:ec2::254]:443"},
		"link-local":                           {"169.254.169.254:80", "[fe80::1]:443", "[fe80::1%eth0]:443"},
		"carrier-grade":                        {"100.64.0.1:443", "100.100.100.200:80", "100.127.255.255:443"},
		"unspecified":                          {"0.0.0.0:443", "[::]:443"},
		"multicast":                            {"224.0.0.1:443", "239.255.255.250:443", "[ff02::1]:443"},
		"broadcast":                            {"255.255.255.255:443"},
		"IPv4-mapped":                          {"[::ffff:127.0.0.1]:443", "[::ffff:10.0.0.1]:443", "[::ffff:169.254.169.254]:80", "[::ffff:100.64.0.1]:443", "[::ffff:0.0.0.0]:443"},
		"translated (NAT64)":                   {"[64:ff9b::7f00:1]:443", "[64:ff9b::a00:1]:443", "[64:ff9b::a9fe:a9fe]:80", "[64:ff9b::6440:1]:443", "[64:ff9b:1::a00:1]:443"},
		"with a zone":                          {"[64:ff9b::a9fe:a9fe%eth0]:80", "[2002:a00:1::1%1]:443", "[fec0::1%eth0]:443", "[2400:3200::1%0]:443"},
		"this network":                         {"0.1.2.3:443"},
		"protocol assignments":                 {"192.0.0.192:80"},
		"benchmarks":                           {"198.18.0.1:443", "198.19.255.255:443"},
		"reserved":                             {"240.0.0.1:443"},
		"site-local":                           {"[fec0::1]:443"},
		"tunnelled (6to4, Teredo, compatible)": {"[2002:a00:1::1]:443", "[2001::a00:1]:443", "[::10.0.0.1]:443"},
		"metadata of clouds": {"169.254.169.254:443", "169.254.170.2:443", "[fd00:ec2::254]:443", "[fd20:ce::254]:443", "100.100.100.200:443", "192.0.0.192:443",
			"168.63.129.16:443", "[::ffff:168.63.129.16]:443", "[64:ff9b::a83f:8110]:443"},
		"no address": {"api.example.com:443", "8.8.8.8", ""},
	}
	for name, addresses := range cases {
		t.Run(name, func(t *testing.T) {
			for _, address := range addresses {
				err := platform.PublicOnly("tcp", address, nil)
				if public := name == "public"; (err == nil) != public {
					t.Errorf("%s: %v", address, err)
				}
				if err != nil && !errors.Is(err, platform.ErrEndpoint) {
					t.Errorf("%s: %v is no ErrEndpoint", address, err)
				}
			}
		})
	}
}

// listener accepts on an address of this machine and counts.
func listener(t *testing.T, address string) (string, *atomic.Int32) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	var accepted atomic.Int32
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String(), &accepted
}

// refuses fails unless the address is not dialled.
func refuses(t *testing.T, base *http.Transport, to string) {
	t.Helper()
	conn, err := base.DialContext(t.Context(), "tcp", to)
	if err == nil {
		_ = conn.Close()
	}
	if !errors.Is(err, platform.ErrEndpoint) {
		t.Errorf("dial %s: %v, want ErrEndpoint", to, err)
	}
}

func TestDialRefusesAnInnerAddress(t *testing.T) {
	address, accepted := listener(t, "127.0.0.1:0")
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	// localhost: what counts is the address that a name resolves to.
	for _, to := range []string{address, "localhost:" + port, "[::ffff:127.0.0.1]:" + port, "0.0.0.0:" + port} {
		refuses(t, platform.NewRoundTripper(false), to)
	}
	if n := accepted.Load(); n != 0 {
		t.Errorf("%d connections reached the listener", n)
	}
	conn, err := platform.NewRoundTripper(true).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatalf("with allowPrivate: %v", err)
	}
	_ = conn.Close()
}

// Whatever is allowed besides, what is denied by name is not dialled, in whatever form.
func TestDeniedNetworksAreNotDialled(t *testing.T) {
	address, accepted := listener(t, "127.0.0.1:0")
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{address, "localhost:" + port, "[::ffff:127.0.0.1]:" + port, "[2a00:1450:1::1]:443", "[64:ff9b::7f00:1]:443", "[64:ff9b::808:808]:443"} {
		base := platform.NewRoundTripper(true, netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("64:ff9b::808:0/112"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("2a00:1450:1::/48"))
		refuses(t, base, to)
	}
	if n := accepted.Load(); n != 0 {
		t.Errorf("%d connections reached the listener", n)
	}
	conn, err := platform.NewRoundTripper(true, netip.MustParsePrefix("10.0.0.0/8")).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatalf("another network is denied: %v", err)
	}
	_ = conn.Close()
}

func TestCallsDoNotReachAnInnerAddress(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(server.Close)
	call := platform.Call{Op: "op", Method: http.MethodPost, URL: server.URL}

	_, err := platform.NewTransport(t.Name(), generous, platform.NewRoundTripper(false)).Do(t.Context(), call)
	if !errors.Is(err, platform.ErrEndpoint) || platform.KindOf(err) != platform.Transient {
		t.Errorf("Do: %v, want a transient ErrEndpoint", err)
	}
	if asked.Load() != 0 {
		t.Error("the call reached an inner address")
	}
	if _, err := platform.NewTransport(t.Name(), generous, platform.NewRoundTripper(true)).Do(t.Context(), call); err != nil {
		t.Errorf("with allowPrivate: %v", err)
	}
}

func TestRoundTripperWantsModernTLSAndNoProxy(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	server.Config.ErrorLog = discard
	server.StartTLS()
	t.Cleanup(server.Close)
	base := platform.NewRoundTripper(true)
	base.TLSClientConfig.InsecureSkipVerify = true // the version is to be what fails
	_, err := platform.NewTransport(t.Name(), generous, base).Do(t.Context(), platform.Call{Op: "op", Method: http.MethodGet, URL: server.URL})
	if err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("TLS 1.1: %v, want it refused for its version", err)
	}
	if base.Proxy != nil {
		t.Error("a proxy would be dialled in place of the address that is checked")
	}
}
