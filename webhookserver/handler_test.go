package webhookserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fliggy"
	"github.com/laidoulaile/channel-operator/internal/sealing"
	"github.com/laidoulaile/channel-operator/webhookserver"
)

const (
	maxBody = 256 << 10
	// budget is the shortest deadline of a platform.
	budget = 5 * time.Second
)

// Every row of the design's table, on both paths and both tails.
func TestReplies(t *testing.T) {
	guarded := func() *accounts.Account {
		a := account()
		a.Guard.Tokens = []sealing.Secret{sealing.NewSecret("the-token")}
		return a
	}
	says := func(outcome platform.Outcome, err error) *book {
		b := with(guarded(), nil)
		b.record = func(context.Context) (platform.Outcome, error) { return outcome, err }
		return b
	}
	cases := map[string]struct {
		book   *book
		token  string
		change func(string) string
		status int
		body   string
	}{
		"recorded":      {book: says(platform.OutcomeRecorded, nil), status: 200, body: "success"},
		"duplicate":     {book: says(platform.OutcomeDuplicate, nil), status: 200, body: "success"},
		"older":         {book: says(platform.OutcomeOlder, nil), status: 200, body: "success"},
		"cannot record": {book: says(platform.OutcomeRetry, errors.New("away")), status: 503, body: "retry later"},
		// What the recorder should not say must not be taken for a promise either.
		"recorded, with an error": {book: says(platform.OutcomeRecorded, errors.New("away")), status: 503, body: "retry later"},
		"no outcome":              {book: says("", nil), status: 503, body: "retry later"},
		"retry without an error":  {book: says(platform.OutcomeRetry, nil), status: 503, body: "retry later"},
		"refused without a why":   {book: says(platform.OutcomeMalformed, nil), status: 400, body: "error"},

		"malformed":       {book: says(platform.OutcomeRecorded, nil), change: func(string) string { return "{" }, status: 400, body: "error"},
		"no message id":   {book: says(platform.OutcomeRecorded, nil), change: func(s string) string { return strings.Replace(s, `"messageId"`, `"x"`, 1) }, status: 400, body: "error"},
		"too large":       {book: says(platform.OutcomeRecorded, nil), change: func(s string) string { return s + strings.Repeat(" ", maxBody) }, status: 413, body: "error"},
		"unknown account": {book: says(platform.OutcomeRecorded, nil), change: func(s string) string { return strings.Replace(s, holder, "999", 1) }, status: 404, body: "error"},
		"wrong token":     {book: says(platform.OutcomeRecorded, nil), token: "another", status: 403, body: "error"},

		"Channels not known yet": {book: with(nil, accounts.ErrNotKnownYet), status: 503, body: "retry later"},
		"Secret not readable":    {book: with(guarded(), errors.New("no key token")), status: 503, body: "retry later"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			for _, prefix := range []string{byAccount, byChannel} {
				for _, file := range []string{"product-info.json", "order-refund.json"} {
					body := sample(t, file)
					if test.change != nil {
						body = test.change(body)
					}
					token := "the-token"
					if test.token != "" {
						token = test.token
					}
					answered(t, post(test.book.handler(), prefix+tailOf(file)+"?token="+token, body), test.status, test.body)
				}
			}
		})
	}
}

// What is recorded is the push as it came and what the adapter reads in it.
func TestRecordedAsReceived(t *testing.T) {
	files, err := filepath.Glob("../internal/platform/fliggy/testdata/push/*")
	if err != nil {
		t.Fatal(err)
	}
	done := 0
	for _, file := range files {
		if filepath.Ext(file) == ".golden" {
			continue
		}
		done++
		name, tail, body := filepath.Base(file), tailOf(file), sample(t, filepath.Base(file))
		message, err := fliggy.Adapter{}.Open(platform.Push{Path: tail, Body: []byte(body)})
		if err != nil {
			t.Fatal(err)
		}
		a := account()
		a.ID = message.Account() // some samples are of other accounts
		b := &book{accounts: map[string]found{a.ID: {a, nil}, "travel/fliggy-main": {a, nil}}}
		for _, prefix := range []string{byAccount, byChannel} {
			start := time.Now()
			answered(t, post(b.handler(), prefix+tail+"?a=b", body, func(r *http.Request) { r.Header.Set("X-Trace", "t1") }), 200, "success")
			if len(b.recorded) != 1 {
				t.Fatalf("%s: recorded %d times", name, len(b.recorded))
			}
			got := b.recorded[0]
			b.recorded = nil
			if got.account != a || got.push.Path != tail || string(got.push.Body) != body ||
				got.push.Query.Get("a") != "b" || got.push.Header.Get("X-Trace") != "t1" {
				t.Errorf("%s: recorded %+v", name, got.push)
			}
			if got.push.ReceivedAt.Before(start) || got.push.ReceivedAt.After(time.Now()) {
				t.Errorf("%s: received at %s", name, got.push.ReceivedAt)
			}
			want, err := message.Events()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got.events, cmp.Comparer(func(a, b sealing.Secret) bool { return a.Equal(b) })); diff != "" {
				t.Errorf("%s: events (-want +got):\n%s", name, diff)
			}
		}
	}
	if done < 20 {
		t.Errorf("only %d samples", done)
	}
}

// Size, channel, sender, content: whichever comes first answers, and what was refused
// reaches no recorder.
func TestOrderOfChecks(t *testing.T) {
	const badData = `{"pushType":"ORDER_SEND_CODE_NOTIFY","distributorId":20001,"orderId":"5","timestamp":1758600000500,"messageId":"m","data":5}`
	large := strings.Repeat(" ", maxBody+1)
	unknown := strings.Replace(badData, holder, "999", 1)
	for name, test := range map[string]struct {
		body, token string
		status      int
		looked      bool
	}{
		"too large, unknown, wrong token": {unknown + large, "wrong", 413, false},
		"too large and no push at all":    {large, "wrong", 413, false},
		"no push at all, wrong token":     {"<xml/>", "wrong", 400, false},
		"unknown, wrong token":            {unknown, "wrong", 404, true},
		"wrong token, bad data":           {badData, "wrong", 403, true},
		"right token, bad data":           {badData, "right", 400, true},
	} {
		t.Run(name, func(t *testing.T) {
			a := account()
			a.Guard.Tokens = []sealing.Secret{sealing.NewSecret("right")}
			b := with(a, nil)
			answered(t, post(b.handler(), byAccount+orderTail+"?token="+test.token, test.body), test.status, "error")
			if looked := b.looked > 0; looked != test.looked {
				t.Errorf("looked for the account: %v", looked)
			}
			if len(b.recorded) != 0 {
				t.Error("it was recorded")
			}
			answered(t, post(b.handler(), byChannel+orderTail+"?token="+test.token, test.body), test.status, "error")
			if len(b.recorded) != 0 {
				t.Error("it was recorded on the channel path")
			}
		})
	}
}

// hinting is an adapter whose pushes may name no account and may be signed, as other
// platforms' do.
type hinting struct {
	fliggy.Adapter
	account *string
	verify  func(platform.Credentials) (platform.Proof, error)
	decoded *int
}

func (h hinting) Open(p platform.Push) (platform.Message, error) {
	m, err := h.Adapter.Open(p)
	return hint{m, h}, err
}

type hint struct {
	platform.Message
	h hinting
}

func (m hint) Account() string {
	if m.h.account != nil {
		return *m.h.account
	}
	return m.Message.Account()
}

func (m hint) Verify(h platform.Holder) (platform.Proof, error) { return m.h.verify(h.Credentials) }

func (m hint) Events() ([]platform.Event, error) { *m.h.decoded++; return m.Message.Events() }

func TestSignature(t *testing.T) {
	wrong := fmt.Errorf("%w: it is not the one of the body", platform.ErrForged)
	for name, test := range map[string]struct {
		err      error
		restored bool
		status   int
		body     string
	}{
		"right":                                 {nil, false, 200, "success"},
		"wrong":                                 {wrong, false, 403, "error"},
		"right, as far as is known":             {nil, true, 200, "success"},
		"wrong, as far as is known":             {wrong, true, 503, "retry later"},
		"another account's":                     {platform.ErrOtherAccount, false, 404, "error"},
		"another account's, as far as is known": {platform.ErrOtherAccount, true, 503, "retry later"},
	} {
		t.Run(name, func(t *testing.T) {
			var decoded int
			a := account()
			a.Restored = test.restored
			a.Credentials = platform.Credentials{"secret": sealing.NewSecret("s")}
			adapter := hinting{decoded: &decoded, verify: func(c platform.Credentials) (platform.Proof, error) {
				if c["secret"].Reveal() != "s" {
					t.Error("verified with other credentials")
				}
				return platform.ProofSigned, test.err
			}}
			a.Receiver = adapter
			b := with(a, nil)
			options := b.options()
			options.Receivers[v1alpha1.PlatformFliggy] = adapter
			for _, prefix := range []string{byAccount, byChannel} {
				decoded, b.recorded = 0, nil
				answered(t, post(webhookserver.NewHandler(options), prefix+orderTail, sample(t, "order-refund.json")), test.status, test.body)
				if want := test.err == nil; (decoded == 1) != want || (len(b.recorded) == 1) != want {
					t.Errorf("decoded %d, recorded %d times", decoded, len(b.recorded))
				}
			}
		})
	}
}

// A Channel that is known by the copy alone may have another account by now.
func TestOtherAccountOfARestoredChannel(t *testing.T) {
	for restored, status := range map[bool]int{false: 404, true: 503} {
		a := account()
		a.ID, a.Restored = "20002", restored
		got := post(webhookserver.NewHandler(with(a, nil).options()), byChannel+orderTail, sample(t, "order-refund.json"))
		if got.Code != status {
			t.Errorf("restored %v: answered %d, want %d", restored, got.Code, status)
		}
	}
}

// A push that names no account belongs to the Channel that the path names, and to
// nobody on the account path.
func TestPushWithoutAccount(t *testing.T) {
	var decoded int
	none := ""
	a := account()
	adapter := hinting{decoded: &decoded, account: &none, verify: func(platform.Credentials) (platform.Proof, error) { return platform.ProofNone, nil }}
	a.Receiver = adapter
	b := with(a, nil)
	options := b.options()
	options.Receivers[v1alpha1.PlatformFliggy] = adapter
	body := sample(t, "order-refund.json")
	answered(t, post(webhookserver.NewHandler(options), byChannel+orderTail, body), 200, "success")
	answered(t, post(webhookserver.NewHandler(options), byAccount+orderTail, body), 404, "error")
	if len(b.recorded) != 1 || b.recorded[0].account != a {
		t.Errorf("recorded %d times", len(b.recorded))
	}
}

// What a signature cannot prove the Channel's guard must; and what names nobody's Channel
// and bears no signature passes only on the Channel's own path.
func TestWhatTheGuardMustProve(t *testing.T) {
	for name, test := range map[string]struct {
		proof                platform.Proof
		token, cidr          bool
		common, atTheChannel int
	}{
		"signed":                         {platform.ProofSigned, false, false, 200, 200},
		"nobody signs":                   {platform.ProofNone, false, false, 200, 200},
		"missing, nothing proves it":     {platform.ProofMissing, false, false, 403, 403},
		"missing, a token":               {platform.ProofMissing, true, false, 403, 200},
		"missing, an address":            {platform.ProofMissing, false, true, 403, 200},
		"unchecked, nothing proves it":   {platform.ProofUnchecked, false, false, 503, 503},
		"unchecked, a token":             {platform.ProofUnchecked, true, false, 200, 200},
		"unchecked, a token, an address": {platform.ProofUnchecked, true, true, 200, 200},
	} {
		t.Run(name, func(t *testing.T) {
			var decoded int
			a := account()
			adapter := hinting{decoded: &decoded, verify: func(platform.Credentials) (platform.Proof, error) { return test.proof, nil }}
			a.Receiver = adapter
			if test.token {
				a.Guard.Tokens = []sealing.Secret{sealing.NewSecret("s3cret")}
			}
			if test.cidr {
				a.Guard.Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} // httptest's
			}
			b := with(a, nil)
			options := b.options()
			options.Receivers[v1alpha1.PlatformFliggy] = adapter
			for prefix, want := range map[string]int{byAccount: test.common, byChannel: test.atTheChannel} {
				b.recorded = nil
				w := post(webhookserver.NewHandler(options), prefix+orderTail+"?token=s3cret", sample(t, "order-refund.json"))
				if w.Code != want || (len(b.recorded) == 1) != (want == 200) {
					t.Errorf("%s: %d, recorded %d times; want %d", prefix, w.Code, len(b.recorded), want)
				}
				if !test.token {
					continue
				}
				b.recorded = nil
				if w := post(webhookserver.NewHandler(options), prefix+orderTail+"?token=wrong", sample(t, "order-refund.json")); w.Code != 403 || len(b.recorded) != 0 {
					t.Errorf("%s, wrong token: %d, recorded %d times", prefix, w.Code, len(b.recorded))
				}
			}
		})
	}
}

// explaining says why in its replies.
type explaining struct{ fliggy.Adapter }

func (e explaining) Reply(path string, outcome platform.Outcome, why string) platform.Reply {
	reply := e.Adapter.Reply(path, outcome, why)
	reply.Body = []byte(why)
	return reply
}

// Only what is wrong with a push itself is told to whoever sent it.
func TestWhyIsToldOfMalformedPushesOnly(t *testing.T) {
	for name, test := range map[string]struct {
		body, token string
		broken      error
		status      int
		why         string
	}{
		"malformed envelope": {body: "<xml/>", token: "s3cret", status: 400, why: "malformed push: "},
		"malformed content":  {body: strings.Replace(sample(t, "order-refund.json"), "orderId", "noId", 1), token: "s3cret", status: 400, why: "orderId is missing"},
		"forged":             {body: sample(t, "order-refund.json"), token: "wrong", status: 403},
		"not recorded":       {body: sample(t, "order-refund.json"), token: "s3cret", broken: errors.New("etcd is away"), status: 503},
		"recorded":           {body: sample(t, "order-refund.json"), token: "s3cret", status: 200},
	} {
		t.Run(name, func(t *testing.T) {
			a := account()
			a.Receiver, a.Guard.Tokens = explaining{}, []sealing.Secret{sealing.NewSecret("s3cret")}
			b := with(a, nil)
			b.record = func(context.Context) (platform.Outcome, error) { return platform.OutcomeRecorded, test.broken }
			options := b.options()
			options.Receivers[v1alpha1.PlatformFliggy] = explaining{}
			w := post(webhookserver.NewHandler(options), byAccount+orderTail+"?token="+test.token, test.body)
			if w.Code != test.status || !strings.Contains(w.Body.String(), test.why) || test.why == "" && w.Body.Len() > 0 {
				t.Errorf("%d %q, want %d with %q", w.Code, w.Body, test.status, test.why)
			}
		})
	}
}

func TestSize(t *testing.T) {
	body := sample(t, "product-info.json")
	fill := func(size int) string { return body + strings.Repeat(" ", size-len(body)) }
	for _, prefix := range []string{byAccount, byChannel} {
		b := with(account(), nil)
		server := httptest.NewServer(b.handler())
		t.Cleanup(server.Close)
		for name, test := range map[string]struct {
			body    io.Reader
			status  int
			records int
		}{
			"exactly the cap":          {strings.NewReader(fill(maxBody)), 200, 1},
			"one byte more":            {strings.NewReader(fill(maxBody + 1)), 413, 0},
			"exactly the cap, chunked": {unsized{strings.NewReader(fill(maxBody))}, 200, 1},
			"one byte more, chunked":   {unsized{strings.NewReader(fill(maxBody + 1))}, 413, 0},
		} {
			b.recorded = nil
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+prefix+productTail, test.body)
			if err != nil {
				t.Fatal(err)
			}
			response, err := server.Client().Do(r)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			_ = response.Body.Close()
			if response.StatusCode != test.status || len(b.recorded) != test.records {
				t.Errorf("%s: %d, recorded %d times", name, response.StatusCode, len(b.recorded))
			}
		}
	}
}

// unsized hides its length: it is sent in chunks.
type unsized struct{ io.Reader }

type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	e.read += len(p)
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestBodyWithoutEndIsNotRead(t *testing.T) {
	body := &endless{}
	w := httptest.NewRecorder()
	with(account(), nil).handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, byAccount+productTail, body))
	answered(t, w, 413, "error")
	if body.read > 4*maxBody {
		t.Errorf("read %d bytes", body.read)
	}
}

// A body that breaks off was not read: the platform must send it again.
func TestCutBody(t *testing.T) {
	b := with(account(), nil)
	body := io.MultiReader(strings.NewReader(sample(t, "product-info.json")), cut{})
	w := httptest.NewRecorder()
	b.handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, byAccount+productTail, body))
	answered(t, w, 503, "retry later")
	if len(b.recorded) != 0 {
		t.Error("half a push was recorded")
	}
}

type cut struct{}

func (cut) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Both the push and the path name an account: they must agree.
func TestAccountMismatchOnTheChannelPath(t *testing.T) {
	b := with(account(), nil)
	other := account()
	other.Name, other.ID = "fliggy-other", "999"
	b.accounts["999"], b.accounts["travel/fliggy-other"] = found{other, nil}, found{other, nil}
	body := sample(t, "order-refund.json")
	answered(t, post(b.handler(), "/api/channels/travel/fliggy-other/"+orderTail, body), 404, "error")
	if len(b.recorded) != 0 {
		t.Error("it was recorded")
	}
	answered(t, post(b.handler(), byChannel+orderTail, body), 200, "success")
}

func TestNoSuchPath(t *testing.T) {
	b := with(account(), nil)
	noAdapter := account()
	noAdapter.Receiver = nil
	b.accounts["travel/no-adapter"] = found{noAdapter, errors.New("this manager has no adapter")}
	h := b.handler()
	for _, target := range []string{
		"/", "/api", "/api/webhooks/fliggy", "/api/channels/travel/fliggy-main",
		byAccount + "elsewhere", byAccount + productTail + "/more", byAccount + "Product-Change",
		"/api/webhooks/Fliggy/" + productTail, "/api/webhooks/douyin/events",
		"/api/channels/travel/unknown/" + productTail, "/api/channels/other/fliggy-main/" + productTail,
		"/api/channels/travel/no-adapter/" + productTail,
		byChannel + "elsewhere", byChannel + productTail + "/more", byChannel, "/api/channels/travel/fliggy-main%2F/" + productTail,
		// Odd spellings of paths that there are.
		"//api/webhooks/fliggy/" + productTail, "/api//webhooks/fliggy/" + productTail, byAccount + "/" + productTail,
		"/api/./webhooks/fliggy/" + productTail, "/api/x/../webhooks/fliggy/" + productTail, byAccount + "%2e/" + productTail,
		"/api/%2e%2e/api/webhooks/fliggy/" + productTail, byAccount + productTail + "/", byAccount + productTail + "/.", byAccount + productTail + "%2F",
		"/api/channels//travel/fliggy-main/" + productTail, "/api/channels/travel/./fliggy-main/" + productTail,
		"/api/channels/travel/../travel/fliggy-main/" + productTail, byChannel + productTail + "/",
	} {
		for _, query := range []string{"", "?token=t"} {
			w := post(h, target+query, sample(t, "product-info.json"))
			if w.Code != http.StatusNotFound || w.Header().Get("Location") != "" {
				t.Errorf("%s: %d, Location %q", target, w.Code, w.Header().Get("Location"))
			}
			if body := strings.TrimSpace(w.Body.String()); body == "success" {
				t.Errorf("%s: answered %q", target, body)
			}
		}
	}
	if len(b.recorded) != 0 {
		t.Errorf("recorded %d times", len(b.recorded))
	}
}

func TestOnlyPOST(t *testing.T) {
	b := with(account(), nil)
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions} {
		for _, prefix := range []string{byAccount, byChannel} {
			w := post(b.handler(), prefix+productTail, sample(t, "product-info.json"), func(r *http.Request) { r.Method = method })
			if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != http.MethodPost {
				t.Errorf("%s %s: %d, Allow %q", method, prefix, w.Code, w.Header().Get("Allow"))
			}
		}
	}
	if b.looked != 0 || len(b.recorded) != 0 {
		t.Error("it went on")
	}
}

func TestToken(t *testing.T) {
	for name, test := range map[string]struct {
		tokens []string
		query  string
		passes bool
	}{
		"none wanted":                {nil, "", true},
		"none wanted, one given":     {nil, "?token=x", true},
		"right":                      {[]string{"s3cret"}, "?token=s3cret", true},
		"right among others":         {[]string{"s3cret"}, "?a=b&token=s3cret&c=d", true},
		"escaped":                    {[]string{"a+b/c=="}, "?token=a%2Bb%2Fc%3D%3D", true},
		"missing":                    {[]string{"s3cret"}, "", false},
		"empty":                      {[]string{"s3cret"}, "?token=", false},
		"wrong":                      {[]string{"s3cret"}, "?token=another", false},
		"a piece of it":              {[]string{"s3cret"}, "?token=s3cre", false},
		"longer":                     {[]string{"s3cret"}, "?token=s3crets", false},
		"another case":               {[]string{"s3cret"}, "?token=S3CRET", false},
		"another parameter":          {[]string{"s3cret"}, "?Token=s3cret", false},
		"the old one, in a rotation": {[]string{"old", "new"}, "?token=old", true},
		"the new one, in a rotation": {[]string{"old", "new"}, "?token=new", true},
		"neither, in a rotation":     {[]string{"old", "new"}, "?token=oldnew", false},
	} {
		t.Run(name, func(t *testing.T) {
			a := account()
			for _, token := range test.tokens {
				a.Guard.Tokens = append(a.Guard.Tokens, sealing.NewSecret(token))
			}
			checkGuard(t, a, test.passes, test.query, nil)
		})
	}
}

// checkGuard sends a push on both paths.
func checkGuard(t *testing.T, a *accounts.Account, passes bool, query string, adjust func(*http.Request), proxies ...netip.Prefix) {
	t.Helper()
	for _, prefix := range []string{byAccount, byChannel} {
		b := with(a, nil)
		w := post(b.handler(proxies...), prefix+productTail+query, sample(t, "product-info.json"), func(r *http.Request) {
			if adjust != nil {
				adjust(r)
			}
		})
		if passes {
			answered(t, w, 200, "success")
		} else {
			answered(t, w, 403, "error")
		}
		if (len(b.recorded) == 1) != passes {
			t.Errorf("recorded %d times", len(b.recorded))
		}
	}
}

// A token elsewhere than in the query is none.
func TestTokenInTheHeaderOrBodyDoesNotCount(t *testing.T) {
	a := account()
	a.Guard.Tokens = []sealing.Secret{sealing.NewSecret("s3cret")}
	b := with(a, nil)
	header := func(r *http.Request) { r.Header.Set("token", "s3cret"); r.Header.Set("Authorization", "Bearer s3cret") }
	answered(t, post(b.handler(), byAccount+productTail, sample(t, "product-info.json"), header), 403, "error")
	answered(t, post(b.handler(), byAccount+productTail, sample(t, "product-price.form")+"&token=s3cret"), 403, "error")
}

func TestSenderAddress(t *testing.T) {
	const allowed4, allowed6 = "203.0.113.0/24", "2001:db8:7::/48"
	proxies := []string{"10.0.0.0/8", "fd00::/8"}
	for name, test := range map[string]struct {
		proxies []string
		peer    string
		forward []string
		passes  bool
	}{
		"direct":                              {nil, "203.0.113.9:4711", nil, true},
		"direct, IPv6":                        {nil, "[2001:db8:7::1]:4711", nil, true},
		"direct, IPv4-mapped":                 {nil, "[::ffff:203.0.113.9]:4711", nil, true},
		"direct, from elsewhere":              {nil, "198.51.100.9:4711", nil, false},
		"direct, no address":                  {nil, "@", nil, false},
		"direct, empty":                       {nil, "", nil, false},
		"claims, and no proxy is trusted":     {nil, "198.51.100.9:4711", []string{"203.0.113.9"}, false},
		"claims away, and no proxy is there":  {nil, "203.0.113.9:4711", []string{"198.51.100.9"}, true},
		"claims, not behind the proxy":        {proxies, "198.51.100.9:4711", []string{"203.0.113.9"}, false},
		"behind the proxy":                    {proxies, "10.1.2.3:4711", []string{"203.0.113.9"}, true},
		"behind the proxy, IPv6":              {proxies, "[fd00::1]:4711", []string{"2001:db8:7::1"}, true},
		"behind the proxy, mapped":            {proxies, "[::ffff:10.1.2.3]:4711", []string{"::ffff:203.0.113.9"}, true},
		"behind the proxy, from elsewhere":    {proxies, "10.1.2.3:4711", []string{"198.51.100.9"}, false},
		"behind two proxies":                  {proxies, "10.1.2.3:4711", []string{"203.0.113.9, 10.9.9.9"}, true},
		"behind two proxies, two headers":     {proxies, "10.1.2.3:4711", []string{"203.0.113.9", "10.9.9.9"}, true},
		"behind two proxies, mapped":          {proxies, "10.1.2.3:4711", []string{"203.0.113.9, ::ffff:10.9.9.9"}, true},
		"spoofed on the left":                 {proxies, "10.1.2.3:4711", []string{"203.0.113.9, 198.51.100.9"}, false},
		"spoofed in an earlier header":        {proxies, "10.1.2.3:4711", []string{"203.0.113.9", "198.51.100.9"}, false},
		"spoofed left of a proxy":             {proxies, "10.1.2.3:4711", []string{"203.0.113.9, 198.51.100.9, 10.9.9.9"}, false},
		"right, with a spoof on its left":     {proxies, "10.1.2.3:4711", []string{"198.51.100.9, 203.0.113.9"}, true},
		"right, with garbage on its left":     {proxies, "10.1.2.3:4711", []string{"unknown, ;;, 203.0.113.9"}, true},
		"garbage":                             {proxies, "10.1.2.3:4711", []string{"garbage"}, false},
		"garbage behind a right address":      {proxies, "10.1.2.3:4711", []string{"203.0.113.9, garbage"}, false},
		"garbage between address and proxy":   {proxies, "10.1.2.3:4711", []string{"203.0.113.9, garbage, 10.9.9.9"}, false},
		"nothing between the commas":          {proxies, "10.1.2.3:4711", []string{"203.0.113.9,,"}, false},
		"without the header":                  {proxies, "10.1.2.3:4711", nil, false},
		"spaces and tabs":                     {proxies, "10.1.2.3:4711", []string{"  203.0.113.9\t,  10.9.9.9 "}, true},
		"behind the proxy, with a port":       {proxies, "10.1.2.3:4711", []string{"203.0.113.9:567"}, true},
		"behind the proxy, IPv6, with a port": {proxies, "10.1.2.3:4711", []string{"[2001:db8:7::1]:443"}, true},
		"behind the proxy, mapped, a port":    {proxies, "10.1.2.3:4711", []string{"[::ffff:203.0.113.9]:443"}, true},
		"behind two proxies, each with ports": {proxies, "10.1.2.3:4711", []string{"203.0.113.9:567, [fd00::1]:80, 10.9.9.9:80"}, true},
		"with a port, from elsewhere":         {proxies, "10.1.2.3:4711", []string{"203.0.113.9:567, 198.51.100.9:567"}, false},
		"with a port that is none":            {proxies, "10.1.2.3:4711", []string{"203.0.113.9:65536"}, false},
		"only proxies":                        {proxies, "10.1.2.3:4711", []string{"10.9.9.8, 10.9.9.9"}, false},
		"another header than X-Forwarded-For": {proxies, "10.1.2.3:4711", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := account()
			a.Guard.Networks = []netip.Prefix{netip.MustParsePrefix(allowed4), netip.MustParsePrefix(allowed6)}
			var trusted []netip.Prefix
			for _, p := range test.proxies {
				trusted = append(trusted, netip.MustParsePrefix(p))
			}
			checkGuard(t, a, test.passes, "", func(r *http.Request) {
				r.RemoteAddr = test.peer
				r.Header["X-Forwarded-For"] = test.forward
				r.Header.Set("X-Real-Ip", "203.0.113.9")
				r.Header.Set("Forwarded", "for=203.0.113.9")
			}, trusted...)
		})
	}
}

func TestTokenAndAddressAreBothWanted(t *testing.T) {
	a := account()
	a.Guard.Tokens = []sealing.Secret{sealing.NewSecret("s3cret")}
	a.Guard.Networks = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
	from := func(peer string) func(*http.Request) { return func(r *http.Request) { r.RemoteAddr = peer } }
	checkGuard(t, a, true, "?token=s3cret", from("203.0.113.9:1"))
	checkGuard(t, a, false, "?token=wrong", from("203.0.113.9:1"))
	checkGuard(t, a, false, "?token=s3cret", from("198.51.100.9:1"))
}

// A registry that was not started yet, the real one: "try again", never "unknown".
func TestBeforeTheChannelsAreKnown(t *testing.T) {
	b := with(account(), nil)
	options := b.options()
	options.Accounts = accounts.NewRegistry(accounts.Options{})
	h := webhookserver.NewHandler(options)
	body := sample(t, "product-info.json")
	answered(t, post(h, byAccount+productTail, body), 503, "retry later")
	answered(t, post(h, byChannel+productTail, body), 503, "retry later")
	if len(b.recorded) != 0 {
		t.Error("it was recorded")
	}
}

// Any error but "unknown" is a fault of our own, on either path.
func TestLookUpFails(t *testing.T) {
	b := with(nil, errors.New("broken"))
	body := sample(t, "product-info.json")
	answered(t, post(b.handler(), byAccount+productTail, body), 503, "retry later")
	answered(t, post(b.handler(), byChannel+productTail, body), 503, "retry later")
}

func TestSuspendedAccountReceives(t *testing.T) {
	a := account()
	a.Suspended, a.Client = true, nil
	a.Problem = &accounts.Problem{Reason: v1alpha1.ReasonCredentialsMissing, Message: "no Secret"}
	b := with(a, nil)
	for _, prefix := range []string{byAccount, byChannel} {
		answered(t, post(b.handler(), prefix+productTail, sample(t, "product-info.json")), 200, "success")
	}
	if len(b.recorded) != 2 {
		t.Errorf("recorded %d times, want 2", len(b.recorded))
	}
}

// A recorder that hangs must not keep the platform waiting beyond its deadline: it
// would hear nothing.
func TestRecorderThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := with(account(), nil)
		b.record = func(ctx context.Context) (platform.Outcome, error) {
			<-ctx.Done()
			return platform.OutcomeRetry, ctx.Err()
		}
		start := time.Now()
		answered(t, post(b.handler(), byAccount+productTail, sample(t, "product-info.json")), 503, "retry later")
		if took := time.Since(start); took >= budget || took < time.Second {
			t.Errorf("answered after %s, want within %s and not at once", took, budget)
		}
	})
}

// A platform that hangs up gives nothing back: the record goes on.
func TestCallerHangsUp(t *testing.T) {
	b := with(account(), nil)
	recording, gone, finished := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	b.record = func(ctx context.Context) (platform.Outcome, error) {
		close(recording)
		<-gone
		finished <- ctx.Err()
		return platform.OutcomeRecorded, nil
	}
	h := b.handler()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		go func() { <-r.Context().Done(); close(gone) }() // the server has noticed
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-recording; cancel() }()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+byAccount+productTail, strings.NewReader(sample(t, "product-info.json")))
	if err != nil {
		t.Fatal(err)
	}
	if response, err := server.Client().Do(r); err == nil {
		_ = response.Body.Close()
		t.Fatal("answered a caller that hung up")
	}
	if err := await(t, finished); err != nil {
		t.Errorf("the record was ended: %v", err)
	}
}

func TestPushesAreCounted(t *testing.T) {
	const product, order = "VACATION_RESOURCE_INFO_CHANGE", "ORDER_REFUND_NOTIFY"
	a := account()
	a.Guard.Tokens = []sealing.Secret{sealing.NewSecret("s3cret")}
	b := with(a, nil)
	ask := func(target, body string, outcome platform.Outcome) {
		t.Helper()
		b.record = func(context.Context) (platform.Outcome, error) {
			if outcome == platform.OutcomeRetry {
				return outcome, errors.New("away")
			}
			return outcome, nil
		}
		post(b.handler(), target, body)
	}
	info, refund := sample(t, "product-info.json"), sample(t, "order-refund.json")
	before := counted(t)
	for _, prefix := range []string{byAccount, byChannel} {
		ask(prefix+productTail+"?token=s3cret", info, platform.OutcomeRecorded)
		ask(prefix+orderTail+"?token=s3cret", refund, platform.OutcomeDuplicate)
		ask(prefix+productTail+"?token=s3cret", info, platform.OutcomeOlder)
		ask(prefix+productTail+"?token=s3cret", info, platform.OutcomeRetry)
		ask(prefix+productTail+"?token=PLANTED", info, platform.OutcomeRecorded)
		ask(prefix+orderTail+"?token=s3cret", sample(t, "order-unknown-type.json"), platform.OutcomeRecorded)
		ask(prefix+productTail, info+strings.Repeat(" ", maxBody), "")
		ask(prefix+productTail, "PLANTED", "")
		ask(prefix+productTail, strings.Replace(info, holder, "999", 1), "")
	}
	ask(byAccount+"PLANTED", info, "") // no such path: nobody's push
	const ch = "Fliggy|travel/fliggy-main|"
	want := map[string]float64{
		ch + product + "|recorded": 2, ch + order + "|duplicate": 2, ch + product + "|older": 2, ch + product + "|retry": 2,
		ch + product + "|forged": 2, ch + "unknown|recorded": 2,
		"Fliggy||unknown|too_large": 2, "Fliggy||unknown|malformed": 2, "Fliggy||" + product + "|unknown_account": 2,
		"replies Fliggy": 18,
	}
	if diff := cmp.Diff(want, since(before, counted(t))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The lines about refused pushes say whose and why, and nothing of what came.
func TestLogLines(t *testing.T) {
	const secret = "PLANTED"
	a := account()
	a.Guard.Tokens = []sealing.Secret{sealing.NewSecret("right-" + secret)}
	codes := strings.ReplaceAll(sample(t, "order-send-code.json"), "A1B2C3D4E5", secret)
	if !strings.Contains(codes, secret) {
		t.Fatal("nothing planted")
	}
	right, wrong := "?token=right-"+secret+"&q="+secret, "?token="+secret+"&q="+secret
	for name, test := range map[string]struct {
		book  *book
		query string
		body  string
		says  []string
	}{
		"accepted":        {with(a, nil), right, codes, nil},
		"wrong token":     {with(a, nil), wrong, codes, []string{"forged", "travel/fliggy-main", "spec.receive", "203.0.113.9", "ORDER_SEND_CODE_NOTIFY"}},
		"malformed":       {with(a, nil), right, secret + codes, []string{"malformed", orderTail}},
		"malformed data":  {with(a, nil), right, strings.Replace(codes, `"codeInfos": [`, `"codeInfos": ["`+secret+`",`, 1), []string{"malformed", "travel/fliggy-main"}},
		"bad form":        {with(a, nil), right, "pushType=" + secret + "%zz", []string{"malformed"}},
		"unknown account": {with(a, nil), right, strings.Replace(codes, holder, `"`+secret+`"`, 1), []string{"unknown_account"}},
		"type unknown":    {with(a, nil), wrong, strings.Replace(codes, "ORDER_SEND_CODE_NOTIFY", secret, 1), []string{"forged", "unknown"}},
		"too large":       {with(a, nil), right, codes + strings.Repeat(secret, maxBody), []string{"too_large"}},
		"not known yet":   {with(nil, accounts.ErrNotKnownYet), right, codes, []string{"retry", "not known yet"}},
		"refused":         {refuses(a, secret), right, codes, []string{"retry", "write: Invalid: spec.orderID: FieldValueInvalid"}},
		"unreadable":      {with(a, errors.New("Secret x has no key token")), right, codes, []string{"retry", "Secret x has no key token"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, prefix := range []string{byAccount, byChannel} {
				lines.take()
				post(test.book.handler(), prefix+orderTail+test.query, test.body, func(r *http.Request) {
					r.RemoteAddr = "203.0.113.9:4711"
					r.Header.Set("User-Agent", secret)
					r.Header.Set("X-Forwarded-For", secret)
				})
				got := lines.take()
				for _, line := range got {
					if strings.Contains(line, secret) {
						t.Errorf("logged %s", line)
					}
				}
				if prefix == byChannel && name == "not known yet" {
					continue // refused before anything of it was read
				}
				if (len(got) == 1) != (test.says != nil) {
					t.Errorf("%d lines: %s", len(got), got)
					continue
				}
				for _, word := range test.says {
					if !strings.Contains(got[0], word) {
						t.Errorf("%s does not say %q", got[0], word)
					}
				}
			}
		})
	}
}

// refuses is a book of which the API server refuses a value, and quotes it.
func refuses(a *accounts.Account, value string) *book {
	b := with(a, nil)
	b.record = func(context.Context) (platform.Outcome, error) {
		return platform.OutcomeRetry, fmt.Errorf("write: %w", apierrors.NewInvalid(v1alpha1.SchemeGroupVersion.WithKind("OrderVoucher").GroupKind(), "main",
			field.ErrorList{field.Invalid(field.NewPath("spec", "orderID"), value, "no")}))
	}
	return b
}
