package platform

import (
	"time"

	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// Event is one fact: exactly one of its fields is set.
type Event struct {
	sealing.Unprinted

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
	sealing.Unprinted

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
	// Form is one of the forms below; empty where the platform does not say.
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
