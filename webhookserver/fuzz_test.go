package webhookserver_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/douyin"
	"github.com/laidoulaile/channel-operator/internal/platform/fliggy"
	"github.com/laidoulaile/channel-operator/internal/platform/sctt"
	"github.com/laidoulaile/channel-operator/internal/sealing"
	"github.com/laidoulaile/channel-operator/webhookserver"
)

const fuzzToken = "PLANTED-token-of-the-fuzz"

// everyone is an account on each platform, each of which wants the token.
type everyone struct {
	book
	all map[v1alpha1.Platform]*accounts.Account
}

func newEveryone() *everyone {
	e := &everyone{all: map[v1alpha1.Platform]*accounts.Account{}}
	for name, adapter := range map[v1alpha1.Platform]platform.Adapter{
		v1alpha1.PlatformFliggy: fliggy.Adapter{}, v1alpha1.PlatformDouyin: douyin.Adapter{}, v1alpha1.PlatformSCTT: sctt.Adapter{},
	} {
		settings, err := adapter.Settings(nil)
		if err != nil {
			panic(err)
		}
		e.all[name] = &accounts.Account{Namespace: "travel", Name: strings.ToLower(string(name)), Platform: name, Receiver: adapter,
			Holder: platform.Holder{ID: holder, Settings: settings, Credentials: platform.Credentials{
				"clientSecret": sealing.NewSecret("s"), "secret": sealing.NewSecret("s")}},
			Guard: accounts.Guard{Tokens: []sealing.Secret{sealing.NewSecret(fuzzToken)}}}
	}
	return e
}

func (e *everyone) ByAccount(p v1alpha1.Platform, id string) (*accounts.Account, error) {
	if a := e.all[p]; a != nil && a.ID == id {
		return a, nil
	}
	return nil, accounts.ErrUnknown
}

func (e *everyone) ByName(name types.NamespacedName) (*accounts.Account, error) {
	for _, a := range e.all {
		if a.Namespace == name.Namespace && a.Name == name.Name {
			return a, nil
		}
	}
	return nil, accounts.ErrUnknown
}

func (e *everyone) OnPlatform(p v1alpha1.Platform) ([]*accounts.Account, error) {
	return []*accounts.Account{e.all[p]}, nil
}

// FuzzHandler: whatever request comes, the reply is one that some platform reads or a plain 404
// or 405, never a fault of our own; nothing is recorded without the token, and nothing shows it.
func FuzzHandler(f *testing.F) {
	for name, adapter := range map[string]platform.Adapter{"fliggy": fliggy.Adapter{}, "douyin": douyin.Adapter{}, "sctt": sctt.Adapter{}} {
		var bodies []string
		for _, folder := range []string{"push", "spi", "events"} {
			files, err := filepath.Glob(filepath.Join("..", "internal", "platform", name, "testdata", folder, "*"))
			if err != nil {
				f.Fatal(err)
			}
			for _, file := range files {
				if body, err := os.ReadFile(file); err == nil && !strings.HasSuffix(file, ".golden") {
					bodies = append(bodies, string(body))
				}
			}
		}
		add := func(tail, query, body string) {
			f.Add(http.MethodPost, "/api/webhooks/"+name+"/"+tail, query, "X-Douyin-Signature", "x", []byte(body))
			f.Add(http.MethodPost, "/api/channels/travel/"+name+"/"+tail, query, "X-Forwarded-For", "1.2.3.4", []byte(body))
		}
		// Each body once, and each path: mixing them is for the fuzzer, which begins when it has been through these.
		tails := adapter.Paths()
		for i, body := range bodies {
			add(tails[i%len(tails)], "token="+fuzzToken, body)
		}
		for _, tail := range tails {
			for _, query := range []string{"", "token=" + fuzzToken, "client_key=" + holder + "&timestamp=1&sign=x"} {
				add(tail, query, "{}")
			}
		}
	}
	f.Add(http.MethodGet, "//api/../", "%zz", "Content-Length", "-1", []byte("x"))
	f.Fuzz(func(t *testing.T, method, path, query, header, value string, body []byte) {
		e := newEveryone()
		h := webhookserver.NewHandler(webhookserver.Options{Accounts: e, Recorder: e, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
			Receivers: map[v1alpha1.Platform]platform.Receiver{v1alpha1.PlatformFliggy: fliggy.Adapter{}, v1alpha1.PlatformDouyin: douyin.Adapter{}, v1alpha1.PlatformSCTT: sctt.Adapter{}}})
		r := &http.Request{Method: method, URL: &url.URL{Path: path, RawQuery: query}, Header: http.Header{}, Host: "x", RemoteAddr: "10.1.1.1:5",
			Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), ProtoMajor: 1, ProtoMinor: 1}
		r.Header.Set(header, value)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)

		kind, reply := w.Header().Get("Content-Type"), strings.TrimSpace(w.Body.String())
		if !slices.Contains([]int{200, 400, 401, 403, 404, 405, 413, 503}, w.Code) || len(reply) > 4096+len(body) {
			t.Errorf("%d %q", w.Code, reply)
		}
		switch {
		case kind == "application/json" && json.Valid(w.Body.Bytes()):
		case kind == plain && slices.Contains([]string{"success", "error", "retry later"}, reply):
		case kind == plain && (w.Code == http.StatusNotFound || w.Code == http.StatusMethodNotAllowed):
		default:
			t.Errorf("%d %s %q", w.Code, kind, reply)
		}
		if strings.Contains(reply, fuzzToken) && !bytes.Contains(body, []byte(fuzzToken)) {
			t.Errorf("the reply shows the token: %q", reply)
		}
		if len(e.recorded) > 0 && (r.URL.Query().Get("token") != fuzzToken || w.Code == http.StatusNotFound) {
			t.Errorf("%d %q, and it was recorded", w.Code, reply)
		}
		for _, line := range lines.take() {
			if strings.Contains(line, fuzzToken) && !strings.Contains(path+method, fuzzToken) {
				t.Errorf("the log shows the token: %s", line)
			}
		}
	})
}

// FuzzSender: nobody chooses by a header whom a push comes from, but proxies that are trusted:
// what stands in front of the last address that is none of them changes nothing.
func FuzzSender(f *testing.F) {
	f.Add("10.0.0.1:5", "1.2.3.4, 10.0.0.2", "6.6.6.6")
	f.Add("[::ffff:10.0.0.1]:5", "fd00::1%eth0,, 10.0.0.3:80", "127.0.0.1")
	f.Add("1.2.3.4:5", "10.0.0.1", "10.0.0.2")
	f.Add("10.0.0.1:5", "[2001:db8::1]:443, 10.0.0.2:9", "6.6.6.6:1")
	f.Add("unix", "x", "")
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	trusted := func(ip netip.Addr) bool {
		return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(ip) })
	}
	f.Fuzz(func(t *testing.T, remote, hops, forged string) {
		from := func(headers ...string) netip.Addr {
			return webhookserver.Sender(proxies, &http.Request{RemoteAddr: remote, Header: http.Header{"X-Forwarded-For": headers}})
		}
		got := from(hops)
		peer, err := netip.ParseAddrPort(remote)
		if err != nil {
			if got.IsValid() {
				t.Errorf("nobody's push comes from %s", got)
			}
			return
		}
		if direct := peer.Addr().Unmap(); !trusted(direct) && got != direct {
			t.Errorf("from %s, and taken for %s", direct, got)
		}
		if got != peer.Addr().Unmap() && !slices.ContainsFunc(strings.Split(hops, ","), func(hop string) bool {
			ip, err := netip.ParseAddr(strings.TrimSpace(hop))
			ported, portedErr := netip.ParseAddrPort(strings.TrimSpace(hop))
			return err == nil && ip.Unmap() == got || portedErr == nil && ported.Addr().Unmap() == got
		}) {
			t.Errorf("%s comes from nowhere", got)
		}
		for _, again := range []netip.Addr{from(forged, hops), from(forged + "," + hops)} {
			if !trusted(got) && again != got {
				t.Errorf("with %q in front it is %s, without %s", forged, again, got)
			}
		}
	})
}
