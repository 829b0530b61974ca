package platform

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
	"golang.org/x/time/rate"

	"github.com/laidoulaile/channel-operator/internal/fair"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

const (
	// maxAnswer bounds a platform's answer: a year's calendar of a product is well
	// under 1 MiB.
	maxAnswer = 8 << 20
	// maxAnswerParts bounds what is in it, by Parts: as dense as the densest sample, an answer of
	// 3 MiB has so many. Decoded they take 50 MiB at most.
	maxAnswerParts = 200_000
	// largeAnswer is more than any platform is known to send. Of those that are no smaller maxLarge
	// are read at a time, and of any size maxDecoding are decoded at a time, for all accounts
	// together, two of these for one: whoever answers may want to fill memory, with 70 MiB for each.
	largeAnswer = 1 << 20
	maxLarge    = 3
	maxDecoding = 3
	// callTimeout bounds one call, the wait for its turn not counted.
	callTimeout = 15 * time.Second
	// maxTurnWait is how long a call waits for its turn before it is told to come back,
	// unless its context says otherwise: a worker must not be held by one busy account.
	maxTurnWait = time.Second
	// breakAfter failures in a row stop calls for breakFor; then one call tries.
	breakAfter = 5
	breakFor   = 5 * time.Second
	// maxSends is how often one call may go out. net/http sends again what the server has not
	// looked at: because it closed an idle connection, or, over HTTP/2, says so.
	maxSends = 3
	// maxRetryAfter bounds what we let a platform ask of us.
	maxRetryAfter = 10 * time.Minute

	askedToWait = "the platform asked us to wait"
)

// Limits bound what is asked with one account.
type Limits struct {
	RequestsPerSecond, Burst, Concurrency int
}

// Call is one question to a platform.
type Call struct {
	sealing.Hidden

	// Op is the platform's name of the call: a metric label.
	Op     string
	Method string
	URL    string
	Header http.Header
	Body   []byte
	// PerSecond is how often the platform allows the Op in the long run, for all that the
	// account asks; zero if it names no such limit.
	PerSecond int
	// Classify reads a 2xx answer and says whether it is a failure all the same, as an
	// *Error. It is where an adapter's code table is applied.
	Classify func(answer []byte) error
}

// Transport is the only way out: one per account. It keeps to the account's limits,
// waits where the platform says so, stops calling a platform that is down, follows no
// redirect, reads no endless answer, and classifies what goes wrong below the
// adapter. It never asks twice: its callers decide when to ask again. Only what the
// platform says it has not looked at goes out again, at most twice.
type Transport struct {
	channel string
	client  *http.Client
	limiter *rate.Limiter
	perOp   sync.Map // Op → *rate.Limiter
	turns   chan struct{}
	breaker *gobreaker.CircuitBreaker[[]byte]

	mu       sync.Mutex
	notUntil time.Time // the platform asked us to wait until then
}

// NewTransport makes the way out for one account; channel labels its metrics.
func NewTransport(channel string, limits Limits, base http.RoundTripper) *Transport {
	return &Transport{
		channel: channel,
		client: &http.Client{
			Transport:     base,
			Timeout:       callTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		limiter: rate.NewLimiter(rate.Limit(limits.RequestsPerSecond), limits.Burst),
		turns:   make(chan struct{}, limits.Concurrency),
		breaker: gobreaker.NewCircuitBreaker[[]byte](gobreaker.Settings{
			Name:         channel,
			Timeout:      breakFor,
			ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= breakAfter },
			IsSuccessful: func(err error) bool { return err == nil || KindOf(err) != Transient || answers(err) },
			IsExcluded:   func(err error) bool { return errors.Is(err, context.Canceled) },
		}),
	}
}

// answers reports whether the platform gave an answer, of whatever meaning: it is not down.
func answers(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Reason == ReasonUnknownCode
}

// Do asks and returns the answer's body, or an *Error.
func (t *Transport) Do(ctx context.Context, call Call) ([]byte, error) {
	start := time.Now()
	answer, err := t.inTurn(ctx, call)
	outcome := "ok"
	if err != nil {
		outcome = string(KindOf(err))
		if e, ok := errors.AsType[*Error](err); ok && e.Kind == Throttled && e.Code == "" {
			outcome = "not_sent" // our own limits said wait
		}
	}
	platformCalls.WithLabelValues(t.channel, call.Op, outcome).Inc()
	platformCallSeconds.WithLabelValues(t.channel, call.Op).Observe(time.Since(start).Seconds())
	return answer, err
}

// inTurn waits for the account's turn and asks through the breaker.
func (t *Transport) inTurn(ctx context.Context, call Call) ([]byte, error) {
	patience := patienceOf(ctx)
	ctx, cancel := context.WithTimeout(ctx, callTimeout+2*patience)
	defer cancel()
	if err := t.awaitTurn(ctx, call, patience); err != nil {
		return nil, err
	}
	defer func() { <-t.turns }()
	answer, err := t.breaker.Execute(func() ([]byte, error) { return t.send(ctx, call) })
	if e, ok := errors.AsType[*Error](err); ok {
		t.wait(e) // before the next call has this one's turn
	}
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return nil, &Error{Kind: Transient, Reason: ReasonUnavailable, Op: call.Op, RetryAfter: breakFor,
			Text: fmt.Sprintf("not asked: the last %d calls failed, trying again soon", breakAfter)}
	}
	return answer, err
}

// awaitTurn takes a turn of the account, or says why there is none.
func (t *Transport) awaitTurn(ctx context.Context, call Call, patience time.Duration) error {
	op := call.Op
	if wait := t.waiting(); wait > 0 {
		return throttled(op, askedToWait, wait)
	}
	if err := pace(ctx, op, t.limiter, "the account's request rate is used up", patience); err != nil {
		return err
	}
	if own := t.limiterOf(call); own != nil {
		if err := pace(ctx, op, own, "the platform's own limit on this call is used up", patience); err != nil {
			return err
		}
	}
	if !t.enter(ctx, patience) {
		if ctx.Err() != nil {
			return failed(op, ctx.Err())
		}
		return throttled(op, "the account's requests under way are at their limit", max(patience, time.Second))
	}
	// The platform may have said so while this call was in the queue.
	if wait := t.waiting(); wait > 0 {
		<-t.turns
		return throttled(op, askedToWait, wait)
	}
	return nil
}

// pace waits until the limiter lets a call through, if that is soon enough.
func pace(ctx context.Context, op string, limiter *rate.Limiter, full string, patience time.Duration) error {
	turn := limiter.Reserve()
	delay := turn.Delay()
	if delay > patience {
		turn.Cancel()
		return throttled(op, full, delay)
	}
	if !sleep(ctx, delay) {
		turn.Cancel()
		return failed(op, ctx.Err())
	}
	return nil
}

// limiterOf is the call's own limiter; nil if the platform names no limit for it.
func (t *Transport) limiterOf(call Call) *rate.Limiter {
	if call.PerSecond <= 0 {
		return nil
	}
	// A quarter may go out at once and three quarters follow in a second, so that no second
	// has more than is allowed.
	made := rate.NewLimiter(rate.Limit(call.PerSecond)*3/4, max(1, call.PerSecond/4))
	limiter, _ := t.perOp.LoadOrStore(call.Op, made)
	return limiter.(*rate.Limiter)
}

// enter takes a place among the calls under way; a free one is taken without patience too.
func (t *Transport) enter(ctx context.Context, patience time.Duration) bool {
	select {
	case t.turns <- struct{}{}:
		return true
	default:
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case t.turns <- struct{}{}:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

type patienceKey struct{}

// WithPatience lets calls under the context wait longer for their turn than a worker
// may otherwise be held.
func WithPatience(ctx context.Context, patience time.Duration) context.Context {
	return context.WithValue(ctx, patienceKey{}, patience)
}

func patienceOf(ctx context.Context) time.Duration {
	if patience, ok := ctx.Value(patienceKey{}).(time.Duration); ok {
		return patience
	}
	return maxTurnWait
}

// errUnread is a platform that takes connections and looks at nothing.
var errUnread = errors.New("the platform says again and again that it has not looked at the call")

// sparingly ends a call with errUnread when it would go out more often than it may: net/http
// itself would go on, connection after connection, as long as the server says that it has not
// looked.
func sparingly(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	var sends atomic.Int32
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		if sends.Add(1) > maxSends {
			cancel(errUnread)
		}
	}}), cancel
}

func (t *Transport) send(ctx context.Context, call Call) ([]byte, error) {
	ctx, cancel := sparingly(ctx)
	defer cancel(nil)
	request, err := http.NewRequestWithContext(ctx, call.Method, call.URL, bytes.NewReader(call.Body))
	if err != nil {
		return nil, &Error{Kind: Refused, Reason: ReasonRequest, Op: call.Op, Err: withoutURL(err)}
	}
	maps.Copy(request.Header, call.Header)
	response, err := t.client.Do(request)
	if err != nil && errors.Is(context.Cause(ctx), errUnread) {
		err = errUnread // to the breaker a call that was given up says nothing
	}
	if err != nil {
		return nil, failed(call.Op, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, done, err := t.read(ctx, response.Body)
	defer done()
	if err != nil {
		return nil, failed(call.Op, err)
	}
	if err := classifyHTTP(call.Op, response, body); err != nil {
		return nil, err
	}
	if call.Classify == nil {
		return body, nil
	}
	if err := decoding.Acquire(ctx, t.channel); err != nil {
		return nil, failed(call.Op, err)
	}
	defer decoding.Release(t.channel)
	if err := call.Classify(body); err != nil {
		return nil, err
	}
	return body, nil
}

// What answers of all accounts share; one account has half at the most.
var (
	// large are held while an answer comes that is large, and until it is decoded.
	large = fair.NewSlots[string](maxLarge)
	// decoding are held for nothing but the processor's time.
	decoding = fair.NewSlots[string](maxDecoding)
)

// read reads an answer, or so much of one that is too long that it shows. One that is large waits
// for its turn before the rest is read; done ends that, and must be called.
func (t *Transport) read(ctx context.Context, body io.Reader) (answer []byte, done func(), err error) {
	answer, err = io.ReadAll(io.LimitReader(body, largeAnswer))
	if err != nil || len(answer) < largeAnswer {
		return answer, func() {}, err
	}
	if err := large.Acquire(ctx, t.channel); err != nil {
		return nil, func() {}, err
	}
	rest, err := io.ReadAll(io.LimitReader(body, maxAnswer+1-largeAnswer))
	return append(answer, rest...), func() { large.Release(t.channel) }, err
}

// classifyHTTP tells the failures that any HTTP API shares.
func classifyHTTP(op string, response *http.Response, answer []byte) error {
	e := &Error{Op: op, Code: strconv.Itoa(response.StatusCode), Text: http.StatusText(response.StatusCode),
		RetryAfter: retryAfter(response.Header)}
	switch status := response.StatusCode; {
	case len(answer) > maxAnswer || Parts(answer) > maxAnswerParts:
		e.Kind, e.Reason, e.Text = Transient, ReasonBadAnswer, "the answer is larger than any documented one"
	case status >= 200 && status < 300:
		return nil
	case status == http.StatusTooManyRequests:
		e.Kind, e.Reason = Throttled, ReasonThrottled
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		e.Kind, e.Reason = Refused, ReasonCredentials
	case status >= 300 && status < 400:
		e.Kind, e.Reason, e.Text = Transient, ReasonBadAnswer, "redirects are not followed"
	case status == http.StatusRequestTimeout || status >= 500:
		e.Kind, e.Reason = Transient, ReasonUnavailable
	default:
		e.Kind, e.Reason = Refused, ReasonRequest
	}
	return e
}

// wait keeps what the platform asks. Answers overtake each other: a shorter wait does
// not cut a longer one short.
func (t *Transport) wait(e *Error) {
	if e.RetryAfter <= 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if until := time.Now().Add(min(e.RetryAfter, maxRetryAfter)); until.After(t.notUntil) {
		t.notUntil = until
	}
}

func (t *Transport) waiting() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Until(t.notUntil)
}

func throttled(op, text string, wait time.Duration) *Error {
	return &Error{Kind: Throttled, Reason: ReasonThrottled, Op: op, Text: text, RetryAfter: wait}
}

func failed(op string, err error) *Error {
	return &Error{Kind: Transient, Reason: ReasonUnavailable, Op: op, Err: withoutURL(err)}
}

// withoutURL drops the URL from a net/http error: a query may hold a signature.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

func retryAfter(header http.Header) time.Duration {
	value := header.Get("Retry-After")
	// A number out of range comes back as the largest there is.
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil || errors.Is(err, strconv.ErrRange) {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(time.Until(at), 0), maxRetryAfter)
	}
	return 0
}

func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
