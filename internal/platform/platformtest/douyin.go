package platformtest

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// douyinAPIPrefix is in front of the name of every endpoint but the tokens' (DOC).
	douyinAPIPrefix = "/goodlife/v1/"
	// douyinTokenPath hands out access tokens (DOC).
	douyinTokenPath = "/oauth/client_token/" // #nosec G101 -- a path, no credential
	// douyinTokenOp is its name in the logs.
	douyinTokenOp = "oauth/client_token" // #nosec G101 -- a name, no credential
	// douyinPushPrefix is in front of our push paths, as registered with the platform.
	douyinPushPrefix = "/api/webhooks/douyin/"
	// douyinMaxBody bounds a question's body; UNKNOWN.
	douyinMaxBody = 1 << 20
)

// What a fake holds where its configuration does not say: the ids of the seed's samples.
const (
	DouyinClientKey = "aw6ufdiwwmx4x7tf"
	DouyinAccountID = "7376546762393143333"
	DouyinProductID = "1805831187321867"
	DouyinOrderID   = "1065946966824669548"
)

// Douyin's push path tails.
const (
	DouyinEventsPath       = "events"
	DouyinPreCreatePath    = "spi/pre_create_order"
	DouyinIssuePath        = "spi/issue_codes"
	DouyinRefundApplyPath  = "spi/refund_apply"
	DouyinRefundNoticePath = "spi/refund_notice"
	DouyinStatusQueryPath  = "spi/status_query"
	DouyinMemberPath       = "spi/member_info_update"
)

// DouyinConfig says which app and account the fake holds and where its pushes go.
type DouyinConfig struct {
	// ClientKey is the app's id, AccountID the merchant's; the seed's by default.
	ClientKey, AccountID string
	// ClientSecret is a secret; a random one by default.
	ClientSecret string
	// PushBase is the base URL of the webhook server, such as http://127.0.0.1:8080.
	// It may be set later with AimPushes.
	PushBase string
	// PushToken is part of the registered URLs as ?token=; empty adds nothing.
	PushToken string
	// RetryEvery is the pause between tries of a webhook; the platform's own is UNKNOWN.
	// Default 1 s.
	RetryEvery time.Duration
	// RetryScale multiplies the documented pauses between tries of an SPI call, so that
	// tests need not wait for minutes. Default 1.
	RetryScale float64
	// TokenLife is how long an access token is good for. Default 2 h (DOC).
	TokenLife time.Duration
	// Empty starts without the seeded products, orders and partner orders.
	Empty bool
	// Throttle answers 2119003 to queries above their rate, besides complaining.
	Throttle bool
	// Logger of calls and pushes, without secrets; nil logs nothing.
	Logger *slog.Logger
	// Quirks choose where the platform's documents are silent or contradict each other.
	Quirks DouyinQuirks
	// Transport sends the pushes; nil is one without proxies that keeps many connections.
	Transport http.RoundTripper
}

// DouyinQuirks are the points on which the platform's documents are silent or contradict
// each other. The zero value is what was seen most.
type DouyinQuirks struct {
	// ErrorsInExtra answers failures in extra alone, ErrorsInData in data alone; neither
	// answers them in both.
	ErrorsInExtra bool `json:"errorsInExtra,omitempty"`
	ErrorsInData  bool `json:"errorsInData,omitempty"`
	// CertificatesInMillis answers start_time and expire_time of certificates in ms, as the
	// document says, in place of s, as its sample shows.
	CertificatesInMillis bool `json:"certificatesInMillis,omitempty"`
	// IssueWithoutCertificates sends issue_codes with no certificate ids, as the document's
	// (cut) table of the request lists none.
	IssueWithoutCertificates bool `json:"issueWithoutCertificates,omitempty"`
	// TokenUnsigned leaves the registered URL's own ?token= out of what is signed.
	TokenUnsigned bool `json:"tokenUnsigned,omitempty"`
	// LegacySign signs SPI calls by the URL's MD5 sign alone, HeaderSign by the header
	// alone; neither by both, as real traffic is.
	LegacySign bool `json:"legacySign,omitempty"`
	HeaderSign bool `json:"headerSign,omitempty"`
	// TimestampInSeconds is what one page says of the URL's timestamp; the others say ms.
	TimestampInSeconds bool `json:"timestampInSeconds,omitempty"`
	// NoMsgIDHeader sends webhooks without Msg-Id, NoMsgIDField without msg_id in the body.
	NoMsgIDHeader bool `json:"noMsgIDHeader,omitempty"`
	NoMsgIDField  bool `json:"noMsgIDField,omitempty"`
	// ContentAsObject writes the content of webhooks as an object; documented is a text.
	ContentAsObject bool `json:"contentAsObject,omitempty"`
	// UpperSignatures writes signatures in upper case.
	UpperSignatures bool `json:"upperSignatures,omitempty"`
}

// Douyin is a fake of the Douyin local-life open platform for one app and one merchant's
// account. As an http.Handler it answers the app's questions; Push and the methods named
// after scenes send it pushes and SPI calls, and follow from the replies what the
// platform would do. Everything is safe for concurrent use.
//
// What the platform does by itself (an answer that came too late, what follows from a
// decision) happens in Settle, or by itself while Run runs. Its clock runs with the real
// one and can be set forward with Advance; the timestamps that it signs stay real,
// because receivers compare them with their own clock.
type Douyin struct {
	fake[DouyinCall]
	gripes
	config DouyinConfig
	logger *slog.Logger
	tokens douyinTokens
	orderQ pacer
	afterQ pacer
	wake   chan struct{}
	settle sync.Mutex // one Settle at a time

	mu          sync.Mutex
	secret      string
	ahead       time.Duration // the clock's lead
	products    map[string]*DouyinProduct
	listing     []string // product ids in the order they were first put
	orders      map[string]*DouyinOrder
	afterSales  map[string]*DouyinAfterSale
	applied     []string          // after-sale ids in the order they were applied for
	codeOf      map[string]string // which order a third-party code belongs to
	partners    map[string]DouyinPartnerOrder
	commissions map[string][]DouyinCommission
	preCreates  []DouyinPreCreate
	outbox      []func(context.Context) Delivery
}

// NewDouyin makes a fake; unless the configuration says Empty, with the seeded state.
func NewDouyin(config DouyinConfig) (*Douyin, error) {
	config.ClientKey = cmp.Or(config.ClientKey, DouyinClientKey)
	config.AccountID = cmp.Or(config.AccountID, DouyinAccountID)
	config.ClientSecret = cmp.Or(config.ClientSecret, strings.ToLower(rand.Text() + rand.Text())[:32])
	config.RetryEvery = cmp.Or(config.RetryEvery, time.Second)
	config.RetryScale = cmp.Or(config.RetryScale, 1)
	config.TokenLife = cmp.Or(config.TokenLife, 2*time.Hour)
	config.Logger = cmp.Or(config.Logger, slog.New(slog.DiscardHandler))
	if config.RetryScale < 0 || config.TokenLife < time.Second {
		return nil, errors.New("the retry scale is positive and a token lasts a second at least")
	}
	f := &Douyin{
		config: config, logger: config.Logger, secret: config.ClientSecret, wake: make(chan struct{}, 1),
		products: map[string]*DouyinProduct{}, orders: map[string]*DouyinOrder{}, afterSales: map[string]*DouyinAfterSale{},
		codeOf: map[string]string{}, partners: map[string]DouyinPartnerOrder{}, commissions: map[string][]DouyinCommission{},
	}
	f.orderQ, f.afterQ = pacer{limit: 20}, pacer{limit: 10}
	f.courier = courier{
		client: pushClient(config.Transport, 0),
		prefix: douyinPushPrefix, script: &f.script, logger: config.Logger,
	}
	f.courier.aim(config.PushBase, config.PushToken)
	if !config.Empty {
		f.seed()
	}
	return f, nil
}

// ClientKey is the app's id, AccountID the merchant's.
func (f *Douyin) ClientKey() string { return f.config.ClientKey }

// AccountID is the merchant's account.
func (f *Douyin) AccountID() string { return f.config.AccountID }

// ClientSecret is the secret in force.
func (f *Douyin) ClientSecret() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.secret
}

// SetClientSecret changes the secret, as the platform's console does: what is signed from
// now on is signed with it, and only it gets tokens.
func (f *Douyin) SetClientSecret(secret string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.secret = secret
}

// Now is the fake's clock.
func (f *Douyin) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now()
}

// now is Now under the lock.
func (f *Douyin) now() time.Time { return time.Now().Add(f.ahead) }

// Advance sets the clock forward. What is due then happens at the next Settle.
func (f *Douyin) Advance(d time.Duration) {
	f.mu.Lock()
	f.ahead += d
	f.mu.Unlock()
	f.nudge()
}

// Settle does what is due by the clock, sends what follows from decisions, and gives what
// became of it.
func (f *Douyin) Settle(ctx context.Context) []Delivery {
	f.settle.Lock()
	defer f.settle.Unlock()
	var deliveries []Delivery
	f.mu.Lock()
	f.expire()
	f.mu.Unlock()
	for ctx.Err() == nil {
		f.mu.Lock()
		if len(f.outbox) == 0 {
			f.mu.Unlock()
			break
		}
		send := f.outbox[0]
		f.outbox = f.outbox[1:]
		f.mu.Unlock()
		deliveries = append(deliveries, send(ctx))
	}
	return deliveries
}

// Run settles until the context ends, at once when there is something to send and every
// second for what is due.
func (f *Douyin) Run(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case <-f.wake:
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		f.Settle(ctx)
	}
}

// nudge wakes Run.
func (f *Douyin) nudge() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// post puts a push into the outbox, under the lock.
func (f *Douyin) post(path string, body []byte) {
	f.outbox = append(f.outbox, func(ctx context.Context) Delivery { return f.Push(ctx, path, body) })
	f.nudge()
}

// ServeHTTP answers a question. Paths that are none of the platform's get 404.
func (f *Douyin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	op, endpoint, known := douyinOp(r.URL.Path)
	if !known {
		http.NotFound(w, r)
		return
	}
	f.calls.add(op)
	body, readErr := io.ReadAll(http.MaxBytesReader(w, r.Body, douyinMaxBody))
	call := readDouyinCall(r, op, endpoint, body)
	tooOften := f.watch(op)
	scripted := func(code string) answer { return f.scripted(op, code) }
	reply := f.reply(r, op, scripted, func() answer {
		if readErr != nil {
			return f.envelope(op, nil, douyinFailure{2100005, "the body cannot be read"})
		}
		if tooOften && f.config.Throttle {
			return f.envelope(op, nil, douyinFailure{2119003, ""})
		}
		data, err := f.answer(r, endpoint, call)
		return f.envelope(op, data, err)
	})
	f.asked.add(DouyinCall{CallRecord{At: time.Now(), Op: op, Subject: call.subject(), Verdict: reply.verdict}, call.shown(endpoint)})
	f.logger.Debug("call", "op", op, "subject", call.subject(), "verdict", reply.verdict)
	reply.send(w)
}

// douyinOp is the endpoint at the path; its name has no slashes at its ends.
func douyinOp(path string) (op string, endpoint douyinEndpoint, known bool) {
	if path == douyinTokenPath {
		return douyinTokenOp, douyinTokenEndpoint, true
	}
	op, ok := strings.CutPrefix(path, douyinAPIPrefix)
	op, slash := strings.CutSuffix(op, "/")
	endpoint, known = douyinEndpoints[op]
	return op, endpoint, known && ok && slash
}

// watch complains of queries that come more often than the platform allows.
func (f *Douyin) watch(op string) (tooOften bool) {
	p := map[string]*pacer{douyinOrderQuery: &f.orderQ, douyinAfterSaleQuery: &f.afterQ, douyinAfterSale: &f.afterQ}[op]
	if p == nil || !p.exceeded(time.Now()) {
		return false
	}
	f.complain("%s: more than %d in a second", op, p.limit)
	return true
}

// scripted is a failure with a code of the script; one that is no number is "unknown error".
func (f *Douyin) scripted(op, code string) answer {
	var number int
	if _, err := fmt.Sscan(code, &number); err != nil {
		number = 2100001
	}
	return f.envelope(op, nil, douyinFailure{number, ""})
}

// envelope wraps data or a failure as the platform does: HTTP 200 for failures too (DOC).
// The tokens' answers have a message in place of extra (DOC).
func (f *Douyin) envelope(op string, data map[string]any, err error) answer {
	failure, failed := errors.AsType[douyinFailure](err)
	if data == nil {
		data = map[string]any{}
	}
	extra := map[string]any{"error_code": failure.code, "description": failure.text(),
		"sub_error_code": 0, "sub_description": "", "logid": newLogID(), "now": time.Now().UnixMilli()}
	data["error_code"], data["description"] = failure.code, cmp.Or(failure.text(), "success")
	if failed && f.config.Quirks.ErrorsInExtra {
		data = map[string]any{}
	}
	if failed && f.config.Quirks.ErrorsInData {
		extra["error_code"], extra["description"] = 0, ""
	}
	whole := map[string]any{"data": data, "extra": extra}
	if op == douyinTokenOp {
		data["error_code"], data["description"] = failure.code, failure.text()
		whole = map[string]any{"data": data, "message": "success"}
		if failed {
			whole["message"] = "error"
		}
	}
	return answer{status: http.StatusOK, contentType: "application/json; charset=utf-8", body: mustMarshal(whole), verdict: fmt.Sprint(failure.code)}
}

// newLogID is a log id in the platform's manner.
func newLogID() string {
	return time.Now().Format("20060102150405") + strings.ToUpper(rand.Text()[:18])
}

// PreCreates is what became of the last orders that the receiver was asked to allow.
func (f *Douyin) PreCreates() []DouyinPreCreate {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.preCreates)
}

// douyinFailure is a platform's error code and, if need be, more than its own text.
type douyinFailure struct {
	code   int
	detail string
}

func (e douyinFailure) Error() string { return fmt.Sprint(e.code, " ", e.text()) }

func (e douyinFailure) text() string {
	return cmp.Or(e.detail, douyinTexts[e.code])
}

// douyinTexts are the meanings of the codes (DOC, in our words).
var douyinTexts = map[int]string{
	10002: "parameter error", 10003: "unknown client_key", 10013: "client_key or client_secret is wrong", 10020: "too many calls",
	2100001: "unknown error", 2100004: "system busy", 2100005: "parameter error", 2119001: "parameter error", 2119002: "system busy",
	2119003: "too frequent", 2119005: "the merchant has not authorised the app", 2119008: "refused by control", 2119010: "the interface is retired",
	2190001: "quota used up", 2190002: "access_token invalid", 2190004: "capability missing", 2190008: "access_token expired",
	3000001: "business error", 5000001: "platform error",
	28001003: "access_token invalid", 28001005: "system busy", 28001006: "network error", 28001007: "parameter error",
	28001008: "access_token expired", 28001018: "capability missing", 28003017: "quota used up", 28003018: "too frequent",
}

// pacer tells when more than limit come within a second.
type pacer struct {
	limit int
	mu    sync.Mutex
	last  []time.Time
}

func (p *pacer) exceeded(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = append(slices.DeleteFunc(p.last, func(t time.Time) bool { return now.Sub(t) >= time.Second }), now)
	return len(p.last) > p.limit
}
