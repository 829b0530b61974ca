package platformtest

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/shopspring/decimal"
)

const (
	// scttPrefix is in front of every endpoint's name (DOC).
	scttPrefix = "/v1/"
	// scttPushPrefix is in front of our push paths, as registered with the platform.
	scttPushPrefix = "/api/webhooks/sctt/"
	// scttPushTimeout and scttTries: whether, how long and how often the platform tries is
	// UNKNOWN.
	scttPushTimeout = 10 * time.Second
	scttTries       = 5
	// scttSkew is how far request_time may be off before the fake complains; UNKNOWN.
	scttSkew = 10 * time.Minute
	// scttMaxBody bounds a question's body; UNKNOWN.
	scttMaxBody = 1 << 20
)

// SCTT's push path tails.
const (
	SCTTVoucherPath = "order-voucher"
	SCTTCancelPath  = "order-cancel"
)

// SCTTAccount is the merchant_id that a fake holds where its configuration does not say.
const SCTTAccount = "255456"

// Codes of the envelope: 0 and 4001 are DOC. What a bad sign and an unknown product get is
// UNKNOWN: these two numbers are made up here, and nothing may depend on them.
const (
	scttOK           = 0
	scttMalformed    = 4001
	scttBadSign      = 4005
	scttNoSuchGoods  = 4006
	scttScriptedCode = 4999 // a scripted code that is no number
)

// SCTTConfig says which merchant the fake holds and where its pushes go.
type SCTTConfig struct {
	// Account is the merchant_id, a decimal number; by default SCTTAccount.
	Account string
	// Secret is a secret; a random one by default.
	Secret string
	// Signature is the merchant's signing rule; by default DefaultSCTTSignature.
	Signature SCTTSignature
	// Zone is that of request_time, as its distance from UTC. Default +08:00. UNKNOWN.
	Zone string
	// Credit is what the merchant has left, a decimal. Default 10000.
	Credit string
	// PushBase is the base URL of the webhook server, such as http://127.0.0.1:8080.
	// It may be set later with AimPushes.
	PushBase string
	// PushToken is appended to every push as ?token=; empty appends nothing.
	PushToken string
	// ChannelPath is where pushes without a merchant_id go, such as /api/channels/travel/sctt.
	ChannelPath string
	// RetryEvery is the pause between tries of a push; the platform's own is UNKNOWN.
	// Default 1 s.
	RetryEvery time.Duration
	// Empty starts without the seeded products and orders.
	Empty bool
	// Logger of calls and pushes, without secrets; nil logs nothing.
	Logger *slog.Logger
	// Quirks choose where the platform's documents are silent or contradict each other.
	Quirks SCTTQuirks
	// Transport sends the pushes; nil is one without proxies that keeps many connections.
	Transport http.RoundTripper
}

// SCTTQuirks are the points on which the platform's documents are silent or contradict
// each other.
type SCTTQuirks struct {
	// RowID is the name of the product number in the list: "code", as in the page's sample,
	// or "productcode", as in its table. Empty takes the one on odd pages and the other on
	// even ones.
	RowID string `json:"rowID,omitempty"`
	// QuotedIDs writes ids in answers as texts in place of numbers (DOC: bigint).
	QuotedIDs bool `json:"quotedIDs,omitempty"`
	// ClippedRanges cuts rows of several days to the range that was asked for, in place of
	// giving them whole.
	ClippedRanges bool `json:"clippedRanges,omitempty"`
}

// SCTT is a fake of SCTT's API for one merchant. As an http.Handler it answers the
// merchant's questions; Send and SendToChannel send it pushes. Everything is safe for
// concurrent use.
type SCTT struct {
	fake[CallRecord]
	gripes
	config SCTTConfig
	zone   *time.Location
	logger *slog.Logger

	mu       sync.Mutex
	secret   string
	credit   decimal.Decimal
	products map[string]*SCTTProduct
	listing  []string // product ids in the order they were first put
	orders   map[string]*SCTTOrder
	placed   []string // order ids in the order they were first put
}

// NewSCTT makes a fake; unless the configuration says Empty, with the seeded state.
func NewSCTT(config SCTTConfig) (*SCTT, error) {
	config.Account = cmp.Or(config.Account, SCTTAccount)
	config.Secret = cmp.Or(config.Secret, rand.Text())
	config.Signature = cmp.Or(config.Signature, DefaultSCTTSignature)
	config.Zone = cmp.Or(config.Zone, "+08:00")
	config.Credit = cmp.Or(config.Credit, "10000")
	config.Logger = cmp.Or(config.Logger, slog.New(slog.DiscardHandler))
	f := &SCTT{config: config, logger: config.Logger, secret: config.Secret,
		products: map[string]*SCTTProduct{}, orders: map[string]*SCTTOrder{}}
	if !isID(config.Account) {
		return nil, fmt.Errorf("the account %q is not a decimal number", config.Account)
	}
	offset, err := time.Parse("-07:00", config.Zone)
	if err != nil {
		return nil, fmt.Errorf("the zone %q is no distance from UTC such as +08:00", config.Zone)
	}
	_, seconds := offset.Zone()
	f.zone = time.FixedZone(config.Zone, seconds)
	if err := errors.Join(config.Signature.check(), f.SetCredit(config.Credit), config.Quirks.check(), checkChannelPath(config.ChannelPath)); err != nil {
		return nil, err
	}
	f.courier = courier{
		client: pushClient(config.Transport, scttPushTimeout),
		prefix: scttPushPrefix, script: &f.script, logger: config.Logger,
	}
	f.courier.aim(config.PushBase, config.PushToken)
	if !config.Empty {
		f.seed()
	}
	return f, nil
}

func (q SCTTQuirks) check() error {
	if !slices.Contains([]string{"", "code", "productcode"}, q.RowID) {
		return fmt.Errorf("rows are not known to name their product %q", q.RowID)
	}
	return nil
}

func checkChannelPath(path string) error {
	if path != "" && (!strings.HasPrefix(path, "/") || strings.HasSuffix(path, "/") || strings.ContainsAny(path, "?#")) {
		return fmt.Errorf("the Channel's path %q is not one such as /api/channels/travel/sctt", path)
	}
	return nil
}

// Account is the merchant_id.
func (f *SCTT) Account() string { return f.config.Account }

// Secret is the secret in force.
func (f *SCTT) Secret() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.secret
}

// SetSecret changes the secret: what is signed from now on must be signed with it.
func (f *SCTT) SetSecret(secret string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.secret = secret
}

// SetCredit sets what the merchant has left, a decimal. A booking lowers it.
func (f *SCTT) SetCredit(amount string) error {
	credit, err := decimal.NewFromString(amount)
	if err != nil {
		return fmt.Errorf("the credit %q is no decimal", amount)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.credit = credit
	return nil
}

// ServeHTTP answers a question. Paths that are none of the platform's get 404.
func (f *SCTT) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	op := strings.TrimPrefix(r.URL.Path, scttPrefix)
	endpoint, known := scttEndpoints[op]
	if !known || op == r.URL.Path {
		http.NotFound(w, r)
		return
	}
	f.calls.add(op)
	body, readErr := io.ReadAll(http.MaxBytesReader(w, r.Body, scttMaxBody))
	call := readSCTTCall(op, body)
	reply := f.reply(r, op, scttScripted, func() answer {
		if readErr != nil {
			return scttEnvelope(nil, scttFailure{scttMalformed, "the body cannot be read"})
		}
		return scttEnvelope(f.answer(r, endpoint, call))
	})
	f.asked.add(CallRecord{At: time.Now(), Op: op, Subject: call.subject(), Verdict: reply.verdict})
	f.logger.Debug("call", "op", op, "subject", call.subject(), "verdict", reply.verdict)
	reply.send(w)
}

// scttScripted is a failure with a code of the script, or scttScriptedCode for one that is no
// number.
func scttScripted(code string) answer {
	number, err := strconv.Atoi(code)
	if err != nil {
		number = scttScriptedCode
	}
	return scttEnvelope(nil, scttFailure{number, "scripted"})
}

// scttEnvelope wraps data or a failure as the platform does (DOC). That a failure has HTTP
// status 200 too is INFER from the envelope having its own code.
func scttEnvelope(data any, err error) answer {
	code, text := scttOK, "查询成功"
	if failure, ok := errors.AsType[scttFailure](err); ok {
		code, text = failure.code, failure.text
	}
	body := mustMarshal(map[string]any{"code": code, "msg": text, "data": data})
	return answer{status: http.StatusOK, contentType: "application/json; charset=utf-8", body: body, verdict: strconv.Itoa(code)}
}

// scttFailure is a code and what it says.
type scttFailure struct {
	code int
	text string
}

func (e scttFailure) Error() string { return fmt.Sprint(e.code, " ", e.text) }

// SCTTVerdict is what the fake makes of a reply: done is a 200 with code 0 (DOC: code 0 is
// success). The rest is UNKNOWN and chosen here: a 4xx with another code refuses, and
// anything else asks for another try.
func SCTTVerdict(status int, body []byte) Verdict {
	var envelope struct {
		Code *int `json:"code"`
	}
	if json.Unmarshal(body, &envelope) != nil || envelope.Code == nil {
		return Retry
	}
	switch {
	case status == http.StatusOK && *envelope.Code == scttOK:
		return Accepted
	case status >= 400 && status < 500 && *envelope.Code != scttOK:
		return Refused
	}
	return Retry
}
