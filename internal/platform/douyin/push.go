package douyin

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fields"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// typeUnknown labels a webhook whose event is none that we know.
const typeUnknown = "unknown"

// eventVerify asks whether we are there, when a webhook's URL is registered.
const eventVerify = "verify_webhook"

// Kinds of notifications, as the API names them.
const (
	kindCodesRequested   = "CodesRequested"
	kindCodesIssued      = "CodesIssued"
	kindCodeUsed         = "CodeUsed"
	kindCodeUseCancelled = "CodeUseCancelled"
	kindPaid             = "Paid"
	kindRefundRequested  = "RefundRequested"
	kindRefunded         = "Refunded"
	kindStatusChanged    = "StatusChanged"
	kindBooking          = "Booking"
)

const (
	maxReason = 512 // runes of a text that explains
	maxDetail = 256 // runes of a notice's detail
	// maxChallenge bounds the number that is sent back to whoever asks.
	maxChallenge = 64
)

// eventReaders are the events that we know, and how the content of each is read. What is
// not in a reader's comment is documented.
var eventReaders = map[string]func(*event) platform.Event{
	"life_product_common_audit":  productChange(platform.AspectInfo),
	"life_product_audit":         productChange(platform.AspectInfo), // its sibling, with the same fields (inferred)
	"life_product_status_change": productChange(platform.AspectAvailability),

	"life_trade_order_notify":       readOrderNotify,
	"life_trade_certificate_notify": readCertificateNotify,

	eventAfterSale: readAfterSale,
	// The spelling of the merchant's own list; the platform's pages say akte (inferred: a
	// misprint).
	eventAfterSaleMisspelt: readAfterSale,

	"life_hermes_akte_booking_status_notification": readBooking,
	"life_hermes_akte_merchant_config_update":      readBooking,
	"life_hermes_akte_booking_config_result":       readBooking,
	"life_hermes_akte_store_config_update":         readBooking,

	eventPartnerOrder: readPartnerOrder,
	eventCommission:   readCommission,
}

// Events that are asked about again, or answered, by their names.
const (
	eventAfterSale         = "life_hermes_akte_after_sale_audit"
	eventAfterSaleMisspelt = "life_hermes_axte_after_sale_audit"
	eventPartnerOrder      = "life_partner_order_notify"
	eventCommission        = "life_partner_commission_notify"
)

// event is one opened webhook.
type event struct {
	sealing.Hidden

	push      platform.Push
	name      string // as it came
	account   string
	messageID string
	// content is the object within, without fields where the content is none.
	content fields.Object
}

// openEvent reads a webhook's envelope.
func openEvent(p platform.Push) (platform.Message, error) {
	body, ok := fields.Parse(p.Body)
	if !ok {
		return nil, malformedText("the body is not one JSON object")
	}
	body.Require("event")
	e := event{push: p, name: body.Text("event"), account: body.ID("client_key")}
	if fields.Shorten(e.name, fields.MaxID) == "" {
		body.Fail("event", "is blank")
	}
	if err := malformed(body); err != nil {
		return nil, err
	}
	content, isObject, err := readContent(body)
	if err != nil {
		return nil, err
	}
	if e.name == eventVerify {
		return openChallenge(e, content)
	}
	// Documented to be there in every event but the one above.
	body.Require("client_key")
	if _, known := eventReaders[e.name]; known && !isObject && !opaque[e.name] {
		body.Fail("content", "is not a JSON object")
	}
	e.content, e.messageID = content, eventID(p.Header, body, e.name)
	return e, malformed(body)
}

// opaque are the known events whose content is unknown: it may be no object.
var opaque = map[string]bool{
	"life_hermes_akte_booking_status_notification": true,
	"life_hermes_akte_merchant_config_update":      true,
	"life_hermes_akte_booking_config_result":       true,
	"life_hermes_akte_store_config_update":         true,
	eventCommission:                                true,
}

// readContent opens the content: JSON as a text (documented) or, as verify_webhook has it,
// an object. A text that is no JSON makes the push malformed; other JSON than an object is
// an object without fields.
func readContent(body fields.Object) (content fields.Object, isObject bool, err error) {
	empty, _ := fields.Parse([]byte("{}"))
	raw := body.Raw("content")
	if raw == nil {
		return empty, false, nil
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		raw = json.RawMessage(text)
	}
	if !json.Valid(raw) {
		return empty, false, malformedText("content is not JSON")
	}
	if content, ok := fields.Parse(raw); ok {
		return content, true, nil
	}
	return empty, false, nil
}

// eventID tells repeated pushes from new ones: the header Msg-Id (documented), else msg_id
// (inferred: captures of 2024 have it), else a hash of what is said.
func eventID(header http.Header, body fields.Object, name string) string {
	id := header.Get("Msg-Id")
	if id == "" {
		id = body.Text("msg_id")
	}
	if id == "" {
		return hashed(name, string(body.Raw("content")))
	}
	return boundedID(id)
}

// boundedID is the id, or its hash where it is longer than an id may be or cannot be shown.
func boundedID(id string) string {
	unfit := func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }
	if utf8.RuneCountInString(id) > fields.MaxID || strings.ContainsFunc(id, unfit) {
		return hashed(id)
	}
	return id
}

// hashPrefix begins the names that are hashes.
const hashPrefix = "sha256:"

// hashed names some texts together by 71 characters.
func hashed(texts ...string) string {
	digest := sha256.New()
	for _, text := range texts {
		// The length in front keeps "a", "bc" apart from "ab", "c".
		_, _ = fmt.Fprintf(digest, "%d:%s", len(text), text)
	}
	return hashPrefix + hex.EncodeToString(digest.Sum(nil))
}

// Account is the push's client_key.
func (e event) Account() string { return e.account }

// Type is the event if we know it, else "unknown".
func (e event) Type() string {
	if _, known := eventReaders[e.name]; known || e.name == eventVerify {
		return e.name
	}
	return typeUnknown
}

// Verify checks the signature, then whom the push is about.
func (e event) Verify(holder platform.Holder) (platform.Proof, error) {
	if err := verifyEvent(e.push, holder.Credentials); err != nil {
		return "", err
	}
	if err := sameApp(e.account, holder); err != nil {
		return "", err
	}
	return platform.ProofSigned, sameMerchant(e.merchant(), holder)
}

// merchant is the account_id of the events that have one.
func (e event) merchant() string {
	content := e.content.Quiet()
	switch e.name {
	case "life_trade_order_notify":
		return content.Object("order").Text("account_id")
	case "life_trade_certificate_notify":
		return content.Object("certificate").Text("account_id")
	case eventAfterSale, eventAfterSaleMisspelt:
		return content.Text("account_id")
	}
	return ""
}

// sameApp: a push names the app that it is for.
func sameApp(account string, holder platform.Holder) error {
	if account != "" && account != holder.ID {
		return fmt.Errorf("%w: its client_key is another", platform.ErrOtherAccount)
	}
	return nil
}

// sameMerchant: an app may serve several merchants; a Channel that names its own takes no
// other's pushes.
func sameMerchant(accountID string, holder platform.Holder) error {
	if own := settingsOf(holder).AccountID; own != "" && accountID != "" && accountID != own {
		return fmt.Errorf("%w: its account_id is another", platform.ErrOtherAccount)
	}
	return nil
}

// Events are what the push says.
func (e event) Events() ([]platform.Event, error) {
	// Each reading starts without the faults of another: two may read at once.
	e.content = e.content.Quiet()
	read, known := eventReaders[e.name]
	if !known {
		read = readUnknown
	}
	said := read(&e)
	if err := malformed(e.content); err != nil {
		return nil, err
	}
	return []platform.Event{said}, nil
}

// platformType is the event's name, fit to show.
func (e event) platformType() string { return fields.Shorten(e.name, fields.MaxID) }

// productChange reads a product's event. It carries no time and promises no order
// (documented), so what it says of the product is not read: the platform is asked.
func productChange(aspects ...platform.Aspect) func(*event) platform.Event {
	return func(e *event) platform.Event {
		e.content.Require("product_id")
		return platform.Event{Product: &platform.ProductChange{
			ProductID: e.content.ID("product_id"),
			Aspects:   append([]platform.Aspect(nil), aspects...),
			MessageID: e.messageID,
			Type:      e.platformType(),
		}}
	}
}

func (e event) notification(kind, orderID string) *platform.OrderNotification {
	return &platform.OrderNotification{
		OrderID: orderID, MessageID: e.messageID, Kind: kind, PlatformType: e.platformType(),
	}
}

// readOrderNotify reads that an order was paid; other actions are not documented.
func readOrderNotify(e *event) platform.Event {
	e.content.Require("order")
	order := e.content.Object("order")
	order.Require("order_id")
	kind := kindStatusChanged
	if e.content.Text("action") == "pay_success" {
		kind = kindPaid
	}
	n := e.notification(kind, order.ID("order_id"))
	n.OccurredAt = e.content.Instant("msg_time")
	return platform.Event{Order: n}
}

// certificateKinds are the documented actions of a certificate.
var certificateKinds = map[string]string{
	"verify":         kindCodeUsed,
	"verify_cancel":  kindCodeUseCancelled,
	"refund_success": kindRefunded,
}

// readCertificateNotify reads that a code was used, its use cancelled, or it was refunded.
// What was refunded it does not say.
func readCertificateNotify(e *event) platform.Event {
	e.content.Require("certificate")
	certificate := e.content.Object("certificate")
	certificate.Require("order_id", "certificate_id")
	kind, known := certificateKinds[e.content.Text("action")]
	if !known {
		kind = kindStatusChanged
	}
	n := e.notification(kind, certificate.ID("order_id"))
	n.OccurredAt = e.content.Instant("msg_time")
	n.Codes = []platform.Code{readCode(certificate)}
	if kind == kindRefunded {
		n.Succeeded = new(true)
	}
	return platform.Event{Order: n}
}

// readCode reads which certificate, and its code where the codes are the merchant's.
func readCode(certificate fields.Object) platform.Code {
	code := platform.Code{ID: certificate.ID("certificate_id")}
	if text := certificate.Exact("code"); text != "" {
		code.Text = sealing.NewSecret(text)
	}
	return code
}

// readAfterSale reads that a refund is asked for of a code that was used. The unit of
// refund_amount (inferred: fen) and of refund_time (inferred: when asked, seconds or
// milliseconds by its size) are not documented; how long the platform waits is unknown.
func readAfterSale(e *event) platform.Event {
	e.content.Require("order_id", "certificate_id")
	n := e.notification(kindRefundRequested, e.content.ID("order_id"))
	n.OccurredAt = e.content.Quiet().Instant("refund_time")
	n.Codes = []platform.Code{{ID: e.content.ID("certificate_id")}}
	n.Refund = &platform.RefundFact{
		ID:       n.Codes[0].ID,
		Currency: currency,
		Amount:   e.content.Count("refund_amount"),
		At:       n.OccurredAt,
	}
	n.Reason = applyReason(e.content.Quiet())
	n.Replied = &platform.Replied{Result: platform.ResultPending}
	return platform.Event{Order: n}
}

// applyReason joins the texts of why a refund is asked for. The page's table is flat; that
// they lie within apply_reason is inferred, so both places are read.
func applyReason(content fields.Object) string {
	if content.Has("apply_reason") {
		content = content.Object("apply_reason")
	}
	var texts []string
	for _, item := range content.Objects("reason_items") {
		texts = append(texts, item.Text("msg"))
	}
	texts = append(texts, content.Text("additional_msg"))
	var said []string
	for _, text := range texts {
		if text = strings.TrimSpace(text); text != "" {
			said = append(said, text)
		}
	}
	return fields.Shorten(strings.Join(said, "; "), maxReason)
}

// readBooking reads an event about table bookings, whose content is unknown: no schema is
// made up. It is kept with the order that it names, or else as a notice.
func readBooking(e *event) platform.Event {
	probe := e.content.Quiet()
	if id := plainID(probe, "order_id"); id != "" {
		return platform.Event{Order: e.notification(kindBooking, id)}
	}
	return e.notice(firstID(probe, "poi_id", "account_id", "merchant_id"), "")
}

// readUnknown reads an event that we do not know.
func readUnknown(e *event) platform.Event {
	return e.notice(firstID(e.content.Quiet(), "product_id", "order_id", "poi_id"), "")
}

// readCommission reads that a commission changed; all but the name is unknown.
func readCommission(e *event) platform.Event {
	return e.notice(plainID(e.content.Quiet(), "order_id"), "")
}

// partnerStates are the states of a cooperation order, as the query of the same order has
// them; that the push has the same is inferred.
var partnerStates = map[string]string{
	"102": "waiting for the merchant",
	"201": "finished",
	"301": "waiting to start",
	"302": "in service",
	"401": "cancelled",
}

// readPartnerOrder reads a change of the cooperation between a merchant and a partner. Its
// fields are known from captures only.
func readPartnerOrder(e *event) platform.Event {
	probe := e.content.Quiet()
	said := []string{partnerStatus(probe.Text("status"))}
	if id := plainID(probe, "merchant_id"); id != "" {
		said = append(said, "merchant "+id)
	}
	if id := plainID(probe, "partner_id"); id != "" {
		said = append(said, "partner "+id)
	}
	if at := probe.Instant("event_time"); !at.IsZero() {
		said = append(said, "at "+at.Format(time.RFC3339))
	}
	return e.notice(plainID(probe, "order_id"), strings.Join(said, ", "))
}

// partnerStatus says a state in words where we know it.
func partnerStatus(status string) string {
	status = fields.Shorten(status, maxStatus)
	if status == "" {
		return "status unknown"
	}
	if meaning, known := partnerStates[status]; known {
		return "status " + status + " (" + meaning + ")"
	}
	return "status " + status
}

func (e event) notice(subject, detail string) platform.Event {
	return platform.Event{Notice: &platform.Notice{
		MessageID: e.messageID, PlatformType: e.platformType(), Subject: subject, Detail: fields.Shorten(detail, maxDetail),
	}}
}

// plainID is the id if it is there and fit to be one; else empty.
func plainID(o fields.Object, name string) string {
	probe := o.Quiet()
	if id := probe.ID(name); probe.Fault() == "" {
		return id
	}
	return ""
}

func firstID(o fields.Object, names ...string) string {
	for _, name := range names {
		if id := plainID(o, name); id != "" {
			return id
		}
	}
	return ""
}

// challenge is the platform's question whether a webhook's URL is ours.
type challenge struct {
	event
	number json.RawMessage
}

var _ platform.Challenge = challenge{}

// openChallenge reads the number to be sent back. It must be a number, as it is in every
// copy of the page: nothing else is echoed to whoever asks.
func openChallenge(e event, content fields.Object) (platform.Message, error) {
	raw := content.Raw("challenge")
	var number json.Number
	if len(raw) == 0 || len(raw) > maxChallenge || raw[0] == '"' || json.Unmarshal(raw, &number) != nil {
		return nil, malformedText("content.challenge is not a number")
	}
	return challenge{event: e, number: raw}, nil
}

// Signed reports whether it carries a signature; whether the platform signs it is unknown.
func (c challenge) Signed() bool { return c.push.Header.Get(headerEventSign) != "" }

// Verify checks the signature where there is one.
func (c challenge) Verify(holder platform.Holder) (platform.Proof, error) {
	if !c.Signed() {
		return platform.ProofNone, nil
	}
	return c.event.Verify(holder)
}

// Events are none.
func (c challenge) Events() ([]platform.Event, error) { return nil, nil }

// Echo sends the number back as it was written (documented).
func (c challenge) Echo() platform.Reply {
	return jsonReply(http.StatusOK, map[string]json.RawMessage{"challenge": c.number})
}

func malformedText(text string) error { return fmt.Errorf("%w: %s", platform.ErrMalformed, text) }

// malformed gives the object's fault as an error.
func malformed(o fields.Object) error {
	if o.Fault() == "" {
		return nil
	}
	return malformedText(o.Fault())
}
