package platformtest

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
)

func testLogger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func TestAdmin(t *testing.T) {
	a := newAsker(t, FliggyConfig{})
	in := newInbox(t, a, "")
	admin := a.fake.AdminAllowing(func(base string) error {
		if base != "http://127.0.0.1:1" {
			return errors.New("not allowed")
		}
		return nil
	})
	// In order: what a step answers must hold the wanted part; pushes is how many arrived so far.
	steps := []struct {
		request, body string
		status        int
		want          string
		pushes        int
	}{
		{"POST /products", `{"id":"90","title":"x","start":"2026-01-01","days":3,"price":"1.50","stock":2,"push":true}`, 200, `"accepted":true`, 1},
		{"POST /products", `{"id":"90","colour":"red"}`, 400, `unknown field`, 1},
		{"POST /products", `{"id":"x"}`, 400, `not a decimal number`, 1},
		{"POST /products/90/price", `{"price":"2.50","push":true}`, 200, `VACATION_RESOURCE_PRICE_CHANGE`, 2},
		{"POST /products/90/stock", `{"stock":0}`, 200, `VACATION_RESOURCE_STOCK_CHANGE`, 2},
		{"POST /products/90/stock", `{}`, 400, `lacks a field`, 2},
		{"POST /products/90/off", `{"push":true}`, 200, `VACATION_RESOURCE_INVALID_CHANGE`, 3},
		{"POST /products/90/on", ``, 200, `VACATION_RESOURCE_VALID_CHANGE`, 3},
		{"POST /products/90/grant", `{"granted":false}`, 200, `"push"`, 3},
		{"POST /products/90/push", `{"pushType":"VACATION_RESOURCE_PRICE_STOCK_CHANGE"}`, 200, `"delivery"`, 4},
		{"GET /products", ``, 200, `"price":"2.50"`, 4},
		{"DELETE /products/90?push=true", ``, 200, `VACATION_RESOURCE_INVALID_CHANGE`, 5},
		{"POST /products/90/price", `{"price":"2.50"}`, 400, `no product 90`, 5},
		{"POST /orders", `{"id":"9007199254740997","outOrderID":"T-2","productID":"88","quantity":2,"price":35050}`, 200, `{}`, 5},
		{"POST /orders/9007199254740997/pay", `{"push":true}`, 200, `ORDER_STATUS_CHANGE`, 6},
		{"POST /orders/9007199254740997/issue", `{"codes":[{"code":"A1","persons":2}],"push":true}`, 200, `ORDER_SEND_CODE_NOTIFY`, 7},
		{"POST /orders/9007199254740997/use", `{"code":"A1","count":1,"push":true}`, 200, `ORDER_VERIFY_NOTIFY`, 8},
		{"POST /orders/9007199254740997/request-refund", `{"fee":100,"quantity":1}`, 200, `ORDER_STATUS_CHANGE`, 8},
		{"POST /orders/9007199254740997/refund", `{"fee":100,"quantity":1,"push":true}`, 200, `ORDER_REFUND_NOTIFY`, 9},
		{"POST /orders/9007199254740997/refund-fails", `{"reason":"no"}`, 200, `"success":false`, 9},
		{"GET /orders/9007199254740997", ``, 200, `"fee":100`, 9},
		{"POST /orders/9007199254740997/issue-fails", `{"reason":"no"}`, 200, `"success":false`, 9},
		{"POST /orders/9007199254740997/close", `{}`, 200, `1010`, 9},
		{"POST /orders/9007199254740997/push", `{}`, 200, `"delivery"`, 10},
		{"POST /orders/9007199254740997/burn", `{}`, 400, `no such action`, 10},
		{"POST /orders/7/pay", `{}`, 400, `no order 7`, 10},
		{"GET /orders/7", ``, 400, `no order 7`, 10},
		{"POST /pushes", `{"path":"order-status","body":{"any":1}}`, 200, `"accepted":true`, 11},
		{"POST /faults", `{"op":"product-change","kind":"Reorder"}`, 200, `{}`, 11},
		{"POST /products/88/on", `{"push":true}`, 200, `"fate":"held"`, 11},
		{"POST /pushes/release", `{"seed":1}`, 200, `"fate":"delivered"`, 12},
		{"POST /faults", `{"kind":"Slow","delay":"soon"}`, 400, `invalid duration`, 12},
		{"POST /faults", `{"kind":"Bad"}`, 400, `no such kind`, 12},
		{"POST /faults", `{"kind":"Status5xx","times":-1,"retryAfter":"2s","delay":"1s"}`, 200, `{}`, 12},
		{"DELETE /faults", ``, 200, `{}`, 12},
		{"POST /down", ``, 200, `{}`, 12},
		{"POST /up", ``, 200, `{}`, 12},
		{"GET /deliveries", ``, 200, `"messageID":"m-`, 12},
		{"GET /calls", ``, 200, `"counts":{}`, 12},
		{"POST /aim", `{"base":"http://10.0.0.1"}`, 400, `not allowed`, 12},
		{"POST /aim", `{"base":"http://127.0.0.1:1"}`, 200, `{}`, 12},
	}
	for _, step := range steps {
		method, path, _ := strings.Cut(step.request, " ")
		recorder := httptest.NewRecorder()
		admin.ServeHTTP(recorder, httptest.NewRequest(method, path, strings.NewReader(step.body)))
		if recorder.Code != step.status || !strings.Contains(recorder.Body.String(), step.want) || !json.Valid(recorder.Body.Bytes()) {
			t.Errorf("%s %s: %d %s, want %d with %s", step.request, step.body, recorder.Code, recorder.Body, step.status, step.want)
		}
		if len(in.read) != step.pushes {
			t.Fatalf("%s: %d pushes arrived, want %d", step.request, len(in.read), step.pushes)
		}
	}
}
