package platformtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// Admin is the control handler of the fake, for scripts. Mount it behind a prefix:
// http.StripPrefix("/admin/sctt", fake.Admin()). Requests and answers are JSON; wrong ones
// get 400 {"error": …}. Wherever "push": true stands, the change is also pushed, tries
// included, before the answer, which is then {"push": body, "delivery": Delivery}; without
// it only {"push": body}. Pushes are signed and go to the common path; with "channel": true
// they go to the Channel's own path, without merchant_id, request_time and sign.
//
//	GET    /state                    {"account","credit","complaints","calls"}
//	GET    /complaints               [text]
//	DELETE /complaints               forgets them
//	POST   /secret                   {"secret":"…"}: a new secret
//	POST   /credit                   {"amount":"25.58"}
//	GET    /products                 [SCTTProduct]
//	POST   /products                 an SCTTProduct; creates or replaces. Products are never pushed
//	POST   /products/{id}/cost       {"cost":"99.50"}
//	POST   /products/{id}/stock      {"stock":5}
//	POST   /products/{id}/hide       {}; /show alike
//	DELETE /products/{id}
//	GET    /orders                   [SCTTOrder], vouchers in clear
//	POST   /orders                   an SCTTOrder {"id":"700009","tradeNumber":"T-9","total":"88.5","currency":"AUD"}
//	GET    /orders/{id}              the SCTTOrder, vouchers in clear
//	POST   /orders/{id}/voucher      {"status":2,"remark":"","push":true}: sets the order_status (without one the order
//	                                 stays as it is, which resends it); 2 issues vouchers of all five kinds, if it has none
//	POST   /orders/{id}/issue        {"vouchers":[{"voucherlist":[{"voucher_type":3,"voucher_confirmation":"C1"}]}],"push":true}
//	POST   /orders/{id}/change       {"voucher":0,"ticket":1,"changed":{"voucher_type":2,"voucher_confirmation":"C2"},"push":true}
//	POST   /cancel                   {"orders":["700001","700002"],"status":3,"remark":"","push":true}: one push of them all
//	POST   /sample                   {}: the printed sample, byte for byte, to the Channel's own path
//	POST   /pushes                   {"path":"order-voucher","body":{…},"sign":true}: any body; a path that begins with / is taken whole
//	POST   /pushes/release           {"seed":1}: sends what Reorder held, shuffled
//	POST   /aim                      {"base":"http://127.0.0.1:8080","token":"t"}: where pushes go
//	POST   /faults                   {"op":"availability","kind":"Code","code":"4002","times":3,…}; of pushes op is a path tail
//	DELETE /faults                   clears the script and ends down
//	POST   /down, POST /up           away and back
//	GET    /calls                    {"counts":{"productlist":1},"log":[CallRecord]}
//	GET    /deliveries               [Delivery]
func (f *SCTT) Admin() http.Handler { return f.AdminAllowing(nil) }

// AdminAllowing is Admin with a check of the base URLs that /aim may name; nil allows any.
func (f *SCTT) AdminAllowing(allowed func(base string) error) http.Handler {
	mux, route := f.control(allowed)
	route("GET /state", func(*http.Request) (any, error) { return f.state(), nil })
	route("GET /complaints", func(*http.Request) (any, error) { return f.Complaints(), nil })
	route("DELETE /complaints", func(*http.Request) (any, error) { f.ForgiveComplaints(); return done{}, nil })
	route("POST /secret", f.adminSecret)
	route("POST /credit", f.adminCredit)
	route("GET /products", func(*http.Request) (any, error) { return f.Products(), nil })
	route("POST /products", f.adminPutProduct)
	route("POST /products/{id}/{action}", f.adminProduct)
	route("DELETE /products/{id}", func(r *http.Request) (any, error) { f.DeleteProduct(r.PathValue("id")); return done{}, nil })
	route("GET /orders", func(*http.Request) (any, error) { return f.Orders(), nil })
	route("POST /orders", f.adminPutOrder)
	route("GET /orders/{id}", f.adminGetOrder)
	route("POST /orders/{id}/{action}", f.adminOrder)
	route("POST /cancel", f.adminCancel)
	route("POST /sample", func(r *http.Request) (any, error) { return f.SendSample(r.Context()), nil })
	route("POST /pushes", f.adminRawPush)
	return mux
}

func (f *SCTT) state() any {
	f.mu.Lock()
	credit := f.credit.String()
	f.mu.Unlock()
	return map[string]any{"account": f.Account(), "credit": credit, "complaints": f.Complaints(), "calls": f.calls.all()}
}

// adminSCTTTell says whether and where a change is pushed.
type adminSCTTTell struct {
	Push    bool `json:"push"`
	Channel bool `json:"channel"`
}

// tell gives the push and, if wanted, sends it.
func (f *SCTT) tell(r *http.Request, tail string, content []byte, where adminSCTTTell) (any, error) {
	told := pushed{Push: content}
	if where.Push {
		send := f.Send
		if where.Channel {
			send = f.SendToChannel
		}
		delivery := send(r.Context(), tail, content)
		told.Delivery = &delivery
	}
	return told, nil
}

func (f *SCTT) adminSecret(r *http.Request) (any, error) {
	var request struct {
		Secret string `json:"secret"`
	}
	if err := readAdmin(r, &request); err != nil {
		return nil, err
	}
	if request.Secret == "" {
		return nil, errors.New("a secret is needed")
	}
	f.SetSecret(request.Secret)
	return done{}, nil
}

func (f *SCTT) adminCredit(r *http.Request) (any, error) {
	var request struct {
		Amount string `json:"amount"`
	}
	if err := readAdmin(r, &request); err != nil {
		return nil, err
	}
	return done{}, f.SetCredit(request.Amount)
}

func (f *SCTT) adminPutProduct(r *http.Request) (any, error) {
	var product SCTTProduct
	if err := readAdmin(r, &product); err != nil {
		return nil, err
	}
	return done{}, f.PutProduct(product)
}

func (f *SCTT) adminProduct(r *http.Request) (any, error) {
	var request struct {
		Cost  string `json:"cost"`
		Stock *int64 `json:"stock"`
	}
	if err := readAdmin(r, &request); err != nil {
		return nil, err
	}
	id, action := r.PathValue("id"), r.PathValue("action")
	switch {
	case action == "cost":
		return done{}, f.SetCost(id, request.Cost)
	case action == "stock" && request.Stock != nil:
		return done{}, f.SetStock(id, *request.Stock)
	case action == "hide", action == "show":
		return done{}, f.AlterProduct(id, func(p *SCTTProduct) { p.Hidden = action == "hide" })
	}
	return nil, fmt.Errorf("no such action on a product, or it lacks a field: %s", action)
}

func (f *SCTT) adminPutOrder(r *http.Request) (any, error) {
	var order SCTTOrder
	if err := readAdmin(r, &order); err != nil {
		return nil, err
	}
	return done{}, f.PutOrder(order)
}

func (f *SCTT) adminGetOrder(r *http.Request) (any, error) {
	order, known := f.Order(r.PathValue("id"))
	if !known {
		return nil, fmt.Errorf("no order %s", r.PathValue("id"))
	}
	return order, nil
}

// adminSCTTOrder has the fields of every action on an order.
type adminSCTTOrder struct {
	adminSCTTTell
	Status   *int          `json:"status"`
	Remark   string        `json:"remark"`
	Vouchers []SCTTVoucher `json:"vouchers"`
	Voucher  int           `json:"voucher"`
	Ticket   int           `json:"ticket"`
	Changed  SCTTTicket    `json:"changed"`
}

func (f *SCTT) adminOrder(r *http.Request) (any, error) {
	var request adminSCTTOrder
	if err := readAdmin(r, &request); err != nil {
		return nil, err
	}
	content, err := f.alterOrder(r.PathValue("id"), r.PathValue("action"), request)
	if err != nil {
		return nil, err
	}
	return f.tell(r, SCTTVoucherPath, content, request.adminSCTTTell)
}

// alterOrder does the action and makes the push that tells it.
func (f *SCTT) alterOrder(id, action string, request adminSCTTOrder) ([]byte, error) {
	switch {
	case action == "voucher" && request.Status == nil:
		return f.VoucherPush(id)
	case action == "voucher":
		return f.SetStatus(id, *request.Status, request.Remark)
	case action == "issue" && len(request.Vouchers) > 0:
		return f.Issue(id, request.Vouchers...)
	case action == "change":
		return f.ChangeTicket(id, request.Voucher, request.Ticket, request.Changed)
	}
	return nil, fmt.Errorf("no such action on an order, or it lacks a field: %s", action)
}

func (f *SCTT) adminCancel(r *http.Request) (any, error) {
	var request struct {
		adminSCTTTell
		Orders []string `json:"orders"`
		Status int      `json:"status"`
		Remark string   `json:"remark"`
	}
	if err := readAdmin(r, &request); err != nil {
		return nil, err
	}
	content, err := f.Cancel(request.Status, request.Remark, request.Orders...)
	if err != nil {
		return nil, err
	}
	return f.tell(r, SCTTCancelPath, content, request.adminSCTTTell)
}

func (f *SCTT) adminRawPush(r *http.Request) (any, error) {
	var request struct {
		Path string          `json:"path"`
		Body json.RawMessage `json:"body"`
		Sign bool            `json:"sign"`
	}
	if err := readAdmin(r, &request); err != nil {
		return nil, err
	}
	body := []byte(request.Body)
	if request.Sign {
		body = f.Signed(body)
	}
	delivery := f.Push(r.Context(), request.Path, body)
	return pushed{Push: request.Body, Delivery: &delivery}, nil
}
