package douyin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fields"
	"github.com/laidoulaile/channel-operator/internal/platform/golden"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

const (
	testProduct = "1805831187321867"
	tokenAnswer = `{"data":{"access_token":"clt.s3cret-%d","expires_in":7200,"error_code":0,"description":""},"message":"success"}`
	good        = `{"data":{"error_code":0,"description":"success"},"extra":{"error_code":0}}`
)

// question is one request as the server saw it.
type question struct {
	op, method, token string
	query             url.Values
	body              string
}

// server answers by operation, hands out tokens, and keeps what it was asked.
type server struct {
	*httptest.Server
	t      *testing.T
	answer func(question) string

	mu     sync.Mutex
	asked  []question
	tokens int
}

func newServer(t *testing.T, answer func(question) string) *server {
	t.Helper()
	s := &server{t: t, answer: answer}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// always answers every question but that for a token so.
func always(text string) func(question) string { return func(question) string { return text } }

// ServeHTTP checks what all calls share.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	if r.Header.Get("Content-Type") != "application/json" {
		s.t.Errorf("%s: Content-Type %q", r.URL.Path, r.Header.Get("Content-Type"))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path == "/oauth/client_token/" {
		s.tokens++
		q := question{op: opToken, method: r.Method, body: string(body)}
		if answer := s.answer(q); answer != "" && answer != good {
			_, _ = io.WriteString(w, answer)
			return
		}
		_, _ = fmt.Fprintf(w, tokenAnswer, s.tokens)
		return
	}
	op, ok := strings.CutPrefix(r.URL.Path, "/goodlife/v1/")
	op, slash := strings.CutSuffix(op, "/")
	if !ok || !slash {
		s.t.Errorf("path %s", r.URL.Path)
	}
	if r.Header.Get("Rpc-Transit-Life-Account") != testAccount {
		s.t.Errorf("%s: another root account", op)
	}
	for name, values := range r.URL.Query() {
		if len(values) != 1 || values[0] == "" || values[0] == "0" && name != "cursor" {
			s.t.Errorf("%s: %s is %q: what says nothing is not sent", op, name, values)
		}
	}
	q := question{op: op, method: r.Method, token: r.Header.Get("access-token"), query: r.URL.Query(), body: string(body)}
	s.asked = append(s.asked, q)
	_, _ = io.WriteString(w, s.answer(q))
}

// keeper keeps tokens as the operator does, for one replica.
type keeper struct {
	mu      sync.Mutex
	token   sealing.Secret
	lasts   time.Duration
	refused []string
}

func (k *keeper) Token(ctx context.Context, refused sealing.Secret, fetch func(context.Context) (platform.Token, error)) (sealing.Secret, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !refused.IsZero() {
		k.refused = append(k.refused, refused.Reveal())
	}
	if !k.token.IsZero() && !k.token.Equal(refused) {
		return k.token, nil
	}
	token, err := fetch(ctx)
	if err == nil {
		k.token, k.lasts = token.Text, token.Lasts
	}
	return token.Text, err
}

func (s *server) client(t *testing.T) *Client {
	t.Helper()
	return s.clientOf(t, holder(nil), &keeper{})
}

func (s *server) clientOf(t *testing.T, h platform.Holder, tokens platform.Tokens) *Client {
	t.Helper()
	account := platform.Account{Holder: h, Endpoint: s.URL, Tokens: tokens, Now: func() time.Time { return testNow }}
	limits := platform.Limits{RequestsPerSecond: 10000, Burst: 10000, Concurrency: 2}
	client, err := Adapter{}.NewClient(account, platform.NewTransport(t.Name(), limits, http.DefaultTransport))
	if err != nil {
		t.Fatal(err)
	}
	return client.(*Client)
}

func TestNewClient(t *testing.T) {
	for name, credentials := range map[string]platform.Credentials{
		"none": nil, "blank": {keySecret: sealing.NewSecret(" ")}, "previous alone": {keyPrevious: sealing.NewSecret(testSecret)},
	} {
		_, err := Adapter{}.NewClient(platform.Account{Holder: platform.Holder{ID: testKey, Credentials: credentials}}, nil)
		if !errors.Is(err, platform.ErrCredentials) || !strings.Contains(err.Error(), keySecret) {
			t.Errorf("%s: %v", name, err)
		}
		checkNoSecret(t, err)
	}
	client, err := Adapter{}.NewClient(platform.Account{Holder: holder(nil)}, nil)
	if err != nil || client.(*Client).now == nil {
		t.Errorf("%v", err)
	}
}

// Each call sends what is documented, and nothing that says nothing.
func TestCalls(t *testing.T) {
	ctx := t.Context()
	of := func(pairs ...string) url.Values {
		values := url.Values{"account_id": {testAccount}}
		for i := 0; i < len(pairs); i += 2 {
			values.Set(pairs[i], pairs[i+1])
		}
		return values
	}
	without := func(values url.Values) url.Values { values.Del("account_id"); return values }
	page := []string{"page_num", "1", "page_size", "50", "cursor", "0"}
	codes := []platform.Code{{ID: cert1, Text: sealing.NewSecret("A")}, {ID: cert2, Text: sealing.NewSecret("B")}}
	decide := func(decision platform.Decision) func(*Client) error {
		return func(c *Client) error { decision.OrderID = testOrder; return c.DecideRefund(ctx, decision) }
	}
	cases := map[string]struct {
		call  func(*Client) error
		op    string
		query url.Values
		body  string
	}{
		"check": {func(c *Client) error { return c.Check(ctx) }, opOnlineQuery, of("count", "1"), ""},
		"list": {func(c *Client) error {
			return c.ListProducts(ctx, func([]platform.ListedProduct) bool { return true })
		}, opOnlineQuery, of("count", "50"), ""},
		"order": {func(c *Client) error {
			_, err := c.Order(ctx, platform.OrderQuestion{OrderID: testOrder, OutOrderID: "T"})
			return gone(err)
		}, opOrderQuery, of(append(page, "order_id", testOrder)...), ""},
		"order by our id": {func(c *Client) error {
			_, err := c.Order(ctx, platform.OrderQuestion{OutOrderID: "T"})
			return gone(err)
		}, opOrderQuery, of(append(page, "ext_order_id", "T")...), ""},
		"codes of certificates": {func(c *Client) error { return c.IssueCodes(ctx, platform.Issue{OrderID: testOrder, Codes: codes}) }, opIssueCallback, nil,
			`{"order_id":"` + testOrder + `","result":1,"certificates":[{"certificate_id":"` + cert1 + `","code":"A"},{"certificate_id":"` + cert2 + `","code":"B"}]}`},
		"codes without ids": {func(c *Client) error {
			return c.IssueCodes(ctx, platform.Issue{OrderID: testOrder, Codes: []platform.Code{{Text: sealing.NewSecret("A")}, {ID: cert2, Text: sealing.NewSecret("B")}}})
		}, opIssueCallback, nil, `{"order_id":"` + testOrder + `","result":1,"codes":["A","B"]}`},
		"approve what was used": {decide(platform.Decision{RefundID: cert1, PlatformType: eventAfterSale, Approve: true, Reason: "x"}), opAfterSaleAudit, nil,
			`{"account_id":"` + testAccount + `","order_id":"` + testOrder + `","certificate_id":"` + cert1 + `","audit_status":true}`},
		"refuse what was used": {decide(platform.Decision{RefundID: cert1, PlatformType: eventAfterSaleMisspelt, Reason: "已使用"}), opAfterSaleAudit, nil,
			`{"account_id":"` + testAccount + `","order_id":"` + testOrder + `","certificate_id":"` + cert1 + `","audit_status":false,"reject_reason":"已使用"}`},
		"approve": {decide(platform.Decision{RefundID: "7", PlatformType: sceneRefundApply, Approve: true, Codes: codes[:1], Reason: "x"}), opRefundAudit, nil,
			`{"result":1,"after_sale_id":"7","certificate":[{"certificate_id":"` + cert1 + `","code":"A"}]}`},
		"refuse": {decide(platform.Decision{RefundID: "7", PlatformType: sceneRefundApply, Codes: []platform.Code{codes[0], {ID: cert2}}, Reason: "已使用"}), opRefundAudit, nil,
			`{"result":2,"after_sale_id":"7","certificate":[{"certificate_id":"` + cert1 + `","code":"A","reason":"已使用"},{"certificate_id":"` + cert2 + `","reason":"已使用"}]}`},
		"refuse, nothing named": {decide(platform.Decision{RefundID: "7", PlatformType: sceneRefundApply}), opRefundAudit, nil,
			`{"result":2,"after_sale_id":"7","reason":"商家不同意退款"}`},
		"of its only certificate": {decide(platform.Decision{RefundID: cert1, PlatformType: sceneRefundApply, Approve: true, Codes: codes[:1]}), opRefundAudit, nil,
			`{"result":1,"certificate":[{"certificate_id":"` + cert1 + `","code":"A"}]}`},
		"of its certificates": {decide(platform.Decision{RefundID: hashed("x"), PlatformType: sceneRefundApply, Approve: true, Codes: codes}), opRefundAudit, nil,
			`{"result":1,"certificate":[{"certificate_id":"` + cert1 + `","code":"A"},{"certificate_id":"` + cert2 + `","code":"B"}]}`},
		"partner": {func(c *Client) error { _, _, err := c.Notice(ctx, eventPartnerOrder, "7"); return err }, opPartnerOrder,
			without(of("order_id", "7")), ""},
		"commission": {func(c *Client) error { _, _, err := c.Notice(ctx, eventCommission, "7"); return err }, opCommissionQuery,
			without(of("order_id", "7", "page", "1", "size", "50")), ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, always(good))
			if err := tc.call(s.client(t)); err != nil {
				t.Fatal(err)
			}
			if len(s.asked) != 1 {
				t.Fatalf("asked %d times", len(s.asked))
			}
			method := http.MethodGet
			if tc.body != "" {
				method, tc.query = http.MethodPost, url.Values{}
			}
			want := question{tc.op, method, "clt.s3cret-1", tc.query, tc.body}
			if diff := cmp.Diff(want, s.asked[0], cmp.AllowUnexported(question{})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// gone takes it for no failure that there is no such thing.
func gone(err error) error {
	if err != nil && platform.KindOf(err) == platform.Gone {
		return nil
	}
	return err
}

func TestProductCalls(t *testing.T) {
	named := url.Values{"account_id": {testAccount}, "product_ids": {testProduct}}
	for name, tc := range map[string]struct {
		aspects []platform.Aspect
		ops     []string
	}{
		"first look":   {nil, []string{opOnlineGet, opDraftGet}},
		"info":         {[]platform.Aspect{platform.AspectInfo}, []string{opOnlineGet, opDraftGet}},
		"availability": {[]platform.Aspect{platform.AspectAvailability}, []string{opOnlineGet, opDraftGet}},
		"price, stock": {[]platform.Aspect{platform.AspectPrice, platform.AspectStock}, []string{opOnlineGet}},
	} {
		answers := answersOf(t, filepath.Join("testdata", "api", "product-on-sale.json"))
		s := newServer(t, answers)
		product, err := s.client(t).Product(t.Context(), platform.ProductQuestion{ProductID: testProduct, Aspects: tc.aspects})
		if err != nil {
			t.Fatal(err)
		}
		var ops []string
		for _, q := range s.asked {
			ops = append(ops, q.op)
			if diff := cmp.Diff(named, q.query); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
		if !slices.Equal(ops, tc.ops) || (product.Info != nil) != (len(tc.ops) == 2) {
			t.Errorf("%s: asked %s", name, ops)
		}
	}
}

// Without an account in the settings nothing names one.
func TestCallsWithoutAccount(t *testing.T) {
	var header http.Header
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header = r.Header
		if strings.Contains(r.URL.RawQuery, "account_id") {
			t.Error(r.URL)
		}
		_, _ = fmt.Fprintf(w, tokenAnswer, 1)
	}))
	defer s.Close()
	h := holder(func(settings *Settings) { settings.AccountID = "" })
	if err := (&server{Server: s}).clientOf(t, h, &keeper{}).Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if header.Values("Rpc-Transit-Life-Account") != nil {
		t.Error("a root account is named")
	}
}

func TestQuestionsNotSent(t *testing.T) {
	s := newServer(t, always(good))
	c := s.client(t)
	_, err := c.Order(t.Context(), platform.OrderQuestion{})
	for name, err := range map[string]error{
		"no order":     err,
		"no codes":     c.IssueCodes(t.Context(), platform.Issue{OrderID: testOrder}),
		"of no order":  c.IssueCodes(t.Context(), platform.Issue{Codes: []platform.Code{{Text: sealing.NewSecret("A")}}}),
		"a code lacks": c.IssueCodes(t.Context(), platform.Issue{OrderID: testOrder, Codes: []platform.Code{{ID: cert1}}}),
		"no request":   c.DecideRefund(t.Context(), platform.Decision{OrderID: testOrder, PlatformType: "life_trade_order_notify"}),
	} {
		t.Run(name, func(t *testing.T) { checkError(t, err, platform.Refused, platform.ReasonRequest) })
	}
	for _, about := range [][2]string{{eventPartnerOrder, ""}, {eventCommission, ""}, {"life_something_new", "7"}, {sceneMemberInfo, "o"}} {
		if text, asked, err := c.Notice(t.Context(), about[0], about[1]); text != "" || asked || err != nil {
			t.Errorf("%s: %q, %v, %v", about, text, asked, err)
		}
	}
	if len(s.asked) != 0 || s.tokens != 0 {
		t.Errorf("asked %v", s.asked)
	}
}

// answersOf a file that has them by operation.
func answersOf(t *testing.T, file string) func(question) string {
	t.Helper()
	var answers map[string]json.RawMessage
	if err := json.Unmarshal(golden.Read(t, file), &answers); err != nil {
		t.Fatal(err)
	}
	return func(q question) string {
		if q.op != opToken && answers[q.op] == nil {
			t.Errorf("%s was asked", q.op)
		}
		return string(answers[q.op])
	}
}

// What is read of answers. What a file asks for stands in the beginning of its name.
func TestAnswerGolden(t *testing.T) {
	ask := map[string]func(context.Context, *Client) (any, error){
		"product": func(ctx context.Context, c *Client) (any, error) {
			return c.Product(ctx, platform.ProductQuestion{ProductID: testProduct})
		},
		"prices": func(ctx context.Context, c *Client) (any, error) {
			return c.Product(ctx, platform.ProductQuestion{ProductID: testProduct, Aspects: []platform.Aspect{platform.AspectPrice}})
		},
		"list": func(ctx context.Context, c *Client) (any, error) {
			var all []platform.ListedProduct
			err := c.ListProducts(ctx, func(page []platform.ListedProduct) bool { all = append(all, page...); return true })
			return all, err
		},
		"order": func(ctx context.Context, c *Client) (any, error) {
			return c.Order(ctx, platform.OrderQuestion{OrderID: testOrder})
		},
		"refunds": func(ctx context.Context, c *Client) (any, error) {
			order, err := c.Order(ctx, platform.OrderQuestion{OrderID: testOrder, Refunds: true})
			return order, err
		},
		"partner": func(ctx context.Context, c *Client) (any, error) {
			text, _, err := c.Notice(ctx, eventPartnerOrder, "7212142857733638179")
			return text, err
		},
		"commission": func(ctx context.Context, c *Client) (any, error) {
			text, _, err := c.Notice(ctx, eventCommission, "7212142857733638179")
			return text, err
		},
	}
	for _, file := range golden.Inputs(t, "api") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			what, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".json"), "-")
			answer, err := ask[what](t.Context(), newServer(t, answersOf(t, file)).client(t))
			read := struct {
				Answer              any
				Error, Kind, Reason string
			}{Answer: answer}
			if failure, ok := errors.AsType[*platform.Error](err); ok {
				read.Answer, read.Error, read.Kind, read.Reason = nil, err.Error(), string(failure.Kind), string(failure.Reason)
			} else if err != nil {
				t.Fatal(err)
			}
			golden.Check(t, file+".golden", read)
		})
	}
}

// The price stands on a day that stays the same from look to look.
func TestPriceDate(t *testing.T) {
	for text, want := range map[string]string{
		`{"sold_start_time":1722096000,"create_time":1700000000,"update_time":1710000000,"sold_end_time":1767196799}`: "2024-07-28",
		`{"sold_start_time":0,"create_time":1700000000,"update_time":1710000000,"sold_end_time":1767196799}`:          "2023-11-15",
		`{"update_time":1710000000000,"sold_end_time":1767196799}`:                                                    "2024-03-10",
		`{"sold_start_time":"soon","sold_end_time":1767196799}`:                                                       "2025-12-31",
		`{}`: "2024-01-01",
	} {
		product, ok := fields.Parse([]byte(text))
		if got := priceDate(product, testNow); !ok || got != want || product.Fault() != "" {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestOrderCodes(t *testing.T) {
	s := newServer(t, answersOf(t, filepath.Join("testdata", "api", "refunds-detail-merchant-code.json")))
	order, err := s.client(t).Order(t.Context(), platform.OrderQuestion{OrderID: testOrder, Refunds: true})
	if err != nil || len(order.Codes) != 2 || order.Codes[0].Text.Reveal() != code1 || order.Codes[1].Text.Reveal() != code2 {
		t.Errorf("%v, %v", order, err)
	}
}

// An order that is not on the first page is looked for on the next, by the cursor.
func TestOrderCursor(t *testing.T) {
	page := func(id, cursor string) string {
		return `{"data":{"error_code":0,"orders":[{"order_id":"` + id + `","order_status":100}],"search_after":{"CursorValue":` + cursor + `}}}`
	}
	s := newServer(t, func(q question) string {
		switch {
		case q.op == opCertificates:
			return `{"data":{"error_code":0,"certificates":[]}}`
		case q.op == opToken:
			return ""
		case q.query.Get("cursor") == "0":
			return page("1", `[1722175821000,"1"]`)
		}
		return page(testOrder, `[]`)
	})
	if _, err := s.client(t).Order(t.Context(), platform.OrderQuestion{OrderID: testOrder}); err != nil {
		t.Fatal(err)
	}
	if len(s.asked) != 3 || s.asked[1].query.Get("cursor") != "1722175821000,1" {
		t.Errorf("asked %v", s.asked)
	}
	// One that never comes: the search ends, and says nothing of the order.
	n := 0
	s = newServer(t, func(q question) string {
		n++
		if q.op == opToken {
			return ""
		}
		return page("1", fmt.Sprintf(`[%d]`, n))
	})
	_, err := s.client(t).Order(t.Context(), platform.OrderQuestion{OrderID: testOrder})
	checkError(t, err, platform.Transient, platform.ReasonBadAnswer)
	if len(s.asked) != maxOrderPages {
		t.Errorf("asked %d times", len(s.asked))
	}
}

// catalogue answers pages of n products.
func catalogue(n int) func(question) string {
	return func(q question) string {
		if q.op == opToken {
			return ""
		}
		from, size := 0, 0
		_, _ = fmt.Sscan(q.query.Get("cursor"), &from)
		_, _ = fmt.Sscan(q.query.Get("count"), &size)
		var list []string
		for i := from; i < min(from+size, n); i++ {
			list = append(list, fmt.Sprintf(`{"online_status":1,"product":{"product_id":"%d","product_name":"product %d"}}`, i+1, i+1))
		}
		return fmt.Sprintf(`{"data":{"error_code":0,"products":[%s],"next_cursor":"%d","has_more":%v}}`, strings.Join(list, ","), from+size, from+size < n)
	}
}

func TestListProducts(t *testing.T) {
	for _, tc := range []struct{ n, calls int }{{0, 1}, {7, 1}, {50, 1}, {51, 2}, {120, 3}} {
		s := newServer(t, catalogue(tc.n))
		seen := map[string]bool{}
		err := s.client(t).ListProducts(t.Context(), func(page []platform.ListedProduct) bool {
			for _, p := range page {
				seen[p.ID] = true
			}
			return true
		})
		if err != nil || len(seen) != tc.n || len(s.asked) != tc.calls {
			t.Errorf("%d products in %d calls, %v; want %d in %d", len(seen), len(s.asked), err, tc.n, tc.calls)
		}
	}
	s := newServer(t, catalogue(1000))
	if err := s.client(t).ListProducts(t.Context(), func([]platform.ListedProduct) bool { return false }); err != nil || len(s.asked) != 1 {
		t.Errorf("told to stop: %v after %d calls", err, len(s.asked))
	}
	same := newServer(t, func(q question) string {
		if q.op == opToken {
			return ""
		}
		return `{"data":{"error_code":0,"products":[{"product_id":"1"}],"next_cursor":"7","has_more":true}}`
	})
	if err := same.client(t).ListProducts(t.Context(), func([]platform.ListedProduct) bool { return true }); err != nil || len(same.asked) != 2 {
		t.Errorf("a cursor that stands still: %v after %d calls", err, len(same.asked))
	}
	failing := newServer(t, func(q question) string {
		if q.query.Get("cursor") != "" {
			return `{"data":{"error_code":2119002}}`
		}
		return catalogue(100)(q)
	})
	checkError(t, failing.client(t).ListProducts(t.Context(), func([]platform.ListedProduct) bool { return true }), platform.Transient, platform.ReasonUnavailable)
}

// A failure is one in whichever place it is told.
func TestErrorPlaces(t *testing.T) {
	cases := map[string]struct {
		answer string
		kind   platform.Kind // empty: it works
		reason platform.Reason
	}{
		"in data":              {`{"data":{"error_code":2119003,"description":"x"},"extra":{"error_code":0}}`, platform.Throttled, platform.ReasonThrottled},
		"in extra":             {`{"data":{"error_code":0},"extra":{"error_code":2119003,"description":"x"}}`, platform.Throttled, platform.ReasonThrottled},
		"in extra alone":       {`{"data":{},"extra":{"error_code":"2119003"}}`, platform.Throttled, platform.ReasonThrottled},
		"in data alone":        {`{"data":{"error_code":"2119003"}}`, platform.Throttled, platform.ReasonThrottled},
		"in BaseResp":          {`{"data":{"error_code":0},"BaseResp":{"StatusCode":2119003}}`, platform.Throttled, platform.ReasonThrottled},
		"known beats unknown":  {`{"data":{"error_code":1},"extra":{"error_code":2119003}}`, platform.Throttled, platform.ReasonThrottled},
		"unknown":              {`{"data":{"error_code":77},"extra":{"error_code":0}}`, platform.Transient, platform.ReasonUnknownCode},
		"works, data alone":    {`{"data":{"error_code":0}}`, "", ""},
		"works, extra alone":   {`{"data":{},"extra":{"error_code":0}}`, "", ""},
		"works, as texts":      {`{"data":{"error_code":"0"},"extra":{"error_code":"0"}}`, "", ""},
		"works, no data":       {`{"extra":{"error_code":0}}`, "", ""},
		"no code at all":       {`{"data":{"x":"s3cret"}}`, platform.Transient, platform.ReasonBadAnswer},
		"code is an object":    {`{"data":{"error_code":{}}}`, platform.Transient, platform.ReasonBadAnswer},
		"data is a text":       {`{"data":"s3cret","extra":{"error_code":0}}`, platform.Transient, platform.ReasonBadAnswer},
		"products are a text":  {`{"data":{"error_code":0,"products":"s3cret"}}`, platform.Transient, platform.ReasonBadAnswer},
		"not an answer":        {`<html>s3cret</html>`, platform.Transient, platform.ReasonBadAnswer},
		"null":                 {`null`, platform.Transient, platform.ReasonBadAnswer},
		"two answers":          {good + good, platform.Transient, platform.ReasonBadAnswer},
		"a list":               {`[` + good + `]`, platform.Transient, platform.ReasonBadAnswer},
		"cut short":            {good[:20], platform.Transient, platform.ReasonBadAnswer},
		"merchant":             {`{"data":{"error_code":2119005}}`, platform.Refused, platform.ReasonCredentials},
		"parameter, new codes": {`{"extra":{"error_code":28001007}}`, platform.Refused, platform.ReasonRequest},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, func(q question) string {
				if q.op == opToken {
					return ""
				}
				return tc.answer
			})
			err := s.client(t).Check(t.Context())
			if tc.kind == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			checkError(t, err, tc.kind, tc.reason)
		})
	}
}

func TestErrorText(t *testing.T) {
	s := newServer(t, func(q question) string {
		if q.op == opToken {
			return ""
		}
		return `{"data":{"error_code":2119005,"description":"商家未授权\n请联系"},"extra":{"error_code":2119005}}`
	})
	err := s.client(t).Check(t.Context())
	if want := "goods/product/online/query: 2119005 商家未授权 请联系"; err == nil || err.Error() != want {
		t.Errorf("Check() = %v, want %q", err, want)
	}
}

func checkError(t *testing.T, err error, kind platform.Kind, reason platform.Reason) {
	t.Helper()
	failure, ok := errors.AsType[*platform.Error](err)
	if !ok || failure.Kind != kind || failure.Reason != reason || failure.Op == "" {
		t.Errorf("error %#v, want %s %s", err, kind, reason)
	}
	checkNoSecret(t, err)
}

// What the call for tokens sends, and what becomes of its answers.
func TestToken(t *testing.T) {
	var sent string
	s := newServer(t, func(q question) string {
		if q.op == opToken {
			sent = q.body
			return ""
		}
		return good
	})
	tokens := &keeper{}
	c := s.clientOf(t, holder(nil), tokens)
	for range 3 {
		if err := c.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var body map[string]string
	want := map[string]string{"client_key": testKey, "client_secret": testSecret, "grant_type": "client_credential"}
	if err := json.Unmarshal([]byte(sent), &body); err != nil || !maps.Equal(body, want) || s.tokens != 1 || tokens.lasts != 2*time.Hour {
		t.Errorf("sent %v; %d tokens that last %s; %v", body, s.tokens, tokens.lasts, err)
	}
	for name, tc := range map[string]struct {
		answer string
		kind   platform.Kind
		reason platform.Reason
	}{
		"key unknown":    {`{"data":{"error_code":10003,"description":"x"},"message":"error"}`, platform.Refused, platform.ReasonCredentials},
		"secret wrong":   {`{"data":{"error_code":10013,"description":"x"},"message":"error"}`, platform.Refused, platform.ReasonCredentials},
		"parameters":     {`{"data":{"error_code":10002},"message":"error"}`, platform.Refused, platform.ReasonRequest},
		"too many":       {`{"data":{"error_code":10020},"message":"error"}`, platform.Throttled, platform.ReasonThrottled},
		"no token":       {`{"data":{"error_code":0,"expires_in":7200},"message":"success"}`, platform.Transient, platform.ReasonBadAnswer},
		"no end":         {`{"data":{"error_code":0,"access_token":"s3cret"},"message":"success"}`, platform.Transient, platform.ReasonBadAnswer},
		"end is none":    {`{"data":{"error_code":0,"access_token":"s3cret","expires_in":-1}}`, platform.Transient, platform.ReasonBadAnswer},
		"not an answer":  {`s3cret`, platform.Transient, platform.ReasonBadAnswer},
		"busy, somewhat": {`{"data":{"error_code":2100004}}`, platform.Transient, platform.ReasonUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, func(question) string { return tc.answer })
			checkError(t, s.client(t).Check(t.Context()), tc.kind, tc.reason)
			if len(s.asked) != 0 || s.tokens != 1 {
				t.Errorf("asked %d times, with %d tokens", len(s.asked), s.tokens)
			}
		})
	}
}

// A token that is refused is replaced and the call made once more, whatever it is, and
// however often that happens: it is no failure of the platform.
func TestTokenRefused(t *testing.T) {
	for _, code := range tokenCodes {
		for _, place := range []string{`{"data":{"error_code":%s}}`, `{"data":{},"extra":{"error_code":%s}}`} {
			s := newServer(t, nil)
			s.answer = func(q question) string {
				if q.op != opToken && len(s.asked)%2 == 1 { // every other call
					return fmt.Sprintf(place, code)
				}
				return good
			}
			tokens := &keeper{}
			c := s.clientOf(t, holder(nil), tokens)
			for i := range 7 {
				if err := c.IssueCodes(t.Context(), platform.Issue{OrderID: "1", Codes: []platform.Code{{Text: sealing.NewSecret("A")}}}); err != nil {
					t.Fatalf("%s, call %d: %v", code, i, err)
				}
			}
			if len(s.asked) != 14 || s.tokens != 8 || len(tokens.refused) != 7 || tokens.refused[0] != "clt.s3cret-1" || s.asked[1].token != "clt.s3cret-2" || s.asked[0].body != s.asked[1].body {
				t.Errorf("%s: asked %d times with %d tokens, refused %d", code, len(s.asked), s.tokens, len(tokens.refused))
			}
		}
	}
}

// A fresh token that is refused too is given up on, once: that may pass.
func TestTokenRefusedForEver(t *testing.T) {
	s := newServer(t, func(q question) string {
		if q.op == opToken {
			return ""
		}
		return `{"data":{"error_code":2190002}}`
	})
	checkError(t, s.client(t).Check(t.Context()), platform.Transient, platform.ReasonUnavailable)
	if len(s.asked) != 2 || s.tokens != 2 {
		t.Errorf("asked %d times with %d tokens", len(s.asked), s.tokens)
	}
}

// What goes wrong where the token is kept is told as it is.
func TestTokenKeeperFails(t *testing.T) {
	s := newServer(t, always(good))
	away := errors.New("the API server is away")
	err := s.clientOf(t, holder(nil), failingKeeper{away}).Check(t.Context())
	if !errors.Is(err, away) || platform.KindOf(err) != platform.Transient || len(s.asked) != 0 {
		t.Errorf("%v", err)
	}
}

type failingKeeper struct{ err error }

func (k failingKeeper) Token(context.Context, sealing.Secret, func(context.Context) (platform.Token, error)) (sealing.Secret, error) {
	return sealing.Secret{}, k.err
}

func TestApprovesUnused(t *testing.T) {
	s := newServer(t, always(good))
	for _, test := range []struct {
		decision, platformType string
		want                   bool
	}{
		{DecideManual, sceneRefundApply, false},
		{DecideUnused, sceneRefundApply, true},
		{DecideUnused, eventAfterSale, false}, // what it asks for was used
		{DecideUnused, eventAfterSaleMisspelt, false},
		{DecideUnused, "", false},
	} {
		h := holder(func(settings *Settings) { settings.RefundDecision = test.decision })
		if got := s.clientOf(t, h, &keeper{}).ApprovesUnused(test.platformType); got != test.want {
			t.Errorf("%s of %s: %v", test.decision, test.platformType, got)
		}
	}
}

// The documented limits of calls are given to the transport.
func TestLimits(t *testing.T) {
	if diff := cmp.Diff(map[string]int{"trade/order/query": 20, "akte/after_sale/order_detail/get": 10}, perSecond); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	s := newServer(t, func(q question) string {
		if q.op == opToken {
			return ""
		}
		return `{"data":{"error_code":0,"orders":[]}}`
	})
	c := s.client(t)
	ctx := platform.WithPatience(t.Context(), 0)
	for range 20 {
		if _, err := c.Order(ctx, platform.OrderQuestion{OrderID: "1"}); platform.KindOf(err) == platform.Throttled {
			return
		}
	}
	t.Error("twenty order queries went out at once")
}

// FuzzAnswer: whatever is answered, it is an error that quotes nothing, or a product or an
// order within bounds.
func FuzzAnswer(f *testing.F) {
	for _, file := range golden.Inputs(f, "api") {
		var answers map[string]json.RawMessage
		if err := json.Unmarshal(golden.Read(f, file), &answers); err != nil {
			f.Fatal(err)
		}
		for _, answer := range answers {
			f.Add([]byte(answer))
		}
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		var certificates []certificate
		for name, read := range map[string]func(fields.Object){
			"online":       func(data fields.Object) { readProduct(data, "product_onlines", testProduct, testNow) },
			"drafts":       func(data fields.Object) { readProduct(data, "product_drafts", testProduct, testNow) },
			"page":         func(data fields.Object) { readPage(data) },
			"token":        func(data fields.Object) { readToken(data) },
			"certificates": func(data fields.Object) { certificates = readCertificates(data) },
			"orders": func(data fields.Object) {
				if page := readOrders(data, platform.OrderQuestion{OrderID: testOrder}); page.found != nil {
					page.found.with(certificates)
				}
			},
			"refunds":     func(data fields.Object) { readRefunds(data, testOrder, certificates) },
			"partner":     func(data fields.Object) { readPartner(data) },
			"commissions": func(data fields.Object) { readCommissions(data) },
		} {
			err := readAnswer(name, answer, read)
			if err != nil && len(err.Error()) > 1000 {
				t.Errorf("%s: %q is too long to be free of the answer", name, err)
			}
		}
	})
}
