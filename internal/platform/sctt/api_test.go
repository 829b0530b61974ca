package sctt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
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

// testNow is 2025-09-23 12:00:00 in China.
var testNow = time.UnixMilli(1758600000000)

// question is one request as the server saw it.
type question struct {
	op     string
	fields map[string]json.RawMessage
}

// server answers by operation, and keeps what it was asked.
type server struct {
	*httptest.Server
	t      *testing.T
	answer func(question) string
	mu     sync.Mutex
	asked  []question
}

func newServer(t *testing.T, answer func(question) string) *server {
	t.Helper()
	s := &server{t: t, answer: answer}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// ServeHTTP checks what all calls share.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	op, ok := strings.CutPrefix(r.URL.Path, "/v1/")
	if !ok || r.Method != http.MethodPost || r.URL.RawQuery != "" ||
		r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Accept") != "application/json" {
		s.t.Errorf("%s %s with %v", r.Method, r.URL, r.Header)
	}
	q := question{op: op}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &q.fields)
	}
	if err != nil {
		s.t.Errorf("%s: %v", op, err)
	}
	s.mu.Lock()
	s.asked = append(s.asked, q)
	s.mu.Unlock()
	_, _ = io.WriteString(w, s.answer(q))
}

// account of the server with a Channel's block.
func (s *server) account(t *testing.T, block string) platform.Account {
	t.Helper()
	return platform.Account{Holder: holder(settings(t, block)), Endpoint: s.URL, Now: func() time.Time { return testNow }}
}

func (s *server) client(t *testing.T, block string) *Client {
	t.Helper()
	limits := platform.Limits{RequestsPerSecond: 10000, Burst: 10000, Concurrency: 2}
	client, err := Adapter{}.NewClient(s.account(t, block), platform.NewTransport(t.Name(), limits, http.DefaultTransport))
	if err != nil {
		t.Fatal(err)
	}
	return client.(*Client)
}

const (
	emptyList = `{"code":0,"msg":"","data":{"total":0,"productlist":[]}}`
	aProduct  = `{"code":0,"msg":"","data":{"product_id":88,"title":"Harbour cruise"}}`
	noGoods   = `{"code":0,"msg":"","data":{"product_id":88,"goods_list":[]}}`
)

// simple answers each call with next to nothing.
func simple(q question) string {
	return map[string]string{opProductList: emptyList, opProducts: aProduct, opAvailability: noGoods}[q.op]
}

// asking is a question and the calls that must come of it, with what is signed of each.
type asking struct {
	block string
	ask   func(context.Context, *Client) error
	calls []call
}

type call struct{ op, fields, signed string }

func product(aspects ...platform.Aspect) func(context.Context, *Client) error {
	return func(ctx context.Context, c *Client) error {
		_, err := c.Product(ctx, platform.ProductQuestion{ProductID: "88", Aspects: aspects})
		return err
	}
}

// Each call sends what is documented, signed by the Channel's rule.
func TestCalls(t *testing.T) {
	check := func(ctx context.Context, c *Client) error { return c.Check(ctx) }
	list := func(ctx context.Context, c *Client) error {
		return c.ListProducts(ctx, func([]platform.ListedProduct) bool { return true })
	}
	md5 := func(message string) string { return block("MD5", "UpperHex", message) }
	info := call{opProducts, `{"product_id":88,"language":"zh-cn"}`, "2554562025-09-23 12:00:00" + testSecret}
	first := call{opAvailability, `{"product_id":88,"start_date":"2025-09-23","end_date":"2026-03-22"}`, info.signed}
	second := call{opAvailability, `{"product_id":88,"start_date":"2026-03-23","end_date":"2026-09-22"}`, info.signed}
	rule := md5("{merchant_id}{request_time}{secret}")
	for name, tc := range map[string]asking{
		"check": {md5("{secret}{pageno}{pagesize}{key}{cid}{language}{product_id}"), check, []call{{opProductList,
			`{"language":"zh-cn","key":"","cid":0,"category":[],"pageno":1,"pagesize":1}`, testSecret + "110zh-cn"}}},
		"list": {rule, list, []call{{opProductList,
			`{"language":"zh-cn","key":"","cid":0,"category":[],"pageno":1,"pagesize":10}`, info.signed}}},
		"first look":             {rule, product(), []call{info, first, second}},
		"info":                   {rule, product(platform.AspectInfo), []call{info, first, second}},
		"availability and price": {rule, product(platform.AspectPrice, platform.AspectAvailability), []call{info, first, second}},
		"price and stock":        {rule, product(platform.AspectPrice, platform.AspectStock), []call{first, second}},
		"dates signed": {md5("{product_id}:{start_date}:{end_date}:{secret}"), product(platform.AspectStock), []call{
			{first.op, first.fields, "88:2025-09-23:2026-03-22:" + testSecret}, {second.op, second.fields, "88:2026-03-23:2026-09-22:" + testSecret}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, simple)
			if err := tc.ask(t.Context(), s.client(t, tc.block)); err != nil {
				t.Fatal(err)
			}
			if len(s.asked) != len(tc.calls) {
				t.Fatalf("asked %v, want %d calls", s.asked, len(tc.calls))
			}
			for i, want := range tc.calls {
				checkQuestion(t, s.asked[i], want, "2025-09-23 12:00:00")
			}
		})
	}
}

func checkQuestion(t *testing.T, q question, call call, requestTime string) {
	t.Helper()
	want := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(call.fields), &want); err != nil {
		t.Fatal(err)
	}
	want["merchant_id"] = json.RawMessage(testMerchant) // a bigint: a number
	want["request_time"] = json.RawMessage(quote(requestTime))
	want["sign"] = json.RawMessage(quote(written("UpperHex", digestOf("MD5", call.signed))))
	if diff := cmp.Diff(want, q.fields); diff != "" || q.op != call.op {
		t.Errorf("%s (-want +got):\n%s", q.op, diff)
	}
}

// The zone, the language and the secret are the Channel's; an account that is no number is
// a text.
func TestCallsAsConfigured(t *testing.T) {
	s := newServer(t, simple)
	rule := `"signature":{"algorithm":"HMACSHA256","encoding":"Base64","message":"{merchant_id}{request_time}{language}"}`
	account := s.account(t, `{"language":"en-us","requestTimeZone":"-03:30",`+rule+`}`)
	account.ID = "M-01"
	account.Credentials = platform.Credentials{keySecret: sealing.NewSecret("\t" + testSecret + "\n")}
	c, err := newClient(account, platform.NewTransport(t.Name(), platform.Limits{RequestsPerSecond: 100, Burst: 100, Concurrency: 1}, http.DefaultTransport))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := s.asked[0].fields
	for name, want := range map[string]string{
		"merchant_id": `"M-01"`, "request_time": `"2025-09-23 00:30:00"`, "language": `"en-us"`,
		"sign": quote(written("Base64", digestOf("HMACSHA256", "M-012025-09-23 00:30:00en-us"))),
	} {
		if string(got[name]) != want {
			t.Errorf("%s is %s, want %s", name, got[name], want)
		}
	}
}

func TestNewClientNeeds(t *testing.T) {
	s := newServer(t, simple)
	whole := s.account(t, `{"signature":`+testRule+`}`)
	for name, tc := range map[string]struct {
		alter func(*platform.Account)
		want  error
		names string
	}{
		"a rule":             {func(a *platform.Account) { a.Settings = settings(t, "{}") }, platform.ErrSettings, "spec.sctt.signature is not set"},
		"what to do":         {func(a *platform.Account) { a.Settings = settings(t, "{}") }, platform.ErrSettings, "ask SCTT for its signing rule"},
		"usable settings":    {func(a *platform.Account) { a.Settings = nil }, platform.ErrSettings, "spec.sctt"},
		"credentials":        {func(a *platform.Account) { a.Credentials = nil }, platform.ErrCredentials, "secret"},
		"a secret":           {func(a *platform.Account) { a.Credentials = platform.Credentials{keySecret: sealing.NewSecret(" ")} }, platform.ErrCredentials, "secret"},
		"a rule more than a": {func(a *platform.Account) { a.Settings, a.Credentials = settings(t, "{}"), nil }, platform.ErrSettings, "signature"},
	} {
		account := whole
		tc.alter(&account)
		client, err := Adapter{}.NewClient(account, nil)
		if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.names) || strings.Contains(err.Error(), testSecret) {
			t.Errorf("%s: %v, %v", name, client, err)
		}
	}
}

// PHP writes an empty map as a list, and what it does not have as null. A catalogue may be
// so; of a product it says nothing.
func TestAnswersWithoutData(t *testing.T) {
	for _, data := range []string{`,"data":null`, ``, `,"data":[]`, `,"data":[ ]`, `,"data":""`, `,"data":{}`} {
		s := newServer(t, func(question) string { return `{"code":0,"msg":""` + data + `}` })
		c := s.client(t, `{"signature":`+testRule+`}`)
		if err := c.Check(t.Context()); err != nil {
			t.Errorf("%s: check: %v", data, err)
		}
		err := c.ListProducts(t.Context(), func(page []platform.ListedProduct) bool {
			t.Errorf("%s: a page of %d", data, len(page))
			return true
		})
		if err != nil || len(s.asked) != 2 {
			t.Errorf("%s: %v after %d calls", data, err, len(s.asked))
		}
		for _, aspect := range []platform.Aspect{platform.AspectInfo, platform.AspectStock} {
			_, err := c.Product(t.Context(), platform.ProductQuestion{ProductID: "88", Aspects: []platform.Aspect{aspect}})
			checkError(t, err, platform.Transient, platform.ReasonBadAnswer)
			if err != nil && !strings.Contains(err.Error(), "data is missing") {
				t.Errorf("%s: %v", data, err)
			}
		}
	}
	s := newServer(t, func(question) string { return `{"code":0,"data":[1]}` })
	checkError(t, s.client(t, `{"signature":`+testRule+`}`).Check(t.Context()), platform.Transient, platform.ReasonBadAnswer)
}

// Many units are read in a time that grows with their number, and not with its square.
func TestManyUnits(t *testing.T) {
	const n = 60_000
	var rows strings.Builder
	for i := range n {
		fmt.Fprintf(&rows, `{"sku_id":%d},`, i)
	}
	answer := `{"code":0,"data":{"goods_list":[{"goods_id":1,"sku_list":[` + strings.TrimSuffix(rows.String(), ",") + `]}]}}`
	u := newUnits("AUD")
	start := time.Now()
	err := readAnswer(opAvailability, []byte(answer), func(data fields.Object) { u.read(data, platform.ProductQuestion{}) })
	if took := time.Since(start); err != nil || len(u.skus) != n || took > 5*time.Second {
		t.Errorf("%d units in %s, %v", len(u.skus), took, err)
	}
}

// No order can be asked for, and nothing is told: what a Client can do is found by its type.
func TestClientAsksForProductsOnly(t *testing.T) {
	var client any = &Client{}
	_, orders := client.(platform.OrderClient)
	_, answers := client.(platform.OrderAnswerer)
	_, notices := client.(platform.NoticeClient)
	if orders || answers || notices {
		t.Errorf("orders %t, answers %t, notices %t", orders, answers, notices)
	}
	if !(Adapter{}).PushesDecide() {
		t.Error("nothing decides about orders")
	}
}

// catalogue answers pages of a catalogue of n products whose total is told so.
func catalogue(t *testing.T, n int, total string) func(question) string {
	return func(q question) string {
		var page, size int
		if errors.Join(json.Unmarshal(q.fields["pageno"], &page), json.Unmarshal(q.fields["pagesize"], &size)) != nil {
			t.Error("no page")
		}
		var rows []string
		for i := (page - 1) * size; i < min(page*size, n); i++ {
			name := []string{"code", "productcode"}[page%2]
			rows = append(rows, fmt.Sprintf(`{"%s":%d,"title":"product %d"}`, name, i, i))
		}
		return `{"code":0,"data":{"total":` + total + `,"productlist":[` + strings.Join(rows, ",") + `]}}`
	}
}

func TestListProducts(t *testing.T) {
	for name, tc := range map[string]struct {
		n, calls int
		total    string
	}{
		"none":                  {0, 1, "0"},
		"one page":              {7, 1, "7"},
		"a full page":           {10, 2, "10"},
		"two full pages":        {20, 3, "20"},
		"three pages":           {25, 3, "25"},
		"a total too small":     {25, 3, "1"},
		"a total of nothing":    {25, 3, "0"},
		"no more than a page":   {10, 2, "3"},
		"no total":              {25, 4, "null"},
		"no total, full pages":  {20, 3, "null"},
		"a total that is wrong": {25, 4, "1000"},
		"total as a text":       {25, 3, `"25"`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, catalogue(t, tc.n, tc.total))
			seen := map[string]bool{}
			err := s.client(t, `{"signature":`+testRule+`}`).ListProducts(t.Context(), func(page []platform.ListedProduct) bool {
				for _, product := range page {
					seen[product.ID] = true
				}
				return true
			})
			if err != nil || len(seen) != tc.n || len(s.asked) != tc.calls {
				t.Errorf("%d products in %d calls, %v; want %d in %d", len(seen), len(s.asked), err, tc.n, tc.calls)
			}
		})
	}
}

func TestListProductsEnds(t *testing.T) {
	all := func([]platform.ListedProduct) bool { return true }
	rule := `{"signature":` + testRule + `}`
	t.Run("when told", func(t *testing.T) {
		s := newServer(t, catalogue(t, 1000, "1000"))
		none := func([]platform.ListedProduct) bool { return false }
		if err := s.client(t, rule).ListProducts(t.Context(), none); err != nil || len(s.asked) != 1 {
			t.Errorf("%v after %d calls", err, len(s.asked))
		}
	})
	for _, total := range []string{"15", "1000", "null", "0"} {
		t.Run("when the last page comes again, total "+total, func(t *testing.T) {
			numbered := func(n int) json.RawMessage { return json.RawMessage(fmt.Sprint(n)) }
			s := newServer(t, func(q question) string {
				var page int
				if err := json.Unmarshal(q.fields["pageno"], &page); err != nil {
					t.Error(err)
				}
				q.fields["pageno"] = numbered(min(page, 2))
				return catalogue(t, 20, total)(q)
			})
			var ids []string
			err := s.client(t, rule).ListProducts(t.Context(), func(page []platform.ListedProduct) bool {
				for _, p := range page {
					ids = append(ids, p.ID)
				}
				return true
			})
			if err != nil || len(ids) != 20 || len(s.asked) != 3 {
				t.Errorf("%d products in %d calls, %v", len(ids), len(s.asked), err)
			}
		})
	}
	t.Run("with each product once, where pages overlap", func(t *testing.T) {
		overlapping := []string{`{"code":1},{"code":2},{"code":1}`, `{"code":2},{"code":3}`, `{"code":3}`}
		s := newServer(t, func(q question) string {
			var page int
			if err := json.Unmarshal(q.fields["pageno"], &page); err != nil {
				t.Error(err)
			}
			return `{"code":0,"data":{"total":9,"productlist":[` + overlapping[page-1] + `]}}`
		})
		var ids []string
		err := s.client(t, rule).ListProducts(t.Context(), func(page []platform.ListedProduct) bool {
			for _, p := range page {
				ids = append(ids, p.ID)
			}
			return true
		})
		if err != nil || strings.Join(ids, " ") != "1 2 3" || len(s.asked) != 3 {
			t.Errorf("%v in %d calls, %v", ids, len(s.asked), err)
		}
	})
	t.Run("when it never does", func(t *testing.T) {
		s := newServer(t, catalogue(t, 10*maxPages+1, "null"))
		checkError(t, s.client(t, rule).ListProducts(t.Context(), all), platform.Transient, platform.ReasonBadAnswer)
		if len(s.asked) != maxPages {
			t.Errorf("%d calls", len(s.asked))
		}
	})
	t.Run("when a page fails", func(t *testing.T) {
		calls := 0
		s := newServer(t, func(q question) string {
			if calls++; calls > 1 {
				return `{"code":4001,"msg":""}`
			}
			return catalogue(t, 1000, "1000")(q)
		})
		checkError(t, s.client(t, rule).ListProducts(t.Context(), all), platform.Refused, platform.ReasonRequest)
	})
	t.Run("when it is told to stop waiting", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := newServer(t, catalogue(t, 1000, "1000"))
		err := s.client(t, rule).ListProducts(ctx, func([]platform.ListedProduct) bool { cancel(); return true })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}

// Both halves of the year make one calendar, and a unit that only one names is there too.
func TestProduct(t *testing.T) {
	half := func(skus string) string {
		return `{"code":0,"data":{"product_id":88,"goods_list":[{"goods_id":1,"surplus_quota":9,"sku_list":[` + skus + `]}]}}`
	}
	day := func(date string, left int) string {
		return fmt.Sprintf(`{"start_date":%q,"end_date":%q,"surplus_quota":%d,"market_price":2,"cost_price":1.5}`, date, date, left)
	}
	s := newServer(t, func(q question) string {
		switch {
		case q.op == opProducts:
			return aProduct
		case string(q.fields["start_date"]) == `"2025-09-23"`:
			return half(`{"sku_id":11,"availabilities":[` + day("2025-09-23", 5) + `]}`)
		}
		return half(`{"sku_id":12,"availabilities":[]},{"sku_id":"11","availabilities":[` + day("2026-03-22", 9) + "," + day("2026-03-23", 6) + `]}`)
	})
	got, err := s.client(t, `{"currency":"AUD","signature":`+testRule+`}`).Product(t.Context(), platform.ProductQuestion{ProductID: "88"})
	if err != nil {
		t.Fatal(err)
	}
	bought, listed := new(int64(150)), new(int64(200))
	want := platform.Product{
		State: platform.ProductOnSale, Info: &platform.ProductInfo{Title: "Harbour cruise"}, Currency: "AUD",
		SKUs: []platform.SKU{
			{ID: "11", Name: "goods 1", Days: []platform.Day{
				{Date: "2025-09-23", Amount: bought, Market: listed, Stock: new(int64(5))},
				{Date: "2026-03-23", Amount: bought, Market: listed, Stock: new(int64(6))}}},
			{ID: "12", Name: "goods 1"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Without a currency there are no amounts, and the product says why.
func TestProductWithoutCurrency(t *testing.T) {
	s := newServer(t, func(question) string {
		return string(golden.Read(t, filepath.Join("testdata", "api", "availability-ranges.json")))
	})
	asked := platform.ProductQuestion{ProductID: "88", Aspects: []platform.Aspect{platform.AspectPrice}}
	got, err := s.client(t, `{"signature":`+testRule+`}`).Product(t.Context(), asked)
	if err != nil || got.Currency != "" || !strings.Contains(got.Note, "spec.sctt.currency") || got.Info != nil || got.State != "" {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, day := range got.SKUs[0].Days {
		if day.Amount != nil || day.Market != nil || day.Stock == nil {
			t.Errorf("%+v", day)
		}
	}
}

// A failure of any of the three calls is the question's.
func TestProductFails(t *testing.T) {
	for failing := range 3 {
		calls := 0
		s := newServer(t, func(q question) string {
			if calls++; calls == failing+1 {
				return `{"code":4002,"msg":"no"}`
			}
			return simple(q)
		})
		got, err := s.client(t, `{"signature":`+testRule+`}`).Product(t.Context(), platform.ProductQuestion{ProductID: "88"})
		checkError(t, err, platform.Transient, platform.ReasonUnknownCode)
		if got.Info != nil || got.SKUs != nil || len(s.asked) != failing+1 {
			t.Errorf("call %d failed: %+v after %d calls", failing+1, got, len(s.asked))
		}
	}
}

func checkError(t *testing.T, err error, kind platform.Kind, reason platform.Reason) {
	t.Helper()
	e, ok := errors.AsType[*platform.Error](err)
	if !ok || e.Kind != kind || e.Reason != reason || e.Op == "" {
		t.Errorf("error %#v, want %s %s", err, kind, reason)
	}
}

// An id is a number where the document says bigint, unless that changes it.
func TestLong(t *testing.T) {
	for id, want := range map[string]string{
		"255456": `255456`, "9223372036854775807": `9223372036854775807`, "9223372036854775808": `"9223372036854775808"`,
		"007": `"007"`, "M-01": `"M-01"`, "-5": `-5`, "": `""`, "1e3": `"1e3"`,
	} {
		raw, err := json.Marshal(long(id))
		if err != nil || string(raw) != want {
			t.Errorf("%q is written %s, %v; want %s", id, raw, err, want)
		}
	}
}

// What each answer says, or why it says nothing.
func TestGoldenAnswers(t *testing.T) {
	for _, file := range golden.Inputs(t, "api") {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			said, err := readGolden(name, golden.Read(t, file))
			got := struct {
				Error   string `json:",omitempty"`
				Kind    platform.Kind
				Reason  platform.Reason
				Product *platform.Product        `json:",omitempty"`
				Page    []platform.ListedProduct `json:",omitempty"`
				Total   *int64                   `json:",omitempty"`
			}{Product: said.product, Page: said.page, Total: said.total}
			if e, ok := errors.AsType[*platform.Error](err); ok {
				got.Error, got.Kind, got.Reason = e.Error(), e.Kind, e.Reason
				got.Product, got.Page, got.Total = nil, nil, nil
			} else if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(got.Error, "s3cret") {
				t.Errorf("%q quotes the answer", got.Error)
			}
			golden.Check(t, file+".golden", got)
		})
	}
}

// read is what an answer says.
type read struct {
	product *platform.Product
	page    []platform.ListedProduct
	total   *int64
}

// readGolden reads an answer as its name has it: a call, and what is special about it.
func readGolden(name string, answer []byte) (said read, err error) {
	asked := platform.ProductQuestion{ProductID: "88"}
	op, _, _ := strings.Cut(strings.TrimSuffix(name, ".json"), "-")
	switch op {
	case opProductList:
		err = readAnswer(op, answer, func(data fields.Object) { said.page, said.total = readListed(data) })
	case opProducts:
		said.product = &platform.Product{}
		err = readAnswer(op, answer, func(data fields.Object) { readInfo(data, asked, said.product) })
	case opAvailability:
		u := newUnits("AUD")
		u.span = year(testNow)[0]
		u.span.last = u.span.first.AddDate(0, 0, 40)
		err = readAnswer(op, answer, func(data fields.Object) { u.read(data, asked) })
		said.product = &platform.Product{SKUs: u.skus}
	default:
		err = readAnswer(opProducts, answer, func(fields.Object) {})
	}
	return said, err
}

// Any answer says something, or is a *platform.Error; none panics.
func FuzzAnswers(f *testing.F) {
	for _, file := range golden.Inputs(f, "api") {
		f.Add(filepath.Base(file), golden.Read(f, file))
	}
	f.Fuzz(func(t *testing.T, name string, answer []byte) {
		said, err := readGolden(name, answer)
		if _, ok := errors.AsType[*platform.Error](err); err != nil && !ok {
			t.Fatalf("%v", err)
		}
		if err != nil || said.product == nil {
			return
		}
		for _, sku := range said.product.SKUs {
			seen := map[string]bool{}
			for _, day := range sku.Days {
				if seen[day.Date] || day.Date < "2025-09-23" || day.Date > "2025-11-02" {
					t.Errorf("day %s is there twice or was not asked for", day.Date)
				}
				seen[day.Date] = true
				for _, n := range []*int64{day.Amount, day.Market, day.Stock} {
					if n != nil && *n < 0 {
						t.Errorf("%s: %d", day.Date, *n)
					}
				}
			}
		}
	})
}
