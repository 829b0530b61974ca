package fliggy

import (
	"github.com/laidoulaile/channel-operator/internal/platform"
)

// errorCode is one documented error code. The meaning is documented; how it is
// handled is inferred for every one: the document says of none whether to retry.
type errorCode struct {
	meaning string
	kind    platform.Kind
	reason  platform.Reason
}

// The codes whose reason depends on the call that got them.
const (
	codeBadSignature = "5001"
	codeNotGranted   = "5002"
	codeNoProducts   = "4004"
)

// errorCodes are all documented error codes (2000 is success). The codes of calls
// that we never make (validateOrder, createOrder, cancelOrder, refundOrder) are
// here too: if one comes, the request is at fault. docs/platforms/fliggy.md prints
// this table.
var errorCodes = map[string]errorCode{
	// The system's.
	"9000":           {"service unavailable", platform.Transient, platform.ReasonUnavailable},
	codeBadSignature: {"signature check failed", platform.Refused, platform.ReasonCredentials},
	codeNotGranted:   {"not authorised", platform.Refused, platform.ReasonCredentials},
	"5003":           {"parameter check failed", platform.Refused, platform.ReasonRequest},
	"5004":           {"data format error", platform.Refused, platform.ReasonRequest},

	// The account's and its contract's.
	"4001":         {"interface data not configured", platform.Refused, platform.ReasonRequest},
	"4002":         {"no contract", platform.Refused, platform.ReasonCredentials},
	"4003":         {"distributor unavailable", platform.Refused, platform.ReasonCredentials},
	codeNoProducts: {"no product authorised", platform.Refused, platform.ReasonCredentials},
	"6001":         {"contract wrong or expired", platform.Refused, platform.ReasonCredentials},

	// The product's.
	"4005": {"no product found", platform.Gone, platform.ReasonNotFound},
	"4006": {"product not distributable", platform.Gone, platform.ReasonOffSale},
	"4007": {"product has no price or stock", platform.Gone, platform.ReasonOffSale},
	"4010": {"beyond the last page", platform.Gone, platform.ReasonNotFound},

	// The queries'. "Query failed" does not say that there is nothing to find, so it
	// is asked again; which code an unknown order gets is unknown, and 7004 ("order
	// number error") is the one whose words fit.
	"4104": {"query failed", platform.Transient, platform.ReasonUnavailable},
	"7004": {"order number error", platform.Gone, platform.ReasonNotFound},

	// The writing calls'.
	"4008": {"purchase limit not met", platform.Refused, platform.ReasonRequest},
	"4101": {"validation failed", platform.Refused, platform.ReasonRequest},
	"4102": {"creation failed", platform.Refused, platform.ReasonRequest},
	"4103": {"refund failed", platform.Refused, platform.ReasonRequest},
	"7001": {"duplicate order", platform.Refused, platform.ReasonRequest},
	"7002": {"date error", platform.Refused, platform.ReasonRequest},
	"7003": {"price error", platform.Refused, platform.ReasonRequest},
	"8001": {"payment failed", platform.Refused, platform.ReasonRequest},
	"8002": {"order already cancelled", platform.Refused, platform.ReasonRequest},
}

// refusal makes the error of an answer that is no success. A code that is not
// documented is Transient: asking again, ever more seldom, is safe whatever it means.
func refusal(op, code, text string) *platform.Error {
	entry, known := errorCodes[code]
	if !known {
		entry = errorCode{"undocumented error code", platform.Transient, platform.ReasonUnknownCode}
	}
	if text == "" {
		text = entry.meaning
	}
	return &platform.Error{Kind: entry.kind, Reason: reasonFor(op, code, entry.reason), Op: op, Code: code, Text: text}
}

// reasonFor narrows what a code says by the call that got it, because
// ReasonCredentials stops the whole account. A listing asks for the account as a
// whole. Any other call asks for one thing, and "not authorised" there speaks of
// that thing. And the refund query is only made when searchOrder has just accepted
// the same key: a signature refused there is a wrong formula (see refundSubjects).
func reasonFor(op, code string, reason platform.Reason) platform.Reason {
	switch {
	case op == opListProducts:
		return reason
	case code == codeNotGranted || code == codeNoProducts:
		return platform.ReasonNotGranted
	case code == codeBadSignature && op == opSearchRefund:
		return platform.ReasonRequest
	}
	return reason
}
