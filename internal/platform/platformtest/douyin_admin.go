package platformtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Admin is the control handler of the fake, for scripts. Mount it behind a prefix:
// http.StripPrefix("/admin/douyin", fake.Admin()). Requests and answers are JSON; wrong
// ones get 400 {"error": …}. Wherever "push": true stands, the change is also pushed, tries
// included, before the answer, which is then {"push": body, "delivery": Delivery}; without
// it only {"push": body}. SPI calls wait for the answer, tries included. What follows from
// an answer goes out by itself while Run runs, else with /settle.
//
//	GET    /state                    {"clientKey","accountID","now","tokensIssued","complaints","preCreates","calls"}
//	GET    /complaints               [text]
//	DELETE /complaints               forgets them
//	POST   /clock                    {"advance":"10m"}: sets the clock forward and settles
//	POST   /settle                   [Delivery]: does what is due and sends what follows
//	POST   /tokens/expire, /tokens/revoke  ends the access tokens (2190008, 2190002)
//	POST   /secret                   {"secret":"…"}: a new client secret
//	GET    /products                 [DouyinProduct]
//	POST   /products                 a DouyinProduct, and push (of its review)
//	                                 {"id":"1805831187321867","title":"千岛湖","outID":"DY-0","amount":100,"stock":5,"online":1,"push":true}
//	POST   /products/{id}/price      {"amount":120}; /stock {"stock":5}, without it unlimited
//	POST   /products/{id}/online     {"push":true}; /offline, /ban alike
//	POST   /products/{id}/audit      {"pass":false,"reason":"no","push":true}
//	DELETE /products/{id}            add ?push=true
//	GET    /orders                   [DouyinOrder], codes in clear
//	POST   /orders                   a DouyinOrder {"id":"1065946966824669600","productID":"1805831187321867","count":2,"price":100,"thirdParty":true}
//	GET    /orders/{id}              the DouyinOrder, codes in clear
//	POST   /orders/{id}/pay          {"push":true}
//	POST   /orders/{id}/close        {}
//	POST   /orders/{id}/issue        {}: the SPI issue_codes; again checks that the codes are the same
//	POST   /orders/{id}/verify       {"certificateID":"7…","push":true}; /verify-cancel alike
//	POST   /orders/{id}/notify       {"certificateID":"7…","action":"verify"}: pushes without a change
//	POST   /orders/{id}/refund       {"certificateIDs":[…]}: the platform refunds without asking
//	POST   /orders/{id}/apply-refund {"certificateIDs":[…],"reason":"…"}: the SPI refund_apply
//	POST   /orders/{id}/after-sale   {"certificateID":"7…","reason":"…","push":true}: of a used code of the platform's own
//	GET    /after-sales              [DouyinAfterSale]
//	POST   /after-sales/{id}/repeat  the SPI refund_apply once more
//	POST   /spi/pre-create           {"productID":"1805831187321867","count":2}
//	POST   /spi/status-query         {"scene":"order","orderIDs":[…]}
//	POST   /spi/member-update        {"openID":"o","oldMobile":"13800000000","newMobile":"13900000000"}
//	POST   /verify-webhook           {"challenge":12345,"asText":false}
//	POST   /events                   {"event":"life_…","content":{…}}: any event, signed
//	GET    /partner-orders           [DouyinPartnerOrder]
//	POST   /partner-orders           a DouyinPartnerOrder, "commissions":[DouyinCommission], "push":true
//	POST   /pushes                   {"path":"events","body":{…}}: any body, signed as the path's kind is; a path that begins with / is taken whole
//	POST   /pushes/release           {"seed":1}: sends what Reorder held, shuffled
//	POST   /aim                      {"base":"http://127.0.0.1:8080","token":"t"}: where pushes go
//	POST   /faults                   {"op":"trade/order/query","kind":"Code","code":"2100004","times":3,…}; of pushes op is a path tail, an event or a scene
//	DELETE /faults                   clears the script and ends down
//	POST   /down, POST /up           away and back
//	GET    /calls                    {"counts":{"trade/order/query":1},"log":[DouyinCall]}
//	GET    /deliveries               [Delivery]
func (f *Douyin) Admin() http.Handler { return f.AdminAllowing(nil) }

// AdminAllowing is Admin with a check of the base URLs that /aim may name; nil allows any.
func (f *Douyin) AdminAllowing(allowed func(base string) error) http.Handler {
	mux, route := f.control(allowed)
	route("GET /state", func(*http.Request) (any, error) { return f.state(), nil })
	route("GET /complaints", func(*http.Request) (any, error) { return f.Complaints(), nil })
	route("DELETE /complaints", func(*http.Request) (any, error) { f.ForgiveComplaints(); return done{}, nil })
	route("POST /clock", f.adminClock)
	route("POST /settle", func(r *http.Request) (any, error) { return f.settled(r), nil })
	route("POST /tokens/expire", func(*http.Request) (any, error) { f.ExpireTokens(); return done{}, nil })
	route("POST /tokens/revoke", func(*http.Request) (any, error) { f.RevokeTokens(); return done{}, nil })
	route("POST /secret", f.adminSecret)
	route("GET /products", func(*http.Request) (any, error) { return f.Products(), nil })
	route("POST /products", f.adminPutProduct)
	route("POST /products/{id}/{action}", f.adminProduct)
	route("DELETE /products/{id}", f.adminDeleteProduct)
	route("GET /orders", func(*http.Request) (any, error) { return f.Orders(), nil })
	route("POST /orders", f.adminPutOrder)
	route("GET /orders/{id}", f.adminGetOrder)
	route("POST /orders/{id}/{action}", f.adminOrder)
	route("GET /after-sales", func(*http.Request) (any, error) { return f.AfterSales(), nil })
	route("POST /after-sales/{id}/repeat", f.adminRepeat)
	route("POST /spi/{scene}", f.adminScene)
	route("POST /verify-webhook", f.adminVerifyWebhook)
	route("POST /events", f.adminEvent)
	route("GET /partner-orders", func(*http.Request) (any, error) { return f.PartnerOrders(), nil })
	route("POST /partner-orders", f.adminPartnerOrder)
	route("POST /pushes", f.adminRawPush)
	return mux
}

func (f *Douyin) state() any {
	return map[string]any{"clientKey": f.ClientKey(), "accountID": f.AccountID(), "now": f.Now(), "tokensIssued": f.TokensIssued(),
		"complaints": f.Complaints(), "preCreates": f.PreCreates(), "calls": f.calls.all()}
}

func (f *Douyin) settled(r *http.Request) []Delivery {
	return append([]Delivery{}, f.Settle(r.Context())...)
}

// tell gives the push and, if wanted, sends it.
func (f *Douyin) tell(r *http.Request, path string, body []byte, send bool) (any, error) {
	told := pushed{Push: body}
	if send {
		delivery := f.Push(r.Context(), path, body)
		told.Delivery = &delivery
	}
	return told, nil
}

func (f *Douyin) adminClock(r *http.Request) (any, error) {
	var request struct {
		Advance string `json:"advance"`
	}
	if err := readAdmin(r, &request); err != nil {
		return nil, err
	}
	d, err := time.ParseDuration(request.Advance)
	if err != nil || d < 0 {
		return nil, errors.New("the clock goes forward by a duration such as 10m")
	}
	f.Advance(d)
	return f.settled(r), nil
}

func (f *Douyin) adminSecret(r *http.Request) (any, error) {
	var request struct {
		Secret string `json:"secret"`
	}
	if err := readAdmin(r, &request); err != nil {
		return nil, err
	}
	if request.Secret == "" {
		return nil, errors.New("a secret is needed")
	}
	f.SetClientSecret(request.Secret)
	return done{}, nil
}

func (f *Douyin) adminPutProduct(r *http.Request) (any, error) {
	var request struct {
		DouyinProduct
		Push bool `json:"push"`
	}
	if err := readAdmin(r, &request); err != nil {
		return nil, err
	}
	if err := f.PutProduct(request.DouyinProduct); err != nil {
		return nil, err
	}
	failed := request.Draft == DouyinDraftFailed
	return f.tell(r, DouyinEventsPath, f.ProductAudit(request.ID, !failed, request.AuditMsg), request.Push)
}

// adminDouyinProduct has the fields of every action on a product.
type adminDouyinProduct struct {
	Amount *int64 `json:"amount"`
	Stock  *int64 `json:"stock"`
	Pass   *bool  `json:"pass"`
	Reason string `json:"reason"`
	Push   bool   `json:"push"`
}

func (f *Douyin) adminProduct(r *http.Request) (any, error) {
	var request adminDouyinProduct
	if err := readAdmin(r, &request); err != nil {
		return nil, err
	}
	id := r.PathValue("id")
	body, err := f.alterProduct(id, r.PathValue("action"), request)
	if err != nil {
		return nil, err
	}
	return f.tell(r, DouyinEventsPath, body, request.Push)
}

// douyinStates by the name of the action, and how an event tells them.
var douyinStates = map[string]struct {
	online int
	told   string
}{"online": {DouyinOnline, "GOODS_ONLINE"}, "offline": {DouyinOffline, "GOODS_OFFLINE"}, "ban": {DouyinBanned, "GOODS_BAN"}}

// alterProduct does the action and makes the push that tells it. Prices and stock have no
// event of their own: that of a review is pushed.
func (f *Douyin) alterProduct(id, action string, request adminDouyinProduct) ([]byte, error) {
	state, isState := douyinStates[action]
	switch {
	case isState:
		return f.ProductStatus(id, state.told), f.AlterProduct(id, func(p *DouyinProduct) { p.Online = state.online })
	case action == "price" && request.Amount != nil:
		return f.ProductAudit(id, true, ""), f.AlterProduct(id, func(p *DouyinProduct) { p.Amount = *request.Amount })
	case action == "stock":
		return f.ProductAudit(id, true, ""), f.AlterProduct(id, func(p *DouyinProduct) { p.Stock = request.Stock })
	case action == "audit" && request.Pass != nil:
		return f.ProductAudit(id, *request.Pass, request.Reason), f.AlterProduct(id, func(p *DouyinProduct) {
			p.Draft, p.AuditMsg = DouyinDraftFailed, request.Reason
			if *request.Pass {
				p.Draft, p.AuditMsg = DouyinDraftPassed, ""
				p.Online = max(p.Online, DouyinOnline)
			}
		})
	}
	return nil, fmt.Errorf("no such action on a product, or it lacks a field: %s", action)
}

func (f *Douyin) adminDeleteProduct(r *http.Request) (any, error) {
	id := r.PathValue("id")
	f.DeleteProduct(id)
	return f.tell(r, DouyinEventsPath, f.ProductStatus(id, "GOODS_DELETE"), r.URL.Query().Get("push") == "true")
}

func (f *Douyin) adminPutOrder(r *http.Request) (any, error) {
	var order DouyinOrder
	if err := readAdmin(r, &order); err != nil {
		return nil, err
	}
	return done{}, f.PutOrder(order)
}

func (f *Douyin) adminGetOrder(r *http.Request) (any, error) {
	order, known := f.Order(r.PathValue("id"))
	if !known {
		return nil, fmt.Errorf("no order %s", r.PathValue("id"))
	}
	return order, nil
}

// adminDouyinOrder has the fields of every action on an order.
type adminDouyinOrder struct {
	CertificateID  string   `json:"certificateID"`
	CertificateIDs []string `json:"certificateIDs"`
	Action         string   `json:"action"`
	Reason         string   `json:"reason"`
	Push           bool     `json:"push"`
}

// douyinOrderEvents are the actions on an order that an event tells.
var douyinOrderEvents = map[string]func(f *Douyin, id string, r *adminDouyinOrder) ([]byte, error){
	"pay": func(f *Douyin, id string, _ *adminDouyinOrder) ([]byte, error) { return f.Pay(id) },
	"verify": func(f *Douyin, id string, r *adminDouyinOrder) ([]byte, error) {
		return f.Verify(id, r.CertificateID)
	},
	"verify-cancel": func(f *Douyin, id string, r *adminDouyinOrder) ([]byte, error) {
		return f.VerifyCancel(id, r.CertificateID)
	},
	"notify": func(f *Douyin, id string, r *adminDouyinOrder) ([]byte, error) {
		r.Push = true
		if r.Action == "pay_success" {
			return f.PayPush(id)
		}
		return f.CertificatePush(id, r.CertificateID, r.Action)
	},
	"after-sale": func(f *Douyin, id string, r *adminDouyinOrder) ([]byte, error) {
		return f.RequestAfterSale(id, r.CertificateID, r.Reason)
	},
}

func (f *Douyin) adminOrder(r *http.Request) (any, error) {
	var request adminDouyinOrder
	if err := readAdmin(r, &request); err != nil {
		return nil, err
	}
	id, action := r.PathValue("id"), r.PathValue("action")
	if event, known := douyinOrderEvents[action]; known {
		body, err := event(f, id, &request)
		if err != nil {
			return nil, err
		}
		return f.tell(r, DouyinEventsPath, body, request.Push)
	}
	switch action {
	case "close":
		return done{}, f.Close(id)
	case "issue":
		return f.Issue(r.Context(), id)
	case "refund":
		return f.Refund(id, request.CertificateIDs...)
	case "apply-refund":
		a, d, err := f.ApplyRefund(r.Context(), id, request.Reason, request.CertificateIDs...)
		return map[string]any{"afterSale": a, "delivery": d}, err
	}
	return nil, fmt.Errorf("no such action on an order: %s", action)
}

func (f *Douyin) adminRepeat(r *http.Request) (any, error) {
	return f.RepeatRefund(r.Context(), r.PathValue("id"))
}

func (f *Douyin) adminScene(r *http.Request) (any, error) {
	var request struct {
		ProductID string   `json:"productID"`
		Count     int64    `json:"count"`
		Scene     string   `json:"scene"`
		OrderIDs  []string `json:"orderIDs"`
		OpenID    string   `json:"openID"`
		OldMobile string   `json:"oldMobile"`
		NewMobile string   `json:"newMobile"`
	}
	if err := readAdmin(r, &request); err != nil {
		return nil, err
	}
	switch scene := r.PathValue("scene"); scene {
	case "pre-create":
		asked, d := f.PreCreate(r.Context(), request.ProductID, request.Count)
		return map[string]any{"preCreate": asked, "delivery": d}, nil
	case "status-query":
		result, d := f.QueryStatus(r.Context(), request.Scene, request.OrderIDs...)
		return map[string]any{"result": result, "delivery": d}, nil
	case "member-update":
		reply, d := f.UpdateMember(r.Context(), request.OpenID, request.OldMobile, request.NewMobile)
		return map[string]any{"reply": reply, "delivery": d}, nil
	default:
		return nil, fmt.Errorf("no such scene here: %s", scene)
	}
}

func (f *Douyin) adminVerifyWebhook(r *http.Request) (any, error) {
	var request struct {
		Challenge int64 `json:"challenge"`
		AsText    bool  `json:"asText"`
	}
	if err := readAdmin(r, &request); err != nil {
		return nil, err
	}
	return f.tell(r, DouyinEventsPath, f.VerifyWebhook(request.Challenge, request.AsText), true)
}

func (f *Douyin) adminEvent(r *http.Request) (any, error) {
	var request struct {
		Event   string          `json:"event"`
		Content json.RawMessage `json:"content"`
	}
	if err := readAdmin(r, &request); err != nil {
		return nil, err
	}
	if request.Event == "" || request.Content == nil {
		return nil, errors.New("event and content are needed")
	}
	return f.tell(r, DouyinEventsPath, f.Event(request.Event, request.Content), true)
}

func (f *Douyin) adminPartnerOrder(r *http.Request) (any, error) {
	var request struct {
		DouyinPartnerOrder
		Commissions []DouyinCommission `json:"commissions"`
		Push        bool               `json:"push"`
	}
	if err := readAdmin(r, &request); err != nil {
		return nil, err
	}
	if err := f.PutPartnerOrder(request.DouyinPartnerOrder, request.Commissions...); err != nil {
		return nil, err
	}
	body, err := f.PartnerOrderPush(request.ID)
	if err != nil {
		return nil, err
	}
	return f.tell(r, DouyinEventsPath, body, request.Push)
}

func (f *Douyin) adminRawPush(r *http.Request) (any, error) {
	var request struct {
		Path string          `json:"path"`
		Body json.RawMessage `json:"body"`
	}
	if err := readAdmin(r, &request); err != nil {
		return nil, err
	}
	return f.tell(r, request.Path, request.Body, true)
}
