package douyin

import (
	"slices"
	"time"

	"github.com/laidoulaile/channel-operator/internal/platform"
)

// errorCode is one documented error code. The meaning is documented; how it is handled is
// documented where the page says whether to retry, and inferred elsewhere.
type errorCode struct {
	meaning string
	kind    platform.Kind
	reason  platform.Reason
	// wait is how long not to ask again.
	wait time.Duration
}

// quotaWait is how long a used-up quota is left alone. That quotas are daily is inferred,
// and when the day ends is unknown.
const quotaWait = time.Hour

// tokenCodes refuse the access token: it is over, or was retired by a newer one.
var tokenCodes = []string{"2190002", "2190008", "28001003", "28001008"}

// errorCodes are all documented error codes that calls of ours can get, of the two
// families that stand side by side. docs/platforms/douyin.md prints this table.
var errorCodes = map[string]errorCode{
	// Of all calls.
	"2100001": {"unknown error", platform.Transient, platform.ReasonUnavailable, 0},
	"2100004": {"system busy", platform.Transient, platform.ReasonUnavailable, 0},
	"2100005": {"bad parameter", platform.Refused, platform.ReasonRequest, 0},
	"2119001": {"bad parameter", platform.Refused, platform.ReasonRequest, 0},
	"2119002": {"system busy", platform.Transient, platform.ReasonUnavailable, 0},
	"2119003": {"too frequent", platform.Throttled, platform.ReasonThrottled, 0},
	"2119005": {"the merchant has not authorised the app", platform.Refused, platform.ReasonCredentials, 0},
	"2119008": {"refused by access control", platform.Refused, platform.ReasonRequest, 0},
	"2119010": {"interface retired", platform.Refused, platform.ReasonRequest, 0},
	"2190001": {"quota used up", platform.Throttled, platform.ReasonThrottled, quotaWait},
	"2190002": {"access token invalid", platform.Refused, platform.ReasonCredentials, 0},
	"2190004": {"the app lacks the capability", platform.Refused, platform.ReasonNotGranted, 0},
	"2190008": {"access token expired", platform.Refused, platform.ReasonCredentials, 0},
	"3000001": {"business error", platform.Transient, platform.ReasonUnavailable, 0},
	"5000001": {"platform error", platform.Transient, platform.ReasonUnavailable, 0},

	// The newer family.
	"28001003": {"access token invalid", platform.Refused, platform.ReasonCredentials, 0},
	"28001005": {"system busy", platform.Transient, platform.ReasonUnavailable, 0},
	"28001006": {"network error", platform.Transient, platform.ReasonUnavailable, 0},
	"28001007": {"bad parameter", platform.Refused, platform.ReasonRequest, 0},
	"28001008": {"access token expired", platform.Refused, platform.ReasonCredentials, 0},
	"28001018": {"the app lacks the capability", platform.Refused, platform.ReasonNotGranted, 0},
	"28003017": {"quota used up", platform.Throttled, platform.ReasonThrottled, quotaWait},
	"28003018": {"too frequent", platform.Throttled, platform.ReasonThrottled, 0},

	// Of the call for an access token.
	"10002": {"bad parameter", platform.Refused, platform.ReasonRequest, 0},
	"10003": {"client_key unknown", platform.Refused, platform.ReasonCredentials, 0},
	"10013": {"client_key or client_secret wrong", platform.Refused, platform.ReasonCredentials, 0},
	"10020": {"too many access tokens asked for", platform.Throttled, platform.ReasonThrottled, 0},
}

// refusal makes the error of an answer that is no success. A code that is not documented
// is Transient: asking again, ever more seldom, is safe whatever it means.
func refusal(op, code, text string) *platform.Error {
	entry, known := errorCodes[code]
	if !known {
		entry = errorCode{"undocumented error code", platform.Transient, platform.ReasonUnknownCode, 0}
	}
	if text == "" {
		text = entry.meaning
	}
	return &platform.Error{Kind: entry.kind, Reason: entry.reason, Op: op, Code: code, Text: text, RetryAfter: entry.wait}
}

// refusesToken reports whether the code says that the access token is good no longer.
func refusesToken(code string) bool { return slices.Contains(tokenCodes, code) }
