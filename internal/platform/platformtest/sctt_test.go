package platformtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// scttAsker asks over HTTP and signs by itself.
type scttAsker struct {
	t    *testing.T
	fake *SCTT
	url  string
}

func newSCTTAsker(t *testing.T, config SCTTConfig) *scttAsker {
	t.Helper()
	fake, err := NewSCTT(config)
	must(t, err)
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	return &scttAsker{t, fake, server.URL}
}

// body adds merchant, time and sign to the fields, which may replace them, or leave them out
// by nil.
func (a *scttAsker) body(fields map[string]any) []byte {
	a.t.Helper()
	body := map[string]any{"merchant_id": json.Number(a.fake.Account()), "request_time": time.Now().In(a.fake.zone).Format(time.DateTime)}
	maps.Copy(body, fields)
	maps.DeleteFunc(body, func(_ string, value any) bool { return value == nil })
	if _, given := body["sign"]; !given {
		raw := map[string]json.RawMessage{}
		must(a.t, json.Unmarshal(mustMarshal(body), &raw))
		body["sign"] = a.fake.config.Signature.sign(a.fake.Secret(), raw)
	}
	return mustMarshal(body)
}

func (a *scttAsker) post(op string, body []byte) (code int, data json.RawMessage) {
	a.t.Helper()
	request, err := http.NewRequestWithContext(a.t.Context(), http.MethodPost, a.url+scttPrefix+op, bytes.NewReader(body))
	must(a.t, err)
	request.Header.Set("Content-Type", "application/json; charset=utf-8")
	request.Header.Set("Accept", "application/json")
	response, err := http.DefaultClient.Do(request)
	must(a.t, err)
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	must(a.t, err)
	envelope := struct {
		Code int             `json:"code"`
		Msg  string          `json:"msg"`
		Data json.RawMessage `json:"data"`
	}{}
	must(a.t, json.Unmarshal(raw, &envelope))
	if response.StatusCode != 200 || envelope.Msg == "" {
		a.t.Errorf("%s: status %d, %s", op, response.StatusCode, raw)
	}
	return envelope.Code, envelope.Data
}

// ask asks with what a call needs, and the fields in place of that.
func (a *scttAsker) ask(op string, fields map[string]any) (code int, data json.RawMessage) {
	a.t.Helper()
	whole := map[string]map[string]any{
		"productlist":  {"language": "zh-cn", "key": "", "cid": 0, "category": []any{}, "pageno": 1, "pagesize": 10},
		"products":     {"product_id": json.Number(SCTTProductID), "language": "en-us"},
		"availability": {"product_id": json.Number(SCTTProductID), "start_date": "2026-01-01", "end_date": "2026-06-30"},
	}[op]
	maps.Copy(whole, fields)
	return a.post(op, a.body(whole))
}

// must decodes the data of a call that succeeds.
func (a *scttAsker) must(op string, fields map[string]any, into any) {
	a.t.Helper()
	code, data := a.ask(op, fields)
	if code != 0 {
		a.t.Fatalf("%s: code %d, complaints %q", op, code, a.fake.Complaints())
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	must(a.t, decoder.Decode(into))
}

type scttPage struct {
	Total int
	List  []map[string]any `json:"productlist"`
}

func TestSCTTPages(t *testing.T) {
	a := newSCTTAsker(t, SCTTConfig{})
	var ids []string
	for i, name := range []string{"code", "productcode", "code"} {
		var page scttPage
		a.must("productlist", map[string]any{"pageno": i + 1}, &page)
		if want := min(10, 25-10*i); page.Total != 25 || len(page.List) != want {
			t.Errorf("page %d: %d of %d", i+1, len(page.List), page.Total)
		}
		for _, row := range page.List {
			ids = append(ids, fmt.Sprint(row[name]))
		}
	}
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 25 || ids[0] != SCTTProductID || !slices.Contains(ids, SCTTBigProductID) {
		t.Errorf("%q", ids)
	}
	if gripes := a.fake.Complaints(); len(gripes) > 0 {
		t.Errorf("%q", gripes)
	}
	var page scttPage
	for number, complaints := range map[int]int{4: 0, 5: 1} {
		a.fake.ForgiveComplaints()
		page = scttPage{}
		a.must("productlist", map[string]any{"pageno": number}, &page)
		if page.List == nil || len(page.List) > 0 || len(a.fake.Complaints()) != complaints {
			t.Errorf("page %d: %v, complaints %q", number, page.List, a.fake.Complaints())
		}
	}
	a.must("productlist", map[string]any{"key": SCTTBigProductID}, &page)
	if page.Total != 1 {
		t.Errorf("by its number: %+v", page)
	}
	must(t, a.fake.AlterProduct(SCTTBigProductID, func(p *SCTTProduct) { p.Hidden = true }))
	a.must("productlist", nil, &page)
	if page.Total != 24 {
		t.Errorf("one is hidden, and %d are listed", page.Total)
	}
}

func TestSCTTQuirks(t *testing.T) {
	a := newSCTTAsker(t, SCTTConfig{Quirks: SCTTQuirks{RowID: "productcode", QuotedIDs: true, ClippedRanges: true}})
	var page scttPage
	a.must("productlist", nil, &page)
	if id := page.List[0]["productcode"]; id != any(SCTTProductID) {
		t.Errorf("%v", page.List[0])
	}
	today := time.Now().In(china)
	start, end := today.Format(time.DateOnly), today.AddDate(0, 0, 150).Format(time.DateOnly)
	rows := a.rows(SCTTRangesProductID, start, end)[0]
	if rows[0]["start_date"] != any(start) || rows[1]["end_date"] != any(end) {
		t.Errorf("%v", rows)
	}
}

// rows are the availabilities of each unit.
func (a *scttAsker) rows(id, start, end string) [][]map[string]any {
	a.t.Helper()
	var answer struct {
		GoodsList []struct {
			Extras  int `json:"goods_extras"`
			Pattern int `json:"stock_pattern"`
			SKUs    []struct {
				Availabilities []map[string]any
			} `json:"sku_list"`
		} `json:"goods_list"`
	}
	a.must("availability", map[string]any{"product_id": json.Number(id), "start_date": start, "end_date": end}, &answer)
	var all [][]map[string]any
	for _, goods := range answer.GoodsList {
		for _, sku := range goods.SKUs {
			if sku.Availabilities == nil {
				a.t.Errorf("%s: null in place of a list", id)
			}
			all = append(all, sku.Availabilities)
		}
	}
	return all
}

func TestSCTTAvailability(t *testing.T) {
	a := newSCTTAsker(t, SCTTConfig{})
	today := time.Now().In(china)
	day := func(n int) string { return today.AddDate(0, 0, n).Format(time.DateOnly) }
	for id, want := range map[string][]int{SCTTProductID: {14}, SCTTSessionsProductID: {14}, SCTTEmptyProductID: {0},
		SCTTRangesProductID: {2, 1}, SCTTAddOnProductID: {14, 14}, SCTTTotalProductID: {14}} {
		var got []int
		for _, rows := range a.rows(id, day(0), day(180)) {
			got = append(got, len(rows))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", id, diff)
		}
	}
	sessions := a.rows(SCTTSessionsProductID, day(6), day(7))[0]
	if _, told := sessions[0]["surplus_quota"]; told || len(sessions[0]["sessions"].([]any)) != 2 || sessions[1]["surplus_quota"] == nil {
		t.Errorf("%v", sessions)
	}
	if rows := a.rows(SCTTRangesProductID, day(0), day(1))[0]; len(rows) != 1 || rows[0]["start_date"] != any(day(-10)) || rows[0]["end_date"] != any(day(20)) {
		t.Errorf("a range is cut: %v", rows)
	}
	must(t, a.fake.SetCost(SCTTProductID, "99.5"))
	must(t, a.fake.SetStock(SCTTProductID, 3))
	if rows := a.rows(SCTTProductID, day(0), day(0))[0]; fmt.Sprint(rows[0]["cost_price"], "/", rows[0]["surplus_quota"]) != "99.5/3" {
		t.Errorf("%v", rows)
	}
	var product map[string]any
	a.must("products", nil, &product)
	if product["title"] == "" || fmt.Sprint(product["product_id"], "/", product["costprice"]) != SCTTProductID+"/99.5" {
		t.Errorf("%v", product)
	}
	if gripes := a.fake.Complaints(); len(gripes) > 0 {
		t.Errorf("%q", gripes)
	}
}

func TestSCTTHalfYears(t *testing.T) {
	for start, want := range map[string]string{"2026-01-15": "2026-07-15", "2025-08-31": "2026-02-28", "2027-08-30": "2028-02-29", "2026-12-01": "2027-06-01"} {
		day, err := time.Parse(time.DateOnly, start)
		must(t, err)
		if got := halfYearLater(day).Format(time.DateOnly); got != want {
			t.Errorf("%s: %s, want %s", start, got, want)
		}
	}
}

// TestSCTTComplains: what breaks a rule is refused where the rule is one of the page's, and
// complained of once.
func TestSCTTComplains(t *testing.T) {
	for name, c := range map[string]struct {
		op     string
		fields map[string]any
		code   int
		about  string
	}{
		"no merchant":        {"products", map[string]any{"merchant_id": "x"}, 4001, "merchant_id is no number"},
		"merchant as text":   {"products", map[string]any{"merchant_id": SCTTAccount}, 4001, "merchant_id is no number"},
		"other merchant":     {"products", map[string]any{"merchant_id": json.Number("7")}, scttBadSign, "another"},
		"sign":               {"products", map[string]any{"sign": "00"}, scttBadSign, "the sign is wrong"},
		"empty sign":         {"products", map[string]any{"sign": ""}, scttBadSign, "the sign is wrong"},
		"time":               {"products", map[string]any{"request_time": "2026-01-01T00:00:00"}, 4001, "request_time is not"},
		"no time":            {"products", map[string]any{"request_time": nil}, 4001, "request_time is missing"},
		"old":                {"products", map[string]any{"request_time": "2026-01-01 00:00:00"}, 0, "off by more than"},
		"other zone":         {"products", map[string]any{"request_time": time.Now().UTC().Format(time.DateTime)}, 0, "off by more than"},
		"language":           {"products", map[string]any{"language": "zh"}, 4001, "language"},
		"no language":        {"productlist", map[string]any{"language": nil}, 4001, "language is missing"},
		"page 0":             {"productlist", map[string]any{"pageno": 0}, 4001, "pageno"},
		"page as text":       {"productlist", map[string]any{"pageno": "1"}, 4001, "pageno"},
		"no category":        {"productlist", map[string]any{"category": "x"}, 4001, "category"},
		"large page":         {"productlist", map[string]any{"pagesize": 101}, 4001, ""},
		"unknown field":      {"products", map[string]any{"page": 1}, 0, `"page" is no field`},
		"product as text":    {"products", map[string]any{"product_id": SCTTProductID}, 4001, "product_id is no number"},
		"unknown product":    {"products", map[string]any{"product_id": json.Number("7")}, scttNoSuchGoods, ""},
		"unknown, in detail": {"availability", map[string]any{"product_id": json.Number("7")}, scttNoSuchGoods, ""},
		"no day":             {"availability", map[string]any{"end_date": "2026-2-1"}, 4001, "yyyy-MM-dd"},
		"backwards":          {"availability", map[string]any{"end_date": "2025-12-31"}, 4001, "before start_date"},
		"long":               {"availability", map[string]any{"end_date": "2026-07-01"}, 4001, "six months"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newSCTTAsker(t, SCTTConfig{})
			code, _ := a.ask(c.op, c.fields)
			_, _ = a.ask(c.op, c.fields)
			gripes := a.fake.Complaints()
			if code != c.code || len(gripes) != min(len(c.about), 1) || len(gripes) == 1 && !strings.Contains(gripes[0], c.about) {
				t.Errorf("code %d, complaints %q; want %d, %q", code, gripes, c.code, c.about)
			}
			if strings.Contains(fmt.Sprint(gripes), a.fake.Secret()) {
				t.Error("a complaint holds the secret")
			}
			if a.fake.ForgiveComplaints(); len(a.fake.Complaints()) > 0 {
				t.Error("not forgiven")
			}
		})
	}
}

func TestSCTTStrangeRequests(t *testing.T) {
	a := newSCTTAsker(t, SCTTConfig{})
	for _, body := range []string{"", "[]", "null", "{", `{"merchant_id":1}`} {
		if code, _ := a.post("products", []byte(body)); code != 4001 {
			t.Errorf("%q: code %d", body, code)
		}
	}
	for _, path := range []string{"/", "/v1/", "/v1/order_confirmation", "/products"} {
		recorder := httptest.NewRecorder()
		a.fake.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, path, nil))
		if recorder.Code != http.StatusNotFound {
			t.Errorf("%s: status %d", path, recorder.Code)
		}
	}
	recorder := httptest.NewRecorder()
	a.fake.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/v1/products", nil))
	if !strings.Contains(recorder.Body.String(), "4001") || !strings.Contains(fmt.Sprint(a.fake.Complaints()), "Accept is not") {
		t.Errorf("%s, complaints %q", recorder.Body, a.fake.Complaints())
	}
}

func TestSCTTFaults(t *testing.T) {
	a := newSCTTAsker(t, SCTTConfig{})
	a.fake.Inject(Fault{Op: "products", Kind: Code, Code: "4002"})
	a.fake.Inject(Fault{Op: "products", Kind: Code, Code: "x"})
	a.fake.Inject(Fault{Kind: WrongContentType})
	a.fake.Inject(Fault{Kind: Slow, Delay: time.Nanosecond})
	for _, want := range []int{4002, scttScriptedCode, 0, 0, 0} {
		if code, _ := a.ask("products", nil); code != want {
			t.Errorf("code %d, want %d", code, want)
		}
	}
	a.fake.Down()
	response, err := http.Post(a.url+"/v1/products", "application/json", nil)
	if err == nil {
		_ = response.Body.Close()
		t.Error("it is down, and answers")
	}
	a.fake.Up()
	if code, _ := a.ask("productlist", nil); code != 0 || a.fake.Calls("products") < 6 || a.fake.Calls("productlist") != 1 {
		t.Errorf("code %d, %d and %d calls", code, a.fake.Calls("products"), a.fake.Calls("productlist"))
	}
	calls := a.fake.CallLog()
	if last := calls[len(calls)-1]; last.Op != "productlist" || last.Subject != "page 1 of 10" || last.Verdict != "0" || calls[0].Verdict != "Code" && calls[0].Verdict != "4002" {
		t.Errorf("%+v", calls)
	}
}

func TestSCTTSecretChanges(t *testing.T) {
	a := newSCTTAsker(t, SCTTConfig{Secret: "before", Signature: SCTTSignature{"HMACSHA256", "Base64", "{request_time}"}, Zone: "-03:30"})
	body := a.body(map[string]any{"product_id": json.Number(SCTTProductID), "language": "zh-cn"})
	if code, _ := a.post("products", body); code != 0 {
		t.Errorf("code %d, %q", code, a.fake.Complaints())
	}
	a.fake.SetSecret("after")
	if code, _ := a.post("products", body); code != scttBadSign {
		t.Errorf("code %d with the old secret", code)
	}
}

func TestSCTTLogsAreClean(t *testing.T) {
	var logged bytes.Buffer
	a := newSCTTAsker(t, SCTTConfig{Secret: "hidden-secret", Logger: testLogger(&logged)})
	_, _ = a.ask("products", nil)
	if !strings.Contains(logged.String(), "op=products") || strings.Contains(logged.String(), "hidden") {
		t.Error(logged.String())
	}
}

func TestSCTTRefusedState(t *testing.T) {
	fake, err := NewSCTT(SCTTConfig{Empty: true})
	must(t, err)
	price := SCTTProduct{ID: "1", Price: "1", Market: "1", Cost: "1"}
	with := func(alter func(*SCTTProduct)) SCTTProduct {
		p := price.clone()
		alter(&p)
		return p
	}
	row := SCTTRow{Start: "2026-01-02", End: "2026-01-01", Market: "1", Customer: "1", Cost: "1"}
	for name, p := range map[string]SCTTProduct{
		"id":    with(func(p *SCTTProduct) { p.ID = "x" }),
		"price": with(func(p *SCTTProduct) { p.Cost = "x" }),
		"goods": with(func(p *SCTTProduct) { p.Goods = []SCTTGoods{{ID: "x"}} }),
		"sku":   with(func(p *SCTTProduct) { p.Goods = []SCTTGoods{{ID: "1", SKUs: []SCTTSKU{{ID: "x"}}}} }),
		"row": with(func(p *SCTTProduct) {
			p.Goods = []SCTTGoods{{ID: "1", SKUs: []SCTTSKU{{ID: "1", Rows: []SCTTRow{row}}}}}
		}),
	} {
		if fake.PutProduct(p) == nil {
			t.Errorf("%s: put", name)
		}
	}
	must(t, fake.PutProduct(price))
	if fake.AlterProduct("1", func(p *SCTTProduct) { p.Cost = "x" }) == nil || fake.AlterProduct("2", func(*SCTTProduct) {}) == nil {
		t.Error("altered")
	}
	if fake.DeleteProduct("1"); len(fake.Products()) != 0 {
		t.Error("not deleted")
	}
	if fake.PutOrder(SCTTOrder{ID: "x", Total: "1"}) == nil || fake.PutOrder(SCTTOrder{ID: "1", Total: "x"}) == nil {
		t.Error("put")
	}
}
