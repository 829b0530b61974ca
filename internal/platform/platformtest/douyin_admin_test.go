package platformtest

import (
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestDouyinAdmin(t *testing.T) {
	fake, err := NewDouyin(DouyinConfig{RetryScale: 1e-9})
	must(t, err)
	in := newSPIInbox(t, fake, map[string]string{DouyinRefundApplyPath: result(0),
		DouyinIssuePath:       issuedAnswer(fake, DouyinSecondOrderID, "A1", "A2"),
		DouyinStatusQueryPath: `{"data":{"error_code":0,"result":{"1":{"order_id":"1","order_status":200}}}}`})
	admin := fake.AdminAllowing(func(base string) error {
		if base != "http://127.0.0.1:1" {
			return errors.New("not allowed")
		}
		return nil
	})
	second := orderOf(t, fake, DouyinSecondOrderID).Certificates[0].ID
	own := orderOf(t, fake, DouyinOwnOrderID).Certificates[0].ID
	product, order, ownOrder := "/products/"+DouyinProductID, "/orders/"+DouyinSecondOrderID, "/orders/"+DouyinOwnOrderID
	// In order: what a step answers must hold the wanted part; pushes is how many arrived so far.
	steps := []struct {
		request, body string
		status        int
		want          string
		pushes        int
	}{
		{"GET /state", ``, 200, `"accountID":"7376546762393143333"`, 0},
		{"POST /products", `{"id":"9","title":"x","amount":100,"stock":5,"online":1,"push":true}`, 200, `life_product_common_audit`, 1},
		{"POST /products", `{"id":"9","colour":"red"}`, 400, `unknown field`, 1},
		{"POST /products", `{"id":"x"}`, 400, `decimal numbers`, 1},
		{"POST " + product + "/offline", `{"push":true}`, 200, `GOODS_OFFLINE`, 2},
		{"POST " + product + "/ban", `{}`, 200, `GOODS_BAN`, 2},
		{"POST " + product + "/online", `{"push":true}`, 200, `"accepted":true`, 3},
		{"POST " + product + "/price", `{"amount":120}`, 200, `"push"`, 3},
		{"POST " + product + "/price", `{}`, 400, `lacks a field`, 3},
		{"POST " + product + "/stock", `{"stock":0}`, 200, `"push"`, 3},
		{"POST " + product + "/audit", `{"pass":false,"reason":"no","push":true}`, 200, `FAIL`, 4},
		{"POST " + product + "/audit", `{"pass":true}`, 200, `PASS`, 4},
		{"POST " + product + "/burn", `{}`, 400, `no such action`, 4},
		{"POST /products/7/online", `{}`, 400, `no product 7`, 4},
		{"GET /products", ``, 200, `"amount":120`, 4},
		{"DELETE /products/9?push=true", ``, 200, `GOODS_DELETE`, 5},
		{"POST /orders", `{"id":"1065946966824669600","productID":"1805831187321867","count":2,"price":100}`, 200, `{}`, 5},
		{"POST /orders", `{"id":"1"}`, 400, `decimal numbers`, 5},
		{"POST /orders/1065946966824669600/pay", `{"push":true}`, 200, `pay_success`, 6},
		{"GET /orders/1065946966824669600", ``, 200, `"status":201`, 6},
		{"POST /orders/1065946966824669600/close", ``, 200, `{}`, 6},
		{"GET /orders/7", ``, 400, `no order 7`, 6},
		{"GET /orders", ``, 200, DouyinOrderID, 6},
		{"POST " + order + "/issue", ``, 200, `"accepted":true`, 7},
		{"POST " + order + "/verify", `{"certificateID":"` + second + `","push":true}`, 200, `verify`, 8},
		{"POST " + order + "/verify-cancel", `{"certificateID":"` + second + `"}`, 200, `verify_cancel`, 8},
		{"POST " + order + "/verify", `{"certificateID":"5"}`, 400, `no such certificate`, 8},
		{"POST " + order + "/notify", `{"certificateID":"` + second + `","action":"verify"}`, 200, `"delivery"`, 9},
		{"POST " + order + "/notify", `{"action":"pay_success"}`, 200, `pay_success`, 10},
		{"POST " + order + "/apply-refund", `{"certificateIDs":["` + second + `"],"reason":"x"}`, 200, `"state":"pending"`, 11},
		{"POST /after-sales/7/repeat", ``, 400, `no refund application`, 11},
		{"GET /after-sales", ``, 200, `"kind":"refund_apply"`, 11},
		{"POST /clock", `{"advance":"24h"}`, 200, `refund_notice`, 13},
		{"POST /clock", `{"advance":"-1h"}`, 400, `goes forward`, 13},
		{"POST " + order + "/refund", `{}`, 400, `has the status 4`, 13},
		{"POST " + ownOrder + "/refund", `{"certificateIDs":["` + own + `"]}`, 200, `"kind":"own"`, 13},
		{"POST /settle", ``, 200, `"accepted":true`, 14},
		{"POST " + ownOrder + "/after-sale", `{"certificateID":"` + own + `"}`, 400, `only a used code`, 14},
		{"POST " + ownOrder + "/burn", `{}`, 400, `no such action`, 14},
		{"POST /spi/pre-create", `{"productID":"1805831187321867","count":2}`, 200, `"allowed":true`, 15},
		{"POST /spi/status-query", `{"scene":"order","orderIDs":["1"]}`, 200, `"order_status":200`, 16},
		{"POST /spi/member-update", `{"openID":"o","oldMobile":"1","newMobile":"2"}`, 200, `"answered":true`, 17},
		{"POST /spi/burn", `{}`, 400, `no such scene`, 17},
		{"POST /verify-webhook", `{"challenge":5}`, 200, `"fate":"denied"`, 18},
		{"POST /events", `{"event":"life_x","content":{"a":1}}`, 200, `life_x`, 19},
		{"POST /events", `{}`, 400, `are needed`, 19},
		{"POST /partner-orders", `{"id":"5","status":302,"commissions":[{"id":"6","ratio":5}],"push":true}`, 200, `life_partner_order_notify`, 20},
		{"GET /partner-orders", ``, 200, `"status":302`, 20},
		{"POST /pushes", `{"path":"spi/status_query","body":{"any":1}}`, 200, `"accepted":true`, 21},
		{"POST /faults", `{"op":"life_x","kind":"Reorder"}`, 200, `{}`, 21},
		{"POST /events", `{"event":"life_x","content":{"a":1}}`, 200, `"fate":"held"`, 21},
		{"POST /pushes/release", `{"seed":1}`, 200, `"fate":"delivered"`, 22},
		{"POST /faults", `{"op":"issue_codes","kind":"LoseReply","copies":2}`, 200, `{}`, 22},
		{"DELETE /faults", ``, 200, `{}`, 22},
		{"POST /down", ``, 200, `{}`, 22},
		{"POST /up", ``, 200, `{}`, 22},
		{"POST /tokens/expire", ``, 200, `{}`, 22},
		{"POST /tokens/revoke", ``, 200, `{}`, 22},
		{"POST /secret", `{"secret":"new"}`, 200, `{}`, 22},
		{"POST /secret", `{}`, 400, `a secret is needed`, 22},
		{"GET /complaints", ``, 200, `the challenge does not come back`, 22},
		{"DELETE /complaints", ``, 200, `{}`, 22},
		{"GET /complaints", ``, 200, `[]`, 22},
		{"GET /deliveries", ``, 200, `"type":"issue_codes"`, 22},
		{"GET /calls", ``, 200, `"counts":{}`, 22},
		{"POST /aim", `{"base":"http://10.0.0.1"}`, 400, `not allowed`, 22},
		{"POST /aim", `{"base":"http://127.0.0.1:1"}`, 200, `{}`, 22},
	}
	for _, step := range steps {
		method, path, _ := strings.Cut(step.request, " ")
		recorder := httptest.NewRecorder()
		admin.ServeHTTP(recorder, httptest.NewRequest(method, path, strings.NewReader(step.body)))
		if recorder.Code != step.status || !strings.Contains(recorder.Body.String(), step.want) || !json.Valid(recorder.Body.Bytes()) {
			t.Errorf("%s %s: %d %s, want %d with %s", step.request, step.body, recorder.Code, recorder.Body, step.status, step.want)
		}
		if n := len(in.paths()); n != step.pushes {
			t.Fatalf("%s: %d pushes arrived, want %d", step.request, n, step.pushes)
		}
	}
	if fake.ClientSecret() != "new" {
		t.Error("the secret stays")
	}
}
