package platformtest

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// spiInbox is a webhook server that answers as it is told, by path tail.
type spiInbox struct {
	mu      sync.Mutex
	answers map[string]string
	seen    []*http.Request
	bodies  []string
}

func newSPIInbox(t *testing.T, fake *Douyin, answers map[string]string) *spiInbox {
	i := &spiInbox{answers: answers}
	server := httptest.NewServer(i)
	t.Cleanup(server.Close)
	fake.AimPushes(server.URL, "")
	return i
}

func (i *spiInbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	tail := strings.TrimPrefix(r.URL.Path, douyinPushPrefix)
	i.mu.Lock()
	i.seen, i.bodies = append(i.seen, r), append(i.bodies, string(body))
	answer, told := i.answers[tail]
	i.mu.Unlock()
	if !told {
		answer = `{"data":{"error_code":0,"description":"success"}}`
	}
	_, _ = io.WriteString(w, answer)
}

func (i *spiInbox) tell(path, answer string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answers[path] = answer
}

func (i *spiInbox) paths() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	var paths []string
	for _, r := range i.seen {
		paths = append(paths, strings.TrimPrefix(r.URL.Path, douyinPushPrefix))
	}
	return paths
}

// last is the newest push.
func (i *spiInbox) last() (*http.Request, string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.seen[len(i.seen)-1], i.bodies[len(i.bodies)-1]
}

func result(n int) string {
	return fmt.Sprintf(`{"data":{"error_code":0,"description":"success","result":%d}}`, n)
}

// certificatesOf writes the codes for an order's certificates.
func certificatesOf(fake *Douyin, orderID string, codes ...string) []any {
	o, _ := fake.Order(orderID)
	var list []any
	for i, code := range codes {
		list = append(list, map[string]any{"certificate_id": o.Certificates[i].ID, "code": code})
	}
	return list
}

func issuedAnswer(fake *Douyin, orderID string, codes ...string) string {
	return string(mustMarshal(map[string]any{"data": map[string]any{"error_code": 0, "description": "success", "result": 1,
		"certificates": certificatesOf(fake, orderID, codes...)}}))
}

func orderOf(t *testing.T, fake *Douyin, id string) *DouyinOrder {
	t.Helper()
	o, known := fake.Order(id)
	if !known {
		t.Fatalf("no order %s", id)
	}
	return &o
}

func TestDouyinRetryRules(t *testing.T) {
	hang := inMemory(func(r *http.Request) (string, error) { <-r.Context().Done(); return "", r.Context().Err() })
	say := func(texts ...string) inMemory { // answers 503, as inMemory does
		return func(*http.Request) (string, error) {
			text := texts[0]
			texts = texts[min(1, len(texts)-1):]
			return text, nil
		}
	}
	issue := 10*time.Second + 30*time.Second + time.Minute + 4*time.Minute + 4*time.Minute
	cases := map[string]struct {
		path     string
		receiver http.RoundTripper
		attempts int
		took     time.Duration
	}{
		"event, no reply":          {DouyinEventsPath, hang, 3, 3*5*time.Second + 2*time.Second},
		"event, 503":               {DouyinEventsPath, say("x"), 3, 2 * time.Second},
		"pre-create, no reply":     {DouyinPreCreatePath, hang, 1, 5 * time.Second},
		"issue, no reply":          {DouyinIssuePath, hang, 7, 7*8*time.Second + issue},
		"issue, 503":               {DouyinIssuePath, say("x"), 7, issue},
		"refund, 503":              {DouyinRefundApplyPath, say("x"), 24, 23 * time.Hour},
		"refund notice, no reply":  {DouyinRefundNoticePath, hang, 3, 3*8*time.Second + 20*time.Second},
		"refund notice, 503":       {DouyinRefundNoticePath, say("x"), 1, 0},
		"status query, no reply":   {DouyinStatusQueryPath, hang, 1, 8 * time.Second},
		"member update, no reply":  {DouyinMemberPath, hang, 1, 8 * time.Second},
		"a transport error's cost": {DouyinRefundNoticePath, inMemory(func(*http.Request) (string, error) { return "", errors.New("refused") }), 3, 20 * time.Second},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake, err := NewDouyin(DouyinConfig{PushBase: "http://receiver", Transport: c.receiver, Empty: true})
				must(t, err)
				start := time.Now()
				d := fake.Push(t.Context(), c.path, []byte(`{"order_id":"1"}`))
				if d.Attempts != c.attempts || d.Accepted || time.Since(start) != c.took {
					t.Errorf("%+v after %s, want %d after %s", d, time.Since(start), c.attempts, c.took)
				}
			})
		})
	}
}

func TestDouyinRetryScale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, err := NewDouyin(DouyinConfig{PushBase: "http://receiver", RetryScale: 0.01, Empty: true,
			Transport: inMemory(func(*http.Request) (string, error) { return "x", nil })})
		must(t, err)
		start := time.Now()
		if fake.Push(t.Context(), DouyinIssuePath, nil); time.Since(start) != 5800*time.Millisecond {
			t.Error(time.Since(start))
		}
	})
}

func TestDouyinEventOnTheWire(t *testing.T) {
	fake, err := NewDouyin(DouyinConfig{})
	must(t, err)
	in := newSPIInbox(t, fake, map[string]string{})
	body := fake.ProductStatus(DouyinProductID, "GOODS_BAN")
	if d := fake.Push(t.Context(), DouyinEventsPath, body); d.Fate != Delivered || d.Type != DouyinStatusChange || d.MessageID == "" {
		t.Errorf("%+v", d)
	}
	r, got := in.last()
	var envelope map[string]string
	must(t, json.Unmarshal([]byte(got), &envelope))
	if r.Header.Get("X-Douyin-Signature") != fake.signEvent(fake.ClientSecret(), body) || r.Header.Get("Msg-Id") != envelope["msg_id"] || r.URL.RawQuery != "" {
		t.Errorf("%v", r.Header)
	}
	if envelope["client_key"] != DouyinClientKey || envelope["content"] != `{"product_id":"1805831187321867","status":"GOODS_BAN"}` {
		t.Errorf("%s", got)
	}
}

func TestDouyinSPIOnTheWire(t *testing.T) {
	for name, c := range map[string]struct {
		quirks              DouyinQuirks
		legacy, header, sec bool
		signsToken          bool
	}{
		"both": {DouyinQuirks{}, true, true, false, true}, "legacy": {DouyinQuirks{LegacySign: true}, true, false, false, true},
		"header, in seconds": {DouyinQuirks{HeaderSign: true, TimestampInSeconds: true}, false, true, true, true},
		"token unsigned":     {DouyinQuirks{TokenUnsigned: true}, true, true, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			fake, err := NewDouyin(DouyinConfig{Quirks: c.quirks})
			must(t, err)
			in := newSPIInbox(t, fake, map[string]string{})
			fake.AimPushes("http://"+strings.TrimPrefix(fake.courier.base, "http://"), "t&k")
			fake.Push(t.Context(), "/api/channels/travel/douyin/spi/status_query", []byte(`{"a":1}`))
			r, body := in.last()
			query := r.URL.Query()
			if query.Get("token") != "t&k" || query.Get("client_key") != DouyinClientKey || len(query.Get("timestamp")) != map[bool]int{true: 10, false: 13}[c.sec] {
				t.Errorf("%v", query)
			}
			if query.Has("sign") != c.legacy || (r.Header.Get("X-Life-Sign") != "") != c.header || r.URL.Path != "/api/channels/travel/douyin/spi/status_query" {
				t.Errorf("%v %v", r.URL, r.Header)
			}
			if !c.signsToken {
				query.Del("token")
			}
			if want := sha256Hex(spiText(fake.ClientSecret(), query, []byte(body))); c.header && r.Header.Get("X-Life-Sign") != want {
				t.Errorf("x-life-sign is not that of %s", r.URL)
			}
		})
	}
}

func TestDouyinChallenge(t *testing.T) {
	fake, err := NewDouyin(DouyinConfig{RetryEvery: time.Nanosecond})
	must(t, err)
	in := newSPIInbox(t, fake, map[string]string{})
	for answer, want := range map[string]Fate{`{"challenge":12345}`: Delivered, ` {"challenge": 12345} `: Delivered, `{"challenge":"12345"}`: Denied,
		`{"challenge":1}`: Denied, `{}`: Denied, `{"challenge":12345,"x":1}`: Denied} {
		in.tell(DouyinEventsPath, answer)
		for _, asText := range []bool{true, false} {
			if d := fake.Push(t.Context(), DouyinEventsPath, fake.VerifyWebhook(12345, asText)); d.Fate != want {
				t.Errorf("%s: %+v", answer, d)
			}
		}
	}
	if len(fake.Complaints()) != 1 {
		t.Error(fake.Complaints())
	}
}

func TestDouyinVerdicts(t *testing.T) {
	cases := []struct {
		path   string
		status int
		body   string
		want   Verdict
	}{
		{DouyinEventsPath, 200, "", Accepted}, {DouyinEventsPath, 403, "{}", Refused}, {DouyinEventsPath, 503, "{}", Retry}, {DouyinEventsPath, 204, "", Retry},
		{DouyinIssuePath, 200, `{"data":{"error_code":0}}`, Accepted}, {DouyinIssuePath, 200, `{"data":{"error_code":100}}`, Retry},
		{DouyinIssuePath, 200, `{"data":{"error_code":200}}`, Refused}, {DouyinIssuePath, 401, `{"data":{"error_code":401}}`, Refused},
		{DouyinIssuePath, 503, `{"data":{"error_code":0}}`, Retry}, {DouyinIssuePath, 200, `{"data":{"error_code":"0"}}`, Retry},
		{DouyinIssuePath, 200, `{"data":{"error_code":0},"extra":{}}`, Retry}, {DouyinIssuePath, 200, `{"data":{"error_code":1000000}}`, Retry},
		{DouyinIssuePath, 200, `{"data":{"error_code":0.5}}`, Retry}, {DouyinIssuePath, 200, `{"data":{"error_code":0,"description":1}}`, Retry},
		{DouyinIssuePath, 200, `{"data":{}}`, Retry}, {DouyinIssuePath, 200, `{"error_code":0}`, Retry}, {DouyinIssuePath, 200, "", Retry}, {DouyinIssuePath, 200, "null", Retry},
	}
	for _, c := range cases {
		if got := DouyinVerdict(c.path, c.status, []byte(c.body)); got != c.want {
			t.Errorf("%s %d %s: %s, want %s", c.path, c.status, c.body, got, c.want)
		}
	}
}

func TestDouyinIssueAtOnce(t *testing.T) {
	a := newDouyinAsker(t, DouyinConfig{})
	in := newSPIInbox(t, a.fake, map[string]string{DouyinIssuePath: issuedAnswer(a.fake, DouyinSecondOrderID, "A1", "A2")})
	d, err := a.fake.Issue(t.Context(), DouyinSecondOrderID)
	must(t, err)
	o := orderOf(t, a.fake, DouyinSecondOrderID)
	if !d.Accepted || d.Body != "" || o.Issue != DouyinIssued || o.Status != DouyinUsable || !slices.Equal(o.codes(), []string{"A1", "A2"}) {
		t.Errorf("%+v %+v", d, o)
	}
	data, _ := a.get("fulfilment/certificate/query", "order_id", o.ID)
	if all := string(data["certificates"]); strings.Count(all, `"status":1`) != 2 || !strings.Contains(all, `"code":"A1"`) {
		t.Error(all)
	}
	if _, body := in.last(); !strings.Contains(body, `"count":2`) || strings.Count(body, "certificate_id") != 2 {
		t.Error(body)
	}
	_, err = a.fake.Issue(t.Context(), DouyinSecondOrderID)
	must(t, err)
	a.complaints()
	in.tell(DouyinIssuePath, issuedAnswer(a.fake, DouyinSecondOrderID, "A1", "A3"))
	a.fake.config.RetryScale = 0
	if _, err = a.fake.Issue(t.Context(), DouyinSecondOrderID); err != nil || !slices.Equal(orderOf(t, a.fake, o.ID).codes(), []string{"A1", "A2"}) {
		t.Errorf("%v: the first codes stand", err)
	}
	a.complaints("two different sets", "other codes than before")
}

func TestDouyinWrongCodes(t *testing.T) {
	cases := map[string]struct {
		answer    func(*Douyin) string
		complaint string
	}{
		"one too few": {func(f *Douyin) string { return issuedAnswer(f, DouyinSecondOrderID, "A1") }, "no list of 2"},
		"one empty":   {func(f *Douyin) string { return issuedAnswer(f, DouyinSecondOrderID, "A1", "") }, "has no code"},
		"one twice":   {func(f *Douyin) string { return issuedAnswer(f, DouyinSecondOrderID, "A1", "A1") }, "there twice"},
		"of another order": {func(f *Douyin) string {
			_ = f.claim("x", "1", "A1")
			return issuedAnswer(f, DouyinSecondOrderID, "A1", "A2")
		}, "have the same code"},
		"text result": {func(*Douyin) string { return `{"data":{"error_code":0,"result":"1","codes":["A1","A2"]}}` }, "not the number"},
		"no result":   {func(*Douyin) string { return `{"data":{"error_code":0}}` }, "not the number"},
		"extra":       {func(*Douyin) string { return `{"data":{"error_code":0,"result":0},"extra":{}}` }, "not data alone"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			fake, err := NewDouyin(DouyinConfig{RetryScale: 1e-9})
			must(t, err)
			newSPIInbox(t, fake, map[string]string{DouyinIssuePath: c.answer(fake)})
			d, err := fake.Issue(t.Context(), DouyinSecondOrderID)
			must(t, err)
			if got := fake.Complaints(); d.Accepted || d.Attempts != 7 || len(got) == 0 || !strings.Contains(got[0], c.complaint) {
				t.Errorf("%+v %q", d, got)
			}
			if o := orderOf(t, fake, DouyinSecondOrderID); o.Issue != DouyinIssueFailed || o.Status != DouyinDone || len(fake.AfterSales()) != 1 {
				t.Errorf("no codes at all: %+v", o)
			}
		})
	}
}

func TestDouyinCodesAsList(t *testing.T) {
	fake, err := NewDouyin(DouyinConfig{Quirks: DouyinQuirks{IssueWithoutCertificates: true}})
	must(t, err)
	in := newSPIInbox(t, fake, map[string]string{DouyinIssuePath: `{"data":{"error_code":0,"result":1,"codes":["B1","B2"]}}`})
	_, err = fake.Issue(t.Context(), DouyinSecondOrderID)
	must(t, err)
	if _, body := in.last(); strings.Contains(body, "certificate") || !slices.Equal(orderOf(t, fake, DouyinSecondOrderID).codes(), []string{"B1", "B2"}) {
		t.Error(body)
	}
}

func TestDouyinLostReplies(t *testing.T) {
	fake, err := NewDouyin(DouyinConfig{RetryScale: 1e-9})
	must(t, err)
	in := newSPIInbox(t, fake, map[string]string{DouyinIssuePath: issuedAnswer(fake, DouyinOrderID, "A1")})
	fake.Inject(Fault{Op: "issue_codes", Kind: LoseReply, Copies: 2})
	d, err := fake.Issue(t.Context(), DouyinOrderID)
	must(t, err)
	if d.Attempts != 3 || !d.Accepted || len(in.paths()) != 3 || len(fake.Complaints()) != 0 {
		t.Errorf("%+v, %d arrived, %q", d, len(in.paths()), fake.Complaints())
	}
	fake.Inject(Fault{Op: DouyinIssuePath, Kind: Duplicate, Copies: 3})
	if d, err = fake.Issue(t.Context(), DouyinOrderID); err != nil || !d.Accepted || len(in.paths()) != 7 {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestDouyinCallback(t *testing.T) {
	a := newDouyinAsker(t, DouyinConfig{})
	in := newSPIInbox(t, a.fake, map[string]string{DouyinIssuePath: result(0)})
	callback := func(codes ...string) int {
		return a.post(douyinCallback, map[string]any{"order_id": DouyinSecondOrderID, "result": 1, "third_order_id": "T-1",
			"certificates": certificatesOf(a.fake, DouyinSecondOrderID, codes...)})
	}
	if code := callback("C1", "C2"); code != 2100005 {
		t.Errorf("nobody asked: %d", code)
	}
	a.complaints("no codes were asked")
	_, err := a.fake.Issue(t.Context(), DouyinSecondOrderID)
	must(t, err)
	if o := orderOf(t, a.fake, DouyinSecondOrderID); o.Issue != DouyinIssuePending || o.IssueDue.Sub(a.fake.Now()) < 9*time.Minute {
		t.Errorf("%+v", o)
	}
	if code := callback("C1"); code != 2100005 {
		t.Errorf("one too few: %d", code)
	}
	a.complaints("no list of 2")
	for range 2 {
		if code := callback("C1", "C2"); code != 0 {
			t.Errorf("%d", code)
		}
	}
	a.complaints()
	if code := callback("C1", "C3"); code != 2100005 {
		t.Errorf("other codes: %d", code)
	}
	a.complaints("two different sets", "other codes")
	a.fake.Advance(time.Hour)
	if a.fake.Settle(t.Context()); len(a.fake.AfterSales()) != 0 || orderOf(t, a.fake, DouyinSecondOrderID).OutOrderID != "T-1" {
		t.Errorf("%+v", a.fake.AfterSales())
	}
	if got := in.paths(); !slices.Equal(got, []string{DouyinIssuePath}) {
		t.Error(got)
	}
}

func TestDouyinCallbackTooLate(t *testing.T) {
	a := newDouyinAsker(t, DouyinConfig{})
	in := newSPIInbox(t, a.fake, map[string]string{DouyinIssuePath: result(0), DouyinRefundApplyPath: result(1)})
	_, err := a.fake.Issue(t.Context(), DouyinOrderID)
	must(t, err)
	a.fake.Advance(10 * time.Minute)
	a.token = a.newToken()
	if code := a.post(douyinCallback, map[string]any{"order_id": DouyinOrderID, "result": 1, "codes": []string{"C1"}}); code != 3000001 {
		t.Errorf("%d", code)
	}
	a.complaints("after the deadline")
	a.fake.Settle(t.Context())
	if o := orderOf(t, a.fake, DouyinOrderID); o.Issue != DouyinIssueOverdue || o.Certificates[0].Status != DouyinCertificateRefunded {
		t.Errorf("%+v", o)
	}
	if got := in.paths(); !slices.Equal(got, []string{DouyinIssuePath, DouyinRefundApplyPath, DouyinRefundNoticePath, DouyinEventsPath}) {
		t.Error(got)
	}
	if _, err := a.fake.Issue(t.Context(), DouyinOrderID); err == nil {
		t.Error("issued again")
	}
}

func TestDouyinFailedIssue(t *testing.T) {
	a := newDouyinAsker(t, DouyinConfig{})
	newSPIInbox(t, a.fake, map[string]string{DouyinIssuePath: result(2)})
	d, err := a.fake.Issue(t.Context(), DouyinOrderID)
	must(t, err)
	if o := orderOf(t, a.fake, DouyinOrderID); !d.Accepted || o.Issue != DouyinIssueFailed || o.Certificates[0].Status != DouyinCertificateRefunded {
		t.Errorf("%+v", o)
	}
	_, err = a.fake.Issue(t.Context(), DouyinOrderID)
	if err == nil || a.post(douyinCallback, map[string]any{"order_id": DouyinOrderID, "result": 1, "codes": []string{"C1"}}) != 3000001 {
		t.Error("issued after a failure")
	}
	for _, id := range []string{"1", DouyinOwnOrderID} {
		if _, err := a.fake.Issue(t.Context(), id); err == nil {
			t.Errorf("issued for %s", id)
		}
	}
}

// issuedDouyin is a fake whose second order has the codes A1 and A2.
func issuedDouyin(t *testing.T, answers map[string]string) (*douyinAsker, *spiInbox) {
	a := newDouyinAsker(t, DouyinConfig{RetryScale: 1e-9})
	answers[DouyinIssuePath] = issuedAnswer(a.fake, DouyinSecondOrderID, "A1", "A2")
	in := newSPIInbox(t, a.fake, answers)
	_, err := a.fake.Issue(t.Context(), DouyinSecondOrderID)
	must(t, err)
	return a, in
}

func TestDouyinRefundByAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		state  string
		status int
		follow []string
	}{
		"agreed":             {result(1), DouyinApproved, DouyinCertificateRefunded, []string{DouyinRefundNoticePath, DouyinEventsPath, DouyinEventsPath}},
		"refused":            {`{"data":{"error_code":0,"result":2,"reason":"used"}}`, DouyinRefused, DouyinCertificateUnused, nil},
		"pending":            {result(0), DouyinPending, DouyinCertificateRefundAsked, nil},
		"no answer in a day": {`{"data":{"error_code":100}}`, DouyinPending, DouyinCertificateRefundAsked, nil},
	} {
		t.Run(name, func(t *testing.T) {
			a, in := issuedDouyin(t, map[string]string{DouyinRefundApplyPath: c.answer})
			sale, _, err := a.fake.ApplyRefund(t.Context(), DouyinSecondOrderID, "计划有变")
			must(t, err)
			if _, body := in.last(); !strings.Contains(body, `"code":"A1"`) || !strings.Contains(body, sale.ID) {
				t.Error(body)
			}
			before := len(in.paths())
			a.fake.Settle(t.Context())
			o := orderOf(t, a.fake, DouyinSecondOrderID)
			if sale.State != c.state || o.Certificates[1].Status != c.status || !slices.Equal(in.paths()[before:], c.follow) {
				t.Errorf("%+v %+v %q", sale, o, in.paths())
			}
			if c.state != DouyinPending {
				return
			}
			a.fake.Advance(24 * time.Hour)
			a.fake.Settle(t.Context())
			if sale, _ = a.fake.AfterSale(sale.ID); sale.State != DouyinApproved || !sale.Automatic || len(in.paths()) != before+3 {
				t.Errorf("after a day: %+v", sale)
			}
		})
	}
}

func TestDouyinRefundAudit(t *testing.T) {
	a, in := issuedDouyin(t, map[string]string{DouyinRefundApplyPath: result(0)})
	o := orderOf(t, a.fake, DouyinSecondOrderID)
	sale, _, err := a.fake.ApplyRefund(t.Context(), o.ID, "计划有变")
	must(t, err)
	coupons := certificatesOf(a.fake, o.ID, "A1", "A2")
	audit := func(result int, certificate any, reason string) int {
		body := map[string]any{"result": result, "after_sale_id": sale.ID, "certificate": certificate}
		if reason != "" {
			body["reason"] = reason
		}
		return a.post(douyinRefundAudit, body)
	}
	for complaint, code := range map[string]func() int{
		"1 coupons are named":    func() int { return audit(1, coupons[:1], "") },
		"neither 1 nor 2":        func() int { return audit(3, coupons, "") },
		"has another code":       func() int { return audit(1, certificatesOf(a.fake, o.ID, "A1", "A3"), "") },
		"no such refund applica": func() int { return a.post(douyinRefundAudit, map[string]any{"result": 1, "after_sale_id": "1"}) },
	} {
		if got := code(); got != 2100005 {
			t.Errorf("%s: %d", complaint, got)
		}
		a.complaints(complaint)
	}
	for range 2 {
		if code := audit(2, coupons, "已使用"); code != 0 {
			t.Error(code)
		}
	}
	a.complaints()
	if code := audit(1, coupons, ""); code != 3000001 {
		t.Error(code)
	}
	a.complaints("after it was decided")
	if sale, _ = a.fake.AfterSale(sale.ID); sale.State != DouyinRefused || sale.Reason != "已使用" {
		t.Errorf("%+v", sale)
	}
	// Asked again, the application must be answered as it was decided.
	in.tell(DouyinRefundApplyPath, result(1))
	if _, err := a.fake.RepeatRefund(t.Context(), sale.ID); err != nil {
		t.Error(err)
	}
	a.complaints("answered otherwise before")
}

func TestDouyinRefundOfOneCoupon(t *testing.T) {
	a, in := issuedDouyin(t, map[string]string{DouyinRefundApplyPath: result(0)})
	id := orderOf(t, a.fake, DouyinSecondOrderID).Certificates[0].ID
	_, _, err := a.fake.ApplyRefund(t.Context(), DouyinSecondOrderID, "x", id)
	must(t, err)
	if _, _, err := a.fake.ApplyRefund(t.Context(), DouyinSecondOrderID, "x", id); err == nil {
		t.Error("applied for twice")
	}
	if code := a.post(douyinRefundAudit, map[string]any{"result": 1, "certificate_id": id}); code != 0 {
		t.Error(code)
	}
	a.fake.Settle(t.Context())
	notice := in.bodies[slices.Index(in.paths(), DouyinRefundNoticePath)]
	if strings.Contains(notice, "after_sale_id") || !strings.Contains(notice, `"code":"A1"`) {
		t.Error(notice)
	}
	if _, event := in.last(); !strings.Contains(event, "refund_success") || orderOf(t, a.fake, DouyinSecondOrderID).Status != DouyinUsable {
		t.Error(event)
	}
	a.complaints()
}

func TestDouyinUnissuedCoupons(t *testing.T) {
	a := newDouyinAsker(t, DouyinConfig{})
	in := newSPIInbox(t, a.fake, map[string]string{DouyinIssuePath: result(0), DouyinRefundApplyPath: result(2)})
	_, _, err := a.fake.ApplyRefund(t.Context(), DouyinOrderID, "x")
	must(t, err)
	a.complaints("never issued, without its code")
	in.tell(DouyinRefundApplyPath, result(0))
	sale, _, err := a.fake.ApplyRefund(t.Context(), DouyinOrderID, "x")
	must(t, err)
	refuse := func(code string) int {
		coupon := map[string]any{"certificate_id": sale.CertificateIDs[0]}
		if code != "" {
			coupon["code"] = code
		}
		return a.post(douyinRefundAudit, map[string]any{"result": 2, "after_sale_id": sale.ID, "reason": "no", "certificate": []any{coupon}})
	}
	if refuse("") != 2100005 {
		t.Error("refused without a code")
	}
	a.complaints("never issued and is refused without a code")
	if refuse("LATE-1") != 0 {
		t.Error("not refused with a code")
	}
	a.complaints()
	if o := orderOf(t, a.fake, DouyinOrderID); o.Issue != DouyinIssued || o.Certificates[0].Code != "LATE-1" || o.Certificates[0].Status != DouyinCertificateUnused {
		t.Errorf("%+v", o)
	}
}

func TestDouyinAfterSale(t *testing.T) {
	a := newDouyinAsker(t, DouyinConfig{})
	in := newSPIInbox(t, a.fake, map[string]string{})
	ids := orderOf(t, a.fake, DouyinOwnOrderID).Certificates
	if _, err := a.fake.RequestAfterSale(DouyinOwnOrderID, ids[0].ID, "x"); err == nil {
		t.Error("of an unused code")
	}
	for _, c := range ids {
		_, err := a.fake.Verify(DouyinOwnOrderID, c.ID)
		must(t, err)
		body, err := a.fake.RequestAfterSale(DouyinOwnOrderID, c.ID, "体验不好")
		must(t, err)
		if event, _, _ := eventHead(body); event != DouyinAfterSaleEvent || !strings.Contains(string(body), "体验不好") {
			t.Errorf("%s", body)
		}
	}
	audit := func(id string, status any, more ...any) int {
		body := map[string]any{"account_id": DouyinAccountID, "order_id": DouyinOwnOrderID, "certificate_id": id, "audit_status": status}
		for i := 0; i < len(more); i += 2 {
			body[more[i].(string)] = more[i+1]
		}
		return a.post(douyinAfterSaleAudit, body)
	}
	if got := []int{audit("1", true), audit(ids[0].ID, 1), audit(ids[0].ID, nil)}; !slices.Equal(got, []int{2100005, 2100005, 2100005}) {
		t.Error(got)
	}
	a.complaints("no such after-sale", "audit_status has the wrong type", "audit_status is missing")
	if got := []int{audit(ids[0].ID, true), audit(ids[0].ID, true), audit(ids[1].ID, false, "reject_reason", "已消费")}; !slices.Equal(got, []int{0, 0, 0}) {
		t.Error(got)
	}
	a.complaints()
	if audit(ids[0].ID, false, "reject_reason", "x") != 3000001 {
		t.Error("decided twice")
	}
	a.complaints("after it was decided")
	a.fake.Settle(t.Context())
	o := orderOf(t, a.fake, DouyinOwnOrderID)
	if o.Certificates[0].Status != DouyinCertificateRefunded || o.Certificates[1].Status != DouyinCertificateUsed || len(in.paths()) != 1 {
		t.Errorf("%+v %q", o, in.paths())
	}
	data, _ := a.get(douyinAfterSale, "account_id", DouyinAccountID, "order_id", DouyinOwnOrderID, "certificate_id", ids[1].ID)
	if rows := string(data["after_sale_order_list"]); strings.Count(rows, "after_sale_id") != 1 || !strings.Contains(rows, `"refund_status":25`) {
		t.Error(rows)
	}
	data, _ = a.get(douyinAfterSaleQuery, "account_id", DouyinAccountID, "page_size", "1", "create_order_start_time", "1722175821", "create_order_end_time", "1722175822")
	if rows := string(data["after_sale_orders"]); strings.Count(rows, "after_sale_id") != 1 || string(data["has_more"]) != "true" {
		t.Error(rows)
	}
	a.complaints()
}

func TestDouyinUse(t *testing.T) {
	a, _ := issuedDouyin(t, map[string]string{})
	id := orderOf(t, a.fake, DouyinSecondOrderID).Certificates[0].ID
	body, err := a.fake.Verify(DouyinSecondOrderID, id)
	must(t, err)
	if !strings.Contains(string(body), `\"action\":\"verify\"`) || !strings.Contains(string(body), `\"code\":\"A1\"`) {
		t.Errorf("%s", body)
	}
	if _, err := a.fake.Verify(DouyinSecondOrderID, id); err == nil {
		t.Error("used twice")
	}
	data, _ := a.get("fulfilment/certificate/get", "code", "A1")
	if !strings.Contains(string(data["certificate"]), `"verify_id"`) || !strings.Contains(string(data["certificate"]), `"can_cancel":true`) {
		t.Errorf("%s", data)
	}
	_, err = a.fake.VerifyCancel(DouyinSecondOrderID, id)
	must(t, err)
	if _, err := a.fake.VerifyCancel(DouyinSecondOrderID, id); err == nil {
		t.Error("taken back twice")
	}
	for _, c := range orderOf(t, a.fake, DouyinSecondOrderID).Certificates {
		_, err = a.fake.Verify(DouyinSecondOrderID, c.ID)
		must(t, err)
	}
	if o := orderOf(t, a.fake, DouyinSecondOrderID); o.Status != DouyinDone {
		t.Errorf("%+v", o)
	}
	must(t, a.fake.PutOrder(DouyinOrder{ID: "5", ProductID: DouyinProductID, Count: 1}))
	if body, err := a.fake.Pay("5"); err != nil || !strings.Contains(string(body), "pay_success") || orderOf(t, a.fake, "5").Status != DouyinUsable {
		t.Errorf("%s %v", body, err)
	}
	if _, err := a.fake.Pay("5"); err == nil {
		t.Error("paid twice")
	}
}

func TestDouyinPreCreate(t *testing.T) {
	fake, err := NewDouyin(DouyinConfig{})
	must(t, err)
	in := newSPIInbox(t, fake, map[string]string{})
	for answer, want := range map[string]DouyinPreCreate{
		`{"data":{"error_code":0,"description":"success"}}`:  {Allowed: true, DouyinReply: DouyinReply{Answered: true}},
		`{"data":{"error_code":5,"description":"sold out"}}`: {DouyinReply: DouyinReply{Answered: true, Code: 5}},
		`{"data":{"error_code":"5"}}`:                        {Allowed: true}, `nothing`: {Allowed: true},
	} {
		in.tell(DouyinPreCreatePath, answer)
		got, _ := fake.PreCreate(t.Context(), DouyinProductID, 2)
		if got.Allowed != want.Allowed || got.Code != want.Code || got.Answered != want.Answered {
			t.Errorf("%s: %+v", answer, got)
		}
	}
	if _, body := in.last(); !strings.Contains(body, `"third_sku_id":"DY-00"`) || len(fake.PreCreates()) != 4 {
		t.Errorf("%s, %d kept", body, len(fake.PreCreates()))
	}
}

func TestDouyinStatusQuery(t *testing.T) {
	fake, err := NewDouyin(DouyinConfig{})
	must(t, err)
	in := newSPIInbox(t, fake, map[string]string{})
	for answer, complaint := range map[string]string{
		`{"1":{"order_id":"1","out_order_id":"T","order_status":200,"codes":["A"]}}`: "",
		`{"2":{"order_id":"2","order_status":200}}`:                                  "not asked for",
		`{"1":{"order_id":"1","order_status":"200"}}`:                                "another form",
		`[]`: "no JSON object",
	} {
		in.tell(DouyinStatusQueryPath, `{"data":{"error_code":0,"result":`+answer+`}}`)
		result, _ := fake.QueryStatus(t.Context(), "order", "1")
		if got := fake.Complaints(); len(result) != 1 && answer != "[]" || (len(got) > 0) != (complaint != "") || len(got) > 0 && !strings.Contains(got[0], complaint) {
			t.Errorf("%s: %s %q", answer, result, got)
		}
		fake.ForgiveComplaints()
	}
}

func TestDouyinMemberUpdate(t *testing.T) {
	fake, err := NewDouyin(DouyinConfig{ClientSecret: vectorSecret})
	must(t, err)
	in := newSPIInbox(t, fake, map[string]string{DouyinMemberPath: `{"data":{"error_code":11,"description":"no"}}`})
	reply, d := fake.UpdateMember(t.Context(), "o-1", "13800000000", "13912345678")
	_, body := in.last()
	if reply.Code != 11 || !reply.Answered || d.MessageID != "o-1" || strings.Contains(body, "13912345678") {
		t.Errorf("%+v %+v %s", reply, d, body)
	}
	var sent struct {
		Info struct {
			Mobile struct {
				New []byte `json:"new_mobile"`
			} `json:"mobile"`
		} `json:"info"`
	}
	must(t, json.Unmarshal([]byte(body), &sent)) // []byte is base64
	key := []byte(vectorSecret)
	block, err := aes.NewCipher(key)
	must(t, err)
	plain := make([]byte, len(sent.Info.Mobile.New))
	cipher.NewCBCDecrypter(block, key[16:]).CryptBlocks(plain, sent.Info.Mobile.New)
	if got := strings.TrimRight(string(plain), "\x05"); got != "13912345678" {
		t.Errorf("%q of %s", got, base64.StdEncoding.EncodeToString(sent.Info.Mobile.New))
	}
}

func TestDouyinHeldIssue(t *testing.T) {
	a := newDouyinAsker(t, DouyinConfig{})
	newSPIInbox(t, a.fake, map[string]string{DouyinIssuePath: issuedAnswer(a.fake, DouyinOrderID, "A1")})
	a.fake.Inject(Fault{Op: DouyinIssuePath, Kind: Reorder})
	d, err := a.fake.Issue(t.Context(), DouyinOrderID)
	if err != nil || d.Fate != Held || orderOf(t, a.fake, DouyinOrderID).Issue != DouyinIssueAsked {
		t.Errorf("%+v %v", d, err)
	}
	a.fake.ReleasePushes(t.Context(), 1)
	if o := orderOf(t, a.fake, DouyinOrderID); o.Issue != DouyinIssued {
		t.Errorf("%+v", o)
	}
}

func TestDouyinRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pushed := make(chan string, 8)
		fake, err := NewDouyin(DouyinConfig{PushBase: "http://receiver", Transport: inMemory(func(r *http.Request) (string, error) {
			pushed <- strings.TrimPrefix(r.URL.Path, douyinPushPrefix)
			return "", errors.New("refused")
		})})
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan bool)
		go func() { fake.Run(ctx); close(done) }()
		_, err = fake.Refund(DouyinOwnOrderID)
		must(t, err)
		if got := <-pushed; got != DouyinEventsPath {
			t.Error(got)
		}
		cancel()
		<-done
	})
}

func sha256Hex(text string) string { return fmt.Sprintf("%x", sumSHA256(text)) }
