package platform

import (
	"context"
	"slices"
	"time"
)

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
