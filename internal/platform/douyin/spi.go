package douyin

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fields"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// An SPI is answered in its body: {"data":{"error_code":0,"description":"success",…}}.
// Documented: 0 is success. Inferred, from notes of the platform's acceptance: the HTTP
// status is 200 always, error_code and result are numbers, everything stands within data,
// and there is no extra. What to answer to a bad signature is unknown; ours is a 401.

// The error codes that we answer. Only 100 has a documented meaning, on other scenes'
// pages: try again.
const (
	codeOK        = 0
	codeRetry     = 100
	codeRefused   = 200
	codeForged    = 401
	codeNoMember  = 11 // the page's own sample of a refused change
	codePreCreate = 20 // a reason that is not on the list (documented)
)

// status is what every answer has.
type status struct {
	ErrorCode   int    `json:"error_code"`
	Description string `json:"description"`
}

var success = status{codeOK, "success"}

// sceneReply wraps what a scene answers.
func sceneReply(httpStatus int, data any) platform.Reply {
	return jsonReply(httpStatus, struct {
		Data any `json:"data"`
	}{data})
}

// answered is the reply of a scene that was understood.
func answered(data any) platform.Reply { return sceneReply(http.StatusOK, data) }

// replyScene is the answer to a scene of which nothing more is to be said.
func replyScene(scene string, outcome platform.Outcome) platform.Reply {
	refused := status{codeRefused, "refused"}
	if scene == scenePreCreate {
		refused = status{codePreCreate, "暂时无法下单"}
	}
	switch outcome {
	case platform.OutcomeRecorded, platform.OutcomeDuplicate, platform.OutcomeOlder, platform.OutcomeAnswered:
		return answered(success)
	case platform.OutcomeMalformed, platform.OutcomeTooLarge, platform.OutcomeUnknownAccount:
		return answered(refused)
	case platform.OutcomeForged:
		return sceneReply(http.StatusUnauthorized, status{codeForged, "the signature is refused"})
	case platform.OutcomeRetry:
	}
	// Also an outcome added later: asked again is better than lost. An order that is about
	// to be placed is let through where our answer is none (documented), and an error_code
	// would refuse it.
	again := status{codeRetry, "please try again"}
	if scene == scenePreCreate {
		return sceneReply(http.StatusServiceUnavailable, again)
	}
	return answered(again)
}

// scene is what all SPI messages have.
type scene struct {
	sealing.Hidden

	push platform.Push
	name string
	// account is the client_key of the URL. The header x-life-clientkey may name another
	// app, where one was migrated (documented): it is ignored.
	account string
	// merchants are the account_ids that the URL and the body name.
	merchants []string
	body      fields.Object
}

// openers read the body of each scene.
var openers = map[string]func(scene) (platform.Message, error){
	scenePreCreate:    openPreCreate,
	sceneIssueCodes:   openIssue,
	sceneRefundApply:  openRefundApply,
	sceneRefundNotice: openRefundNotice,
	sceneStatusQuery:  openStatusQuery,
	sceneMemberInfo:   openMemberInfo,
}

// openScene reads an SPI's body, which is the business object itself (documented).
func openScene(p platform.Push, name string) (platform.Message, error) {
	open, known := openers[name]
	if !known {
		return nil, malformedText("no such push path")
	}
	body, ok := fields.Parse(p.Body)
	if !ok {
		return nil, malformedText("the body is not one JSON object")
	}
	if len(p.Query["client_key"]) > 1 || len(p.Query["timestamp"]) > 1 {
		return nil, malformedText("the URL names client_key or timestamp twice")
	}
	s := scene{push: p, name: name, account: p.Query.Get("client_key"), body: body}
	for _, id := range append(slices.Clone(p.Query["account_id"]), body.Quiet().Text("account_id")) {
		if id != "" {
			s.merchants = append(s.merchants, id)
		}
	}
	m, err := open(s)
	if err != nil {
		return nil, err
	}
	if err := malformed(body); err != nil {
		return nil, err
	}
	return m, nil
}

// Account is the client_key of the URL.
func (s scene) Account() string { return s.account }

// Type is the scene.
func (s scene) Type() string { return s.name }

// Verify checks the signature and its age, then whom the push is about.
func (s scene) Verify(holder platform.Holder) (platform.Proof, error) {
	if err := verifyScene(s.push, holder.Credentials, settingsOf(holder).AllowLegacySign); err != nil {
		return "", err
	}
	if err := sameApp(s.account, holder); err != nil {
		return "", err
	}
	for _, id := range s.merchants {
		if err := sameMerchant(id, holder); err != nil {
			return "", err
		}
	}
	return platform.ProofSigned, nil
}

// Events are none: an inquiry's come with its answer.
func (s scene) Events() ([]platform.Event, error) { return nil, nil }

// notification about an order of this scene. That its time is when the platform sent it
// is the nearest to when it happened.
func (s scene) notification(kind, orderID, messageID string) *platform.OrderNotification {
	return &platform.OrderNotification{
		OrderID: orderID, MessageID: messageID, Kind: kind, PlatformType: s.name, OccurredAt: sentAt(s.push.Query),
	}
}

// deadline is so long after the push came.
func (s scene) deadline(wait time.Duration) time.Time { return s.push.ReceivedAt.Add(wait) }

// sceneID names the facts of a scene, so that the same asked again is the same: the scene
// and what it is about, the latter hashed where it is long.
func sceneID(name string, about ...string) string {
	tail := strings.Join(about, ":")
	if id := boundedID(name + ":" + tail); !strings.HasPrefix(id, hashPrefix) {
		return id
	}
	return name + ":" + hashed(about...)
}

// coupon is a certificate as the scenes name it.
type coupon struct{ platform.Code }

// id tells coupons of one order apart: by the platform's id, else by the code.
func (c coupon) id() string {
	if c.ID != "" {
		return c.ID
	}
	return c.Text.Reveal()
}

// maxUnits of one order that we take; the API's bound on codes.
const maxUnits = 500

// readCoupons reads a list of certificates, or the only one. Each must be told apart by
// its id or its code.
func readCoupons(list []fields.Object) []coupon {
	var coupons []coupon
	for _, entry := range list {
		c := coupon{readCode(entry)}
		if c.id() == "" {
			entry.Fail("certificate_id", "is missing")
		}
		coupons = append(coupons, c)
	}
	return coupons
}

// checkCoupons bounds a list in which each may be named once.
func checkCoupons(coupons []coupon) error {
	seen := map[string]bool{}
	for _, c := range coupons {
		if seen[c.id()] {
			return malformedText("a certificate is named twice")
		}
		seen[c.id()] = true
	}
	if len(coupons) > maxUnits {
		return malformedText(fmt.Sprintf("more than %d certificates", maxUnits))
	}
	return nil
}

// codesOf coupons, in order.
func codesOf(coupons []coupon) []platform.Code {
	var codes []platform.Code
	for _, c := range coupons {
		codes = append(codes, c.Code)
	}
	return codes
}

// namesOf coupons together: their ids in order, hashed.
func namesOf(coupons []coupon) string {
	var ids []string
	for _, c := range coupons {
		ids = append(ids, c.ID)
	}
	slices.Sort(ids)
	return hashed(ids...)
}

// requireIDs: what the platform gives no id is called by its certificates, so each must
// have one. Its code would not do: it is a secret, and a hash of it can be guessed.
func requireIDs(body fields.Object, coupons []coupon) {
	for _, c := range coupons {
		if c.ID == "" {
			body.Fail("certificate_id", "is missing, and so is after_sale_id")
		}
	}
}

// refundID is the platform's id of a refund (after_sale_id), else the only certificate's,
// else a hash of all.
func refundID(afterSaleID string, coupons []coupon) string {
	switch {
	case afterSaleID != "":
		return afterSaleID
	case len(coupons) == 0:
		return ""
	case len(coupons) == 1:
		return coupons[0].ID
	}
	return namesOf(coupons)
}
