// Package fliggy is the adapter of Fliggy (飞猪): its HOTEL_TICKET (酒景)
// distribution API, version 1. It reads the two pushes, answers them in Fliggy's
// dialect, signs and asks the queries, and classifies the platform's error codes.
//
// It must not know Kubernetes, the controllers or the API's clients, and it keeps
// nothing between two calls: it translates the platform's words into those of
// package platform and back.
//
// Facts of the protocol are marked in the comments: documented stands in the
// platform's own document (酒景分销接口文档v1版本, 2025-09-23); inferred does not, but
// follows from it or from what clients see; unknown is what nobody could tell us.
// docs/platforms/fliggy.md lists them for the merchant.
package fliggy

import (
	"encoding/json"
	"net/http"

	"github.com/laidoulaile/channel-operator/internal/platform"
)

// The push path tails. They are registered with the platform and never change.
const (
	pathProductChange = "product-change"
	pathOrderStatus   = "order-status"
)

// currency of every amount: the document names none, and only China is sold (inferred).
const currency = "CNY"

// Adapter is the platform Fliggy. The zero value is ready for use.
type Adapter struct{}

var _ platform.Adapter = Adapter{}

// Paths are the push path tails Fliggy posts to.
func (Adapter) Paths() []string { return []string{pathProductChange, pathOrderStatus} }

// Settings are none: the Channel's fliggy block is empty.
func (Adapter) Settings(json.RawMessage) (any, error) { return nil, nil }

// DefaultEndpoint is Fliggy's production host (documented; the test host is
// https://pre-api.alitrip.alibaba.com).
func (Adapter) DefaultEndpoint() string { return "https://api.alitrip.alibaba.com" }

// PushesDecide is false: orders can be asked for.
func (Adapter) PushesDecide() bool { return false }

// SignsPushes is false: no rule for it is documented, and no field.
func (Adapter) SignsPushes() bool { return false }

// NewClient makes the client of one account. The credentials need the key
// "privateKey"; without a usable one the error wraps platform.ErrCredentials.
func (Adapter) NewClient(account platform.Account, transport *platform.Transport) (platform.Client, error) {
	return newClient(account, transport)
}

// Reply answers a push. Documented: `success` is received, `error` is failed, and
// any other response is sent again, three times. Whether `error` is sent again too,
// and what the HTTP status means, is unknown.
func (Adapter) Reply(_ string, outcome platform.Outcome, _ string) platform.Reply {
	switch outcome {
	case platform.OutcomeRecorded, platform.OutcomeDuplicate, platform.OutcomeOlder:
		return plain(http.StatusOK, "success")
	case platform.OutcomeMalformed:
		return plain(http.StatusBadRequest, "error")
	case platform.OutcomeUnknownAccount:
		return plain(http.StatusNotFound, "error")
	case platform.OutcomeForged:
		return plain(http.StatusForbidden, "error")
	case platform.OutcomeTooLarge:
		return plain(http.StatusRequestEntityTooLarge, "error")
	case platform.OutcomeRetry:
		return retryLater()
	}
	// An outcome added later: a push sent again is better than one lost.
	return retryLater()
}

// retryLater is neither `success` nor `error`: that is what makes Fliggy send again.
func retryLater() platform.Reply { return plain(http.StatusServiceUnavailable, "retry later") }

func plain(status int, body string) platform.Reply {
	return platform.Reply{Status: status, ContentType: "text/plain; charset=utf-8", Body: []byte(body)}
}
