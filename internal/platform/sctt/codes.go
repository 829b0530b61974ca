package sctt

import "github.com/laidoulaile/channel-operator/internal/platform"

// codeSuccess is the code of an answer that is a success (documented).
const codeSuccess = "0"

// errorCode is one documented code of an answer.
type errorCode struct {
	meaning string
	kind    platform.Kind
	reason  platform.Reason
}

// errorCodes are the documented codes of answers. Of 4002 the page shows the number and
// not the meaning, so it is none of them; and what a wrong sign gets is unknown. How a code
// is handled is inferred. docs/platforms/sctt.md prints this table.
var errorCodes = map[string]errorCode{
	"4001": {"message malformed", platform.Refused, platform.ReasonRequest},
}

// refusal makes the error of an answer that is no success. A code that is not documented is
// Transient: asking again, ever more seldom, is safe whatever it means.
func refusal(op, code, text string) *platform.Error {
	entry, known := errorCodes[code]
	if !known {
		entry = errorCode{"undocumented error code", platform.Transient, platform.ReasonUnknownCode}
	}
	if text == "" {
		text = entry.meaning
	}
	return &platform.Error{Kind: entry.kind, Reason: entry.reason, Op: op, Code: code, Text: text}
}
