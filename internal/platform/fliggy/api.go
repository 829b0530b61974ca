package fliggy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fields"
)

// The queries, by the platform's names.
const (
	opListProducts  = "queryProductBaseInfoByPage"
	opProductsByIDs = "queryProductBaseInfoByIds"
	opProductDetail = "queryProductDetailInfo"
	opPriceStock    = "queryProductPriceStock"
	opSearchOrder   = "searchOrder"
	opSearchRefund  = "searchRefundOrder"
)

const (
	// pageSize is the largest a page may be; the same holds for a list of ids (documented).
	pageSize = 100
	// maxPages ends a catalogue that never ends: 200 000 products. The platform has a
	// bound of its own (code 4010), whose value is unknown.
	maxPages = 2000
	// maxText bounds what is shown of the platform's error texts.
	maxText = 256
)

// Client asks Fliggy with one account.
type Client struct {
	account   string
	endpoint  string
	signer    signer
	now       func() time.Time
	transport *platform.Transport
	// plainRefunds: the platform refused searchRefundOrder's printed form and took the plain one.
	plainRefunds atomic.Bool
}

var (
	_ platform.Client        = (*Client)(nil)
	_ platform.ProductClient = (*Client)(nil)
	_ platform.OrderClient   = (*Client)(nil)
)

func newClient(account platform.Account, transport *platform.Transport) (*Client, error) {
	signer, err := newSigner(account.Credentials)
	if err != nil {
		return nil, err
	}
	now := account.Now
	if now == nil {
		now = time.Now
	}
	return &Client{account: account.ID, endpoint: account.Endpoint, signer: signer, now: now, transport: transport}, nil
}

// Check asks for a first page of one product. That there is none is an answer too.
func (c *Client) Check(ctx context.Context) error {
	_, err := c.page(ctx, 1, 1)
	return err
}

// ListProducts asks for the catalogue in pages of 100, 200 000 products at most. The
// platform tells no total (documented: there is none), so the listing ends beyond the
// last page, or where a page repeats the one before. A page that is not full ends
// nothing: whether the platform filters within pages is unknown.
func (c *Client) ListProducts(ctx context.Context, yield func([]platform.ListedProduct) bool) error {
	var last []platform.ListedProduct
	for number := 1; number <= maxPages; number++ {
		page, err := c.page(ctx, number, pageSize)
		if err != nil {
			return err
		}
		if len(page) == 0 || slices.EqualFunc(page, last, sameProduct) || !yield(page) {
			return nil
		}
		last = page
	}
	return badAnswer(opListProducts, fmt.Sprintf("the catalogue does not end within %d pages", maxPages))
}

func sameProduct(a, b platform.ListedProduct) bool { return a.ID == b.ID }

// page asks for one page; beyond the last one it is empty.
func (c *Client) page(ctx context.Context, number, size int) ([]platform.ListedProduct, error) {
	var page []platform.ListedProduct
	err := c.ask(ctx, opListProducts, "", map[string]any{"pageNo": number, "pageSize": size},
		func(envelope fields.Object) { page = readListed(envelope) })
	if isGone(err) {
		return nil, nil
	}
	return page, err
}

// ProductsByIDs asks for up to 100 products by id. Those that the platform does not
// know, or does not grant, are not in the answer.
func (c *Client) ProductsByIDs(ctx context.Context, ids []string) ([]platform.ListedProduct, error) {
	if len(ids) == 0 || len(ids) > pageSize {
		return nil, badQuestion(opProductsByIDs, fmt.Sprintf("asks for %d products, not for 1 to %d", len(ids), pageSize))
	}
	var products []platform.ListedProduct
	err := c.ask(ctx, opProductsByIDs, idsSubject(ids), map[string]any{"productIds": ids},
		func(envelope fields.Object) { products = readListed(envelope) })
	return products, err
}

// Product asks for the whole product where its information or availability is
// wanted, or nothing in particular, and for price and stock alone otherwise.
func (c *Client) Product(ctx context.Context, question platform.ProductQuestion) (platform.Product, error) {
	op, read := opProductDetail, readDetail
	if !wantsDetail(question) {
		op, read = opPriceStock, readPriceStock
	}
	var product platform.Product
	err := c.ask(ctx, op, question.ProductID, map[string]any{"productId": question.ProductID},
		func(envelope fields.Object) { product = read(envelope, question, c.now()) })
	return product, err
}

func wantsDetail(question platform.ProductQuestion) bool {
	return len(question.Aspects) == 0 ||
		question.Wants(platform.AspectInfo) || question.Wants(platform.AspectAvailability)
}

// Order asks for an order, and for its refunds where the question wants them.
func (c *Client) Order(ctx context.Context, question platform.OrderQuestion) (platform.Order, error) {
	if question.OrderID == "" && question.OutOrderID == "" {
		return platform.Order{}, badQuestion(opSearchOrder, "names no order")
	}
	var order platform.Order
	err := c.ask(ctx, opSearchOrder, question.OrderID, orderFields(question),
		func(envelope fields.Object) { order = readOrder(envelope, question) })
	if err != nil || !question.Refunds {
		return order, err
	}
	order.Refunds, err = c.refunds(ctx, question)
	return order, err
}

// refunds asks for all refunds of an order that the platform knows: if it finds none
// to that order, there are none. Which text this one call signs is unknown (see
// refundSubjects): the form the document prints goes first, and where the platform
// refuses just that signature the other is tried, and kept if it is taken.
func (c *Client) refunds(ctx context.Context, question platform.OrderQuestion) ([]platform.RefundFact, error) {
	printed, plain := refundSubjects(question.OrderID)
	if c.plainRefunds.Load() {
		return c.refundsSigned(ctx, question, plain)
	}
	refunds, err := c.refundsSigned(ctx, question, printed)
	if failure, ok := errors.AsType[*platform.Error](err); !ok || failure.Code != codeBadSignature || plain == printed {
		return refunds, err
	}
	if refunds, err = c.refundsSigned(ctx, question, plain); err == nil {
		c.plainRefunds.Store(true)
	}
	return refunds, err
}

func (c *Client) refundsSigned(ctx context.Context, question platform.OrderQuestion, subject string) ([]platform.RefundFact, error) {
	var refunds []platform.RefundFact
	err := c.ask(ctx, opSearchRefund, subject, orderFields(question),
		func(envelope fields.Object) { refunds = readRefunds(envelope) })
	if isGone(err) {
		return nil, nil
	}
	return refunds, err
}

// orderFields names the order: one of the two ids is enough (documented), and the
// platform's own is the surer one.
func orderFields(question platform.OrderQuestion) map[string]any {
	if question.OrderID == "" {
		return map[string]any{"outOrderId": question.OutOrderID}
	}
	return map[string]any{"orderId": long(question.OrderID)}
}

// ask makes one signed call and gives the answer to read if it is a success. What
// read finds wrong makes the answer a bad one.
func (c *Client) ask(ctx context.Context, op, subject string, fields map[string]any, read func(envelope fields.Object)) error {
	millis := c.now().UnixMilli()
	signature, err := c.signer.sign(signedText(c.account, millis, subject))
	if err != nil {
		return badQuestion(op, "cannot be signed")
	}
	fields["distributorId"], fields["timestamp"], fields["sign"] = long(c.account), millis, signature
	body, err := json.Marshal(fields)
	if err != nil {
		return badQuestion(op, "cannot be written as JSON")
	}
	_, err = c.transport.Do(ctx, platform.Call{
		Op:     op,
		Method: http.MethodPost,
		URL:    c.endpoint + "/api/v1/hotelticket/" + op + "?format=json",
		// The document names no content type; clients send this one and are answered.
		Header:   http.Header{"Content-Type": {"application/json"}},
		Body:     body,
		Classify: func(answer []byte) error { return readAnswer(op, answer, read) },
	})
	return err
}

// long writes an id that the document calls a Long as a number where that loses
// nothing, and as a text where it would.
func long(id string) any {
	if n, err := strconv.ParseInt(id, 10, 64); err == nil && strconv.FormatInt(n, 10) == id {
		return json.Number(id)
	}
	return id
}

func isGone(err error) bool { return err != nil && platform.KindOf(err) == platform.Gone }

// badAnswer is an answer that is not as documented. The text holds nothing of it.
func badAnswer(op, text string) *platform.Error {
	return &platform.Error{Kind: platform.Transient, Reason: platform.ReasonBadAnswer, Op: op, Text: text}
}

// badQuestion is a question that is not worth sending.
func badQuestion(op, text string) *platform.Error {
	return &platform.Error{Kind: platform.Refused, Reason: platform.ReasonRequest, Op: op, Text: "the request " + text}
}
