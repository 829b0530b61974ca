package douyin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fields"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// The calls, by what their paths have between the prefix and the last slash.
const (
	opToken           = "oauth/client_token" // #nosec G101 -- a name
	opOnlineGet       = "goods/product/online/get"
	opOnlineQuery     = "goods/product/online/query"
	opDraftGet        = "goods/product/draft/get"
	opOrderQuery      = "trade/order/query"
	opCertificates    = "fulfilment/certificate/query"
	opAfterSale       = "akte/after_sale/order_detail/get"
	opAfterSaleAudit  = "akte/after_sale/order/audit"
	opIssueCallback   = "fulfilment/create/callback"
	opRefundAudit     = "fulfilment/refund/audit"
	opPartnerOrder    = "partner/order/get"
	opCommissionQuery = "partner/commission_record/query"
)

// perSecond are the limits that the platform documents for calls of ours. Of the order
// query it names two, 500 and 20: the smaller counts.
var perSecond = map[string]int{opOrderQuery: 20, opAfterSale: 10}

const (
	// pageSize is the largest a page of products may be (documented).
	pageSize = 50
	// maxPages ends a catalogue that never ends: 100 000 products.
	maxPages = 2000
	// orderPageSize is one page of the order query, whose bound is 100 in practice. Without
	// a size a sibling of the query answers nothing (documented there).
	orderPageSize = 50
	// maxOrderPages ends the search for one order by its id, which the first page has.
	maxOrderPages = 5
	// maxText bounds what is shown of the platform's error texts.
	maxText = 256
)

// Client asks Douyin with one account.
type Client struct {
	clientKey, endpoint string
	secret              sealing.Secret
	settings            Settings
	tokens              platform.Tokens
	now                 func() time.Time
	transport           *platform.Transport
}

var (
	_ platform.Client        = (*Client)(nil)
	_ platform.ProductClient = (*Client)(nil)
	_ platform.OrderClient   = (*Client)(nil)
	_ platform.OrderAnswerer = (*Client)(nil)
	_ platform.NoticeClient  = (*Client)(nil)
)

func newClient(account platform.Account, transport *platform.Transport) (*Client, error) {
	secrets, err := secretsOf(account.Credentials)
	if err != nil {
		return nil, err
	}
	now := account.Now
	if now == nil {
		now = time.Now
	}
	return &Client{
		clientKey: account.ID, endpoint: account.Endpoint, secret: sealing.NewSecret(secrets[0]),
		settings: settingsOf(account.Holder), tokens: account.Tokens, now: now, transport: transport,
	}, nil
}

// Check asks for a first page of one product. That there is none is an answer too.
func (c *Client) Check(ctx context.Context) error {
	_, err := c.page(ctx, "", 1)
	return err
}

// ListProducts asks for the catalogue in pages of 50, 100 000 products at most. What was
// never approved is not listed (documented).
func (c *Client) ListProducts(ctx context.Context, yield func([]platform.ListedProduct) bool) error {
	cursor := ""
	for range maxPages {
		page, err := c.page(ctx, cursor, pageSize)
		if err != nil {
			return err
		}
		if len(page.products) > 0 && !yield(page.products) {
			return nil
		}
		if page.next == "" || page.next == cursor {
			return nil
		}
		cursor = page.next
	}
	return badAnswer(opOnlineQuery, fmt.Sprintf("the catalogue does not end within %d pages", maxPages))
}

// page asks for one page; the first has no cursor (documented).
func (c *Client) page(ctx context.Context, cursor string, size int) (page, error) {
	var read page
	err := c.get(ctx, opOnlineQuery, query{"account_id": c.settings.AccountID, "cursor": cursor, "count": strconv.Itoa(size)},
		func(data fields.Object) { read = readPage(data) })
	return read, err
}

// Product asks for the product that is sold, and for its newest draft where its
// information is wanted, because only that has the result of its review, or where it is
// not sold: what was never approved has nothing but a draft (documented).
func (c *Client) Product(ctx context.Context, question platform.ProductQuestion) (platform.Product, error) {
	named := query{"account_id": c.settings.AccountID, "product_ids": question.ProductID}
	var online *platform.Product
	err := c.get(ctx, opOnlineGet, named, func(data fields.Object) {
		online = readProduct(data, "product_onlines", question.ProductID, c.now())
	})
	switch {
	case err != nil:
		return platform.Product{}, err
	case online != nil && !wantsInfo(question):
		online.Info = nil
		return *online, nil
	}
	var draft *platform.Product
	err = c.get(ctx, opDraftGet, named, func(data fields.Object) {
		draft = readProduct(data, "product_drafts", question.ProductID, c.now())
	})
	if err != nil && (online == nil || !isRefusedHere(err)) {
		return platform.Product{}, err
	}
	return merged(online, draft)
}

func wantsInfo(question platform.ProductQuestion) bool {
	return len(question.Aspects) == 0 ||
		question.Wants(platform.AspectInfo) || question.Wants(platform.AspectAvailability)
}

// isRefusedHere: this one call is refused, not the account. A product that is sold is shown
// without its review then.
func isRefusedHere(err error) bool {
	failure, ok := errors.AsType[*platform.Error](err)
	return ok && failure.Kind == platform.Refused && failure.Reason != platform.ReasonCredentials
}

// merged is the product as it is sold, with the review of its draft, or its draft alone.
func merged(online, draft *platform.Product) (platform.Product, error) {
	switch {
	case online == nil && draft == nil:
		return platform.Product{}, notFound(opOnlineGet, "no such product, nor a draft of it")
	case online == nil:
		return *draft, nil
	case draft != nil:
		online.Info.Review, online.Info.ReviewReason = draft.Info.Review, draft.Info.ReviewReason
	}
	return *online, nil
}

// Order asks for an order, for its certificates, and for its refunds where the question
// wants them.
func (c *Client) Order(ctx context.Context, question platform.OrderQuestion) (platform.Order, error) {
	if question.OrderID == "" && question.OutOrderID == "" {
		return platform.Order{}, badQuestion(opOrderQuery, "names no order")
	}
	found, err := c.findOrder(ctx, question)
	if err != nil {
		return platform.Order{}, err
	}
	var certificates []certificate
	err = c.get(ctx, opCertificates, query{"account_id": c.settings.AccountID, "order_id": found.id},
		func(data fields.Object) { certificates = readCertificates(data) })
	if err != nil {
		return platform.Order{}, err
	}
	order := found.with(certificates)
	if question.Refunds {
		order.Refunds, err = c.refunds(ctx, found.id, certificates)
	}
	return order, err
}

// findOrder asks for the order by its id, or by ours.
func (c *Client) findOrder(ctx context.Context, question platform.OrderQuestion) (foundOrder, error) {
	named := query{"account_id": c.settings.AccountID, "page_num": "1", "page_size": strconv.Itoa(orderPageSize)}
	if question.OrderID != "" {
		named["order_id"] = question.OrderID
	} else {
		named["ext_order_id"] = question.OutOrderID
	}
	cursor, others := "0", false // the first page's cursor (documented)
	for range maxOrderPages {
		named["cursor"] = cursor
		var page orderPage
		err := c.get(ctx, opOrderQuery, named, func(data fields.Object) { page = readOrders(data, question) })
		if err != nil {
			return foundOrder{}, err
		}
		if page.found != nil {
			return *page.found, nil
		}
		others = others || page.others
		if page.next == "" || page.next == cursor {
			break
		}
		cursor = page.next
	}
	if others {
		// That it lists others says nothing of this one, least of all that it is gone.
		return foundOrder{}, badAnswer(opOrderQuery, "the answer lists other orders than the one asked for")
	}
	return foundOrder{}, notFound(opOrderQuery, "no such order")
}

// refunds asks for the after-sale orders of an order. What is answered where there is none
// is unknown, and the app may lack the capability: either is no reason not to show the
// order, whose certificates tell of refunds too.
func (c *Client) refunds(ctx context.Context, orderID string, certificates []certificate) ([]platform.RefundFact, error) {
	var refunds []platform.RefundFact
	err := c.get(ctx, opAfterSale, query{"account_id": c.settings.AccountID, "order_id": orderID},
		func(data fields.Object) { refunds = readRefunds(data, orderID, certificates) })
	if err != nil && (isRefusedHere(err) || platform.KindOf(err) == platform.Gone) {
		return nil, nil
	}
	return refunds, err
}

// IssueCodes gives the codes of an order that were still to come (documented: until the
// answer's error_code is 0, and within 10 minutes).
func (c *Client) IssueCodes(ctx context.Context, told platform.Issue) error {
	if told.OrderID == "" || len(told.Codes) == 0 {
		return badQuestion(opIssueCallback, "names no order or no codes")
	}
	body := struct {
		OrderID      string       `json:"order_id"`
		Result       int          `json:"result"`
		Certificates []issuedCode `json:"certificates,omitempty"`
		Codes        []string     `json:"codes,omitempty"`
	}{OrderID: told.OrderID, Result: issueDone}
	for _, code := range told.Codes {
		if code.Text.IsZero() {
			return badQuestion(opIssueCallback, "lacks a code")
		}
		body.Codes = append(body.Codes, code.Text.Reveal())
		if code.ID != "" {
			body.Certificates = append(body.Certificates, issuedCode{CertificateID: code.ID, Code: code.Text.Reveal()})
		}
	}
	if len(body.Certificates) == len(body.Codes) {
		body.Codes = nil
	} else {
		body.Certificates = nil
	}
	return c.post(ctx, opIssueCallback, body)
}

// DecideRefund answers a refund request by the call that belongs to what asked.
func (c *Client) DecideRefund(ctx context.Context, decision platform.Decision) error {
	switch {
	case isAfterSale(decision.PlatformType):
		return c.post(ctx, opAfterSaleAudit, afterSaleAudit{
			AccountID: c.settings.AccountID, OrderID: decision.OrderID, CertificateID: decision.RefundID,
			AuditStatus: decision.Approve, RejectReason: rejection(decision),
		})
	case decision.PlatformType == sceneRefundApply:
		return c.post(ctx, opRefundAudit, auditOf(decision))
	}
	return badQuestion(opRefundAudit, "answers nothing that asks for a decision")
}

func isAfterSale(platformType string) bool {
	return platformType == eventAfterSale || platformType == eventAfterSaleMisspelt
}

// afterSaleAudit decides on a code that was used (documented). Its audit_status must be
// written where it is false, too.
type afterSaleAudit struct {
	AccountID     string `json:"account_id,omitempty"`
	OrderID       string `json:"order_id,omitempty"`
	CertificateID string `json:"certificate_id,omitempty"`
	AuditStatus   bool   `json:"audit_status"`
	RejectReason  string `json:"reject_reason,omitempty"`
}

// refundAudit decides on a refund request (documented).
type refundAudit struct {
	sealing.Unprinted
	Result      int                  `json:"result"`
	AfterSaleID string               `json:"after_sale_id,omitempty"`
	Certificate []auditedCertificate `json:"certificate,omitempty"`
	Reason      string               `json:"reason,omitempty"`
}

type auditedCertificate struct {
	sealing.Unprinted
	CertificateID string `json:"certificate_id,omitempty"`
	Code          string `json:"code,omitempty"`
	Reason        string `json:"reason,omitempty"`
}

// auditOf a decision: the certificates are named where they are known (documented: the
// preferred form), each with the reason if it is refused.
func auditOf(decision platform.Decision) refundAudit {
	audit := refundAudit{Result: refundRefused, AfterSaleID: decision.RefundID}
	if decision.Approve {
		audit.Result = refundApproved
	}
	for _, code := range decision.Codes {
		if code.ID == "" && code.Text.IsZero() {
			continue
		}
		if code.ID == decision.RefundID {
			audit.AfterSaleID = "" // the request had no id of its own: see refundID
		}
		audit.Certificate = append(audit.Certificate, auditedCertificate{CertificateID: code.ID, Code: code.Text.Reveal(), Reason: rejection(decision)})
	}
	if strings.HasPrefix(decision.RefundID, hashPrefix) {
		audit.AfterSaleID = ""
	}
	if len(audit.Certificate) == 0 {
		audit.Reason = rejection(decision)
	}
	return audit
}

// rejection is why a refund is refused; the platform wants to be told (documented).
func rejection(decision platform.Decision) string {
	switch {
	case decision.Approve:
		return ""
	case decision.Reason == "" && decision.Used:
		return usedReason
	case decision.Reason == "":
		return "商家不同意退款"
	}
	return fields.Shorten(decision.Reason, maxText)
}

// ApprovesUnused is the Channel's policy on what an SPI asks for. What an after-sale event
// asks for was used before (documented): that a person decides.
func (c *Client) ApprovesUnused(platformType string) bool {
	return c.settings.RefundDecision == DecideUnused && platformType == sceneRefundApply
}

// Notice asks what became of a cooperation order or of its commissions.
func (c *Client) Notice(ctx context.Context, platformType, subject string) (text string, asked bool, err error) {
	if subject == "" {
		return "", false, nil
	}
	named := query{"order_id": subject}
	read := func(data fields.Object) { text = readPartner(data) }
	op := opPartnerOrder
	switch platformType {
	case eventPartnerOrder:
	case eventCommission:
		op = opCommissionQuery
		named["page"], named["size"] = "1", strconv.Itoa(pageSize)
		read = func(data fields.Object) { text = readCommissions(data) }
	default:
		return "", false, nil
	}
	err = c.get(ctx, op, named, read)
	return fields.Shorten(text, maxDetail), true, err
}

// query are the parameters of a call. Those without a value are not sent: the platform
// takes them for conditions that nothing meets (seen in practice).
type query map[string]string

func (q query) encode() string {
	values := url.Values{}
	for name, value := range q {
		if value != "" {
			values.Set(name, value)
		}
	}
	return values.Encode()
}

// get asks, and gives the answer's data to read if it is a success.
func (c *Client) get(ctx context.Context, op string, q query, read func(data fields.Object)) error {
	return c.ask(ctx, platform.Call{Op: op, Method: http.MethodGet, URL: c.path(op) + "?" + q.encode()}, read)
}

// post tells the platform something.
func (c *Client) post(ctx context.Context, op string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return badQuestion(op, "cannot be written as JSON")
	}
	return c.ask(ctx, platform.Call{Op: op, Method: http.MethodPost, URL: c.path(op), Body: text}, func(fields.Object) {})
}

// path of a call; all have a slash at their end (documented).
func (c *Client) path(op string) string { return c.endpoint + "/goodlife/v1/" + op + "/" }

// ask makes a call with the account's access token. A token that is refused, because it is
// over or another replica's retired it, is replaced and the call made once more. If even a
// fresh one is refused, that may pass: it is no word on the account itself, which the call
// for tokens would have refused.
func (c *Client) ask(ctx context.Context, call platform.Call, read func(data fields.Object)) error {
	call.PerSecond = perSecond[call.Op]
	call.Classify = func(answer []byte) error { return readAnswer(call.Op, answer, read) }
	refused := sealing.Secret{}
	for range 2 {
		token, err := c.tokens.Token(ctx, refused, c.fetchToken)
		if err != nil {
			return err
		}
		err = c.send(ctx, call, token)
		failure, ok := errors.AsType[*platform.Error](err)
		if !ok || !refusesToken(failure.Code) {
			return err
		}
		refused = token
	}
	return &platform.Error{
		Kind: platform.Transient, Reason: platform.ReasonUnavailable, Op: call.Op,
		Text: "the platform refuses the access token that it has just given",
	}
}

func (c *Client) send(ctx context.Context, call platform.Call, token sealing.Secret) error {
	call.Header = http.Header{}
	call.Header.Set("access-token", token.Reveal())
	call.Header.Set("Content-Type", "application/json")
	if c.settings.AccountID != "" {
		call.Header.Set("Rpc-Transit-Life-Account", c.settings.AccountID)
	}
	_, err := c.transport.Do(ctx, call)
	return err
}

// fetchToken asks for a new access token (documented): it is good for two hours, and
// retires the one before it.
func (c *Client) fetchToken(ctx context.Context) (platform.Token, error) {
	body, err := json.Marshal(map[string]string{
		"client_key": c.clientKey, "client_secret": c.secret.Reveal(), "grant_type": "client_credential",
	})
	if err != nil {
		return platform.Token{}, badQuestion(opToken, "cannot be written as JSON")
	}
	var token platform.Token
	_, err = c.transport.Do(ctx, platform.Call{
		Op: opToken, Method: http.MethodPost, URL: c.endpoint + "/" + opToken + "/",
		Header: http.Header{"Content-Type": {"application/json"}}, Body: body,
		Classify: func(answer []byte) error {
			return readAnswer(opToken, answer, func(data fields.Object) { token = readToken(data) })
		},
	})
	return token, err
}

// badAnswer is an answer that is not as documented. The text holds nothing of it.
func badAnswer(op, text string) *platform.Error {
	return &platform.Error{Kind: platform.Transient, Reason: platform.ReasonBadAnswer, Op: op, Text: text}
}

// badQuestion is a question that is not worth sending.
func badQuestion(op, text string) *platform.Error {
	return &platform.Error{Kind: platform.Refused, Reason: platform.ReasonRequest, Op: op, Text: "the request " + text}
}

// notFound is an answer that does not have what was asked for.
func notFound(op, text string) *platform.Error {
	return &platform.Error{Kind: platform.Gone, Reason: platform.ReasonNotFound, Op: op, Text: text}
}
