package platformtest

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// Subject is an adapter under test and what the suite cannot know of its platform.
// The adapter's test fills it in whole; what the platform lacks is said, not left out.
type Subject struct {
	Adapter platform.Adapter

	// Account is the id of the account that the running fake holds.
	Account string
	// Good credentials work. Bad ones are well-formed and somebody else's. Each of the
	// Unusable lacks a key or has one that does not parse.
	Good, Bad platform.Credentials
	Unusable  []platform.Credentials
	// Settings of the Channel, as the adapter's Settings gives them.
	Settings any

	// Types are the platform's names of all pushes the adapter knows.
	Types []string
	// Samples has at least one push for each path.
	Samples []Sample
	// Malformed are pushes that can never be accepted, besides those the suite makes up.
	Malformed []Malformed
	// Verdict is what the platform makes of a reply to a push at the path.
	Verdict func(path string, reply platform.Reply) Verdict
	// RefusedInBody are the paths where a refusal is a 200 whose body refuses.
	RefusedInBody []string
	// Unsigned is what a push without a signature proves: ProofNone where the platform signs
	// none, ProofMissing where it may leave it out. Empty: it must not, and is forged.
	Unsigned platform.Proof

	// NoProducts, NoOrders and NoNotices declare what the platform cannot be asked, and
	// NoAnswers that it is told nothing that it waits for.
	NoProducts, NoOrders, NoNotices, NoAnswers bool
	// RefusalsUnknown: the platform does not say what it answers to bad credentials and about
	// what it does not have. Any error will do that does not claim that something is gone.
	RefusalsUnknown bool
	// Start serves a fresh fake until the test ends.
	Start func(*testing.T) Running
	// Product is one that the fake has; UnknownProduct is not there. Unused with NoProducts.
	Product, UnknownProduct string
	// Order is one that the fake has; UnknownOrder is not there. Unused with NoOrders.
	Order, UnknownOrder platform.OrderQuestion
	// Issue is the codes of an order that the fake waits for; Decisions are on refunds that
	// it waits for, one at least approved and one refused. Unused with NoAnswers.
	Issue     platform.Issue
	Decisions []platform.Decision
	// Notices that the fake can be asked about. Unused with NoNotices.
	Notices []AskedNotice
}

// AskedNotice is a notice that the platform can be asked about.
type AskedNotice struct{ PlatformType, Subject string }

func (s Subject) holder(credentials platform.Credentials) platform.Holder {
	return platform.Holder{ID: s.Account, Credentials: credentials, Settings: s.Settings}
}

// tokens keeps a token for one client.
type tokens struct {
	mu    sync.Mutex
	token sealing.Secret
	// given are all that were fetched: no error may hold one.
	given []string
	// used: a token was asked for.
	used bool
}

// told gives what the client did with it.
func (k *tokens) told() (given []string, used bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.given), k.used
}

func (k *tokens) Token(ctx context.Context, refused sealing.Secret, fetch func(context.Context) (platform.Token, error)) (sealing.Secret, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.used = true
	if !k.token.IsZero() && !k.token.Equal(refused) {
		return k.token, nil
	}
	token, err := fetch(ctx)
	if err == nil {
		k.token = token.Text
		k.given = append(k.given, token.Text.Reveal())
	}
	return token.Text, err
}

// Sample is a push as the platform sends it.
type Sample struct {
	Name, Path string
	Query      url.Values
	Header     http.Header
	Body       []byte
	// Account the push names; empty if it names none.
	Account string
	// Type it must have; "unknown" for one that the adapter does not know.
	Type string
	// Events is how many it must give, an Inquiry with its answer.
	Events int
	// Signed: it carries a signature, made with the Good credentials.
	Signed bool
	// SignedHeaders and SignedQuery name the headers and parameters that hold the signature
	// or are under it: altered or missing, the push is refused.
	SignedHeaders, SignedQuery []string
	// SignedFields are the fields of a JSON body that hold the signature or are under it,
	// where it does not cover the others; nil: it covers the whole body.
	SignedFields []string
	// Resent is the same push sent again, with another time and signature, and Changed says
	// something else of the same orders. Needed where the id is made of the content.
	Resent, Changed []byte
	// Foreign: rightly signed, and about another account than ours.
	Foreign bool
	// Echo is the body that a Challenge must be answered with; nil for any other push.
	Echo []byte
	// Inquiry is what an Inquiry is told; nil for any other push.
	Inquiry *Inquired
	// Secrets are texts in the body that must never be shown, such as its codes.
	Secrets []string
}

func (s Sample) push(body []byte) platform.Push {
	return platform.Push{Path: s.Path, Query: s.Query, Header: s.Header, Body: body, ReceivedAt: receivedAt}
}

// receivedAt is when all pushes of the suite are received: the same push says the same.
var receivedAt = time.Now()

// Inquired is what an Inquiry of a sample is told.
type Inquired struct {
	// Known was looked up. Its MakeCode and CodeID are the suite's own.
	Known platform.Known
	// Settings of the Channel in place of the Subject's; nil takes those.
	Settings any
	// Verdict that the platform must come to; empty is Accepted.
	Verdict Verdict
}

// Malformed is a push that will never be accepted.
type Malformed struct {
	Name, Path string
	Query      url.Values
	Header     http.Header
	Body       []byte
}

// Running is a fake that answers.
type Running struct {
	// Endpoint is its base URL.
	Endpoint string
	// Inject adds a fault to its script, Clear empties the script.
	Inject func(Fault)
	Clear  func()
	// Catalogue are the product ids that a listing gives, in any order. It should need
	// several pages.
	Catalogue []string
	// Secrets are texts in its answers that no error may hold.
	Secrets []string
	// Complaints are the platform's rules that were broken; nil if the fake does not watch.
	Complaints func() []string
	// Tokens is nil where the platform hands out no access tokens.
	Tokens *RunningTokens
	// Codes are those that the fake has for an order, in the order of its units. Unused with
	// NoAnswers.
	Codes func(orderID string) []string
	// Decided is what the fake was told about a refund: whether it is approved, and whether
	// anything was told at all. Unused with NoAnswers.
	Decided func(platform.Decision) (approved, told bool)
}

// RunningTokens is a fake's side of access tokens.
type RunningTokens struct {
	// Issued counts those handed out.
	Issued func() int
	// End makes all of them bad.
	End func()
	// Refusal refuses the token of a question, however fresh it is.
	Refusal Fault
}

// check is one thing that an adapter must hold to; its error says what does not.
type check struct {
	name string
	run  func(Subject) error
}

// askCheck is one that needs a running fake.
type askCheck struct {
	name string
	run  func(asking) error
}

// Conformance is what every adapter must pass. It knows an adapter only by the
// platform.Adapter boundary.
func Conformance(t *testing.T, s Subject) {
	if err := s.complete(); err != nil {
		t.Fatal(err)
	}
	for _, c := range pushChecks {
		t.Run("push/"+c.name, func(t *testing.T) { report(t, c.run(s)) })
	}
	for _, c := range askChecks {
		t.Run("ask/"+c.name, func(t *testing.T) {
			report(t, c.run(newAsking(s, s.Start(t))))
		})
	}
}

// complete refuses a Subject that would let checks pass for want of material.
func (s Subject) complete() error {
	products := s.NoProducts || s.Product != "" && s.UnknownProduct != ""
	orders := s.NoOrders || s.Order != platform.OrderQuestion{} && s.UnknownOrder != platform.OrderQuestion{}
	switch {
	case s.Adapter == nil, s.Account == "", s.Verdict == nil, s.Start == nil:
		return errors.New("the Subject needs Adapter, Account, Verdict and Start")
	case len(s.Good) == 0, len(s.Bad) == 0, len(s.Unusable) == 0:
		return errors.New("the Subject needs Good, Bad and Unusable credentials")
	case len(s.Types) == 0, len(s.Samples) == 0, len(s.Malformed) == 0:
		return errors.New("the Subject needs Types, Samples and Malformed pushes")
	case !s.NoAnswers && (len(s.Issue.Codes) == 0 || !s.decidesBoth()), !s.NoNotices && len(s.Notices) == 0:
		return errors.New("the Subject needs an Issue, Decisions and Notices, or NoAnswers and NoNotices")
	case !products, !orders:
		return errors.New("the Subject needs a known and an unknown product and order, or NoProducts and NoOrders")
	}
	return nil
}

// decidesBoth reports whether a refund is approved and another refused.
func (s Subject) decidesBoth() bool {
	approves := func(d platform.Decision) bool { return d.Approve }
	refuses := func(d platform.Decision) bool { return !d.Approve }
	return slices.ContainsFunc(s.Decisions, approves) && slices.ContainsFunc(s.Decisions, refuses)
}

// report tells each of joined errors on its own line.
func report(t *testing.T, err error) {
	t.Helper()
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			report(t, e)
		}
		return
	}
	if err != nil {
		t.Error(err)
	}
}

// NewTokens keeps an access token for the clients of one test.
func NewTokens() platform.Tokens { return &tokens{} }
