// Package sctt is the adapter of SCTT (btbapi.sctt.net): it reads the voucher push and
// the cancel push, answers them in SCTT's dialect, signs and asks for the catalogue, for
// products and for their calendars, and classifies the platform's codes. Orders cannot be
// asked for: what the pushes say of them is all there is to know.
//
// It must not know Kubernetes, the controllers or the API's clients, and it keeps
// nothing between two calls: it translates the platform's words into those of
// package platform and back. It knows no signing rule either: SCTT publishes none, so the
// merchant writes it into the Channel, and none is built in that could pass for SCTT's.
//
// Facts of the protocol are marked in the comments: documented stands on a page of the
// platform that could be read; inferred does not, but follows from one or from its
// printed samples; unknown is what nobody could tell us. docs/platforms/sctt.md lists
// them for the merchant.
package sctt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/laidoulaile/channel-operator/internal/money"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

// The push path tails. They are registered with the platform and never change. They name
// the pushes too, for the platform's own pages have titles only (documented: 凭证推送,
// 取消订单).
const (
	pathVoucher = "order-voucher"
	pathCancel  = "order-cancel"
)

// Adapter is the platform SCTT. The zero value is ready for use.
type Adapter struct{}

var _ platform.Adapter = Adapter{}

// Paths are the push path tails SCTT posts to.
func (Adapter) Paths() []string { return []string{pathVoucher, pathCancel} }

// DefaultEndpoint is SCTT's production host (documented).
func (Adapter) DefaultEndpoint() string { return "https://btbapi.sctt.net" }

// PushesDecide is true: no order query is documented.
func (Adapter) PushesDecide() bool { return true }

// SignsPushes is true: the samples have a sign (documented; its rule is not).
func (Adapter) SignsPushes() bool { return true }

// NewClient makes the client of one account. Settings without a signing rule give an error
// that wraps platform.ErrSettings, for every question must be signed (documented);
// credentials without the key "secret" one that wraps platform.ErrCredentials.
func (Adapter) NewClient(account platform.Account, transport *platform.Transport) (platform.Client, error) {
	return newClient(account, transport)
}

// Settings are the Channel's sctt block.
type Settings struct {
	// Language the platform answers in: zh-cn (default) or en-us (documented).
	Language string
	// Currency of the platform's lists, which name none (ISO 4217); empty if not told.
	Currency string
	// Zone of request_time, which is unknown; China's unless told.
	Zone *time.Location
	// Signature is the merchant's signing rule; nil if not told.
	Signature *Signature
}

const (
	defaultLanguage = "zh-cn"
	defaultZone     = "+08:00"
)

// Settings reads the Channel's sctt block; nil gives the defaults. The dynamic type is
// Settings. What is wrong is named by its field below spec.sctt.
func (Adapter) Settings(block json.RawMessage) (any, error) {
	var written struct {
		Language        string `json:"language"`
		Currency        string `json:"currency"`
		RequestTimeZone string `json:"requestTimeZone"`
		Signature       *struct {
			Algorithm string `json:"algorithm"`
			Encoding  string `json:"encoding"`
			Message   string `json:"message"`
		} `json:"signature"`
	}
	if text := bytes.TrimSpace(block); len(text) > 0 && json.Unmarshal(text, &written) != nil {
		return nil, errors.New("the sctt block is not as the API has it")
	}
	settings := Settings{Language: written.Language, Currency: written.Currency}
	if settings.Language == "" {
		settings.Language = defaultLanguage
	}
	if settings.Currency != "" && money.Code(settings.Currency) != settings.Currency {
		return nil, fmt.Errorf("currency %.16q is none that is known (ISO 4217)", settings.Currency)
	}
	var err error
	if settings.Zone, err = parseZone(written.RequestTimeZone); err != nil {
		return nil, err
	}
	if s := written.Signature; s != nil {
		if settings.Signature, err = newSignature(s.Algorithm, s.Encoding, s.Message); err != nil {
			return nil, err
		}
	}
	return settings, nil
}

// zone is a distance from UTC, as the API has it.
var zone = regexp.MustCompile(`^[+-](0[0-9]|1[0-4]):[0-5][0-9]$`)

// parseZone reads a distance from UTC such as +08:00; empty is the default.
func parseZone(text string) (*time.Location, error) {
	if text == "" {
		text = defaultZone
	}
	at, err := time.Parse("-07:00", text)
	if err != nil || !zone.MatchString(text) {
		return nil, fmt.Errorf("requestTimeZone %.16q is no distance from UTC such as +08:00", text)
	}
	_, offset := at.Zone()
	return time.FixedZone("UTC"+text, offset), nil
}

// settingsOf gives the holder's settings; false where the Channel's block is unusable.
func settingsOf(holder platform.Holder) (Settings, bool) {
	settings, ok := holder.Settings.(Settings)
	return settings, ok
}

// The codes of a reply. Documented are 0 (success) and, of the answers to our own calls,
// 4001 (message malformed); the others are ours, and what SCTT makes of them is unknown.
const (
	replyOK        = 0
	replyMalformed = 4001
	replyUnknown   = 4003
	replyForged    = 4004
	replyRetry     = 5000
)

// Reply answers a push with {code, msg, data} (documented). Whether anything but code 0 is
// sent again, and what the HTTP status means, is unknown.
func (Adapter) Reply(_ string, outcome platform.Outcome, why string) platform.Reply {
	switch {
	case outcome.Accepted():
		return reply(http.StatusOK, replyOK, "ok")
	case outcome == platform.OutcomeMalformed:
		return reply(http.StatusBadRequest, replyMalformed, wording(why))
	case outcome == platform.OutcomeTooLarge:
		return reply(http.StatusRequestEntityTooLarge, replyMalformed, "the body is too large")
	case outcome == platform.OutcomeUnknownAccount:
		return reply(http.StatusNotFound, replyUnknown, "unknown merchant")
	case outcome == platform.OutcomeForged:
		return reply(http.StatusForbidden, replyForged, "the sign, the token or the address is refused")
	}
	// "Cannot be recorded now", or an outcome added later: a push sent again is better
	// than one lost.
	return reply(http.StatusServiceUnavailable, replyRetry, "please try again")
}

// wording is what was wrong with a push, without saying twice that it was malformed.
func wording(why string) string {
	why = strings.TrimPrefix(why, platform.ErrMalformed.Error())
	if why = strings.TrimPrefix(why, ": "); why == "" {
		return "malformed"
	}
	return why
}

func reply(status, code int, msg string) platform.Reply {
	body, err := json.Marshal(struct {
		Code int    `json:"code"`
		Msg  string `json:"msg"`
		Data any    `json:"data"`
	}{Code: code, Msg: msg})
	if err != nil {
		panic("sctt: a reply that does not marshal: " + err.Error())
	}
	return platform.Reply{Status: status, ContentType: "application/json", Body: body}
}
