package platform

import (
	"time"

	"github.com/laidoulaile/channel-operator/internal/sealing"
)

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
	sealing.Unprinted

	// Events to record before the reply may go out; none where nothing is to be recorded.
	Events []Event
	// Recorded: it was recorded before, and the reply is the one of then.
	Recorded bool
	Reply    Reply
}

// Replied is what an Inquiry was answered, kept with its notification.
type Replied struct {
	sealing.Unprinted

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
