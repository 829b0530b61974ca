package webhookserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/apierror"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/quiet"
)

// handler answers pushes.
type handler struct {
	receivers map[v1alpha1.Platform]platform.Receiver
	accounts  Accounts
	recorder  Recorder
	proxies   []netip.Prefix
	door      *door
	guesses   *guesses
	// firstUnit of a body has so long to come.
	firstUnit time.Duration
	// lines about pushes that were not accepted, by platform and what became of them.
	lines map[sort]*quiet.Lines
	// panics are lines about defects of our own.
	panics *quiet.Lines
	// unproxied and unnamed are lines about pushes that come past the declared proxies, and of whom those
	// do not say where they come from.
	unproxied, unnamed *quiet.Lines
}

// sort of a log line.
type sort struct {
	platform v1alpha1.Platform
	tells    tells
}

// tells is what a line is about.
type tells int

const (
	ofRefused tells = iota // will never be accepted
	ofRetried              // could not be recorded, and may come again
	ofSlowed               // was not looked at, and may come again
)

// NewHandler serves the push paths: /api/webhooks/<platform>/<tail>, where the account
// stands in the push, and /api/channels/<namespace>/<name>/<tail>, where the path names
// the Channel. Any other path is 404, without a redirect.
func NewHandler(o Options) http.Handler {
	h := &handler{receivers: o.Receivers, accounts: o.Accounts, recorder: o.Recorder, proxies: o.TrustedProxies,
		door: newDoor(cmp.Or(o.inHand, maxInHand), o.Receivers), guesses: newGuesses(), firstUnit: cmp.Or(o.firstUnit, firstUnit),
		lines: map[sort]*quiet.Lines{}, panics: quiet.New(time.Second, lineBurst), unproxied: quiet.New(unproxiedEvery, 1), unnamed: quiet.New(unproxiedEvery, 1)}
	mux := http.NewServeMux()
	for name, receiver := range o.Receivers {
		for _, about := range []tells{ofRefused, ofRetried, ofSlowed} {
			h.lines[sort{name, about}] = quiet.New(time.Second, lineBurst)
		}
		for _, tail := range receiver.Paths() {
			mux.HandleFunc("POST "+WebhookPath(name, tail), func(w http.ResponseWriter, r *http.Request) {
				h.serve(w, r, route{receiver: receiver, platform: name, tail: tail})
			})
		}
	}
	mux.HandleFunc("POST /api/channels/{namespace}/{name}/{tail...}", h.serveChannel)
	mux.HandleFunc("POST /api/channels/{namespace}/{name}", http.NotFound) // else the mux redirects to the path above
	return plainPaths(mux)
}

// WebhookPath is the path of a platform's pushes that name their account.
func WebhookPath(p v1alpha1.Platform, tail string) string {
	return "/api/webhooks/" + strings.ToLower(string(p)) + "/" + tail
}

// plainPaths answers 404 where the mux would redirect: a platform follows no redirect,
// and a POST would lose its body.
func plainPaths(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/") || r.URL.Path != path.Clean(r.URL.Path) {
			http.NotFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// route is where a push came in.
type route struct {
	receiver platform.Receiver
	platform v1alpha1.Platform
	tail     string
	// channel is set on the channel path.
	channel *types.NamespacedName
	// known is set if there is such a Channel.
	known bool
}

func (h *handler) serveChannel(w http.ResponseWriter, r *http.Request) {
	defer h.survive(w, route{})
	at := route{tail: r.PathValue("tail"),
		channel: &types.NamespacedName{Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}}
	if account, _ := h.accounts.ByName(*at.channel); account != nil {
		at.receiver, at.platform, at.known = account.Receiver, account.Platform, true
	} else {
		at.receiver, at.platform = h.speaks(at.tail) // the tail tells the dialect to refuse in
	}
	if at.receiver == nil || !slices.Contains(at.receiver.Paths(), at.tail) {
		http.NotFound(w, r)
		return
	}
	h.serve(w, r, at)
}

// speaks finds the platform that posts to a tail.
func (h *handler) speaks(tail string) (platform.Receiver, v1alpha1.Platform) {
	for name, receiver := range h.receivers {
		if slices.Contains(receiver.Paths(), tail) {
			return receiver, name
		}
	}
	return nil, ""
}

// result is what became of a push and, where it was not accepted, why.
type result struct {
	outcome platform.Outcome
	// account and kind label metrics: account is empty until the push found one.
	account *accounts.Account
	kind    string
	err     error
	// reply is what the platform asked for; nil where the outcome says it all.
	reply *platform.Reply
}

func (h *handler) serve(w http.ResponseWriter, r *http.Request, at route) {
	defer h.survive(w, at)
	start := time.Now()
	h.tellUnproxied(r)
	got := h.admit(w, r, at)
	h.observe(r, at, got, time.Since(start))
	reply := at.receiver.Reply(at.tail, got.outcome, got.why())
	if got.reply != nil && got.outcome.Accepted() {
		reply = *got.reply
	}
	write(w, reply)
}

// write answers a push.
func write(w http.ResponseWriter, reply platform.Reply) {
	w.Header().Set("Content-Type", reply.ContentType)
	w.WriteHeader(reply.Status)
	_, _ = w.Write(reply.Body)
}

// admit receives a push if there is room for it.
func (h *handler) admit(w http.ResponseWriter, r *http.Request, at route) result {
	in, admitted := h.door.enter(at, h.network(r))
	if !admitted {
		return unread(w, platform.OutcomeRetry, errCrowd)
	}
	defer in.leave()
	body, err := h.read(w, r, in)
	in.came()
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return unread(w, platform.OutcomeTooLarge, err)
	}
	if err != nil {
		return unread(w, platform.OutcomeRetry, err)
	}
	return h.receive(r, at, body)
}

// unknown is the type of a push that nothing is known of.
const unknown = "unknown"

// unread is a push that is not read to its end: its connection ends with the reply, which would
// otherwise wait for the rest.
func unread(w http.ResponseWriter, outcome platform.Outcome, err error) result {
	w.Header().Set("Connection", "close")
	return result{kind: unknown}.refuse(outcome, err)
}

// read reads the body of a push in hand.
func (h *handler) read(w http.ResponseWriter, r *http.Request, in *visit) ([]byte, error) {
	arriving := in.arrive(w, r.Body, h.firstUnit)
	body, err := io.ReadAll(http.MaxBytesReader(w, io.NopCloser(arriving), maxBody))
	if err == nil {
		_ = arriving.conn.SetReadDeadline(time.Time{}) // recording takes its own time
	}
	return body, err
}

// receive checks in this order: size, route (done), channel, sender, content; then it
// has the fact recorded.
func (h *handler) receive(r *http.Request, at route, body []byte) result {
	push := platform.Push{Path: at.tail, Query: r.URL.Query(), Header: r.Header, Body: body, ReceivedAt: time.Now()}
	message, events, got := h.open(r, at, &push)
	if message == nil {
		return got
	}
	leave, admitted := h.door.record(got.account)
	if !admitted {
		return got.refuse(platform.OutcomeRetry, errCrowd)
	}
	defer leave()
	// A platform that hangs up gives nothing back: the push in hand is recorded all the same.
	ctx := context.WithoutCancel(r.Context())
	switch m := message.(type) {
	case platform.Challenge:
		return got.answered(m.Echo())
	case platform.Inquiry:
		return h.answer(ctx, push, m, got)
	}
	return h.record(ctx, push, events, got)
}

// open decodes a push in its turn, finds whose it is, and has its sender checked; all of it in
// memory. The message is nil where no more is to be done. What a body decodes to may be many times
// its size, so nothing that waits for anything else may hold it, or the turn: an inquiry alone,
// whose sender is proven, is held while it is answered.
func (h *handler) open(r *http.Request, at route, push *platform.Push) (platform.Message, []platform.Event, result) {
	got := result{kind: unknown}
	if platform.Parts(push.Body) > maxParts {
		return nil, nil, got.refuse(platform.OutcomeMalformed, errParts)
	}
	err := h.door.decoding.Acquire(r.Context(), at.taker())
	if err != nil {
		return nil, nil, got.refuse(platform.OutcomeRetry, err)
	}
	defer h.door.decoding.Release(at.taker())
	message, err := at.receiver.Open(*push)
	if err != nil {
		return nil, nil, got.refuse(platform.OutcomeMalformed, err)
	}
	got.kind = message.Type()
	if challenge, ok := message.(platform.Challenge); ok && at.channel == nil && message.Account() == "" {
		return nil, nil, h.meet(at, challenge, len(push.Body), got)
	}
	if got.account, err = h.account(at, message); err != nil {
		return nil, nil, got.refuse(outcomeOf(err), err)
	}
	if push.Unproven, err = h.checkSender(r, at, *push, got.account, message); err != nil {
		return nil, nil, got.refuse(forNow(got.account, outcomeOf(err)), err)
	}
	events, err := message.Events()
	if err != nil {
		return nil, nil, got.refuse(platform.OutcomeMalformed, err)
	}
	return message, events, got
}

// errParts is a push that no platform sends.
var errParts = fmt.Errorf("%w: more than %d values are in it", platform.ErrMalformed, maxParts)

// record has what a push says made durable.
func (h *handler) record(ctx context.Context, push platform.Push, events []platform.Event, got result) result {
	ctx, cancel := context.WithTimeout(ctx, commitBudget)
	defer cancel()
	got.outcome, got.err = sound(h.recorder.Record(ctx, got.account, push, events))
	return got
}

// sound is an outcome that promises nothing beside an error.
func sound(outcome platform.Outcome, err error) (platform.Outcome, error) {
	if err != nil && outcome.Accepted() {
		outcome = platform.OutcomeRetry
	}
	return outcome, err
}

// answer looks up what an inquiry must know, has what it decides recorded, and replies.
// What turns out to be recorded already, by another replica or before a crash, is looked
// at afresh and answered as it was then.
func (h *handler) answer(ctx context.Context, push platform.Push, inquiry platform.Inquiry, got result) result {
	ctx, cancel := context.WithTimeout(ctx, answerBudget)
	defer cancel()
	lookup := inquiry.Asks()
	for _, fresh := range []bool{lookup.Fresh, true} {
		known, err := h.recorder.Look(ctx, got.account, lookup, fresh)
		if err != nil {
			return got.refuse(platform.OutcomeRetry, err)
		}
		answer, err := inquiry.Answer(got.account.Holder, known)
		if err != nil {
			return got.refuse(outcomeOf(err), err)
		}
		if answer.Recorded {
			return got.with(platform.OutcomeDuplicate, answer.Reply)
		}
		if len(answer.Events) == 0 {
			return got.answered(answer.Reply)
		}
		outcome, err := sound(h.recorder.Commit(ctx, got.account, push, answer.Events))
		if !outcome.Accepted() {
			return got.refuse(outcome, err)
		}
		if outcome != platform.OutcomeDuplicate || len(lookup.Orders) == 0 {
			return got.with(outcome, answer.Reply)
		}
	}
	return got.refuse(platform.OutcomeRetry, errors.New("recorded before, and what was answered is not to be found"))
}

// meet answers a platform that asks, in nobody's name, whether we are there. If it signs
// that, some account must have the key: all are tried, so it must be small.
func (h *handler) meet(at route, challenge platform.Challenge, size int, got result) result {
	if size > maxChallenge {
		return got.refuse(platform.OutcomeMalformed, errLongChallenge)
	}
	if !challenge.Signed() {
		return got.answered(challenge.Echo())
	}
	all, err := h.accounts.OnPlatform(at.platform)
	if err != nil {
		return got.refuse(outcomeOf(err), err)
	}
	refusal := fmt.Errorf("%w: it is no account's", platform.ErrForged)
	for _, account := range all {
		_, err := challenge.Verify(account.Holder)
		if err == nil {
			return got.answered(challenge.Echo())
		}
		if !errors.Is(err, platform.ErrForged) {
			refusal = err // it could not be checked
		}
	}
	return got.refuse(outcomeOf(refusal), refusal)
}

// errLongChallenge is none that a platform sends.
var errLongChallenge = fmt.Errorf("%w: a challenge of more than %d bytes", platform.ErrMalformed, maxChallenge)

func (r result) with(outcome platform.Outcome, reply platform.Reply) result {
	r.outcome, r.reply = outcome, &reply
	return r
}

// answered is for what left nothing to record.
func (r result) answered(reply platform.Reply) result {
	return r.with(platform.OutcomeAnswered, reply)
}

// why a push will never be accepted as it stands: for the platform, if it cares to read.
func (r result) why() string {
	if r.outcome != platform.OutcomeMalformed || r.err == nil {
		return ""
	}
	return r.err.Error()
}

func (r result) refuse(outcome platform.Outcome, err error) result {
	r.outcome, r.err = outcome, err
	return r
}

// outcomeOf tells what will never be accepted from what fails on our side: an account
// that is certainly not there from one that cannot be told yet, a wrong signature from
// one that cannot be checked.
func outcomeOf(err error) platform.Outcome {
	switch {
	case errors.Is(err, accounts.ErrUnknown), errors.Is(err, platform.ErrOtherAccount):
		return platform.OutcomeUnknownAccount
	case errors.Is(err, platform.ErrForged):
		return platform.OutcomeForged
	case errors.Is(err, platform.ErrMalformed):
		return platform.OutcomeMalformed
	}
	return platform.OutcomeRetry
}

// forNow is an outcome that no account gives for good before the API server has been asked: its
// secret may have changed.
func forNow(account *accounts.Account, outcome platform.Outcome) platform.Outcome {
	if account.Restored && (outcome == platform.OutcomeForged || outcome == platform.OutcomeUnknownAccount) {
		return platform.OutcomeRetry
	}
	return outcome
}

// account finds whose push it is. On the channel path the push may name the account
// too: then both must agree.
func (h *handler) account(at route, message platform.Message) (*accounts.Account, error) {
	if at.channel == nil {
		return h.accounts.ByAccount(at.platform, message.Account())
	}
	account, err := h.accounts.ByName(*at.channel)
	if err == nil && message.Account() != "" && message.Account() != account.ID {
		if account.Restored {
			return nil, accounts.ErrNotKnownYet
		}
		return nil, accounts.ErrUnknown
	}
	return account, err
}

// lineBurst is how many lines about pushes that were not accepted come at once; then one a
// second, for each platform and for each of the three sorts.
const lineBurst = 20

// observe counts every push and says in one line why one was not accepted; never what
// stood in it, nor its query, where the token is. Of a flood it tells some, and how many more.
func (h *handler) observe(r *http.Request, at route, got result, took time.Duration) {
	channel := ""
	if got.account != nil {
		channel = got.account.Namespace + "/" + got.account.Name
	}
	pushes.WithLabelValues(string(at.platform), channel, got.kind, string(got.outcome)).Inc()
	replySeconds.WithLabelValues(string(at.platform)).Observe(took.Seconds())
	if got.outcome.Accepted() {
		return
	}
	about := got.tells()
	if about == ofSlowed {
		slowed.WithLabelValues(channel).Inc()
	}
	leftOut, allowed := h.lines[sort{at.platform, about}].Next()
	if !allowed {
		return
	}
	log := ctrl.Log.WithName("push").WithValues("platform", at.platform, "path", at.tail, "channel", channel,
		"type", got.kind, "outcome", got.outcome, "from", h.sender(r).String())
	if leftOut > 0 {
		log = log.WithValues("linesLeftOut", leftOut)
	}
	why := apierror.Plain(got.err)
	if about == ofRetried {
		log.Error(why, "push not recorded: asked the platform to send it again")
		return
	}
	log.Info("push refused", "why", fmt.Sprint(why))
}

// tells what a line about it would be about.
func (r result) tells() tells {
	switch {
	case errors.Is(r.err, errSlowed):
		return ofSlowed
	case r.outcome == platform.OutcomeRetry:
		return ofRetried
	}
	return ofRefused
}
