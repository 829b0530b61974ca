package sctt

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fields"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// The queries, by the platform's names.
const (
	opProductList  = "productlist"
	opProducts     = "products"
	opAvailability = "availability"
)

const (
	// pageSize is the documented default; the largest a page may be is unknown.
	pageSize = 10
	// maxPages ends a catalogue that never ends.
	maxPages = 10_000
)

// Client asks SCTT with one account. Orders cannot be asked for: no such call is documented.
type Client struct {
	account   string
	endpoint  string
	settings  Settings
	secret    sealing.Secret
	now       func() time.Time
	transport *platform.Transport
}

var (
	_ platform.Client        = (*Client)(nil)
	_ platform.ProductClient = (*Client)(nil)
)

func newClient(account platform.Account, transport *platform.Transport) (*Client, error) {
	settings, ok := settingsOf(account.Holder)
	switch {
	case !ok:
		return nil, fmt.Errorf("%w: spec.sctt is unusable", platform.ErrSettings)
	case settings.Signature == nil:
		return nil, fmt.Errorf("%w: spec.sctt.signature is not set: every question must be signed, and SCTT does not publish the rule; "+
			"ask SCTT for its signing rule (algorithm, encoding, message) and write it there; until then nothing is asked, "+
			"and pushes are accepted only if spec.receive has a token or CIDRs", platform.ErrSettings)
	}
	secret, err := readSecret(account.Credentials)
	if err != nil {
		return nil, err
	}
	now := account.Now
	if now == nil {
		now = time.Now
	}
	return &Client{account: account.ID, endpoint: account.Endpoint, settings: settings, secret: secret, now: now, transport: transport}, nil
}

// Check asks for a first page of one product. That there is none is an answer too.
func (c *Client) Check(ctx context.Context) error {
	_, _, err := c.page(ctx, 1, 1)
	return err
}

// ListProducts asks for the catalogue in pages of 10, 10 000 pages at most, and gives each
// product once. The catalogue ends with a page that names none that is new: what total
// says may be wrong, and a platform may give its last page again. Only a page that is not
// full and brings all that total promises needs no question behind it.
func (c *Client) ListProducts(ctx context.Context, yield func([]platform.ListedProduct) bool) error {
	seen := map[string]bool{}
	for number := 1; number <= maxPages; number++ {
		page, total, err := c.page(ctx, number, pageSize)
		if err != nil {
			return err
		}
		full := len(page) >= pageSize
		page = slices.DeleteFunc(page, func(p platform.ListedProduct) bool {
			known := seen[p.ID]
			seen[p.ID] = true
			return known
		})
		if len(page) == 0 || !yield(page) {
			return nil
		}
		if !full && total != nil && int64(len(seen)) >= *total {
			return nil
		}
	}
	return badAnswer(opProductList, fmt.Sprintf("the catalogue does not end within %d pages", maxPages))
}

// page asks for one page of the whole catalogue, and for how many products it has; nil
// where the answer does not say.
func (c *Client) page(ctx context.Context, number, size int) (page []platform.ListedProduct, total *int64, err error) {
	question := map[string]any{
		"language": c.settings.Language, "key": "", "cid": 0, "category": []int{}, "pageno": number, "pagesize": size,
	}
	err = c.ask(ctx, opProductList, question, func(data fields.Object) { page, total = readListed(data) })
	return page, total, err
}

// Product asks for the product's information where that or its availability is wanted, or
// nothing in particular, and always for its calendar of the coming year: half a year is
// the most that one call may ask for (documented).
func (c *Client) Product(ctx context.Context, question platform.ProductQuestion) (platform.Product, error) {
	product := platform.Product{Currency: c.settings.Currency}
	if product.Currency == "" {
		product.Note = noteNoPrices
	}
	if wantsInfo(question) {
		if err := c.ask(ctx, opProducts, c.infoQuestion(question), func(data fields.Object) { readInfo(data, question, &product) }); err != nil {
			return platform.Product{}, err
		}
	}
	units := newUnits(c.settings.Currency)
	for _, half := range year(c.now()) {
		units.span = half
		if err := c.ask(ctx, opAvailability, calendarQuestion(question, half), func(data fields.Object) { units.read(data, question) }); err != nil {
			return platform.Product{}, err
		}
	}
	product.SKUs = units.skus
	return product, nil
}

func (c *Client) infoQuestion(question platform.ProductQuestion) map[string]any {
	return map[string]any{"product_id": long(question.ProductID), "language": c.settings.Language}
}

func calendarQuestion(question platform.ProductQuestion, half span) map[string]any {
	return map[string]any{
		"product_id": long(question.ProductID),
		"start_date": half.first.Format(time.DateOnly), "end_date": half.last.Format(time.DateOnly),
	}
}

func wantsInfo(question platform.ProductQuestion) bool {
	return len(question.Aspects) == 0 ||
		question.Wants(platform.AspectInfo) || question.Wants(platform.AspectAvailability)
}

// ask makes one signed call and gives the answer's data to read if it is a success. What
// read finds wrong makes the answer a bad one.
func (c *Client) ask(ctx context.Context, op string, question map[string]any, read func(data fields.Object)) error {
	body, err := c.write(question)
	if err != nil {
		return badQuestion(op, "cannot be signed: "+err.Error())
	}
	_, err = c.transport.Do(ctx, platform.Call{
		Op:     op,
		Method: http.MethodPost,
		URL:    c.endpoint + "/v1/" + op,
		// Documented for the hotel calls; the other pages name no headers.
		Header:   http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}},
		Body:     body,
		Classify: func(answer []byte) error { return readAnswer(op, answer, read) },
	})
	return err
}

// write gives the question the fields that all calls have (documented), the sign among
// them, and writes it as JSON.
func (c *Client) write(question map[string]any) ([]byte, error) {
	question[fieldMerchant] = long(c.account)
	question[fieldTime] = c.now().In(c.settings.Zone).Format(time.DateTime)
	unsigned, err := json.Marshal(question)
	if err != nil {
		return nil, err
	}
	message, _ := fields.Parse(unsigned) // an object, as it was just written
	if question[fieldSign], err = c.settings.Signature.sign(message, c.secret); err != nil {
		return nil, err
	}
	return json.Marshal(question)
}

// long writes an id that the document calls a bigint as a number where that loses nothing,
// and as a text where it would.
func long(id string) any {
	if n, err := strconv.ParseInt(id, 10, 64); err == nil && strconv.FormatInt(n, 10) == id {
		return json.Number(id)
	}
	return id
}

// badAnswer is an answer that is not as documented. The text holds nothing of it.
func badAnswer(op, text string) *platform.Error {
	return &platform.Error{Kind: platform.Transient, Reason: platform.ReasonBadAnswer, Op: op, Text: text}
}

// badQuestion is a question that is not worth sending.
func badQuestion(op, text string) *platform.Error {
	return &platform.Error{Kind: platform.Refused, Reason: platform.ReasonRequest, Op: op, Text: "the request " + text}
}
