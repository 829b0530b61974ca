// Package platform is the boundary between this project and the distribution
// platforms. It says what comes in (Receiver, Message, Event, Reply), what may be
// asked (Client and its parts), how failures are told apart (Error), and it holds
// the only outbound HTTP client (Transport). It must not know any one platform, nor
// Kubernetes: adapters in the folders below translate a platform's wire format into
// these types and back.
package platform

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// Adapter is one platform: how its pushes are read and how it is asked.
type Adapter interface {
	Receiver

	// DefaultEndpoint is the platform's production base URL.
	DefaultEndpoint() string

	// NewClient makes the client of one account. Credentials that are missing or do
	// not parse give an error that wraps ErrCredentials and names the key.
	NewClient(Account, *Transport) (Client, error)
}

// Account is what a Client needs to speak for an account.
type Account struct {
	// ID of the account on the platform.
	ID string
	// Endpoint is the base URL, without a trailing slash.
	Endpoint string
	// Credentials are the values of the Channel's Secret by key.
	Credentials Credentials
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Credentials are the values of a Channel's credentials Secret by key.
type Credentials map[string]sealing.Secret

// Errors of the receiving side. Receivers wrap them; the webhook server answers by them.
var (
	// ErrMalformed is a push that will never be accepted as it stands.
	ErrMalformed = errors.New("malformed push")
	// ErrForged is a push whose signature is missing or wrong.
	ErrForged = errors.New("signature refused")
	// ErrCredentials is a credentials Secret that lacks a key or holds one that does not parse.
	ErrCredentials = errors.New("credentials unusable")
)

// Push is one HTTP request from a platform, as it came.
type Push struct {
	// Path is the tail behind the platform's prefix, such as "product-change".
	Path string
	// Query and Header of the request.
	Query  url.Values
	Header http.Header
	// Body as received, at most the server's cap.
	Body []byte
	// ReceivedAt is when the body had been read.
	ReceivedAt time.Time
}

// Receiver is what comes in: a platform's pushes and the dialect of its replies. It
// has no state and does no I/O.
type Receiver interface {
	// Paths are the push path tails the platform posts to. They never change: they
	// are registered with the platform.
	Paths() []string

	// Open reads the envelope of a push: enough to know whose it is. A body that is
	// none of the platform's gives an error that wraps ErrMalformed.
	Open(Push) (Message, error)

	// Reply is the answer to a push at the path, in the platform's dialect.
	Reply(path string, outcome Outcome) Reply
}

// Message is an opened push. Its body was parsed once; what it says is read when
// its sender is known.
type Message interface {
	// Account is the account the push names; empty if it names none.
	Account() string

	// Type is the platform's own name of the push, bounded to the names the adapter
	// knows and "unknown": it is a metric label.
	Type() string

	// Verify checks the platform's signature with the account's credentials. Signed
	// is whether the platform signs its pushes at all; a wrong or missing signature
	// gives an error that wraps ErrForged.
	Verify(Credentials) (signed bool, err error)

	// Events are what the push says: at least one, or an error that wraps ErrMalformed.
	Events() ([]Event, error)
}

// Event is one fact: exactly one of its fields is set.
type Event struct {
	Product *ProductChange
	Order   *OrderNotification
	Notice  *Notice
}

// Aspect is a part of a product that is announced and asked for on its own.
type Aspect string

// The aspects of a product.
const (
	AspectInfo         Aspect = "info"
	AspectPrice        Aspect = "price"
	AspectStock        Aspect = "stock"
	AspectAvailability Aspect = "availability"
)

// ProductChange announces that a product changed; it carries no product data.
type ProductChange struct {
	ProductID string
	// Aspects that changed: at least one.
	Aspects []Aspect
	// ChangedAt is when it changed, by the platform's clock; zero where the push carries no time.
	ChangedAt time.Time
	MessageID string
	// Type is the platform's own name of the change.
	Type string
}

// OrderNotification is one push about an order. Its secrets are still in clear: it
// lives from decoding to sealing and is never logged.
type OrderNotification struct {
	OrderID    string
	OutOrderID string
	MessageID  string
	// Kind is one of the notification types of the API (CodesIssued, …).
	Kind string
	// PlatformType is the platform's own name of the push.
	PlatformType string
	// OccurredAt by the platform's clock; zero if the push has none.
	OccurredAt time.Time
	// Succeeded is nil where the push does not say.
	Succeeded *bool
	// Reason is the platform's text where it failed.
	Reason string
	Codes  []Code
	Refund *RefundFact
}

// Code is a voucher code as the platform names it, in clear.
type Code struct {
	Text     sealing.Secret
	Persons  *int64
	Used     *int64
	Refunded *int64
}

// RefundFact is a refund as a push or an answer tells it. Amounts are minor units.
type RefundFact struct {
	ID        string
	Currency  string
	Amount    *int64
	Quantity  *int64
	Full      bool
	Succeeded *bool
	Reason    string
	// At is when it was applied for or decided; zero if unknown.
	At time.Time
}

// Notice is a push of a type the adapter does not know that names no order.
type Notice struct {
	MessageID    string
	PlatformType string
	// Subject is what it is about, such as a product id; may be empty.
	Subject string
}

// Outcome is what became of a push.
type Outcome string

// The outcomes. They are metric labels and decide the reply.
const (
	// OutcomeRecorded: the fact is durable.
	OutcomeRecorded Outcome = "recorded"
	// OutcomeDuplicate: the fact was durable already.
	OutcomeDuplicate Outcome = "duplicate"
	// OutcomeOlder: a newer change was announced already.
	OutcomeOlder Outcome = "older"
	// OutcomeMalformed: will never be accepted.
	OutcomeMalformed Outcome = "malformed"
	// OutcomeTooLarge: the body exceeds the cap.
	OutcomeTooLarge Outcome = "too_large"
	// OutcomeUnknownAccount: no Channel holds the account.
	OutcomeUnknownAccount Outcome = "unknown_account"
	// OutcomeForged: signature, token or address refused.
	OutcomeForged Outcome = "forged"
	// OutcomeRetry: cannot be recorded now, by no fault of the push.
	OutcomeRetry Outcome = "retry"
)

// Accepted reports whether the sender need not send the push again.
func (o Outcome) Accepted() bool {
	return o == OutcomeRecorded || o == OutcomeDuplicate || o == OutcomeOlder
}

// Reply is an HTTP answer.
type Reply struct {
	Status      int
	ContentType string
	Body        []byte
}

// Client is what may be asked with one account. What a platform cannot be asked, its
// client does not implement: ProductClient and OrderClient are found by type assertion.
type Client interface {
	// Check makes one cheap signed call: nil when the account works.
	Check(context.Context) error
}

// ProductClient asks for products.
type ProductClient interface {
	// Product asks for what the question names. A product that the platform will not
	// show gives an *Error of kind Gone or Refused.
	Product(context.Context, ProductQuestion) (Product, error)

	// ListProducts calls yield with each page of the catalogue until the last page,
	// an error, or a false from yield.
	ListProducts(ctx context.Context, yield func([]ListedProduct) bool) error
}

// OrderClient asks for orders.
type OrderClient interface {
	// Order asks for an order and its refunds. An order that the platform does not
	// know gives an *Error of kind Gone.
	Order(context.Context, OrderQuestion) (Order, error)
}

// ProductQuestion says which part of which product to ask for.
type ProductQuestion struct {
	ProductID string
	// Aspects asked for. Without AspectInfo and AspectAvailability only price and stock are.
	Aspects []Aspect
	// Availability is the platform's type of the newest announced availability change;
	// empty if none was announced.
	Availability string
}

// Wants reports whether the question names the aspect.
func (q ProductQuestion) Wants(aspect Aspect) bool {
	return slices.Contains(q.Aspects, aspect)
}

// ProductState says whether the platform sells a product; the values are the API's.
type ProductState string

// Product states.
const (
	ProductOnSale  ProductState = "OnSale"
	ProductOffSale ProductState = "OffSale"
	ProductBanned  ProductState = "Banned"
	ProductUnknown ProductState = "Unknown"
)

// Product is the platform's answer. Info is nil where only price and stock were asked for.
type Product struct {
	// State is empty where the answer does not tell it.
	State ProductState
	Info  *ProductInfo
	SKUs  []SKU
	// Currency of all amounts, ISO 4217.
	Currency string
}

// ProductInfo is what changes seldom.
type ProductInfo struct {
	Title, Category, SupplierCode         string
	Review, ReviewReason                  string
	BookingRule, RefundRule, ConfirmsRule string
}

// SKU is one sellable unit.
type SKU struct {
	ID, Name string
	// Stock shared by all days; nil where stock is by day.
	Stock *int64
	// Days on the calendar, in any order; a day is named once at most.
	Days []Day
}

// Day is one day of a calendar.
type Day struct {
	// Date is the platform's local date, yyyy-mm-dd.
	Date string
	// Amount we pay and Market the list price, in minor units; nil if not given.
	Amount, Market *int64
	// Stock of the day; nil if unlimited, unknown or counted over all days.
	Stock *int64
	// Closed days cannot be booked.
	Closed bool
}

// ListedProduct is one line of a catalogue.
type ListedProduct struct {
	ID, Title string
}

// OrderQuestion names an order.
type OrderQuestion struct {
	OrderID, OutOrderID string
	// Refunds asks for the list of refunds too, because a refund was pushed or the
	// order is known to have one.
	Refunds bool
}

// OrderState is the platform's state of an order, in our terms. It says nothing of
// use and refunds, which are counted.
type OrderState string

// The states of an order.
const (
	OrderPending   OrderState = "Pending"
	OrderPaid      OrderState = "Paid"
	OrderIssued    OrderState = "Issued"
	OrderFailed    OrderState = "Failed"
	OrderFinished  OrderState = "Finished"
	OrderCancelled OrderState = "Cancelled"
	// OrderOther is a state the adapter does not know; the platform's own stands in PlatformStatus.
	OrderOther OrderState = "Other"
)

// RefundState is the platform's state of an order's refunds as a whole.
type RefundState string

// The states of refunds.
const (
	RefundNone      RefundState = "None"
	RefundRequested RefundState = "Requested"
	RefundPartly    RefundState = "Partly"
	RefundFull      RefundState = "Full"
	RefundFailed    RefundState = "Failed"
)

// Order is the platform's answer about an order.
type Order struct {
	OrderID, OutOrderID string
	State               OrderState
	// PlatformStatus is the platform's own status, as it wrote it.
	PlatformStatus string
	RefundState    RefundState
	// RefundedAmount and RefundedQuantity in all, as the order itself tells them; nil if not given.
	RefundedAmount, RefundedQuantity *int64
	// Quantity ordered; nil if not given.
	Quantity *int64
	Currency string
	Codes    []Code
	// Refunds one by one, where they were asked for.
	Refunds []RefundFact
}
