package platformtest

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	testAccount = "20001"
	testOrder   = "9007199254740995"
	testChina   = 8 * 60 * 60
)

// asker signs with the key as handed out and asks over HTTP.
type asker struct {
	t    *testing.T
	fake *Fliggy
	url  string
	key  *rsa.PrivateKey
}

func newAsker(t *testing.T, config FliggyConfig) *asker {
	t.Helper()
	if config.Account == "" {
		config.Account = testAccount
	}
	fake, err := NewFliggy(config)
	must(t, err)
	der, err := base64.StdEncoding.DecodeString(fake.PrivateKey())
	must(t, err)
	key, err := x509.ParsePKCS8PrivateKey(der)
	must(t, err)
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	must(t, fake.PutProduct(demoProduct("88")))
	must(t, fake.PutOrder(Order{ID: testOrder, OutOrderID: "T-1", ProductID: "88", Quantity: 2, Price: 35050}))
	return &asker{t, fake, server.URL, key.(*rsa.PrivateKey)}
}

func demoProduct(id string) Product {
	return Product{ID: id, Title: "西湖一晚双早套餐", SupplierCode: "XH-01", Start: "2025-09-23", Days: 7,
		Price: "350.50", WeekendPrice: "420.00", Stock: 12}
}

func (a *asker) sign(text string) string {
	digest := sha256.Sum256([]byte(text))
	sign, err := rsa.SignPKCS1v15(rand.Reader, a.key, crypto.SHA256, digest[:])
	must(a.t, err)
	return base64.StdEncoding.EncodeToString(sign)
}

// body adds account, time and the signature of the tail to the fields.
func (a *asker) body(tail string, fields map[string]any) map[string]any {
	now := time.Now().UnixMilli()
	body := map[string]any{"distributorId": json.Number(testAccount), "timestamp": now,
		"sign": a.sign(fmt.Sprintf("%s_%d_%s", testAccount, now, tail))}
	maps.Copy(body, fields)
	return body
}

func (a *asker) post(op string, body any) (*http.Response, []byte) {
	a.t.Helper()
	response, err := http.Post(a.url+fliggyPrefix+op+"?format=json", "application/json", bytes.NewReader(mustMarshal(body)))
	must(a.t, err)
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	must(a.t, err)
	return response, raw
}

// ask gives the code and the data of the answer.
func (a *asker) ask(op, tail string, fields map[string]any) (string, json.RawMessage) {
	a.t.Helper()
	_, raw := a.post(op, a.body(tail, fields))
	return readEnvelope(a.t, raw)
}

func readEnvelope(t *testing.T, raw []byte) (string, json.RawMessage) {
	t.Helper()
	var envelope struct {
		Success bool            `json:"success"`
		Code    string          `json:"code"`
		Msg     string          `json:"msg"`
		Data    json.RawMessage `json:"data"`
	}
	must(t, json.Unmarshal(raw, &envelope))
	if envelope.Success != (envelope.Code == "2000") || envelope.Msg == "" {
		t.Errorf("envelope: %s", raw)
	}
	return envelope.Code, envelope.Data
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestSignatures(t *testing.T) {
	a := newAsker(t, FliggyConfig{})
	must(t, a.fake.PutProduct(demoProduct("30")))
	must(t, a.fake.PutProduct(demoProduct("200")))
	order := map[string]any{"orderId": json.Number(testOrder)}
	cases := map[string]struct {
		op, tail string
		fields   map[string]any
		code     string
	}{
		"page":                    {"queryProductBaseInfoByPage", "", map[string]any{"pageNo": 1, "pageSize": 10}, "2000"},
		"page signed with number": {"queryProductBaseInfoByPage", "1", map[string]any{"pageNo": 1, "pageSize": 10}, "5001"},
		"ids in text order":       {"queryProductBaseInfoByIds", "200,30,88", map[string]any{"productIds": []string{"30", "88", "200"}}, "2000"},
		"ids in number order":     {"queryProductBaseInfoByIds", "30,88,200", map[string]any{"productIds": []string{"30", "88", "200"}}, "5001"},
		"first id only":           {"queryProductBaseInfoByIds", "30", map[string]any{"productIds": []string{"30", "88"}}, "5001"},
		"detail":                  {"queryProductDetailInfo", "88", map[string]any{"productId": "88"}, "2000"},
		"price":                   {"queryProductPriceStock", "88", map[string]any{"productId": "88"}, "2000"},
		"price of another":        {"queryProductPriceStock", "30", map[string]any{"productId": "88"}, "5001"},
		"order":                   {"searchOrder", testOrder, order, "2000"},
		"order by ours":           {"searchOrder", "", map[string]any{"outOrderId": "T-1"}, "2000"},
		"order with underscore":   {"searchOrder", testOrder + "_", order, "5001"},
		"refund as printed":       {"searchRefundOrder", testOrder + "_", order, "2000"},
		"refund without typo":     {"searchRefundOrder", testOrder, order, "2000"},
		"refund by ours":          {"searchRefundOrder", "", map[string]any{"outOrderId": "T-1"}, "2000"},
		"no signature":            {"searchOrder", testOrder, map[string]any{"orderId": json.Number(testOrder), "sign": ""}, "5001"},
		"not base64":              {"searchOrder", testOrder, map[string]any{"orderId": json.Number(testOrder), "sign": "*"}, "5001"},
		"foreign account":         {"searchOrder", testOrder, map[string]any{"orderId": json.Number(testOrder), "distributorId": 7}, "4003"},
		"account as text":         {"searchOrder", testOrder, map[string]any{"orderId": json.Number(testOrder), "distributorId": testAccount}, "2000"},
		"seconds":                 {"searchOrder", testOrder, map[string]any{"orderId": json.Number(testOrder), "timestamp": time.Now().Unix()}, "5003"},
		"order id as text":        {"searchOrder", testOrder, map[string]any{"orderId": testOrder}, "5003"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if code, _ := a.ask(c.op, c.tail, c.fields); code != c.code {
				t.Errorf("code %s, want %s", code, c.code)
			}
		})
	}
}

func TestOldSignature(t *testing.T) {
	a := newAsker(t, FliggyConfig{})
	for age, want := range map[time.Duration]string{11 * time.Minute: "5001", -11 * time.Minute: "5001", 9 * time.Minute: "2000"} {
		then := time.Now().Add(-age).UnixMilli()
		body := map[string]any{"distributorId": 20001, "timestamp": then, "productId": "88",
			"sign": a.sign(fmt.Sprintf("%s_%d_88", testAccount, then))}
		_, raw := a.post("queryProductPriceStock", body)
		if code, _ := readEnvelope(t, raw); code != want {
			t.Errorf("%s old: %s, want %s", age, code, want)
		}
	}
}

func TestRefundSignQuirk(t *testing.T) {
	for quirk, tails := range map[string][2]string{"printed": {testOrder + "_", testOrder}, "plain": {testOrder, testOrder + "_"}} {
		a := newAsker(t, FliggyConfig{Quirks: FliggyQuirks{RefundSign: quirk}})
		for i, want := range []string{"2000", "5001"} {
			code, _ := a.ask("searchRefundOrder", tails[i], map[string]any{"orderId": json.Number(testOrder)})
			if code != want {
				t.Errorf("%s, tail %s: %s, want %s", quirk, tails[i], code, want)
			}
		}
	}
}

func TestRequestForm(t *testing.T) {
	a := newAsker(t, FliggyConfig{})
	post := func(method, tail, body string) (int, string) {
		request, err := http.NewRequest(method, a.url+tail, strings.NewReader(body))
		must(t, err)
		response, err := http.DefaultClient.Do(request)
		must(t, err)
		defer func() { _ = response.Body.Close() }()
		raw, _ := io.ReadAll(response.Body)
		var envelope struct{ Code string }
		_ = json.Unmarshal(raw, &envelope)
		return response.StatusCode, envelope.Code
	}
	cases := map[string]struct {
		method, tail, body string
		status             int
		code               string
	}{
		"GET":             {"GET", fliggyPrefix + "searchOrder?format=json", "{}", 200, "5004"},
		"XML":             {"POST", fliggyPrefix + "searchOrder?format=xml", "{}", 200, "5004"},
		"not JSON":        {"POST", fliggyPrefix + "searchOrder?format=json", "<request/>", 200, "5004"},
		"an array":        {"POST", fliggyPrefix + "searchOrder?format=json", "[]", 200, "5004"},
		"nothing in it":   {"POST", fliggyPrefix + "searchOrder?format=json", "{}", 200, "5003"},
		"createOrder":     {"POST", fliggyPrefix + "createOrder?format=json", "{}", 404, ""},
		"without prefix":  {"POST", "/searchOrder?format=json", "{}", 404, ""},
		"name as a whole": {"POST", "/api/v1/hotelticket?format=json", "{}", 404, ""},
	}
	for name, c := range cases {
		if status, code := post(c.method, c.tail, c.body); status != c.status || code != c.code {
			t.Errorf("%s: %d %q, want %d %q", name, status, code, c.status, c.code)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	a := newAsker(t, FliggyConfig{})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			id := fmt.Sprint(100 + i)
			_ = a.fake.PutProduct(demoProduct(id))
			_ = a.fake.SetPrice(id, "1.00")
			_, _ = a.fake.Pay(testOrder)
			_, _ = a.fake.IssueCodes(testOrder, OrderCode{Code: "A1", Persons: 2})
			a.ask("queryProductBaseInfoByPage", "", map[string]any{"pageNo": 1, "pageSize": 100})
			a.ask("searchOrder", testOrder, map[string]any{"orderId": json.Number(testOrder)})
			a.fake.DeleteProduct(id)
		})
	}
	wg.Wait()
	if a.fake.Calls("") != 16 || a.fake.Calls("searchOrder") != 8 || len(a.fake.CallLog()) != 16 {
		t.Errorf("%d calls, %d searchOrder, %d logged", a.fake.Calls(""), a.fake.Calls("searchOrder"), len(a.fake.CallLog()))
	}
}
