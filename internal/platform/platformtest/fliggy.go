package platformtest

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// fliggyPrefix is in front of every endpoint's name (DOC).
	fliggyPrefix = "/api/v1/hotelticket/"
	// fliggyPushPrefix is in front of our push paths, as registered with the platform.
	fliggyPushPrefix = "/api/webhooks/fliggy/"
	// fliggyPushTimeout and fliggyTries: 9 s, and three more tries (DOC).
	fliggyPushTimeout = 9 * time.Second
	fliggyTries       = 4
	// fliggyValidity is how long a signed call is good for (DOC), taken both ways.
	fliggyValidity = 10 * time.Minute
	// fliggyMaxBody bounds a question's body; UNKNOWN.
	fliggyMaxBody = 1 << 20
)

// Fliggy's push path tails.
const (
	FliggyProductPath = "product-change"
	FliggyOrderPath   = "order-status"
)

// FliggyConfig says which account the fake holds and where its pushes go.
type FliggyConfig struct {
	// Account is the distributorId: a decimal number.
	Account string
	// PushBase is the base URL of the webhook server, such as http://127.0.0.1:8080.
	// It may be set later with AimPushes.
	PushBase string
	// PushToken is appended to every push as ?token=; empty appends nothing.
	PushToken string
	// RetryEvery is the pause between tries of a push; the platform's own is UNKNOWN.
	// Default 1 s.
	RetryEvery time.Duration
	// Logger of calls and pushes, without secrets; nil logs nothing.
	Logger *slog.Logger
	// Quirks choose where the platform's document and its wire differ or are silent.
	Quirks FliggyQuirks
	// Transport sends the pushes; nil is one without proxies that keeps many connections.
	Transport http.RoundTripper
}

// FliggyQuirks are the points on which the platform's document is silent, or is
// contradicted by what clients saw. The zero value is what was seen most.
type FliggyQuirks struct {
	// SingularCalendar answers `calendarStock`, as printed (DOC), in place of the
	// `calendarStocks` that both clients read (CODE).
	SingularCalendar bool `json:"singularCalendar,omitempty"`
	// MessageField answers the text under `message` (CODE) in place of `msg` (DOC).
	MessageField bool `json:"messageField,omitempty"`
	// EndOfPages4010 answers 4010 behind the last page in place of an empty page (INFER).
	EndOfPages4010 bool `json:"endOfPages4010,omitempty"`
	// RefundTimeMillis answers gmtApplyRefund as 13-digit ms in place of China local time
	// text; its form is UNKNOWN.
	RefundTimeMillis bool `json:"refundTimeMillis,omitempty"`
	// PaidRefundIs2002 answers every paid refund in searchRefundOrder's list with 2002,
	// in place of 2004 for one of a part: whether that field speaks of the refund or of
	// the order is UNKNOWN.
	PaidRefundIs2002 bool `json:"paidRefundIs2002,omitempty"`
	// RefundSign is which signed text searchRefundOrder takes: "printed" with the
	// trailing underscore (DOC), "plain" without (CODE), empty either.
	RefundSign string `json:"refundSign,omitempty"`
	// FormPushes sends pushes as a form with `data` as JSON text; the content type of
	// pushes is UNKNOWN, JSON is INFER.
	FormPushes bool `json:"formPushes,omitempty"`
	// QuotedAccount writes distributorId in pushes as a string, as the document's own
	// sample does, in place of a number (DOC: Long).
	QuotedAccount bool `json:"quotedAccount,omitempty"`
}

// Fliggy is a fake of the Fliggy 酒景 (HOTEL_TICKET) distribution API, version 1, for
// one account. As an http.Handler it answers the account's questions; Push sends it
// pushes. It speaks JSON only (DOC: the platform also speaks XML). Everything is safe
// for concurrent use.
type Fliggy struct {
	fake[CallRecord]
	account string
	quirks  FliggyQuirks
	key     *rsa.PrivateKey
	logger  *slog.Logger

	mu       sync.Mutex
	products map[string]*Product
	listing  []string // product ids in the order they were first put
	orders   map[string]*Order
}

// NewFliggy makes a fake with a fresh key pair.
func NewFliggy(config FliggyConfig) (*Fliggy, error) {
	if !isID(config.Account) {
		return nil, fmt.Errorf("the account %q is not a decimal number", config.Account)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	logger := cmp.Or(config.Logger, slog.New(slog.DiscardHandler))
	f := &Fliggy{
		account: config.Account, quirks: config.Quirks, key: key, logger: logger,
		products: map[string]*Product{}, orders: map[string]*Order{},
	}
	f.courier = courier{
		client: pushClient(config.Transport, fliggyPushTimeout),
		prefix: fliggyPushPrefix, tries: fliggyTries, every: cmp.Or(config.RetryEvery, time.Second),
		judge: FliggyVerdict, script: &f.script, logger: logger,
	}
	f.courier.aim(config.PushBase, config.PushToken)
	return f, nil
}

// PrivateKey is the distributor's key as the platform hands it out: base64 of PKCS#8
// (DOC). It is a secret.
func (f *Fliggy) PrivateKey() string {
	der, err := x509.MarshalPKCS8PrivateKey(f.key)
	if err != nil {
		panic(err) // an RSA key always marshals
	}
	return base64.StdEncoding.EncodeToString(der)
}

// ServeHTTP answers a question. Paths that are none of the platform's get 404.
func (f *Fliggy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	op := strings.TrimPrefix(r.URL.Path, fliggyPrefix)
	endpoint, known := fliggyEndpoints[op]
	if !known || op == r.URL.Path {
		http.NotFound(w, r)
		return
	}
	f.calls.add(op)
	body, readErr := io.ReadAll(http.MaxBytesReader(w, r.Body, fliggyMaxBody))
	question, askErr := readFliggyQuestion(body)
	reply := f.reply(r, op, f.scripted, func() answer {
		if err := errors.Join(readErr, checkFliggyRequest(r)); err != nil {
			return f.envelope(nil, fliggyFailure{"5004", err.Error()})
		}
		if askErr != nil {
			return f.envelope(nil, askErr)
		}
		return f.envelope(f.answer(endpoint, question))
	})
	f.asked.add(CallRecord{At: time.Now(), Op: op, Subject: question.subject(), Verdict: reply.verdict})
	f.logger.Debug("call", "op", op, "subject", question.subject(), "verdict", reply.verdict)
	reply.send(w)
}

// scripted is a failure with a code of the script.
func (f *Fliggy) scripted(code string) answer { return f.envelope(nil, fliggyFailure{code, ""}) }

// checkFliggyRequest checks what is in front of the body (DOC: all calls POST, the
// format in the query). The Content-Type is not named, so it is not looked at.
func checkFliggyRequest(r *http.Request) error {
	if r.Method != http.MethodPost {
		return errors.New("POST is needed")
	}
	if r.URL.Query().Get("format") != "json" {
		return errors.New("format=json is needed")
	}
	return nil
}

// envelope wraps data or a failure as the platform does (DOC). Every answer, failures
// included, has HTTP status 200; that is INFER from the envelope having its own code.
func (f *Fliggy) envelope(data any, err error) answer {
	code, text := "2000", "ok"
	if failure, ok := errors.AsType[fliggyFailure](err); ok {
		code, text = failure.code, failure.message()
	} else if err != nil {
		code, text = "9000", err.Error()
	}
	textField := "msg"
	if f.quirks.MessageField {
		textField = "message"
	}
	envelope := map[string]any{"success": err == nil, "code": code, textField: text}
	if data != nil {
		envelope["data"] = data
	}
	body, marshalErr := json.Marshal(envelope)
	if marshalErr != nil {
		panic(marshalErr) // our own types always marshal
	}
	return answer{status: http.StatusOK, contentType: "application/json;charset=UTF-8", body: body, verdict: code}
}

// FliggyVerdict is what the platform makes of a reply: only the body counts, `success`
// or `error`, and anything else is tried again (DOC). What HTTP status is needed is not
// documented, so none is looked at; whether `error` is itself tried again is UNKNOWN,
// here it is not.
func FliggyVerdict(_ int, body []byte) Verdict {
	switch string(body) {
	case "success":
		return Accepted
	case "error":
		return Refused
	default:
		return Retry
	}
}

// Push sends a push body to the path tail, FliggyProductPath or FliggyOrderPath, or to
// a whole path that begins with a slash, and tries again as the platform does: 9 s for
// a reply (DOC); on anything but `success` and `error` three more tries (DOC),
// RetryEvery apart, with the same body (INFER).
func (f *Fliggy) Push(ctx context.Context, path string, body []byte) Delivery {
	l := letter{path: path, contentType: "application/json", body: body}
	var head struct {
		MessageID string `json:"messageId"`
		PushType  string `json:"pushType"`
	}
	_ = json.Unmarshal(body, &head) // a raw push may be anything
	l.id, l.kind = head.MessageID, head.PushType
	if f.quirks.FormPushes {
		if form, ok := asForm(body); ok {
			l.contentType, l.body = "application/x-www-form-urlencoded", form
		}
	}
	return f.courier.push(ctx, l)
}
