package accounts_test

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

func TestAccountIsMadeReady(t *testing.T) {
	p := open(t)
	p.secret("push-token", map[string]string{"token": "  first-" + planted + "\nsecond-" + planted + "\n"})
	channel := p.channel("main", withToken("token"), func(c *v1alpha1.Channel) {
		c.Spec.Receive.AllowedCIDRs = []string{"203.0.113.0/24", "2001:db8::/32"}
		c.Spec.Suspend = true
	})
	account := p.load(channel)
	p.holds("main")
	if account.Namespace != p.namespace || account.Platform != v1alpha1.PlatformFliggy || account.ID != "20001" || !account.Suspended {
		t.Errorf("%+v", account)
	}
	if account.Receiver != platform.Receiver(p.adapter) || account.Credentials["privateKey"].Reveal() != privateKey() {
		t.Error("receiver or credentials are not the Channel's")
	}
	var tokens []string
	for _, token := range account.Guard.Tokens {
		tokens = append(tokens, token.Reveal())
	}
	if diff := cmp.Diff([]string{"first-" + planted, "second-" + planted}, tokens); diff != "" {
		t.Errorf("tokens (-want +got):\n%s", diff)
	}
	want := []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	if diff := cmp.Diff(want, account.Guard.Networks, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("networks (-want +got):\n%s", diff)
	}
}

func TestEndpoint(t *testing.T) {
	set := func(endpoint string) func(*v1alpha1.Channel) {
		return func(c *v1alpha1.Channel) { c.Spec.Endpoint = endpoint }
	}
	for name, test := range map[string]struct {
		adjust       []func(*v1alpha1.Channel)
		allowPrivate bool
		want         string // empty: refused
	}{
		"the platform's":           {nil, false, "https://api.alitrip.alibaba.com"},
		"its own":                  {[]func(*v1alpha1.Channel){set("https://pre-api.example.com")}, false, "https://pre-api.example.com"},
		"with slashes":             {[]func(*v1alpha1.Channel){set("https://pre-api.example.com/gate//")}, false, "https://pre-api.example.com/gate"},
		"plain http":               {[]func(*v1alpha1.Channel){set("http://127.0.0.1:9000")}, false, ""},
		"plain http, allowed":      {[]func(*v1alpha1.Channel){set("http://127.0.0.1:9000")}, true, "http://127.0.0.1:9000"},
		"a password in it":         {[]func(*v1alpha1.Channel){set("https://me:" + planted + "@api.example.com")}, true, ""},
		"a query":                  {[]func(*v1alpha1.Channel){set("https://api.example.com?sign=" + planted)}, true, ""},
		"plain http, a production": {[]func(*v1alpha1.Channel){set("http://api.alitrip.alibaba.com")}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			options := p.options()
			options.AllowPrivate = test.allowPrivate
			p.Registry = accounts.NewRegistry(options)
			account := p.loadAny(p.channel("main", test.adjust...))
			if test.want == "" {
				p.problem(account, v1alpha1.ReasonEndpointNotAllowed, "spec.endpoint", true)
				return
			}
			if account.Problem != nil || p.adapter.account.Endpoint != test.want || p.adapter.account.ID != "20001" {
				t.Errorf("Problem %v, asked at %q", account.Problem, p.adapter.account.Endpoint)
			}
		})
	}
}

// Credentials that do not work stop our asking, not receiving; mended, they work.
func TestCredentials(t *testing.T) {
	for name, test := range map[string]struct {
		data   map[string]string // nil: no Secret
		reason string
		says   string
	}{
		"no Secret":    {nil, v1alpha1.ReasonCredentialsMissing, "Secret own does not exist"},
		"empty":        {map[string]string{}, v1alpha1.ReasonCredentialsInvalid, "privateKey"},
		"another key":  {map[string]string{"private_key": planted}, v1alpha1.ReasonCredentialsInvalid, "privateKey"},
		"blank":        {map[string]string{"privateKey": " \n"}, v1alpha1.ReasonCredentialsInvalid, "privateKey"},
		"no key":       {map[string]string{"privateKey": planted}, v1alpha1.ReasonCredentialsInvalid, "privateKey"},
		"a broken key": {map[string]string{"privateKey": privateKey()[:100] + planted}, v1alpha1.ReasonCredentialsInvalid, "privateKey"},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			own := func(c *v1alpha1.Channel) { c.Spec.CredentialsRef.Name = "own" }
			if test.data != nil {
				p.secret("own", test.data)
			}
			channel := p.channel("main", own)
			account := p.loadAny(channel)
			p.problem(account, test.reason, test.says, true)
			if strings.Contains(account.Problem.Message, privateKey()[20:60]) {
				t.Errorf("%s shows the key", account.Problem.Message)
			}
			var secret corev1.Secret
			if test.data == nil {
				p.secret("own", map[string]string{"privateKey": privateKey()})
			} else if err := p.get(&secret, "own"); err != nil {
				t.Fatal(err)
			} else {
				secret.StringData = map[string]string{"privateKey": privateKey()}
				if err := p.api.Update(t.Context(), &secret); err != nil {
					t.Fatal(err)
				}
			}
			p.load(channel)
		})
	}
}

// A token that is wanted and cannot be had stops receiving: nothing could be checked.
func TestTokenIsMissing(t *testing.T) {
	for name, data := range map[string]map[string]string{
		"no Secret":   nil,
		"no such key": {"other": planted},
		"empty":       {"token": ""},
		"blank":       {"token": " \n\t\n"},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			if data != nil {
				p.secret("push-token", data)
			}
			channel := p.channel("main", withToken("token"))
			account := p.loadAny(channel)
			p.problem(account, v1alpha1.ReasonCredentialsMissing, "Secret push-token has no key token", false)

			secret := &corev1.Secret{}
			if err := p.get(secret, "push-token"); err == nil {
				p.delete(secret)
			}
			p.secret("push-token", map[string]string{"token": "t"})
			if account := p.load(channel); !account.Guard.Proves() {
				t.Error("a token that is there is not wanted")
			}
			p.holds("main")
		})
	}
}

func TestPlatformWithoutAnAdapter(t *testing.T) {
	p := open(t)
	account := p.loadAny(p.channel("main", func(c *v1alpha1.Channel) { c.Spec.Platform = v1alpha1.PlatformSCTT }))
	p.problem(account, v1alpha1.ReasonPlatformNotSupported, "SCTT", false)
	if account.Receiver != nil {
		t.Error("it has a receiver")
	}
	var secret corev1.Secret
	if err := p.get(&secret, "main-sealing"); err == nil {
		t.Error("keys were made for what cannot be used")
	}
}

// What was known stays known while a Secret cannot be read, whichever it is.
func TestFailedReadKeepsWhatWasKnown(t *testing.T) {
	for _, secret := range []string{"main-sealing", "push-token", "credentials"} {
		t.Run(secret, func(t *testing.T) {
			p := open(t)
			p.secret("push-token", map[string]string{"token": "t"})
			channel := p.channel("main", withToken("token"))

			// Not read even once: known to exist, and nothing more.
			p.reader.away(secret)
			err := p.Load(t.Context(), channel)
			if !errors.Is(err, errAway) || !strings.Contains(err.Error(), secret) {
				t.Errorf("Load: %v, want one that names Secret %s", err, secret)
			}
			p.found("main", accounts.ErrNotKnownYet, accounts.ErrNotKnownYet)
			if p.Asking(client.ObjectKeyFromObject(channel)) != nil {
				t.Error("there is an account")
			}

			p.reader.away()
			known := p.load(channel)
			p.reader.away(secret)
			for range 2 {
				if err := p.Load(t.Context(), channel); !errors.Is(err, errAway) {
					t.Errorf("Load: %v", err)
				}
				if now, err := p.ByAccount(v1alpha1.PlatformFliggy, "20001"); err != nil || now != known {
					t.Errorf("what was known is %v, %v", now, err)
				}
			}
			p.reader.away()
			if p.load(channel) == known {
				t.Error("not loaded anew")
			}
		})
	}
}

// A reload forgets neither what was spent nor that the platform is down; new limits count at once.
func TestTransportIsKeptUntilTheLimitsChange(t *testing.T) {
	p := open(t)
	channel := p.channel("main")
	p.load(channel)
	first := p.adapter.last()
	p.load(channel)
	channel.Spec.Suspend, channel.Spec.Endpoint = true, "https://pre-api.example.com"
	p.load(channel)
	p.reader.away("credentials")
	if err := p.Load(t.Context(), channel); err == nil {
		t.Fatal("Load succeeded")
	}
	p.reader.away()
	p.load(channel)
	if p.adapter.last() != first {
		t.Error("a reload made another way out")
	}
	seen := map[*platform.Transport]bool{first: true}
	for _, change := range []func(){
		func() { channel.Spec.Limits.RequestsPerSecond = ptr.To[int32](3) },
		func() { channel.Spec.Limits.Burst = ptr.To[int32](3) },
		func() { channel.Spec.Limits.Concurrency = ptr.To[int32](3) },
		func() { channel.Spec.Limits.RequestsPerSecond = ptr.To[int32](4) },
		func() { channel.Spec.Limits = v1alpha1.ChannelLimits{} },
	} {
		change()
		p.load(channel)
		now := p.adapter.last()
		if seen[now] {
			t.Errorf("limits %+v, and the way out is an old one", channel.Spec.Limits)
		}
		seen[now] = true
		p.load(channel)
		if p.adapter.last() != now {
			t.Error("a reload made another way out")
		}
	}
	// Another Channel has its own.
	p.load(p.channel("other", func(c *v1alpha1.Channel) { c.Spec.Account = "2" }))
	if seen[p.adapter.last()] {
		t.Error("two Channels share a way out")
	}
}

func TestLimits(t *testing.T) {
	for name, test := range map[string]struct {
		adjust   []func(*v1alpha1.Channel)
		rate     float64
		atOnce   int
		underWay int
	}{
		"default": {nil, 10, 20, 8},
		"set":     {[]func(*v1alpha1.Channel){withLimits(1, 3, 2)}, 1, 3, 2},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			hold := make(chan struct{})
			defer close(hold)
			held := make(chan struct{}, 100)
			options := p.options()
			options.RoundTripper = roundTripper(func(r *http.Request) (*http.Response, error) {
				if r.URL.Path == "/hold" {
					held <- struct{}{}
					select {
					case <-hold:
					case <-r.Context().Done():
					}
				}
				return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}, nil
			})
			p.Registry = accounts.NewRegistry(options)
			channel := p.channel("main", test.adjust...)

			p.load(channel)
			ctx, cancel := context.WithTimeout(platform.WithPatience(t.Context(), 0), 5*time.Second)
			defer cancel()
			start, sent := time.Now(), 0
			ask := func(path string) error {
				_, err := p.adapter.last().Do(ctx, platform.Call{Op: "op", Method: http.MethodGet, URL: "https://api.example.com" + path})
				return err
			}
			for ask("/") == nil {
				sent++
			}
			if most := test.atOnce + int(time.Since(start).Seconds()*test.rate) + 1; sent < test.atOnce || sent > most {
				t.Errorf("%d calls at once, want %d to %d", sent, test.atOnce, most)
			}

			p.Registry = accounts.NewRegistry(options) // with a fresh burst
			p.load(channel)
			for range test.underWay {
				go func() { _ = ask("/hold") }()
				<-held
			}
			if err := ask("/hold"); platform.KindOf(err) != platform.Throttled || err == nil {
				t.Errorf("one more than %d under way: %v", test.underWay, err)
			}
		})
	}
}

func TestMask(t *testing.T) {
	p := open(t)
	account := p.load(p.channel("main"))
	var codes []platform.Code
	for range 501 {
		codes = append(codes, platform.Code{Text: sealing.NewSecret(planted), Persons: ptr.To(int64(2)), Used: ptr.To(int64(1)), Refunded: ptr.To(int64(0))})
	}
	masked := account.Mask(codes)
	if len(masked) != 500 {
		t.Errorf("%d codes, want the 500 that the API holds", len(masked))
	}
	want := v1alpha1.Code{ID: account.Sealer.CodeID(sealing.NewSecret(planted)), Hint: "P•••", Persons: ptr.To(int64(2)), Used: ptr.To(int64(1)), Refunded: ptr.To(int64(0))}
	if diff := cmp.Diff(want, masked[0]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if account.Mask(nil) != nil {
		t.Error("codes out of nothing")
	}
}
