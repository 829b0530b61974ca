package platformtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// douyinAsker asks the fake without a network, with a token of its own.
type douyinAsker struct {
	t     *testing.T
	fake  *Douyin
	token string
}

func newDouyinAsker(t *testing.T, config DouyinConfig) *douyinAsker {
	t.Helper()
	fake, err := NewDouyin(config)
	must(t, err)
	a := &douyinAsker{t: t, fake: fake}
	a.token = a.newToken()
	return a
}

// do asks and gives the answer's data and its code, which both parts must agree on.
func (a *douyinAsker) do(method, path string, body any) (map[string]json.RawMessage, int) {
	a.t.Helper()
	var reader io.Reader
	if text, ok := body.(string); ok {
		reader = strings.NewReader(text)
	} else if body != nil {
		reader = bytes.NewReader(mustMarshal(body))
	}
	request := httptest.NewRequest(method, path, reader)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("access-token", a.token)
	recorder := httptest.NewRecorder()
	a.fake.ServeHTTP(recorder, request)
	var whole struct {
		Data  map[string]json.RawMessage
		Extra struct {
			Code *int `json:"error_code"`
		}
	}
	must(a.t, json.Unmarshal(recorder.Body.Bytes(), &whole))
	var code int
	must(a.t, json.Unmarshal(whole.Data["error_code"], &code))
	if recorder.Code != http.StatusOK || path != douyinTokenPath && (whole.Extra.Code == nil || *whole.Extra.Code != code) {
		a.t.Errorf("%s: %d %s", path, recorder.Code, recorder.Body)
	}
	return whole.Data, code
}

func (a *douyinAsker) get(op string, query ...string) (map[string]json.RawMessage, int) {
	a.t.Helper()
	values := url.Values{}
	for i := 0; i < len(query); i += 2 {
		values.Add(query[i], query[i+1])
	}
	return a.do("GET", douyinAPIPrefix+op+"/?"+values.Encode(), nil)
}

func (a *douyinAsker) post(op string, body any) int {
	a.t.Helper()
	_, code := a.do("POST", douyinAPIPrefix+op+"/", body)
	return code
}

func (a *douyinAsker) askToken(key, secret, grant string) (string, int) {
	a.t.Helper()
	data, code := a.do("POST", douyinTokenPath, map[string]string{"client_key": key, "client_secret": secret, "grant_type": grant})
	var token string
	_ = json.Unmarshal(data["access_token"], &token)
	return token, code
}

func (a *douyinAsker) newToken() string {
	a.t.Helper()
	token, code := a.askToken(a.fake.ClientKey(), a.fake.ClientSecret(), "client_credential")
	if code != 0 || !strings.HasPrefix(token, "clt.") {
		a.t.Fatalf("no token: %d", code)
	}
	return token
}

// complaints checks that there are so many, one for each text, and forgets them.
func (a *douyinAsker) complaints(want ...string) {
	a.t.Helper()
	got := a.fake.Complaints()
	matches := len(got) == len(want)
	for i := range min(len(got), len(want)) {
		matches = matches && strings.Contains(got[i], want[i])
	}
	if !matches {
		a.t.Errorf("complaints %q, want %q", got, want)
	}
	a.fake.ForgiveComplaints()
}

func TestDouyinTokens(t *testing.T) {
	a := newDouyinAsker(t, DouyinConfig{})
	works := func(token string) int {
		a.t.Helper()
		a.token = token
		_, code := a.get("partner/order/get", "order_id", DouyinPartnerOrderID)
		return code
	}
	first := a.token
	if got := []int{works(first), works("clt.never"), works("")}; !slices.Equal(got, []int{0, 2190002, 2190002}) {
		t.Error(got)
	}
	second := a.newToken()
	if got := []int{works(first), works(second)}; !slices.Equal(got, []int{0, 0}) {
		t.Errorf("within the grace: %v", got)
	}
	third := a.newToken()
	if got := []int{works(first), works(second), works(third)}; !slices.Equal(got, []int{2190008, 0, 0}) {
		t.Errorf("only the two newest live: %v", got)
	}
	a.fake.Advance(douyinTokenGrace)
	if got := []int{works(second), works(third)}; !slices.Equal(got, []int{2190008, 0}) {
		t.Errorf("after the grace: %v", got)
	}
	a.fake.Advance(2 * time.Hour)
	if got := works(third); got != 2190008 {
		t.Errorf("after two hours: %d", got)
	}
	fourth := a.newToken()
	a.fake.ExpireTokens()
	if got := works(fourth); got != 2190008 {
		t.Errorf("ended: %d", got)
	}
	fifth := a.newToken()
	a.fake.RevokeTokens()
	if got := works(fifth); got != 2190002 || a.fake.TokensIssued() != 5 {
		t.Errorf("forgotten: %d, %d issued", got, a.fake.TokensIssued())
	}
	a.complaints()
}

func TestDouyinTokenRefusals(t *testing.T) {
	a := newDouyinAsker(t, DouyinConfig{})
	key, secret := a.fake.ClientKey(), a.fake.ClientSecret()
	for want, ask := range map[int][3]string{
		10003: {"other", secret, "client_credential"}, 10013: {key, "wrong", "client_credential"}, 10002: {key, secret, "authorization_code"},
	} {
		if _, code := a.askToken(ask[0], ask[1], ask[2]); code != want {
			t.Errorf("%v: %d, want %d", ask, code, want)
		}
	}
	a.fake.SetClientSecret("new")
	if _, code := a.askToken(key, secret, "client_credential"); code != 10013 {
		t.Errorf("the old secret: %d", code)
	}
	for range douyinTokenCalls {
		_, _ = a.askToken(key, "new", "client_credential")
	}
	if _, code := a.askToken(key, "new", "client_credential"); code != 10020 {
		t.Errorf("too many: %d", code)
	}
	a.complaints("more than 500 in five minutes")
	a.fake.Advance(5 * time.Minute)
	if _, code := a.askToken(key, "new", "client_credential"); code != 0 {
		t.Errorf("five minutes later: %d", code)
	}
}

func TestDouyinForm(t *testing.T) {
	order := []string{"account_id", DouyinAccountID, "order_id", DouyinOrderID}
	cases := map[string]struct {
		method, path string
		body         any
		code         int
		complaint    string
	}{
		"no account":      {"GET", "trade/order/query/?order_id=1", nil, 2100005, "account_id is missing"},
		"other account":   {"GET", "trade/order/query/?account_id=1&order_id=1", nil, 2119005, ""},
		"unknown name":    {"GET", "partner/order/get/?order_id=" + DouyinPartnerOrderID + "&colour=red", nil, 0, `unknown parameter "colour"`},
		"twice":           {"GET", "partner/order/get/?order_id=" + DouyinPartnerOrderID + "&order_id=1", nil, 0, "given twice"},
		"without a value": {"GET", "goods/product/online/query/?cursor=&account_id=" + DouyinAccountID, nil, 0, "cursor is sent without a value"},
		"too many":        {"GET", "goods/product/online/query/?count=51", nil, 2100005, "out of bounds"},
		"POST":            {"POST", "partner/order/get/?order_id=1", nil, 2100005, "POST in place of GET"},
		"a body":          {"GET", "partner/order/get/?order_id=" + DouyinPartnerOrderID, "{}", 0, "a GET with a body"},
		"no JSON":         {"POST", "fulfilment/create/callback/", "x", 2100005, "no JSON object"},
		"wrong type":      {"POST", "fulfilment/create/callback/", map[string]any{"order_id": 1, "result": 1}, 2100005, "order_id has the wrong type"},
		"null":            {"POST", "fulfilment/create/callback/", map[string]any{"order_id": DouyinOrderID, "result": 2, "fail_reason": nil}, 2100005, "fail_reason is sent without a value"},
		"eleven products": {"GET", "goods/product/online/get/?product_ids=1,2,3,4,5,6,7,8,9,10,11", nil, 2100005, "names 11 products"},
		"no times":        {"GET", "akte/after_sale/order/query/?page_size=10&account_id=" + DouyinAccountID, nil, 2100005, "times are wrong"},
		"one time":        {"GET", "akte/after_sale/order/query/?page_size=10&refund_done_end_time=5&account_id=" + DouyinAccountID, nil, 2100005, "times are wrong"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			a := newDouyinAsker(t, DouyinConfig{})
			_, code := a.do(c.method, douyinAPIPrefix+c.path, c.body)
			got := a.fake.Complaints()
			if code != c.code || (len(got) > 0) != (c.complaint != "") || len(got) > 0 && !strings.Contains(got[0], c.complaint) {
				t.Errorf("%d %q, want %d %q", code, got, c.code, c.complaint)
			}
		})
	}
	a := newDouyinAsker(t, DouyinConfig{})
	data, _ := a.get("trade/order/query", append(order, "update_order_start_time", "0")...)
	if string(data["orders"]) != "[]" {
		t.Errorf("a zero value: %s", data["orders"])
	}
	a.complaints("update_order_start_time is sent without a value")
	data, _ = a.get("trade/order/query", order...)
	if !strings.Contains(string(data["orders"]), DouyinOrderID) {
		t.Errorf("%s", data["orders"])
	}
	a.complaints()
	for path, status := range map[string]int{"/goodlife/v1/partner/order/get": 404, "/goodlife/v1/goods/product/save/": 404, "/oauth/client_token": 404, "/": 404} {
		recorder := httptest.NewRecorder()
		if a.fake.ServeHTTP(recorder, httptest.NewRequest("GET", path, nil)); recorder.Code != status {
			t.Errorf("%s: %d", path, recorder.Code)
		}
	}
}

func TestDouyinLogHoldsNoSecrets(t *testing.T) {
	var logged bytes.Buffer
	a := newDouyinAsker(t, DouyinConfig{Logger: testLogger(&logged)})
	a.post(douyinCallback, map[string]any{"order_id": DouyinOrderID, "result": 1, "codes": []string{"SECRET-1"}})
	a.post(douyinRefundAudit, map[string]any{"result": 2, "code": "SECRET-2", "certificate_id": "7", "reason": "no"})
	a.get("fulfilment/certificate/get", "encrypted_code", "SECRET-3", "unknown", "SECRET-4")
	all := logged.String() + string(mustMarshal(a.fake.CallLog())) + strings.Join(a.fake.Complaints(), "\n")
	if strings.Contains(all, "SECRET") || strings.Contains(all, a.fake.ClientSecret()) || strings.Contains(all, a.token) {
		t.Errorf("a secret is logged: %s", all)
	}
	want := map[string]string{"order_id": DouyinOrderID, "result": "1", "codes": "1 entries"}
	if diff := cmp.Diff(want, a.fake.CallLog()[1].Params); diff != "" {
		t.Error(diff)
	}
	if n := a.fake.Calls(douyinCallback); n != 1 {
		t.Errorf("%d calls", n)
	}
}

func TestDouyinRates(t *testing.T) {
	for op, limit := range map[string]int{douyinOrderQuery: 20, douyinAfterSale: 10} {
		a := newDouyinAsker(t, DouyinConfig{Throttle: true})
		synctest.Test(t, func(t *testing.T) {
			a.t = t
			ask := func(n int) (last int) {
				for range n {
					_, last = a.get(op, "account_id", DouyinAccountID, "order_id", "1")
				}
				return last
			}
			a.token = a.newToken()
			if code := ask(limit); code != 0 || len(a.fake.Complaints()) > 0 {
				t.Errorf("%s: %d, %q", op, code, a.fake.Complaints())
			}
			time.Sleep(time.Second)
			if code := ask(limit); code != 0 || len(a.fake.Complaints()) > 0 {
				t.Errorf("%s, a second later: %d, %q", op, code, a.fake.Complaints())
			}
			if code := ask(1); code != 2119003 {
				t.Errorf("%s: %d", op, code)
			}
			a.complaints(fmt.Sprintf("more than %d in a second", limit))
		})
	}
}

func TestDouyinProductPages(t *testing.T) {
	a := newDouyinAsker(t, DouyinConfig{})
	var ids []string
	cursor, pages := "", 0
	for more := true; more; pages++ {
		query := []string{"count", "50", "account_id", DouyinAccountID}
		if cursor != "" {
			query = append(query, "cursor", cursor)
		}
		data, code := a.get("goods/product/online/query", query...)
		var products []struct {
			Product struct {
				ID string `json:"product_id"`
			} `json:"product"`
		}
		if code != 0 {
			t.Fatal(code)
		}
		must(t, json.Unmarshal(data["products"], &products))
		must(t, json.Unmarshal(data["next_cursor"], &cursor))
		must(t, json.Unmarshal(data["has_more"], &more))
		for _, p := range products {
			ids = append(ids, p.Product.ID)
		}
	}
	if pages != 2 || len(ids) != douyinSeeded || ids[0] != DouyinProductID {
		t.Errorf("%d products on %d pages", len(ids), pages)
	}
	last := a.fake.Products()[douyinSeeded].ID
	for op, want := range map[string]string{"goods/product/online/get": "[]", "goods/product/draft/get": "缺少资质"} {
		data, _ := a.get(op, "product_ids", last)
		if all := string(mustMarshal(data)); !strings.Contains(all, want) || strings.Contains(all, last) != (want != "[]") {
			t.Errorf("%s: %s", op, all)
		}
	}
	must(t, a.fake.AlterProduct(DouyinProductID, func(p *DouyinProduct) { p.Online = DouyinBanned }))
	data, _ := a.get("goods/product/online/get", "out_ids", "DY-00")
	if !strings.Contains(string(data["product_onlines"]), `"online_status":3`) {
		t.Errorf("%s", data)
	}
	a.fake.DeleteProduct(DouyinProductID)
	if data, _ = a.get("goods/product/online/get", "product_ids", DouyinProductID); string(data["product_onlines"]) != "[]" {
		t.Errorf("%s", data)
	}
	a.complaints()
}

func TestDouyinOrderPages(t *testing.T) {
	a := newDouyinAsker(t, DouyinConfig{})
	cursor, seen := "0", 0
	for range 10 {
		data, _ := a.get(douyinOrderQuery, "account_id", DouyinAccountID, "page_size", "2", "cursor", cursor)
		var orders []json.RawMessage
		var after struct{ CursorValue []any }
		must(t, json.Unmarshal(data["orders"], &orders))
		must(t, json.Unmarshal(data["search_after"], &after))
		if len(orders) == 0 {
			break
		}
		seen += len(orders)
		cursor = strings.Trim(fmt.Sprintf("%.0f,%s", after.CursorValue...), "[]")
	}
	if seen != 3 {
		t.Errorf("%d orders", seen)
	}
	for condition, want := range map[string]int{"order_status=200": 2, "order_status=201": 1, "create_order_start_time=1722175822": 0,
		"create_order_start_time=1722175821&create_order_end_time=1722175821": 3, "ext_order_id=x": 0, "page_num=2&page_size=2": 1} {
		data, _ := a.do("GET", douyinAPIPrefix+douyinOrderQuery+"/?account_id="+DouyinAccountID+"&"+condition, nil)
		var orders []json.RawMessage
		must(t, json.Unmarshal(data["orders"], &orders))
		if len(orders) != want {
			t.Errorf("%s: %d orders, want %d", condition, len(orders), want)
		}
	}
	a.complaints()
}

func TestDouyinErrorQuirks(t *testing.T) {
	for name, quirks := range map[string]DouyinQuirks{"extra": {ErrorsInExtra: true}, "data": {ErrorsInData: true}} {
		fake, err := NewDouyin(DouyinConfig{Quirks: quirks})
		must(t, err)
		recorder := httptest.NewRecorder()
		fake.ServeHTTP(recorder, httptest.NewRequest("GET", douyinAPIPrefix+"partner/order/get/?order_id=1", nil))
		var whole map[string]struct {
			Code int `json:"error_code"`
		}
		must(t, json.Unmarshal(recorder.Body.Bytes(), &whole))
		for part, answer := range whole {
			if (answer.Code != 0) != (part == name) {
				t.Errorf("%s: %s", name, recorder.Body)
			}
		}
	}
}

func TestDouyinConcurrentUse(t *testing.T) {
	a := newDouyinAsker(t, DouyinConfig{})
	in := newSPIInbox(t, a.fake, map[string]string{DouyinIssuePath: `{"data":{"error_code":0,"result":0}}`})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, _ = a.fake.Issue(t.Context(), DouyinOrderID)
			a.get("goods/product/online/query", "count", "50")
			a.get("fulfilment/certificate/query", "order_id", DouyinOwnOrderID)
			_, _ = a.fake.Refund(DouyinSecondOrderID)
			a.fake.Settle(t.Context())
		})
	}
	wg.Wait()
	if len(in.paths()) < 8 || len(a.fake.AfterSales()) != 1 {
		t.Errorf("%d pushes, %d refunds", len(in.paths()), len(a.fake.AfterSales()))
	}
}

func TestDouyinRefusedConfig(t *testing.T) {
	for _, config := range []DouyinConfig{{RetryScale: -1}, {TokenLife: time.Millisecond}} {
		if _, err := NewDouyin(config); err == nil {
			t.Errorf("%+v is accepted", config)
		}
	}
	fake, err := NewDouyin(DouyinConfig{Empty: true})
	must(t, err)
	if len(fake.Products())+len(fake.Orders())+len(fake.PartnerOrders()) != 0 {
		t.Error("an empty fake has something")
	}
	for _, err := range []error{
		fake.PutProduct(DouyinProduct{ID: "x"}), fake.PutProduct(DouyinProduct{ID: "1", Online: 4}), fake.AlterProduct("1", nil),
		fake.PutOrder(DouyinOrder{ID: "x", ProductID: "1", Count: 1}), fake.PutOrder(DouyinOrder{ID: "1", ProductID: "1"}),
		fake.PutPartnerOrder(DouyinPartnerOrder{}), fake.Close("1"),
	} {
		if err == nil {
			t.Error("something wrong is accepted")
		}
	}
}
