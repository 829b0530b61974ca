// Package platform is the boundary between this project and the distribution
// platforms. It says what comes in (Receiver, Message, Event, Reply), what may be
// asked (Client and its parts), how failures are told apart (Error), and it holds
// the only outbound HTTP client (Transport). It must not know any one platform, nor
// Kubernetes: adapters in the folders below translate a platform's wire format into
// these types and back.
package platform

import (
	"context"
	"encoding/json"
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

	// Settings reads the Channel's own block for this platform, as JSON; nil where the
	// Channel has none. Only the adapter looks into what it gives.
	Settings(json.RawMessage) (any, error)

	// PushesDecide reports that the platform cannot be asked for orders: what proven pushes
	// say of them is all there is to know.
	PushesDecide() bool

	// NewClient makes the client of one account. Credentials that are missing or do
	// not parse give an error that wraps ErrCredentials and names the key; settings that
	// asking needs and the Channel does not have, one that wraps ErrSettings.
	NewClient(Account, *Transport) (Client, error)
}

// Holder is who holds an account, as far as a push can be checked against it.
type Holder struct {
	// ID of the account on the platform.
	ID string
	// Credentials are the values of the Channel's Secret by key.
	Credentials Credentials
	// Settings are what the adapter read of the Channel's own block.
	Settings any
}

// Account is what a Client needs to speak for an account.
type Account struct {
	Holder
	// Endpoint is the base URL, without a trailing slash.
	Endpoint string
	// Tokens keeps the account's access token where every replica finds it.
	Tokens Tokens
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Tokens keeps one access token for an account, for all replicas: a platform that
// retires the old token with each new one must not be asked by each of them.
type Tokens interface {
	// Token gives a token that is good for some time to come. Where none is known, it has
	// one fetched, by one caller of one replica at a time. A token that the platform
	// refused is named in refused and not given again; the zero Secret refuses none.
	Token(ctx context.Context, refused sealing.Secret, fetch func(context.Context) (Token, error)) (sealing.Secret, error)
}

// Token is a fresh access token.
type Token struct {
	Text sealing.Secret
	// Lasts is how long it is good for from now on.
	Lasts time.Duration
}

// Credentials are the values of a Channel's credentials Secret by key.
type Credentials map[string]sealing.Secret

// Errors of the receiving side. Receivers wrap them; the webhook server answers by them.
var (
	// ErrMalformed is a push that will never be accepted as it stands.
	ErrMalformed = errors.New("malformed push")
	// ErrForged is a push whose signature is missing or wrong.
	ErrForged = errors.New("signature refused")
	// ErrOtherAccount is a push about another account than the one it was sent for.
	ErrOtherAccount = errors.New("the push is about another account")
	// ErrCredentials is a credentials Secret that lacks a key or holds one that does not parse.
	ErrCredentials = errors.New("credentials unusable")
	// ErrSettings is a Channel whose own block for its platform lacks something.
	ErrSettings = errors.New("settings incomplete")
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

	// Reply is the answer to a push at the path, in the platform's dialect. Why is what was
	// wrong with a malformed push, by the names of its fields and never by their values;
	// empty with any other outcome.
	Reply(path string, outcome Outcome, why string) Reply
}

// Message is an opened push. Its body was parsed once; what it says is read when
// its sender is known.
type Message interface {
	// Account is the account the push names; empty if it names none.
	Account() string

	// Type is the platform's own name of the push, bounded to the names the adapter
	// knows and "unknown": it is a metric label.
	Type() string

	// Verify checks the platform's signature with the holder's credentials. A signature that
	// is wrong, or missing where there must be one, gives an error that wraps ErrForged, a
	// push that is about somebody else one that wraps ErrOtherAccount.
	Verify(Holder) (Proof, error)

	// Events are what the push says: at least one, or an error that wraps ErrMalformed.
	// A Challenge and an Inquiry say nothing by themselves: theirs are none.
	Events() ([]Event, error)
}

// Proof is what a push's signature proves of its sender.
type Proof string

// The proofs.
const (
	// ProofSigned: the signature is right.
	ProofSigned Proof = "signed"
	// ProofNone: the platform signs no pushes. They are hints, which make us ask.
	ProofNone Proof = "none"
	// ProofMissing: it carries no signature, though the platform has one. The Channel's guard
	// must prove the sender, and the Channel's own path say whose push it is.
	ProofMissing Proof = "missing"
	// ProofUnchecked: it carries a signature, and no rule to check it by is known. The
	// Channel's guard must prove the sender.
	ProofUnchecked Proof = "unchecked"
)

// Challenge is a Message by which the platform asks whether we are there. It may name
// no account; one that is signed must be so by some account of the platform.
type Challenge interface {
	Message
	// Signed reports whether it carries a signature.
	Signed() bool
	// Echo is the reply that the platform waits for.
	Echo() Reply
}

// Inquiry is a Message whose reply carries content: the platform asks and waits.
type Inquiry interface {
	Message
	// Asks says what must be looked up to answer.
	Asks() Lookup
	// Answer decides, without I/O, what is to be recorded and what is replied. What was
	// recorded already is replied as it was then. An error wraps ErrMalformed.
	Answer(Holder, Known) (Answer, error)
}

// Lookup names what an Inquiry must know.
type Lookup struct {
	// Product is what the platform calls the product and its unit; nil if none.
	Product *ProductNames
	// Orders by the platform's ids.
	Orders []string
	// Fresh: what was acknowledged a moment ago must be seen, so a cache will not do.
	Fresh bool
}

// ProductNames are names that a product may be found by; the first that finds one counts.
type ProductNames struct {
	// IDs of the product or of one of its units, on the platform.
	IDs []string
	// SupplierCodes are our own codes of it.
	SupplierCodes []string
}

// Known is what was looked up.
type Known struct {
	// Now is when.
	Now time.Time
	// Product is nil where none has the names.
	Product *KnownProduct
	// Orders by the platform's id; those that are not there are not known.
	Orders map[string]KnownOrder
	// MakeCode makes the voucher code of a unit of an order: the same for the same unit
	// whenever it is asked, and not to be guessed.
	MakeCode func(orderID, unit string) sealing.Secret
	// CodeID is how a code is named in KnownOrder.
	CodeID func(Code) string
}

// KnownProduct is a product as its status has it.
type KnownProduct struct {
	State ProductState
	// Deleted: the platform no longer knows it.
	Deleted bool
	// SaleStart and SaleEnd bound its sale; zero where unknown.
	SaleStart, SaleEnd time.Time
	// Stock of the unit that was named, else of the product; nil if unlimited or unknown.
	Stock *int64
}

// KnownOrder is an order as its object has it.
type KnownOrder struct {
	OutOrderID string
	// Phase is the API's.
	Phase string
	// Confirmed: the phase and the codes are the platform's own answer to all that was
	// pushed, and it can be asked again.
	Confirmed bool
	// Codes by their ids, as the status has them.
	Codes map[string]KnownCode
	// Recorded are the notifications that carry a Replied, by message id.
	Recorded map[string]Recorded
}

// KnownCode is a code as a status has it.
type KnownCode struct {
	Used, Refunded int64
	// UseUnknown: the platform does not tell how much of it is used.
	UseUnknown bool
}

// Recorded is what was recorded of an Inquiry.
type Recorded struct {
	// Result as it was replied, and Later what the platform was told since; empty if nothing.
	Result, Later string
	// CodeIDs the notification names, in its order, and the platform's own ids of them,
	// each empty where it gave none.
	CodeIDs, Refs []string
}

// Answer is what an Inquiry gets.
type Answer struct {
	// Events to record before the reply may go out; none where nothing is to be recorded.
	Events []Event
	// Recorded: it was recorded before, and the reply is the one of then.
	Recorded bool
	Reply    Reply
}

// Replied is what an Inquiry was answered, kept with its notification.
type Replied struct {
	// Result in our terms.
	Result Result
	// Body of the reply where it holds codes made here: it is kept sealed.
	Body []byte
}

// Result is what the platform was told about something that it asked of us.
type Result string

// The results; the values are the API's.
const (
	// ResultPending: told to wait; the answer is owed.
	ResultPending Result = "Pending"
	// ResultIssued: codes were given.
	ResultIssued Result = "Issued"
	// ResultApproved and ResultRefused answer a refund request.
	ResultApproved Result = "Approved"
	ResultRefused  Result = "Refused"
)

// Event is one fact: exactly one of its fields is set.
type Event struct {
	Product *ProductChange
	Order   *OrderNotification
	Notice  *Notice
	Credit  *Credit
}

// Credit is what is left of the account's credit, as a push tells it by the way. It is of
// the account, and soon out of date: it is kept coarsely, and losing it loses nothing.
type Credit struct {
	// Amount as a decimal, as the platform wrote it; it names no currency.
	Amount string
	// At is when it was so, by the platform's clock; zero if the push has no time.
	At time.Time
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
	// MessageID is the platform's own id of the message. Where it has none, Content is what
	// the message says, the same for all its copies, and the id is MessageID with a keyed
	// hash of the Content behind it: MessageID is then at most 90 characters.
	MessageID string
	Content   []byte
	// Kind is one of the notification types of the API (CodesIssued, …).
	Kind string
	// PlatformType is the platform's own name of the push.
	PlatformType string
	// OccurredAt by the platform's clock; zero if the push has none.
	OccurredAt time.Time
	// Succeeded is nil where the push does not say.
	Succeeded *bool
	// Reason is the platform's text where it failed, Remark what else it remarks.
	Reason, Remark string
	Codes          []Code
	Refund         *RefundFact
	// Price of the order; nil where the push does not say.
	Price *Price
	// Cancellation is on what terms the order can be cancelled; nil where the push does not say.
	Cancellation *Cancellation
	// Secrets that the push holds besides its codes: no text that is kept may show them.
	Secrets []sealing.Secret
	// Part is the part of the body that is about this order, where the push is about several.
	Part sealing.Secret
	// Deadline is when the platform gives up waiting for an answer that is owed; zero if
	// none is, or if the platform waits for ever.
	Deadline time.Time
	// Replied is what the platform was told; nil if it asked nothing.
	Replied *Replied
}

// Code is a voucher code as the platform names it, in clear.
type Code struct {
	// ID is the platform's own id of the code, where it has one that is not the code
	// itself: then it tells codes apart, and Text may be unknown.
	ID   string
	Text sealing.Secret
	// Form is one of the forms above; empty where the platform does not say.
	Form     string
	Persons  *int64
	Used     *int64
	Refunded *int64
}

// The forms in which a voucher code is presented; the values are the API's.
const (
	FormPDF                = "PDF"
	FormBarcode            = "Barcode"
	FormQRCode             = "QRCode"
	FormConfirmationNumber = "ConfirmationNumber"
	FormURL                = "URL"
)

// Price is what an order costs.
type Price struct {
	// Text is the amount and the currency as the platform wrote them, such as "120.5 A$".
	Text string
	// Currency (ISO 4217) and Amount in minor units; empty and nil where the currency is not
	// clear, or the amount is finer than its minor unit.
	Currency string
	Amount   *int64
}

// Cancellation is on what terms an order can be cancelled.
type Cancellation struct {
	// Type is one of the API's; empty where the platform's is not known.
	Type string
	// PlatformType is the platform's own word or number for it.
	PlatformType string
	Rules        []CancellationRule
}

// CancellationRule is one of the platform's rules, as it wrote it.
type CancellationRule struct{ PlatformType, StartDay, EndDay, Percent, Text string }

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
	// Detail is what it says, for people; empty where its content is not understood.
	Detail string
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
	// OutcomeAnswered: it asked, was answered, and had nothing to record.
	OutcomeAnswered Outcome = "answered"
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
	return o == OutcomeRecorded || o == OutcomeDuplicate || o == OutcomeOlder || o == OutcomeAnswered
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

// OrderAnswerer tells the platform what it was told to wait for: codes, and decisions
// on refunds. Telling the same twice is safe.
type OrderAnswerer interface {
	// IssueCodes gives the codes of an order, in the order of its units.
	IssueCodes(context.Context, Issue) error
	// DecideRefund approves or refuses a refund request.
	DecideRefund(context.Context, Decision) error
	// ApprovesUnused: refund requests of the type are approved where nothing is used, and
	// refused where all is, without anybody's decision.
	ApprovesUnused(platformType string) bool
}

// NoticeClient asks what became of something that a notice names.
type NoticeClient interface {
	// Notice gives it in a line for people. asked is false for a notice that the platform
	// cannot be asked about.
	Notice(ctx context.Context, platformType, subject string) (text string, asked bool, err error)
}

// Issue is codes for an order, each with the ID of the unit it is for, where that is known.
type Issue struct {
	OrderID string
	Codes   []Code
}

// Decision answers a refund request.
type Decision struct {
	OrderID string
	// RefundID and PlatformType are those of the request's notification.
	RefundID, PlatformType string
	Approve                bool
	// Codes that the request is about: their IDs, and their Text as far as it is ours.
	Codes []Code
	// Reason for people on the other side. Empty: the adapter words it; Used says that all
	// of it is used, and refused for that.
	Reason string
	Used   bool
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
	// Note is what people must know of the answer, such as why it has no prices; may be empty.
	Note string
}

// ProductInfo is what changes seldom.
type ProductInfo struct {
	Title, Category, SupplierCode         string
	Review, ReviewReason                  string
	BookingRule, RefundRule, ConfirmsRule string
	// SaleStart and SaleEnd bound its sale; zero where the platform does not say.
	SaleStart, SaleEnd time.Time
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
