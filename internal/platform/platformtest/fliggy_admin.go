package platformtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// Admin is the control handler of the fake, for scripts. Mount it behind a prefix:
// http.StripPrefix("/admin/fliggy", fake.Admin()). Requests and answers are JSON;
// wrong ones get 400 {"error": …}. Wherever "push": true stands, the change is also
// pushed, tries included, before the answer, which is then {"push": body, "delivery": Delivery};
// without it only {"push": body}.
//
//	POST   /products                 a Product, and push; creates or replaces
//	                                 {"id":"88","title":"西湖","start":"2026-01-01","days":30,"price":"350.50","stock":12,"push":true}
//	POST   /products/{id}/price      {"price":"360.00","push":true}
//	POST   /products/{id}/stock      {"stock":5,"push":true}
//	POST   /products/{id}/off        {"push":true}
//	POST   /products/{id}/on         {"push":true}
//	POST   /products/{id}/grant      {"granted":false}
//	POST   /products/{id}/push       {"pushType":"VACATION_RESOURCE_INFO_CHANGE"}: pushes without a change
//	DELETE /products/{id}            add ?push=true
//	GET    /products                 the catalogue
//	POST   /orders                   an Order {"id":"9007199254740995","outOrderID":"T-1","productID":"88","quantity":2,"price":35050}
//	GET    /orders/{id}              the Order, codes in clear
//	POST   /orders/{id}/pay          {"push":true}
//	POST   /orders/{id}/issue        {"codes":[{"code":"A1","persons":2}],"push":true}
//	POST   /orders/{id}/issue-fails  {"reason":"no room","push":true}
//	POST   /orders/{id}/use          {"code":"A1","count":1,"push":true}
//	POST   /orders/{id}/request-refund {"fee":12345,"quantity":1,"full":false,"push":true}
//	POST   /orders/{id}/refund       {"fee":12345,"quantity":1,"full":false,"push":true}
//	POST   /orders/{id}/refund-fails {"reason":"too late","push":true}
//	POST   /orders/{id}/close        {"push":true}
//	POST   /orders/{id}/push         {}: pushes ORDER_STATUS_CHANGE without a change
//	POST   /pushes                   {"path":"order-status","body":{…}}: any body; a path that begins with / is taken whole
//	POST   /pushes/release           {"seed":1}: sends what Reorder held, shuffled
//	POST   /aim                      {"base":"http://127.0.0.1:8080","token":"t"}: where pushes go
//	POST   /faults                   {"op":"searchOrder","kind":"Status5xx","times":3,"after":0,"status":503,"retryAfter":"2s","delay":"1s","code":"9000","copies":2}
//	DELETE /faults                   clears the script and ends down
//	POST   /down, POST /up           away and back
//	GET    /calls                    {"counts":{"searchOrder":1},"log":[CallRecord]}
//	GET    /deliveries               [Delivery]
func (f *Fliggy) Admin() http.Handler { return f.AdminAllowing(nil) }

// AdminAllowing is Admin with a check of the base URLs that /aim may name; nil allows any.
func (f *Fliggy) AdminAllowing(allowed func(base string) error) http.Handler {
	mux, route := f.control(allowed)
	route("GET /products", func(*http.Request) (any, error) { return f.Products(), nil })
	route("POST /products", f.adminPutProduct)
	route("POST /products/{id}/{action}", f.adminProduct)
	route("DELETE /products/{id}", f.adminDeleteProduct)
	route("POST /orders", f.adminPutOrder)
	route("GET /orders/{id}", f.adminGetOrder)
	route("POST /orders/{id}/{action}", f.adminOrder)
	route("POST /pushes", f.adminRawPush)
	return mux
}

// tell gives the push and, if wanted, sends it.
func (f *Fliggy) tell(r *http.Request, path string, body []byte, send bool) (any, error) {
	told := pushed{Push: body}
	if send {
		delivery := f.Push(r.Context(), path, body)
		told.Delivery = &delivery
	}
	return told, nil
}

func (f *Fliggy) adminPutProduct(r *http.Request) (any, error) {
	var request struct {
		Product
		Push bool `json:"push"`
	}
	if err := readAdmin(r, &request); err != nil {
		return nil, err
	}
	if err := f.PutProduct(request.Product); err != nil {
		return nil, err
	}
	body := f.ProductPush("VACATION_RESOURCE_VALID_CHANGE", request.ID, time.Now())
	return f.tell(r, FliggyProductPath, body, request.Push)
}

// adminProductRequest has the fields of every action on a product.
type adminProductRequest struct {
	Price    string `json:"price"`
	Stock    *int64 `json:"stock"`
	Granted  *bool  `json:"granted"`
	PushType string `json:"pushType"`
	Push     bool   `json:"push"`
}

func (f *Fliggy) adminProduct(r *http.Request) (any, error) {
	var request adminProductRequest
	if err := readAdmin(r, &request); err != nil {
		return nil, err
	}
	id := r.PathValue("id")
	pushType, err := f.alterProduct(id, r.PathValue("action"), &request)
	if err != nil {
		return nil, err
	}
	return f.tell(r, FliggyProductPath, f.ProductPush(pushType, id, time.Now()), request.Push)
}

// alterProduct does the action and names the push that tells it.
func (f *Fliggy) alterProduct(id, action string, request *adminProductRequest) (pushType string, err error) {
	switch {
	case action == "price":
		return "VACATION_RESOURCE_PRICE_CHANGE", f.SetPrice(id, request.Price)
	case action == "stock" && request.Stock != nil:
		return "VACATION_RESOURCE_STOCK_CHANGE", f.SetStock(id, *request.Stock)
	case action == "off":
		return "VACATION_RESOURCE_INVALID_CHANGE", f.SetOffShelf(id)
	case action == "on":
		return "VACATION_RESOURCE_VALID_CHANGE", f.SetOnShelf(id)
	case action == "grant" && request.Granted != nil:
		return "VACATION_RESOURCE_INFO_CHANGE", f.SetGranted(id, *request.Granted)
	case action == "push" && request.PushType != "":
		request.Push = true
		return request.PushType, nil
	}
	return "", fmt.Errorf("no such action on a product, or it lacks a field: %s", action)
}

func (f *Fliggy) adminDeleteProduct(r *http.Request) (any, error) {
	id := r.PathValue("id")
	f.DeleteProduct(id)
	body := f.ProductPush("VACATION_RESOURCE_INVALID_CHANGE", id, time.Now())
	return f.tell(r, FliggyProductPath, body, r.URL.Query().Get("push") == "true")
}

func (f *Fliggy) adminPutOrder(r *http.Request) (any, error) {
	var order Order
	if err := readAdmin(r, &order); err != nil {
		return nil, err
	}
	return done{}, f.PutOrder(order)
}

func (f *Fliggy) adminGetOrder(r *http.Request) (any, error) {
	order, known := f.Order(r.PathValue("id"))
	if !known {
		return nil, fmt.Errorf("no order %s", r.PathValue("id"))
	}
	return order, nil
}

// adminOrderRequest has the fields of every action on an order.
type adminOrderRequest struct {
	Codes    []OrderCode `json:"codes"`
	Code     string      `json:"code"`
	Count    int64       `json:"count"`
	Reason   string      `json:"reason"`
	Fee      int64       `json:"fee"`
	Quantity int64       `json:"quantity"`
	Full     bool        `json:"full"`
	Push     bool        `json:"push"`
}

// adminOrderActions by name.
var adminOrderActions = map[string]func(f *Fliggy, id string, r *adminOrderRequest) ([]byte, error){
	"pay":         func(f *Fliggy, id string, _ *adminOrderRequest) ([]byte, error) { return f.Pay(id) },
	"close":       func(f *Fliggy, id string, _ *adminOrderRequest) ([]byte, error) { return f.Close(id) },
	"issue":       func(f *Fliggy, id string, r *adminOrderRequest) ([]byte, error) { return f.IssueCodes(id, r.Codes...) },
	"issue-fails": func(f *Fliggy, id string, r *adminOrderRequest) ([]byte, error) { return f.IssueFails(id, r.Reason) },
	"use": func(f *Fliggy, id string, r *adminOrderRequest) ([]byte, error) {
		return f.UseCode(id, r.Code, r.Count)
	},
	"request-refund": func(f *Fliggy, id string, r *adminOrderRequest) ([]byte, error) {
		return f.RequestRefund(id, r.Fee, r.Quantity, r.Full)
	},
	"refund": func(f *Fliggy, id string, r *adminOrderRequest) ([]byte, error) {
		return f.Refund(id, r.Fee, r.Quantity, r.Full)
	},
	"refund-fails": func(f *Fliggy, id string, r *adminOrderRequest) ([]byte, error) { return f.RefundFails(id, r.Reason) },
	"push": func(f *Fliggy, id string, r *adminOrderRequest) ([]byte, error) {
		r.Push = true
		return f.StatusPush(id)
	},
}

func (f *Fliggy) adminOrder(r *http.Request) (any, error) {
	var request adminOrderRequest
	if err := readAdmin(r, &request); err != nil {
		return nil, err
	}
	action, known := adminOrderActions[r.PathValue("action")]
	if !known {
		return nil, fmt.Errorf("no such action on an order: %s", r.PathValue("action"))
	}
	body, err := action(f, r.PathValue("id"), &request)
	if err != nil {
		return nil, err
	}
	return f.tell(r, FliggyOrderPath, body, request.Push)
}

func (f *Fliggy) adminRawPush(r *http.Request) (any, error) {
	var request struct {
		Path string          `json:"path"`
		Body json.RawMessage `json:"body"`
	}
	if err := readAdmin(r, &request); err != nil {
		return nil, err
	}
	return f.tell(r, request.Path, request.Body, true)
}
