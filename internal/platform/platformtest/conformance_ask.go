package platformtest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/laidoulaile/channel-operator/internal/platform"
)

const (
	// impatience is how long a question is let wait that cannot be answered in time.
	impatience = 50 * time.Millisecond
	// promptly bounds how long after that it may still take, on a busy machine.
	promptly = 5 * time.Second
)

var askChecks = []askCheck{
	{"credentials", checkCredentials},
	{"what cannot be asked is declared", checkDeclared},
	{"questions", checkQuestions},
	{"products", checkProducts},
	{"orders", checkOrders},
	{"answers that are owed", checkAnswers},
	{"access tokens", checkTokens},
	{"the platform has nothing to complain of", checkComplaints},
	{"faults are classified", checkFaults},
	{"listing gives everything once", checkListing},
	{"cancellation", checkCancellation},
	{"concurrency", checkConcurrency},
}

// asking is a subject with its fake running.
type asking struct {
	subject Subject
	running Running
	// kept are the tokens of all clients that were made.
	kept *[]*tokens
}

func newAsking(s Subject, r Running) asking { return asking{s, r, &[]*tokens{}} }

// client makes a client with the credentials and a transport of its own, whose
// breaker and limits know nothing of other checks, and which has no token yet.
func (a asking) client(credentials platform.Credentials) (platform.Client, error) {
	kept := &tokens{}
	*a.kept = append(*a.kept, kept)
	return a.clientWith(credentials, kept)
}

// clientWith makes a client that shares its token with others.
func (a asking) clientWith(credentials platform.Credentials, kept *tokens) (platform.Client, error) {
	limits := platform.Limits{RequestsPerSecond: 10_000, Burst: 10_000, Concurrency: 64}
	transport := platform.NewTransport("conformance", limits, &http.Transport{DisableKeepAlives: true})
	account := platform.Account{Holder: a.subject.holder(credentials), Endpoint: a.running.Endpoint, Tokens: kept}
	return a.subject.Adapter.NewClient(account, transport)
}

// question is one thing to ask; unknown is whether the fake does not have it.
type question struct {
	name    string
	unknown bool
	ask     func(context.Context, platform.Client) error
}

// questions are all that the platform can be asked.
func (a asking) questions() []question {
	s := a.subject
	all := []question{{"Check", false, func(ctx context.Context, c platform.Client) error { return c.Check(ctx) }}}
	if !s.NoProducts {
		all = append(all,
			question{"ListProducts", false, func(ctx context.Context, c platform.Client) error {
				return c.(platform.ProductClient).ListProducts(ctx, func([]platform.ListedProduct) bool { return true })
			}},
			askProduct("Product", s.Product, false, aspects...),
			askProduct("Product, price and stock", s.Product, false, platform.AspectPrice, platform.AspectStock),
			askProduct("unknown Product", s.UnknownProduct, true, aspects...),
			askProduct("unknown Product, price and stock", s.UnknownProduct, true, platform.AspectPrice, platform.AspectStock))
	}
	if !s.NoOrders {
		all = append(all,
			askOrder("Order", s.Order, false, false), askOrder("Order and refunds", s.Order, true, false),
			askOrder("unknown Order", s.UnknownOrder, false, true), askOrder("unknown Order and refunds", s.UnknownOrder, true, true))
	}
	if !s.NoAnswers {
		all = append(all, question{"IssueCodes", false, func(ctx context.Context, c platform.Client) error {
			return c.(platform.OrderAnswerer).IssueCodes(ctx, s.Issue)
		}})
		for i, d := range s.Decisions {
			all = append(all, question{fmt.Sprintf("DecideRefund %d", i+1), false, func(ctx context.Context, c platform.Client) error {
				return c.(platform.OrderAnswerer).DecideRefund(ctx, d)
			}})
		}
	}
	for _, n := range s.Notices {
		all = append(all, askNotice(n))
	}
	return all
}

// askNotice asks about a notice, and for a line that a status can hold.
func askNotice(n AskedNotice) question {
	return question{"Notice " + n.PlatformType, false, func(ctx context.Context, c platform.Client) error {
		text, asked, err := c.(platform.NoticeClient).Notice(ctx, n.PlatformType, n.Subject)
		if err != nil {
			return err
		}
		if !asked || text == "" || strings.ContainsAny(text, "\r\n") {
			return fmt.Errorf("asked: %t, %d bytes of text on one line", asked, len(text))
		}
		return bounded("a notice's text", text, maxReason)
	}}
}

func askProduct(name, id string, unknown bool, wanted ...platform.Aspect) question {
	return question{name, unknown, func(ctx context.Context, c platform.Client) error {
		_, err := c.(platform.ProductClient).Product(ctx, platform.ProductQuestion{ProductID: id, Aspects: wanted})
		return err
	}}
}

func askOrder(name string, q platform.OrderQuestion, refunds, unknown bool) question {
	q.Refunds = refunds
	return question{name, unknown, func(ctx context.Context, c platform.Client) error {
		_, err := c.(platform.OrderClient).Order(ctx, q)
		return err
	}}
}

// secrets are texts that no error may hold.
func (a asking) secrets() []string {
	all := slices.Clone(a.running.Secrets)
	for _, credentials := range append([]platform.Credentials{a.subject.Good, a.subject.Bad}, a.subject.Unusable...) {
		for _, value := range credentials {
			all = append(all, value.Reveal())
		}
	}
	codes := a.subject.Issue.Codes
	for _, d := range a.subject.Decisions {
		codes = append(slices.Clone(codes), d.Codes...)
	}
	for _, code := range codes {
		all = append(all, code.Text.Reveal())
	}
	for _, kept := range *a.kept {
		given, _ := kept.told()
		all = append(all, given...)
	}
	return all
}

// told is an error's text, or that there is none.
func told(err error) string { return fmt.Sprint(err) }

// failed checks that an error is classified as wanted and tells no secret.
func (a asking) failed(err error, kind platform.Kind, reasons ...platform.Reason) error {
	e, ok := errors.AsType[*platform.Error](err)
	switch {
	case !ok:
		return fmt.Errorf("want an *Error of kind %s, not %s", kind, told(err))
	case e.Kind != kind || !slices.Contains(reasons, e.Reason):
		return fmt.Errorf("%s/%s, want %s/%s: %w", e.Kind, e.Reason, kind, reasons, err)
	case e.Op == "":
		return fmt.Errorf("no Op: %w", err)
	}
	return a.holdsNone(err)
}

// refused is failed, where the platform says how it refuses; where it does not, any error
// will do but one that claims to know that something is gone.
func (a asking) refused(err error, kind platform.Kind, reason platform.Reason) error {
	if !a.subject.RefusalsUnknown {
		return a.failed(err, kind, reason)
	}
	e, ok := errors.AsType[*platform.Error](err)
	if !ok || e.Op == "" || e.Kind == platform.Gone {
		return fmt.Errorf("want an *Error with an Op, of any kind but Gone, not %s", told(err))
	}
	return a.holdsNone(err)
}

// holdsNone reports a secret in an error, also in a part of it that it does not show.
func (a asking) holdsNone(err error) error {
	text := fmt.Sprintf("%v %+v", err, err)
	if e, ok := errors.AsType[*platform.Error](err); ok {
		text += e.Text
	}
	return holdsNone(text, a.secrets())
}

func checkCredentials(a asking) error {
	s := a.subject
	ctx := context.Background()
	var errs []error
	for i, unusable := range append([]platform.Credentials{nil, {}}, s.Unusable...) {
		_, err := a.client(unusable)
		if !errors.Is(err, platform.ErrCredentials) {
			errs = append(errs, fmt.Errorf("unusable credentials %d: %w", i-2, errors.Join(errors.New("want ErrCredentials"), err)))
			continue
		}
		errs = append(errs, holdsNone(err.Error(), a.secrets()))
	}
	good, err := a.client(s.Good)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	if err := good.Check(ctx); err != nil {
		errs = append(errs, fmt.Errorf("good credentials: %w", err))
	}
	bad, err := a.client(s.Bad)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	if err := a.refused(bad.Check(ctx), platform.Refused, platform.ReasonCredentials); err != nil {
		errs = append(errs, fmt.Errorf("bad credentials: %w", err))
	}
	return errors.Join(errs...)
}

func checkDeclared(a asking) error {
	s := a.subject
	c, err := a.client(s.Good)
	if err != nil {
		return err
	}
	_, products := c.(platform.ProductClient)
	_, orders := c.(platform.OrderClient)
	_, answers := c.(platform.OrderAnswerer)
	_, notices := c.(platform.NoticeClient)
	if products == s.NoProducts || orders == s.NoOrders || answers == s.NoAnswers || notices == s.NoNotices {
		return fmt.Errorf("the client asks for products: %t, orders: %t, notices: %t, and answers: %t; declared otherwise", products, orders, notices, answers)
	}
	if decide := s.Adapter.PushesDecide(); decide == orders {
		return fmt.Errorf("the client asks for orders: %t, and pushes decide: %t", orders, decide)
	}
	if s.NoNotices {
		return nil
	}
	_, asked, err := c.(platform.NoticeClient).Notice(context.Background(), "no-such-type", "1")
	if asked || err != nil {
		return fmt.Errorf("asked about a notice of no known type: %t, %s", asked, told(err))
	}
	return nil
}

// checkQuestions: the known is answered, the unknown is Gone and NotFound.
func checkQuestions(a asking) error {
	s := a.subject
	var errs []error
	for _, q := range a.questions() {
		c, err := a.client(s.Good)
		if err != nil {
			return err
		}
		err = q.ask(context.Background(), c)
		if q.unknown {
			err = a.refused(err, platform.Gone, platform.ReasonNotFound)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", q.name, err))
		}
	}
	return errors.Join(errs...)
}

func checkProducts(a asking) error {
	s := a.subject
	if s.NoProducts {
		return nil
	}
	c, err := a.client(s.Good)
	if err != nil {
		return err
	}
	whole, err := c.(platform.ProductClient).Product(context.Background(), platform.ProductQuestion{ProductID: s.Product, Aspects: aspects})
	if err != nil {
		return err
	}
	if whole.Info == nil || whole.State == "" {
		return fmt.Errorf("all was asked for, and info is %v, state %q", whole.Info, whole.State)
	}
	return checkProduct(whole)
}

// checkProduct checks that a product can be shown in a status. Without a currency there
// are no prices, and a note that says why.
func checkProduct(p platform.Product) error {
	if len(p.Currency) != 3 && (p.Currency != "" || p.Note == "") {
		return fmt.Errorf("currency %q, and the note %q", p.Currency, p.Note)
	}
	var errs []error
	for _, sku := range p.SKUs {
		errs = append(errs, required("SKU ID", sku.ID), positive("SKU stock", sku.Stock))
		named := map[string]bool{}
		for _, day := range sku.Days {
			if _, err := time.Parse(time.DateOnly, day.Date); err != nil || named[day.Date] {
				errs = append(errs, fmt.Errorf("day %q is no date or is named twice", day.Date))
			}
			named[day.Date] = true
			if p.Currency == "" && (day.Amount != nil || day.Market != nil) {
				errs = append(errs, fmt.Errorf("day %s has a price in no currency", day.Date))
			}
			errs = append(errs, positive("Amount", day.Amount), positive("Market", day.Market), positive("Stock", day.Stock))
		}
	}
	return errors.Join(errs...)
}

func checkOrders(a asking) error {
	s := a.subject
	if s.NoOrders {
		return nil
	}
	c, err := a.client(s.Good)
	if err != nil {
		return err
	}
	q := s.Order
	q.Refunds = true
	order, err := c.(platform.OrderClient).Order(context.Background(), q)
	if err != nil {
		return err
	}
	if order.OrderID != q.OrderID || order.PlatformStatus == "" || order.State == "" || order.RefundState == "" {
		return fmt.Errorf("order %q, platform status %q, state %q, refunds %q", order.OrderID, order.PlatformStatus, order.State, order.RefundState)
	}
	errs := []error{positive("RefundedAmount", order.RefundedAmount), positive("Quantity", order.Quantity)}
	for _, code := range order.Codes {
		errs = append(errs, checkCode(code))
	}
	for _, refund := range order.Refunds {
		errs = append(errs, checkRefund(refund))
	}
	return errors.Join(append(errs, holdsNone(fmt.Sprintf("%v %+v %#v", order, order, order.Codes), a.running.Secrets))...)
}

// checkFaults: each fault below the platform's own codes, met by each question.
func checkFaults(a asking) error {
	cases := []struct {
		fault   Fault
		kind    platform.Kind
		reasons []platform.Reason
	}{
		{Fault{Kind: Status5xx}, platform.Transient, []platform.Reason{platform.ReasonUnavailable}},
		{Fault{Kind: Status5xx, Status: 500}, platform.Transient, []platform.Reason{platform.ReasonUnavailable}},
		{Fault{Kind: DropConnection}, platform.Transient, []platform.Reason{platform.ReasonUnavailable}},
		{Fault{Kind: Slow, Delay: time.Minute}, platform.Transient, []platform.Reason{platform.ReasonUnavailable}},
		{Fault{Kind: BadJSON}, platform.Transient, []platform.Reason{platform.ReasonBadAnswer}},
		{Fault{Kind: HTMLPage}, platform.Transient, []platform.Reason{platform.ReasonBadAnswer}},
		{Fault{Kind: Throttle429}, platform.Throttled, []platform.Reason{platform.ReasonThrottled}},
		{Fault{Kind: Throttle429, RetryAfter: 7 * time.Second}, platform.Throttled, []platform.Reason{platform.ReasonThrottled}},
	}
	var errs []error
	for _, c := range cases {
		for _, q := range a.questions() {
			// With tokens, the fault hits the call for one first; then, with one at hand, the
			// question itself.
			for _, withToken := range []bool{false, true}[:a.ways()] {
				err := a.askOnce(q, c.fault, withToken)
				a.running.Clear() // a question that gave up may not have met it
				if e, ok := errors.AsType[*platform.Error](err); ok && e.RetryAfter != c.fault.RetryAfter {
					errs = append(errs, fmt.Errorf("%s, %s: RetryAfter %s, want %s", c.fault.Kind, q.name, e.RetryAfter, c.fault.RetryAfter))
				}
				if err := a.failed(err, c.kind, c.reasons...); err != nil {
					errs = append(errs, fmt.Errorf("%s, %s, with a token at hand %t: %w", c.fault.Kind, q.name, withToken, err))
				}
			}
		}
	}
	return errors.Join(append(errs, a.checkLabel())...)
}

// ways are two where the platform has access tokens.
func (a asking) ways() int {
	if a.running.Tokens == nil {
		return 1
	}
	return 2
}

func (a asking) askOnce(q question, fault Fault, withToken bool) error {
	c, err := a.client(a.subject.Good)
	if err == nil && withToken {
		err = c.Check(context.Background())
	}
	if err != nil {
		return err
	}
	a.running.Inject(fault)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if fault.Kind == Slow {
		ctx, cancel = context.WithTimeout(ctx, impatience)
		defer cancel()
	}
	return q.ask(ctx, c)
}

// checkLabel: an answer is read for what it is, not for its Content-Type.
func (a asking) checkLabel() error {
	a.running.Inject(Fault{Kind: WrongContentType})
	c, err := a.client(a.subject.Good)
	if err != nil {
		return err
	}
	if err := c.Check(context.Background()); err != nil {
		return fmt.Errorf("%s: %w", WrongContentType, err)
	}
	return nil
}

// checkListing: every product once, a stop when yield says so, an error in the middle told.
func checkListing(a asking) error {
	s := a.subject
	if s.NoProducts {
		return nil
	}
	c, err := a.client(s.Good)
	if err != nil {
		return err
	}
	lister := c.(platform.ProductClient)
	var ids []string
	pages := 0
	err = lister.ListProducts(context.Background(), func(page []platform.ListedProduct) bool {
		pages++
		for _, p := range page {
			ids = append(ids, p.ID)
		}
		return true
	})
	if err != nil {
		return err
	}
	slices.Sort(ids)
	if want := slices.Sorted(slices.Values(a.running.Catalogue)); !slices.Equal(ids, want) || pages < 2 {
		return fmt.Errorf("%d products on %d pages, want %d, each once, on two pages at least", len(ids), pages, len(want))
	}
	stops := 0
	err = lister.ListProducts(context.Background(), func([]platform.ListedProduct) bool { stops++; return false })
	if err != nil || stops != 1 {
		return fmt.Errorf("told to stop, and %d pages came, error %s", stops, told(err))
	}
	a.running.Inject(Fault{Kind: Status5xx, After: 1})
	err = lister.ListProducts(context.Background(), func([]platform.ListedProduct) bool { return true })
	if err := a.failed(err, platform.Transient, platform.ReasonUnavailable); err != nil {
		return fmt.Errorf("the second page fails: %w", err)
	}
	return nil
}

// checkCancellation: a cancelled question comes back at once, however slow the platform.
func checkCancellation(a asking) error {
	s := a.subject
	var errs []error
	a.running.Inject(Fault{Kind: Slow, Delay: time.Minute, Times: -1})
	for _, q := range a.questions() {
		c, err := a.client(s.Good)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(context.Background())
		timer := time.AfterFunc(impatience, cancel)
		start := time.Now()
		err = q.ask(ctx, c)
		timer.Stop()
		cancel()
		if took := time.Since(start); err == nil || took > promptly {
			errs = append(errs, fmt.Errorf("%s: came back after %s with %s", q.name, took, told(err)))
		}
		if err = q.ask(ctx, c); err == nil {
			errs = append(errs, fmt.Errorf("%s: asked with a context that was over", q.name))
		}
	}
	return errors.Join(errs...)
}

// checkConcurrency asks everything at once with one client; the race detector looks on.
func checkConcurrency(a asking) error {
	s := a.subject
	c, err := a.client(s.Good)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	questions := a.questions()
	errs := make([]error, 4*len(questions))
	for i := range errs {
		q := questions[i%len(questions)]
		wg.Go(func() {
			if err := q.ask(context.Background(), c); !q.unknown && err != nil {
				errs[i] = fmt.Errorf("%s: %w", q.name, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// checkAnswers: what the platform waits for reaches it, and telling it twice does no harm.
func checkAnswers(a asking) error {
	s := a.subject
	if s.NoAnswers {
		return nil
	}
	c, err := a.client(s.Good)
	if err != nil {
		return err
	}
	answerer := c.(platform.OrderAnswerer)
	var want []string
	for _, code := range s.Issue.Codes {
		want = append(want, code.Text.Reveal())
	}
	if slices.Equal(a.running.Codes(s.Issue.OrderID), want) {
		return errors.New("the fake has the codes before they are given")
	}
	var errs []error
	for _, often := range []string{"once", "twice"} {
		if err := answerer.IssueCodes(context.Background(), s.Issue); err != nil {
			errs = append(errs, fmt.Errorf("codes given %s: %w", often, err))
		}
		if !slices.Equal(a.running.Codes(s.Issue.OrderID), want) {
			errs = append(errs, fmt.Errorf("codes given %s: the platform has others", often))
		}
		for i, d := range s.Decisions {
			if err := answerer.DecideRefund(context.Background(), d); err != nil {
				errs = append(errs, fmt.Errorf("decision %d told %s: %w", i+1, often, err))
			}
			if approved, told := a.running.Decided(d); !told || approved != d.Approve {
				errs = append(errs, fmt.Errorf("decision %d told %s: the platform knows it: %t, as approved: %t", i+1, often, told, approved))
			}
		}
	}
	return errors.Join(append(errs, a.checkStrangeAnswers(answerer))...)
}

// checkStrangeAnswers: an answer that nobody waits for fails, without a secret.
func (a asking) checkStrangeAnswers(answerer platform.OrderAnswerer) error {
	issue := a.subject.Issue
	issue.OrderID = "1"
	decision := a.subject.Decisions[0]
	decision.PlatformType = "no-such-type"
	var errs []error
	for name, err := range map[string]error{
		"codes of an unknown order":        answerer.IssueCodes(context.Background(), issue),
		"a decision on nothing that asked": answerer.DecideRefund(context.Background(), decision),
	} {
		if kind := platform.KindOf(err); err == nil || kind != platform.Refused && kind != platform.Gone {
			errs = append(errs, fmt.Errorf("%s: %s", name, told(err)))
		} else {
			errs = append(errs, a.holdsNone(err))
		}
	}
	return errors.Join(errs...)
}

// checkTokens: one token serves all questions, and all replicas; a bad one is replaced once
// and for all, and one that is refused always does not make the client ask for ever.
func checkTokens(a asking) error {
	s := a.subject
	c, err := a.client(s.Good)
	if err != nil {
		return err
	}
	kept := (*a.kept)[0]
	err = c.Check(context.Background())
	if _, used := kept.told(); used != (a.running.Tokens != nil) {
		return fmt.Errorf("the client asks for a token: %t; declared otherwise", used)
	}
	if a.running.Tokens == nil || err != nil {
		return err
	}
	replica, err := a.clientWith(s.Good, kept)
	if err != nil {
		return err
	}
	var errs []error
	expect := func(when string, issued int, err error) {
		if n := a.running.Tokens.Issued(); err != nil || n != issued {
			errs = append(errs, fmt.Errorf("%s: %d tokens, want %d, %s", when, n, issued, told(err)))
		}
	}
	before := a.running.Tokens.Issued()
	for _, q := range a.questions() {
		for _, client := range []platform.Client{c, replica} {
			if err := q.ask(context.Background(), client); err != nil && !q.unknown {
				errs = append(errs, fmt.Errorf("%s: %w", q.name, err))
			}
		}
	}
	expect("everything was asked by two replicas", before, nil)
	a.running.Tokens.End()
	expect("the token has ended", before+1, c.Check(context.Background()))
	expect("the other replica asks", before+1, replica.Check(context.Background()))
	refusal := a.running.Tokens.Refusal
	refusal.Times = -1
	a.running.Inject(refusal)
	err = c.Check(context.Background())
	if _, ok := errors.AsType[*platform.Error](err); !ok {
		errs = append(errs, fmt.Errorf("every token is refused: %s", told(err)))
	} else {
		errs = append(errs, a.holdsNone(err))
	}
	if n := a.running.Tokens.Issued(); n > before+3 {
		errs = append(errs, fmt.Errorf("every token is refused, and %d are fetched", n-before-1))
	}
	return errors.Join(errs...)
}

// checkComplaints asks everything once with one client, and looks what the platform has
// to say of it.
func checkComplaints(a asking) error {
	c, err := a.client(a.subject.Good)
	if err != nil || a.running.Complaints == nil {
		return err
	}
	var errs []error
	for _, q := range a.questions() {
		if err := q.ask(context.Background(), c); err != nil && !q.unknown {
			errs = append(errs, fmt.Errorf("%s: %w", q.name, err))
		}
	}
	for _, complaint := range a.running.Complaints() {
		errs = append(errs, errors.New(complaint))
	}
	return errors.Join(errs...)
}
