package fliggy

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fields"
	"github.com/laidoulaile/channel-operator/internal/platform/golden"
)

const (
	testAccount = "20001"
	testOrder   = "9007199254740995"
	testMillis  = 1758600000000
)

var testNow = time.UnixMilli(testMillis)

// question is one request as the server saw it.
type question struct {
	op     string
	fields map[string]json.RawMessage
}

// server answers by operation and page, and keeps what it was asked.
type server struct {
	*httptest.Server
	t      *testing.T
	answer func(question) string
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
	op, ok := strings.CutPrefix(r.URL.Path, "/api/v1/hotelticket/")
	if !ok || r.Method != http.MethodPost || r.URL.RawQuery != "format=json" || r.Header.Get("Content-Type") != "application/json" {
		s.t.Errorf("%s %s of type %q", r.Method, r.URL, r.Header.Get("Content-Type"))
	}
	q := question{op: op}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &q.fields)
	}
	if err != nil {
		s.t.Errorf("%s: %v", op, err)
	}
	s.asked = append(s.asked, q)
	_, _ = io.WriteString(w, s.answer(q))
}

func (s *server) client(t *testing.T) *Client {
	t.Helper()
	account := platform.Account{
		Holder:   platform.Holder{ID: testAccount, Credentials: credentials(base64.StdEncoding.EncodeToString(pkcs8(t, testKey())))},
		Endpoint: s.URL,
		Now:      func() time.Time { return testNow },
	}
	limits := platform.Limits{RequestsPerSecond: 10000, Burst: 10000, Concurrency: 2}
	client, err := Adapter{}.NewClient(account, platform.NewTransport(t.Name(), limits, http.DefaultTransport))
	if err != nil {
		t.Fatal(err)
	}
	return client.(*Client)
}

// fromFile answers every call with the file of its name.
func fromFile(t *testing.T) func(question) string {
	return func(q question) string { return string(golden.Read(t, filepath.Join("testdata", "api", q.op+".json"))) }
}

// Each call sends what is documented, signed as documented.
func TestCalls(t *testing.T) {
	ctx := t.Context()
	cases := map[string]struct {
		call   func(*Client) error
		op     string
		signed string
		fields string
	}{
		"check": {
			call: func(c *Client) error { return c.Check(ctx) }, op: opListProducts,
			signed: "20001_1758600000000_", fields: `{"pageNo":1,"pageSize":1}`,
		},
		"list": {
			call: func(c *Client) error {
				return c.ListProducts(ctx, func([]platform.ListedProduct) bool { return false })
			}, op: opListProducts,
			signed: "20001_1758600000000_", fields: `{"pageNo":1,"pageSize":100}`,
		},
		"by ids": {
			call: func(c *Client) error {
				_, err := c.ProductsByIDs(ctx, []string{"88", "200"})
				return err
			}, op: opProductsByIDs,
			signed: "20001_1758600000000_200,88", fields: `{"productIds":["88","200"]}`,
		},
		"first look": {
			call: func(c *Client) error {
				_, err := c.Product(ctx, platform.ProductQuestion{ProductID: "88"})
				return err
			}, op: opProductDetail,
			signed: "20001_1758600000000_88", fields: `{"productId":"88"}`,
		},
		"info": {
			call: func(c *Client) error {
				_, err := c.Product(ctx, platform.ProductQuestion{ProductID: "88", Aspects: []platform.Aspect{platform.AspectInfo}})
				return err
			}, op: opProductDetail,
			signed: "20001_1758600000000_88", fields: `{"productId":"88"}`,
		},
		"availability and price": {
			call: func(c *Client) error {
				_, err := c.Product(ctx, platform.ProductQuestion{ProductID: "88",
					Aspects: []platform.Aspect{platform.AspectPrice, platform.AspectAvailability}})
				return err
			}, op: opProductDetail,
			signed: "20001_1758600000000_88", fields: `{"productId":"88"}`,
		},
		"price and stock": {
			call: func(c *Client) error {
				_, err := c.Product(ctx, platform.ProductQuestion{ProductID: "88",
					Aspects: []platform.Aspect{platform.AspectPrice, platform.AspectStock}})
				return err
			}, op: opPriceStock,
			signed: "20001_1758600000000_88", fields: `{"productId":"88"}`,
		},
		"order": {
			call: func(c *Client) error {
				_, err := c.Order(ctx, platform.OrderQuestion{OrderID: testOrder, OutOrderID: "T-1"})
				return err
			}, op: opSearchOrder,
			signed: "20001_1758600000000_9007199254740995", fields: `{"orderId":9007199254740995}`,
		},
		"order by out id": {
			call: func(c *Client) error {
				_, err := c.Order(ctx, platform.OrderQuestion{OutOrderID: "T-1"})
				return err
			}, op: opSearchOrder,
			signed: "20001_1758600000000_", fields: `{"outOrderId":"T-1"}`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, fromFile(t))
			if err := tc.call(s.client(t)); err != nil {
				t.Fatal(err)
			}
			if len(s.asked) != 1 || s.asked[0].op != tc.op {
				t.Fatalf("asked %v, want one %s", s.asked, tc.op)
			}
			checkQuestion(t, s.asked[0], tc.signed, tc.fields)
		})
	}
}

// checkQuestion checks a question's signature and fields.
func checkQuestion(t *testing.T, q question, signed, fields string) {
	t.Helper()
	var signature string
	if err := json.Unmarshal(q.fields["sign"], &signature); err != nil {
		t.Fatal(err)
	}
	checkSignature(t, signed, signature)
	want := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(fields), &want); err != nil {
		t.Fatal(err)
	}
	want["sign"] = q.fields["sign"]
	want["distributorId"] = json.RawMessage(testAccount) // a Long: a number
	want["timestamp"] = json.RawMessage(strconv.Itoa(testMillis))
	if diff := cmp.Diff(want, q.fields); diff != "" {
		t.Errorf("%s (-want +got):\n%s", q.op, diff)
	}
}

func TestOrderWithRefunds(t *testing.T) {
	s := newServer(t, fromFile(t))
	order, err := s.client(t).Order(t.Context(), platform.OrderQuestion{OrderID: testOrder, Refunds: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.asked) != 2 || s.asked[1].op != opSearchRefund {
		t.Fatalf("asked %v", s.asked)
	}
	checkQuestion(t, s.asked[1], "20001_1758600000000_9007199254740995_", `{"orderId":9007199254740995}`)
	if len(order.Refunds) != 4 || order.OrderID != testOrder {
		t.Errorf("order %s with %d refunds", order.OrderID, len(order.Refunds))
	}
	if got := order.Codes[0].Text.Reveal(); got != "A1B2C3D4E5" {
		t.Errorf("code %q", got)
	}
}

// No refund found to a known order is no refund; a refused signature is not the
// account's fault there.
func TestOrderWhoseRefundsAreRefused(t *testing.T) {
	answer := `{"success":false,"code":"7004"}`
	s := newServer(t, func(q question) string {
		if q.op == opSearchOrder {
			return fromFile(t)(q)
		}
		return answer
	})
	asked := platform.OrderQuestion{OrderID: testOrder, Refunds: true}
	order, err := s.client(t).Order(t.Context(), asked)
	if err != nil || len(order.Refunds) != 0 {
		t.Errorf("Order() = %d refunds, %v", len(order.Refunds), err)
	}
	answer = `{"success":false,"code":"5001"}`
	_, err = s.client(t).Order(t.Context(), asked)
	checkError(t, err, platform.Refused, platform.ReasonRequest)
}

func TestQuestionsNotSent(t *testing.T) {
	s := newServer(t, func(question) string { return "" })
	client := s.client(t)
	_, err := client.Order(t.Context(), platform.OrderQuestion{})
	checkError(t, err, platform.Refused, platform.ReasonRequest)
	_, err = client.ProductsByIDs(t.Context(), nil)
	checkError(t, err, platform.Refused, platform.ReasonRequest)
	_, err = client.ProductsByIDs(t.Context(), make([]string, 101))
	checkError(t, err, platform.Refused, platform.ReasonRequest)
	if len(s.asked) != 0 {
		t.Errorf("asked %v", s.asked)
	}
}

func TestCheck(t *testing.T) {
	cases := map[string]struct {
		answer string
		kind   platform.Kind // empty: it works
		reason platform.Reason
	}{
		"works":             {answer: `{"success":true,"code":"2000","data":{"productBaseInfos":[]}}`},
		"works, no data":    {answer: `{"success":true,"code":"2000"}`},
		"nothing to list":   {answer: `{"success":false,"code":"4005"}`},
		"bad signature":     {`{"success":false,"code":"5001"}`, platform.Refused, platform.ReasonCredentials},
		"no contract":       {`{"success":false,"code":"4002"}`, platform.Refused, platform.ReasonCredentials},
		"busy":              {`{"success":false,"code":"9000"}`, platform.Transient, platform.ReasonUnavailable},
		"not an answer":     {`<html>s3cret</html>`, platform.Transient, platform.ReasonBadAnswer},
		"null":              {`null`, platform.Transient, platform.ReasonBadAnswer},
		"data behind it":    {`{"success":true}{"s3cret":1}`, platform.Transient, platform.ReasonBadAnswer},
		"says nothing":      {`{"code":"s3cret"}`, platform.Transient, platform.ReasonBadAnswer},
		"success is a list": {`{"success":["s3cret"]}`, platform.Transient, platform.ReasonBadAnswer},
		"data is a text":    {`{"success":true,"data":"s3cret"}`, platform.Transient, platform.ReasonBadAnswer},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := newServer(t, func(question) string { return tc.answer }).client(t).Check(t.Context())
			if tc.kind == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			checkError(t, err, tc.kind, tc.reason)
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%q quotes the answer", err)
			}
		})
	}
}

// What the platform says of a failure is shown, on one line.
func TestErrorText(t *testing.T) {
	s := newServer(t, func(question) string { return `{"success":"false","code":9000,"message":"服务不可用\n请稍后"}` })
	err := s.client(t).Check(t.Context())
	if want := "queryProductBaseInfoByPage: 9000 服务不可用 请稍后"; err == nil || err.Error() != want {
		t.Errorf("Check() = %v, want %q", err, want)
	}
}

func checkError(t *testing.T, err error, kind platform.Kind, reason platform.Reason) {
	t.Helper()
	e, ok := errors.AsType[*platform.Error](err)
	if !ok || e.Kind != kind || e.Reason != reason || e.Op == "" {
		t.Errorf("error %#v, want %s %s", err, kind, reason)
	}
}

// catalogue answers pages of a catalogue of n products; beyond the end it answers so.
func catalogue(t *testing.T, n int, beyond string) func(question) string {
	return func(q question) string {
		var page int
		if err := json.Unmarshal(q.fields["pageNo"], &page); err != nil {
			t.Error(err)
		}
		var infos []string
		for i := (page - 1) * pageSize; i < min(page*pageSize, n); i++ {
			infos = append(infos, fmt.Sprintf(`{"productId":"%d","productName":"product %d"}`, i, i))
		}
		if len(infos) == 0 {
			return beyond
		}
		return `{"success":true,"code":"2000","data":{"productBaseInfos":[` + strings.Join(infos, ",") + `]}}`
	}
}

func TestListProducts(t *testing.T) {
	const (
		empty = `{"success":true,"code":"2000","data":{"productBaseInfos":[]}}`
		past  = `{"success":false,"code":"4010"}`
	)
	cases := map[string]struct {
		n, calls int
		beyond   string
	}{
		"none":                {0, 1, empty},
		"none, said by code":  {0, 1, past},
		"one page":            {7, 2, empty},
		"ends on a full page": {200, 3, empty},
		"ends by code":        {200, 3, past},
		"ends on a short one": {205, 4, past},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, catalogue(t, tc.n, tc.beyond))
			seen := map[string]bool{}
			err := s.client(t).ListProducts(t.Context(), func(page []platform.ListedProduct) bool {
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
	t.Run("when a page repeats the one before", func(t *testing.T) {
		page := catalogue(t, 100, "")(question{fields: map[string]json.RawMessage{"pageNo": json.RawMessage("1")}})
		s := newServer(t, func(question) string { return page })
		if err := s.client(t).ListProducts(t.Context(), all); err != nil || len(s.asked) != 2 {
			t.Errorf("%v after %d calls", err, len(s.asked))
		}
	})
	t.Run("when told", func(t *testing.T) {
		s := newServer(t, catalogue(t, 1000, ""))
		none := func([]platform.ListedProduct) bool { return false }
		if err := s.client(t).ListProducts(t.Context(), none); err != nil || len(s.asked) != 1 {
			t.Errorf("%v after %d calls", err, len(s.asked))
		}
	})
	t.Run("when a page fails", func(t *testing.T) {
		s := newServer(t, catalogue(t, 100, `{"success":false,"code":"9000"}`))
		checkError(t, s.client(t).ListProducts(t.Context(), all), platform.Transient, platform.ReasonUnavailable)
	})
	t.Run("when it is told to stop waiting", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := newServer(t, catalogue(t, 1000, ""))
		err := s.client(t).ListProducts(ctx, func([]platform.ListedProduct) bool { cancel(); return true })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}

// An id is a number where the document says Long, unless that changes it.
func TestLong(t *testing.T) {
	for id, want := range map[string]string{
		"20001":                `20001`,
		"9007199254740995":     `9007199254740995`,
		"9223372036854775807":  `9223372036854775807`,
		"9223372036854775808":  `"9223372036854775808"`,
		"007":                  `"007"`,
		"+7":                   `"+7"`,
		"T-1":                  `"T-1"`,
		"":                     `""`,
		"90071992547409931234": `"90071992547409931234"`,
	} {
		got, err := json.Marshal(long(id))
		if err != nil || string(got) != want {
			t.Errorf("long(%q) = %s, %v; want %s", id, got, err, want)
		}
	}
}

// read reads an answer as the named call does, without the network.
func read(op string, answer []byte, availability string) (any, error) {
	var result any
	product := platform.ProductQuestion{ProductID: "88", Availability: availability}
	err := readAnswer(op, answer, func(envelope fields.Object) {
		switch op {
		case opListProducts, opProductsByIDs:
			result = readListed(envelope)
		case opProductDetail:
			result = readDetail(envelope, product, testNow)
		case opPriceStock:
			result = readPriceStock(envelope, product, testNow)
		case opSearchOrder:
			result = readOrder(envelope, platform.OrderQuestion{OrderID: testOrder})
		case opSearchRefund:
			result = readRefunds(envelope)
		}
	})
	return result, err
}

func TestAnswerGolden(t *testing.T) {
	for _, file := range golden.Inputs(t, "api") {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		op, variant, _ := strings.Cut(name, "-")
		t.Run(name, func(t *testing.T) {
			availability := ""
			if variant == "off-sale" {
				availability = typeInvalid
			}
			result, err := read(op, golden.Read(t, file), availability)
			if err != nil {
				e, ok := errors.AsType[*platform.Error](err)
				if !ok {
					t.Fatalf("%v is not an *Error", err)
				}
				result = struct {
					Kind   platform.Kind
					Reason platform.Reason
					Error  string
				}{e.Kind, e.Reason, e.Error()}
			}
			golden.Check(t, file+".golden", result)
		})
	}
}

// Contacts and travellers are in the order's answer, and nowhere behind it.
func TestOrderHoldsNoPerson(t *testing.T) {
	result, err := read(opSearchOrder, golden.Read(t, filepath.Join("testdata", "api", "searchOrder.json")), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range result.(platform.Order).Codes {
		if strings.Contains(code.Text.Reveal(), "110101199003070011") {
			t.Error("a document number was read as a code")
		}
	}
	text, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	for _, person := range []string{"张三", "13800000000", "110101199003070011", "qr.png"} {
		if bytes.Contains(text, []byte(person)) {
			t.Errorf("the order holds %q", person)
		}
	}
}

// A season is spread over its days, but over no more than a calendar holds.
func TestSeason(t *testing.T) {
	date := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, fields.China) }
	cases := map[string]struct {
		start, end  time.Time
		days        int
		first, last string
	}{
		"one day":            {date(2025, 9, 23), date(2025, 9, 23), 1, "2025-09-23", "2025-09-23"},
		"to the last second": {date(2025, 9, 23), date(2025, 9, 25).Add(-time.Second), 2, "2025-09-23", "2025-09-24"},
		"just fits":          {date(2024, 1, 2), date(2026, 1, 1), 731, "2024-01-02", "2026-01-01"},
		"backwards":          {date(2025, 9, 23), date(2025, 9, 22), 0, "", ""},
		"too long, running":  {date(2020, 3, 1), date(9999, 12, 31), 731, "2025-01-01", "2027-01-01"},
		"too long, to come":  {date(2026, 3, 1), date(2036, 3, 1), 731, "2026-03-01", "2028-02-29"},
		"too long, over":     {date(2018, 3, 1), date(2023, 3, 1), 731, "2018-03-01", "2020-02-29"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			answer := fmt.Sprintf(`{"success":true,"data":{"productPriceStock":{"stockType":"TOTAL_INVENTORY",`+
				`"normalStock":{"startDate":%d,"endDate":%d,"distributionPrice":"1.5","stock":9}}}}`,
				tc.start.UnixMilli(), tc.end.UnixMilli())
			result, err := read(opPriceStock, []byte(answer), "")
			if err != nil {
				t.Fatal(err)
			}
			sku := result.(platform.Product).SKUs[0]
			if *sku.Stock != 9 || len(sku.Days) != tc.days {
				t.Fatalf("%d days, stock %d", len(sku.Days), *sku.Stock)
			}
			if tc.days > 0 && (sku.Days[0].Date != tc.first || sku.Days[tc.days-1].Date != tc.last) {
				t.Errorf("from %s to %s, want %s to %s", sku.Days[0].Date, sku.Days[tc.days-1].Date, tc.first, tc.last)
			}
		})
	}
}

// Every wrong field makes the answer a bad one, named without its value.
func TestBadAnswers(t *testing.T) {
	cases := map[string]struct{ op, data, names string }{
		"no product":        {opProductDetail, `{}`, "data.productBaseInfo is missing"},
		"no price":          {opPriceStock, `{}`, "data.productPriceStock is missing"},
		"price in words":    {opPriceStock, `{"productPriceStock":{"calendarStocks":[{"date":1758556800000,"distributionPrice":"s3cret"}]}}`, "distributionPrice"},
		"negative price":    {opPriceStock, `{"productPriceStock":{"calendarStocks":[{"date":1758556800000,"marketPrice":-1}]}}`, "marketPrice"},
		"exponent":          {opPriceStock, `{"productPriceStock":{"calendarStocks":[{"date":1758556800000,"marketPrice":1e2}]}}`, "marketPrice"},
		"no date":           {opPriceStock, `{"productPriceStock":{"calendarStocks":[{"marketPrice":1}]}}`, "calendarStocks[0].date"},
		"date far away":     {opPriceStock, `{"productPriceStock":{"calendarStocks":[{"date":253402272000000}]}}`, "date"},
		"closed some day":   {opPriceStock, `{"productPriceStock":{"unavailableDates":["s3cret"]}}`, "unavailableDates"},
		"closed a number":   {opPriceStock, `{"productPriceStock":{"unavailableDates":[20250923]}}`, "unavailableDates"},
		"no weekday":        {opPriceStock, `{"productPriceStock":{"stockType":"TOTAL_INVENTORY","weeks":["s3cret"],"normalStock":{}}}`, "weeks"},
		"listed without id": {opListProducts, `{"productBaseInfos":[{"productName":"s3cret"}]}`, "productId"},
		"list of numbers":   {opListProducts, `{"productBaseInfos":[1]}`, "productBaseInfos"},
		"order without id":  {opSearchOrder, `{"orderStatus":1001}`, "orderId"},
		"no order status":   {opSearchOrder, `{"orderId":9007199254740995}`, "orderStatus"},
		"code without text": {opSearchOrder, `{"orderId":9007199254740995,"orderStatus":1003,"codeInfos":[{"num":1}]}`, "codeInfos[0].code"},
		"refund of nothing": {opSearchRefund, `[{"refundFee":1}]`, "data[0].refundStatus"},
		"refunds in words":  {opSearchRefund, `"s3cret"`, "data"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := read(tc.op, []byte(`{"success":true,"code":"2000","data":`+tc.data+`}`), "")
			checkError(t, err, platform.Transient, platform.ReasonBadAnswer)
			if err == nil || !strings.Contains(err.Error(), tc.names) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%v; want it to name %s and to quote nothing", err, tc.names)
			}
		})
	}
}

func TestOrderByOutID(t *testing.T) {
	answer := []byte(`{"success":true,"data":{"orderId":5,"outOrderId":"T-2","orderStatus":1001}}`)
	err := readAnswer(opSearchOrder, answer, func(envelope fields.Object) {
		readOrder(envelope, platform.OrderQuestion{OutOrderID: "T-1"})
	})
	checkError(t, err, platform.Transient, platform.ReasonBadAnswer)
}

// FuzzAnswer checks that any answer to any call is an *Error or something that the
// API takes.
func FuzzAnswer(f *testing.F) {
	for _, file := range golden.Inputs(f, "api") {
		f.Add(golden.Read(f, file))
	}
	ops := []string{opListProducts, opProductsByIDs, opProductDetail, opPriceStock, opSearchOrder, opSearchRefund}
	f.Fuzz(func(t *testing.T, answer []byte) {
		for _, op := range ops {
			result, err := read(op, answer, "")
			if err != nil {
				e, ok := errors.AsType[*platform.Error](err)
				if !ok || e.Op != op || e.Kind == "" || e.Reason == "" || len([]rune(e.Error())) > 500 {
					t.Errorf("%s: error %#v", op, err)
				}
				continue
			}
			checkResult(t, result)
		}
	})
}

func checkResult(t *testing.T, result any) {
	t.Helper()
	switch r := result.(type) {
	case []platform.ListedProduct:
		for _, product := range r {
			checkText(t, "product", product.ID, 1, fields.MaxID)
			checkText(t, "title", product.Title, 0, maxTitle)
		}
	case platform.Product:
		checkProduct(t, r)
	case platform.Order:
		checkText(t, "order", r.OrderID, 1, fields.MaxID)
		checkText(t, "out order", r.OutOrderID, 0, fields.MaxID)
		checkText(t, "status", r.PlatformStatus, 0, maxStatus)
		checkCount(t, "refunded amount", r.RefundedAmount)
		checkCount(t, "refunded quantity", r.RefundedQuantity)
		checkCount(t, "quantity", r.Quantity)
		checkCodes(t, r.Codes)
	case []platform.RefundFact:
		for _, refund := range r {
			checkRefund(t, refund)
		}
	default:
		t.Errorf("result %T", result)
	}
}

func checkProduct(t *testing.T, product platform.Product) {
	t.Helper()
	if info := product.Info; info != nil {
		for name, text := range map[string]string{"title": info.Title, "booking": info.BookingRule, "refund": info.RefundRule, "confirm": info.ConfirmsRule} {
			checkText(t, name, text, 0, maxTitle)
		}
		checkText(t, "supplier code", info.SupplierCode, 0, maxCode)
	}
	for _, sku := range product.SKUs {
		checkText(t, "unit", sku.ID, 1, fields.MaxID)
		checkCount(t, "stock", sku.Stock)
		seen := map[string]bool{}
		for _, day := range sku.Days {
			if _, err := time.Parse(time.DateOnly, day.Date); err != nil || seen[day.Date] {
				t.Errorf("day %q is no day, or there twice", day.Date)
			}
			seen[day.Date] = true
			checkCount(t, "amount", day.Amount)
			checkCount(t, "market", day.Market)
			checkCount(t, "stock", day.Stock)
		}
	}
}
