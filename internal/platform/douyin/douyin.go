// Package douyin is the adapter of Douyin local life (抖音生活服务): its webhooks, its
// SPI scenes, and its open API (goodlife/v1). It checks the platform's signatures, reads
// what is pushed and asked of us, answers in the platform's dialect, asks the queries,
// and classifies the platform's error codes.
//
// It must not know Kubernetes, the controllers or the API's clients, and it keeps
// nothing between two calls: it translates the platform's words into those of
// package platform and back.
//
// Facts of the protocol are marked in the comments: documented stands on a page of the
// platform that could be read; inferred does not, but follows from one, from published
// captures or from public code; unknown is what nobody could tell us.
// docs/platforms/douyin.md lists them for the merchant.
package douyin

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/laidoulaile/channel-operator/internal/platform"
)

// The push path tails: one URL for all webhook events (documented), and one for each SPI
// scene, because how a scene shows itself on a shared URL is unknown. They are registered
// with the platform and never change.
const (
	pathEvents = "events"
	prefixSPI  = "spi/"
)

// The SPI scenes, by the names that our URLs have.
const (
	scenePreCreate    = "pre_create_order"
	sceneIssueCodes   = "issue_codes"
	sceneRefundApply  = "refund_apply"
	sceneRefundNotice = "refund_notice"
	sceneStatusQuery  = "status_query"
	sceneMemberInfo   = "member_info_update"
)

// currency of every amount: the order pages name none for what is sold in China, and all
// amounts are fen (documented for orders, inferred elsewhere).
const currency = "CNY"

// Adapter is the platform Douyin. The zero value is ready for use.
type Adapter struct{}

var _ platform.Adapter = Adapter{}

// Paths are the push path tails Douyin posts to.
func (Adapter) Paths() []string {
	return []string{
		pathEvents,
		prefixSPI + scenePreCreate, prefixSPI + sceneIssueCodes, prefixSPI + sceneRefundApply,
		prefixSPI + sceneRefundNotice, prefixSPI + sceneStatusQuery, prefixSPI + sceneMemberInfo,
	}
}

// DefaultEndpoint is Douyin's production host (documented).
func (Adapter) DefaultEndpoint() string { return "https://open.douyin.com" }

// PushesDecide is false: orders can be asked for.
func (Adapter) PushesDecide() bool { return false }

// SignsPushes is true: events and scenes are (documented).
func (Adapter) SignsPushes() bool { return true }

// NewClient makes the client of one account. The credentials need the key
// "clientSecret"; without it the error wraps platform.ErrCredentials.
func (Adapter) NewClient(account platform.Account, transport *platform.Transport) (platform.Client, error) {
	return newClient(account, transport)
}

// The values of Settings.
const (
	SourceGenerate  = "Generate"      // codes are made here
	SourceExternal  = "External"      // codes come later, from elsewhere
	DecideManual    = "Manual"        // somebody decides each refund request
	DecideUnused    = "ApproveUnused" // what is not known to be used is approved
	MembersAccepted = "Accept"
	MembersRefused  = "Refuse"
)

// Settings are the Channel's douyin block.
type Settings struct {
	// AccountID is the merchant's account on the platform (account_id); empty if not told.
	AccountID string
	// CodeSource is SourceGenerate or SourceExternal. External where the block says
	// nothing: codes are not invented that nobody asked for.
	CodeSource string
	// RefundDecision is DecideManual (default) or DecideUnused.
	RefundDecision string
	// MemberUpdates are MembersAccepted (default) or MembersRefused.
	MemberUpdates string
	// MemberReason is shown to a member whose change is refused; may be empty.
	MemberReason string
	// AllowLegacySign accepts an SPI signed only by the legacy MD5 sign.
	AllowLegacySign bool
}

func defaultSettings() Settings {
	return Settings{CodeSource: SourceExternal, RefundDecision: DecideManual, MemberUpdates: MembersAccepted}
}

// Settings reads the Channel's douyin block; nil gives the defaults. The dynamic type is
// Settings. A value that none of the known ones is is an error: guessing would give out
// codes or money.
func (Adapter) Settings(block json.RawMessage) (any, error) {
	settings := defaultSettings()
	if text := bytes.TrimSpace(block); len(text) == 0 || string(text) == "null" {
		return settings, nil
	}
	var written struct {
		AccountID       string `json:"accountID"`
		ThirdPartyCodes struct {
			Source string `json:"source"`
		} `json:"thirdPartyCodes"`
		Refunds struct {
			Decision string `json:"decision"`
		} `json:"refunds"`
		Members struct {
			Updates string `json:"updates"`
			Reason  string `json:"reason"`
		} `json:"members"`
		AllowLegacySign bool `json:"allowLegacySign"`
	}
	if err := json.Unmarshal(block, &written); err != nil {
		return nil, errors.New("the douyin block is not as the API has it")
	}
	settings.AccountID = written.AccountID
	settings.MemberReason = written.Members.Reason
	settings.AllowLegacySign = written.AllowLegacySign
	return settings, errors.Join(
		choose(&settings.CodeSource, "thirdPartyCodes.source", written.ThirdPartyCodes.Source, SourceGenerate, SourceExternal),
		choose(&settings.RefundDecision, "refunds.decision", written.Refunds.Decision, DecideManual, DecideUnused),
		choose(&settings.MemberUpdates, "members.updates", written.Members.Updates, MembersAccepted, MembersRefused),
	)
}

// choose sets a choice that was made; none leaves the default.
func choose(into *string, name, value string, known ...string) error {
	switch {
	case value == "":
		return nil
	case slices.Contains(known, value):
		*into = value
		return nil
	}
	return errors.New("the douyin block: " + name + " is none of " + strings.Join(known, ", "))
}

// settingsOf a holder; the defaults where the Channel says nothing.
func settingsOf(holder platform.Holder) Settings {
	if settings, ok := holder.Settings.(Settings); ok {
		return settings
	}
	return defaultSettings()
}

// Open reads the envelope of a push.
func (Adapter) Open(p platform.Push) (platform.Message, error) {
	if p.Path == pathEvents {
		return openEvent(p)
	}
	if scene, ok := strings.CutPrefix(p.Path, prefixSPI); ok {
		return openScene(p, scene)
	}
	return nil, malformedText("no such push path")
}

// Reply answers a push. Of the answer to a webhook the platform reads the HTTP status
// only, of that to an SPI the body too (documented).
func (Adapter) Reply(path string, outcome platform.Outcome, _ string) platform.Reply {
	if scene, ok := strings.CutPrefix(path, prefixSPI); ok {
		return replyScene(scene, outcome)
	}
	return replyEvent(outcome)
}

// replyEvent answers a webhook. 200 is received (documented); which other statuses are
// sent again is unknown.
func replyEvent(outcome platform.Outcome) platform.Reply {
	switch outcome {
	case platform.OutcomeRecorded, platform.OutcomeDuplicate, platform.OutcomeOlder, platform.OutcomeAnswered:
		return jsonReply(http.StatusOK, struct{}{})
	case platform.OutcomeMalformed:
		return jsonReply(http.StatusBadRequest, struct{}{})
	case platform.OutcomeUnknownAccount:
		return jsonReply(http.StatusNotFound, struct{}{})
	case platform.OutcomeForged:
		return jsonReply(http.StatusForbidden, struct{}{})
	case platform.OutcomeTooLarge:
		return jsonReply(http.StatusRequestEntityTooLarge, struct{}{})
	case platform.OutcomeRetry:
	}
	// An outcome added later: a push sent again is better than one lost.
	return jsonReply(http.StatusServiceUnavailable, struct{}{})
}

// jsonReply writes a value that always marshals.
func jsonReply(status int, value any) platform.Reply {
	body, err := json.Marshal(value)
	if err != nil {
		panic("douyin: a reply that does not marshal: " + err.Error())
	}
	return platform.Reply{Status: status, ContentType: "application/json", Body: body}
}
