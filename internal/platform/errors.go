package platform

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// Kind tells failures apart by what to do about them. The set is closed: the
// outbound client and the adapters' code tables classify, controllers switch.
type Kind string

// The kinds.
const (
	// Transient passes by itself: a timeout, a 5xx, a system-busy code.
	Transient Kind = "transient"
	// Throttled asks us to wait: RetryAfter says how long, if the platform said.
	Throttled Kind = "throttled"
	// Gone: the platform does not know, or no longer shows, what was asked for.
	Gone Kind = "gone"
	// Refused: asking again will not help before somebody changes something.
	Refused Kind = "refused"
)

// Reason narrows a Kind to what the status says. The set is closed.
type Reason string

// The reasons.
const (
	// ReasonUnavailable: the platform or the way to it is down (Transient).
	ReasonUnavailable Reason = "Unavailable"
	// ReasonBadAnswer: the answer was not what is documented (Transient).
	ReasonBadAnswer Reason = "BadAnswer"
	// ReasonUnknownCode: the platform answered, with a code that is not documented (Transient).
	ReasonUnknownCode Reason = "UnknownCode"
	// ReasonThrottled: too many requests (Throttled).
	ReasonThrottled Reason = "Throttled"
	// ReasonNotFound: not known to the platform (Gone).
	ReasonNotFound Reason = "NotFound"
	// ReasonOffSale: known, and not for sale now (Gone).
	ReasonOffSale Reason = "OffSale"
	// ReasonNotGranted: this account may not see this one thing (Refused).
	ReasonNotGranted Reason = "NotGranted"
	// ReasonCredentials: the signature, the account or its contract is refused
	// (Refused); nothing asked with this account will work.
	ReasonCredentials Reason = "Credentials"
	// ReasonRequest: the request itself is refused (Refused).
	ReasonRequest Reason = "Request"
)

// Error is a failed question, classified once. Its text is safe to log and to show:
// it holds the platform's code and text, never a request or a response body.
type Error struct {
	Kind   Kind
	Reason Reason
	// Op is the platform's name of the call.
	Op string
	// Code is the platform's code, or the HTTP status, as text; may be empty.
	Code string
	// Text is the platform's message, shortened, or ours.
	Text string
	// RetryAfter is how long the platform asks us to wait; zero if it does not say.
	RetryAfter time.Duration
	// Err is the cause, if it is one of ours or the network's.
	Err error
}

// Error says what failed and why.
func (e *Error) Error() string {
	text := e.Text
	if e.Err != nil {
		text = quoted.ReplaceAllString(e.Err.Error(), `"…"`)
	}
	text = sealing.Scrub(text)
	if e.Code == "" {
		return fmt.Sprintf("%s: %s", e.Op, text)
	}
	return fmt.Sprintf("%s: %s %s", e.Op, e.Code, text)
}

// quoted is what net/http's errors quote: pieces of the answer that it could not read.
var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf classifies any error: what is not an *Error is Transient, because it is
// ours or the network's and may pass.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Transient
}
