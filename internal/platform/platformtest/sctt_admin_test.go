package platformtest

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// scttReceiver accepts all that arrives.
type scttReceiver struct{ urls, bodies []string }

func (r *scttReceiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, _ := io.ReadAll(request.Body)
	r.urls, r.bodies = append(r.urls, request.URL.String()), append(r.bodies, string(body))
	_, _ = io.WriteString(w, `{"code":0,"msg":"ok","data":null}`)
}

func TestSCTTAdmin(t *testing.T) {
	fake, err := NewSCTT(SCTTConfig{ChannelPath: "/api/channels/travel/sctt"})
	must(t, err)
	in := &scttReceiver{}
	server := httptest.NewServer(in)
	t.Cleanup(server.Close)
	fake.AimPushes(server.URL, "tok")
	admin := fake.AdminAllowing(func(base string) error {
		if base != "http://127.0.0.1:1" {
			return errors.New("not allowed")
		}
		return nil
	})
	order := "/orders/" + SCTTOrderID
	// In order: what a step answers must hold the wanted part; pushed is what the newest push
	// must hold, and pushes how many arrived so far.
	steps := []struct {
		request, body string
		status        int
		want          string
		pushes        int
		pushed        string
	}{
		{"GET /state", ``, 200, `"credit":"10000"`, 0, ``},
		{"POST /credit", `{"amount":"25.58"}`, 200, `{}`, 0, ``},
		{"POST /credit", `{"amount":"much"}`, 400, `no decimal`, 0, ``},
		{"POST /secret", `{"secret":"new"}`, 200, `{}`, 0, ``},
		{"POST /secret", `{}`, 400, `a secret is needed`, 0, ``},
		{"POST /products", `{"id":"9","title":"x","price":"1.5","market":"2","cost":"1"}`, 200, `{}`, 0, ``},
		{"POST /products", `{"id":"9","colour":"red"}`, 400, `unknown field`, 0, ``},
		{"POST /products/9/cost", `{"cost":"99.50"}`, 200, `{}`, 0, ``},
		{"POST /products/9/cost", `{"cost":"x"}`, 400, `no decimal`, 0, ``},
		{"POST /products/9/stock", `{"stock":5}`, 200, `{}`, 0, ``},
		{"POST /products/9/stock", `{}`, 400, `lacks a field`, 0, ``},
		{"POST /products/9/hide", ``, 200, `{}`, 0, ``},
		{"GET /products", ``, 200, `"hidden":true`, 0, ``},
		{"POST /products/9/show", ``, 200, `{}`, 0, ``},
		{"DELETE /products/9", ``, 200, `{}`, 0, ``},
		{"POST /products/9/show", ``, 400, `no product 9`, 0, ``},
		{"POST /orders", `{"id":"700009","tradeNumber":"T-9","total":"88.5"}`, 200, `{}`, 0, ``},
		{"POST /orders", `{"id":"x"}`, 400, `decimal`, 0, ``},
		{"POST /orders", `{"color":"red"}`, 400, `unknown field`, 0, ``},
		{"GET /orders/700009", ``, 200, `"currency":"AUD"`, 0, ``},
		{"GET /orders/7", ``, 400, `no order 7`, 0, ``},
		{"POST " + order + "/voucher", `{"push":true}`, 200, `"accepted":true`, 1, `"order_status":1`},
		{"POST " + order + "/voucher", `{"status":2}`, 200, `"order_status":2`, 1, ``},
		{"POST " + order + "/voucher", `{"push":true,"channel":true}`, 200, `"path":"/api/channels/travel/sctt/order-voucher"`, 2, `{"trade_number"`},
		{"POST " + order + "/change", `{"voucher":0,"ticket":1,"changed":{"voucher_type":2,"voucher_confirmation":"C2"},"push":true}`, 200, `"C2"`, 3, `"C2"`},
		{"POST " + order + "/change", `{"voucher":7}`, 400, `no ticket`, 3, ``},
		{"POST /orders/700009/issue", `{"vouchers":[{"voucherlist":[{"voucher_type":3,"voucher_confirmation":"C1"}]}],"push":true}`, 200, `"C1"`, 4, `{"merchant_id":255456`},
		{"POST /orders/700009/issue", `{}`, 400, `lacks a field`, 4, ``},
		{"POST /orders/700009/voucher", `{"status":3,"remark":"no room","push":true}`, 200, `"accepted":true`, 5, `"remark":"no room"`},
		{"GET /orders", ``, 200, `"C2"`, 5, ``},
		{"POST /cancel", `{"orders":["700001","700002"],"status":3,"push":true}`, 200, `"accepted":true`, 6, `"order_code":700002`},
		{"POST /cancel", `{"orders":["7"],"status":3}`, 400, `no order 7`, 6, ``},
		{"POST /cancel", `{"order":"7"}`, 400, `unknown field`, 6, ``},
		{"POST /sample", ``, 200, `"accepted":true`, 7, `"voucher_type":1,//`},
		{"POST /pushes", `{"path":"order-cancel","body":{"any":1}}`, 200, `"accepted":true`, 8, `{"any":1}`},
		{"POST /pushes", `{"path":"order-cancel","body":{"any":1},"sign":true}`, 200, `"accepted":true`, 9, `{"merchant_id":255456`},
		{"POST /faults", `{"op":"order-voucher","kind":"Reorder"}`, 200, `{}`, 9, ``},
		{"POST " + order + "/voucher", `{"push":true,"channel":true}`, 200, `"fate":"held"`, 9, ``},
		{"POST /pushes/release", `{"seed":1}`, 200, `"fate":"delivered"`, 10, `"order_status":4`},
		{"DELETE /faults", ``, 200, `{}`, 10, ``},
		{"POST /down", ``, 200, `{}`, 10, ``},
		{"POST /up", ``, 200, `{}`, 10, ``},
		{"GET /complaints", ``, 200, `[]`, 10, ``},
		{"DELETE /complaints", ``, 200, `{}`, 10, ``},
		{"GET /deliveries", ``, 200, `"type":"order-cancel"`, 10, ``},
		{"GET /calls", ``, 200, `"counts":{}`, 10, ``},
		{"GET /state", ``, 200, `"credit":"-183.42"`, 10, ``},
		{"POST /aim", `{"base":"http://10.0.0.1"}`, 400, `not allowed`, 10, ``},
	}
	for _, step := range steps {
		method, path, _ := strings.Cut(step.request, " ")
		recorder := httptest.NewRecorder()
		admin.ServeHTTP(recorder, httptest.NewRequest(method, path, strings.NewReader(step.body)))
		if recorder.Code != step.status || !strings.Contains(recorder.Body.String(), step.want) || !json.Valid(recorder.Body.Bytes()) {
			t.Errorf("%s %s: %d %s, want %d with %s", step.request, step.body, recorder.Code, recorder.Body, step.status, step.want)
		}
		if len(in.bodies) != step.pushes {
			t.Fatalf("%s: %d pushes arrived, want %d", step.request, len(in.bodies), step.pushes)
		}
		if step.pushed != "" && !strings.Contains(in.bodies[step.pushes-1], step.pushed) {
			t.Errorf("%s: pushed %s, want %s", step.request, in.bodies[step.pushes-1], step.pushed)
		}
	}
	if in.urls[0] != "/api/webhooks/sctt/order-voucher?token=tok" {
		t.Errorf("%q", in.urls)
	}
}
