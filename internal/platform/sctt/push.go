package sctt

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tailscale/hujson"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fields"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// Kinds of notifications, as the API names them.
const (
	kindCodesIssued   = "CodesIssued"
	kindCancelled     = "Cancelled"
	kindStatusChanged = "StatusChanged"
	kindOther         = "Other"
)

// The fields that both pushes have (documented; the printed sample of the voucher push has
// none of them, so each may be absent).
const (
	fieldMerchant = "merchant_id"
	fieldTime     = "request_time"
	fieldSign     = "sign"
)

// fieldCredit is what is left of the account's credit.
const fieldCredit = "surplus_quota"

// Bounds of what is kept of a push, in runes.
const (
	maxText   = 512 // a text that explains
	maxStatus = 32  // a platform's own number or word
	maxAmount = 32  // an amount as it was written
	maxRule   = 256 // the text of a rule
	maxSymbol = 16  // a currency as it was written
)

// maxRules is how many rules are kept, as the API bounds them.
const maxRules = 16

// message is one opened push.
type message struct {
	sealing.Hidden

	path    string
	account string
	push    fields.Object
}

// Open reads a push's body. It must be one JSON object, in UTF-8: two bodies whose bytes
// mean nothing would be read as the same. Whose it is need not be said.
func (Adapter) Open(p platform.Push) (platform.Message, error) {
	if p.Path != pathVoucher && p.Path != pathCancel {
		return nil, fmt.Errorf("%w: no such push path", platform.ErrMalformed)
	}
	if !utf8.Valid(p.Body) {
		return nil, fmt.Errorf("%w: the body is not UTF-8", platform.ErrMalformed)
	}
	push, ok := parseBody(p.Body)
	if !ok {
		return nil, fmt.Errorf("%w: the body is not one JSON object", platform.ErrMalformed)
	}
	m := message{path: p.Path, push: push, account: push.ID(fieldMerchant)}
	push.Text(fieldSign)
	if err := malformed(push); err != nil {
		return nil, err
	}
	return m, nil
}

// maxNested bounds how many objects and lists a body with comments may have: they are read
// by a parser that has no bound of its own on how deep they lie.
const maxNested = 10_000

// parseBody reads one JSON object. The platform's own printed sample has comments and a
// comma before a closing brace (documented), so those are taken out where it is no JSON as
// it stands.
func parseBody(body []byte) (fields.Object, bool) {
	if push, ok := fields.Parse(body); ok {
		return push, true
	}
	if bytes.Count(body, []byte("{"))+bytes.Count(body, []byte("[")) > maxNested {
		return fields.Object{}, false
	}
	plain, err := hujson.Standardize(bytes.Clone(body)) // which it changes in place
	if err != nil {
		return fields.Object{}, false
	}
	return fields.Parse(plain)
}

// Account is the push's merchant_id; empty if it names none.
func (m message) Account() string { return m.account }

// Type is the path: the pushes have no names of their own.
func (m message) Type() string { return m.path }

// Verify checks the sign by the Channel's rule, then whom the push is about.
func (m message) Verify(holder platform.Holder) (platform.Proof, error) {
	proof, err := m.prove(holder)
	if err != nil {
		return "", err
	}
	if m.account != "" && m.account != holder.ID {
		return "", fmt.Errorf("%w: its merchant_id is another", platform.ErrOtherAccount)
	}
	return proof, nil
}

// prove says what the sign proves. Whether the voucher push carries one at all is unknown:
// the table says so, the printed sample has none.
func (m message) prove(holder platform.Holder) (platform.Proof, error) {
	if !m.push.Has(fieldSign) {
		return platform.ProofMissing, nil
	}
	settings, ok := settingsOf(holder)
	switch {
	case !ok:
		return "", errors.New("the sign cannot be checked: the Channel's sctt block is unusable")
	case settings.Signature == nil:
		return platform.ProofUnchecked, nil
	}
	secret, err := readSecret(holder.Credentials)
	if err != nil {
		return "", err
	}
	want, err := settings.Signature.sign(m.push, secret)
	if err != nil {
		return "", fmt.Errorf("%w: %w", platform.ErrForged, err)
	}
	if !settings.Signature.equal(want, m.push.Quiet().Text(fieldSign)) {
		return "", fmt.Errorf("%w: the sign is not what the Channel's rule gives", platform.ErrForged)
	}
	return platform.ProofSigned, nil
}

// Events are what the push says: of the order that a voucher push is about and of the
// account's credit, or of each order of a cancel push.
func (m message) Events() ([]platform.Event, error) {
	// Each reading starts without the faults of another: two may read at once.
	push := m.push.Quiet()
	read := readVoucherPush
	if m.path == pathCancel {
		read = readCancelPush
	}
	events := read(push)
	if err := malformed(push); err != nil {
		return nil, err
	}
	return events, nil
}

// notification reads what both pushes say of an order, and its status, whose name is given;
// nil if that is wrong. A push has no id of its own and no time of the fact: request_time is
// the time of this copy (inferred), so a copy that is sent again would not be known by it.
// No text that is kept shows the secrets.
func notification(order fields.Object, path, name string, secrets []sealing.Secret) (*platform.OrderNotification, *int64) {
	order.Require("order_code", name)
	order.Object("subjoin") // of no use, but it must be possible
	checkNames(order)
	status := readStatus(order, name)
	told := &platform.OrderNotification{
		Content:      content(order, name),
		PlatformType: path,
		Cancellation: readCancellation(order, secrets),
		Secrets:      secrets,
	}
	if order.Has("order_code") && blank(order.Text("order_code")) {
		order.Fail("order_code", "is blank")
	}
	told.OrderID = order.ID("order_code")
	if !blank(order.Text("trade_number")) {
		told.OutOrderID = order.ID("trade_number")
	}
	if status != nil {
		told.MessageID = path + ":" + strconv.FormatInt(*status, 10)
	}
	return told, status
}

// checkNames: of two fields whose names cannot be read only one would be.
func checkNames(order fields.Object) {
	for _, name := range order.Names() {
		if strings.ContainsRune(name, utf8.RuneError) {
			order.Fail("(a field)", "has a name that cannot be read")
		}
	}
}

func blank(text string) bool { return strings.TrimSpace(text) == "" }

// digits are how a status is written, as a number or as a text.
var digits = regexp.MustCompile(`^[0-9]+$`)

// readStatus reads a number that a message's id is made of: with a sign it could be the
// same number in another writing. Nil if it is none.
func readStatus(order fields.Object, name string) *int64 {
	if text := order.Text(name); text != "" && !digits.MatchString(text) {
		order.Fail(name, "is not written as plain digits")
		return nil
	}
	return order.Count(name)
}

// content is what an order's push says, the same for all its copies: without what is the
// copy's or the account's, and without the status, which is in the message's id however it
// was written. It is a digest because the text has codes and links in it, and whoever prints
// a notification must not show them.
func content(order fields.Object, status string) []byte {
	digest := sha256.New()
	said := canonical(order, status)
	digest.Write(said)
	if bytes.ContainsRune(said, utf8.RuneError) {
		// It holds what could not be read: two that differ may look alike, and do not as
		// they were written.
		digest.Write(order.Written(notOfTheOrder(status)...))
	}
	return digest.Sum(nil)
}

func canonical(order fields.Object, status string) []byte {
	return order.Canonical(notOfTheOrder(status)...)
}

// notOfTheOrder are the fields that make no difference to what is said of an order.
func notOfTheOrder(status string) []string {
	return []string{fieldMerchant, fieldTime, fieldSign, fieldCredit, status}
}

// cancellationTypes are the values of cancel_type (documented), by the API's names.
var cancellationTypes = map[string]string{
	"1": "NotCancellable", "2": "Manual", "3": "ByRule", "4": "NoRefundOrChange", "5": "FreeBeforeReservation",
}

// readCancellation reads on what terms an order can be cancelled; nil if nothing says so.
// What the rules' canr_type and days mean is not documented: they are kept as they came.
func readCancellation(order fields.Object, secrets []sealing.Secret) *platform.Cancellation {
	number := order.Text("cancel_type")
	c := platform.Cancellation{Type: cancellationTypes[number], PlatformType: sealing.Word(number, maxStatus, secrets...)}
	for i, row := range order.Objects("cancels") {
		// All must be readable, and no more are shown than are kept.
		rule := readRule(row)
		if i < maxRules {
			c.Rules = append(c.Rules, platform.CancellationRule{
				PlatformType: sealing.Word(rule.PlatformType, maxStatus, secrets...),
				StartDay:     sealing.Word(rule.StartDay, maxStatus, secrets...),
				EndDay:       sealing.Word(rule.EndDay, maxStatus, secrets...),
				Percent:      sealing.Word(rule.Percent, maxStatus, secrets...),
				Text:         sealing.Excerpt(rule.Text, maxRule, secrets...),
			})
		}
	}
	if c.PlatformType == "" && len(c.Rules) == 0 {
		return nil
	}
	return &c
}

func readRule(row fields.Object) platform.CancellationRule {
	return platform.CancellationRule{
		PlatformType: row.Text("canr_type"), StartDay: row.Text("canr_startday"), EndDay: row.Text("canr_endday"),
		Percent: row.Text("canr_percent"), Text: row.Text("canr_text"),
	}
}

// plainDecimal is a number without an exponent.
var plainDecimal = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

// readCredit reads what is left of the account's credit; nil where the push does not tell
// it readably, for an order's push is not refused over it. Its time is read in China's zone,
// because a push is decoded before it is known whose it is.
func readCredit(push fields.Object) *platform.Credit {
	push = push.Quiet()
	amount := push.Text(fieldCredit)
	if len(amount) > maxAmount || !plainDecimal.MatchString(amount) {
		return nil
	}
	return &platform.Credit{Amount: amount, At: push.LocalTime(fieldTime)}
}

// malformed gives the object's fault as an error.
func malformed(o fields.Object) error {
	if o.Fault() == "" {
		return nil
	}
	return fmt.Errorf("%w: %s", platform.ErrMalformed, o.Fault())
}
