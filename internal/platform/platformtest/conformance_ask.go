package platformtest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
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
	{"faults are classified", checkFaults},
	{"listing gives everything once", checkListing},
	{"cancellation", checkCancellation},
	{"concurrency", checkConcurrency},
}

// asking is a subject with its fake running.
type asking struct {
	subject Subject
	running Running
}

// client makes a client with the credentials and a transport of its own, whose
// breaker and limits know nothing of other checks.
func (a asking) client(credentials platform.Credentials) (platform.Client, error) {
	limits := platform.Limits{RequestsPerSecond: 10_000, Burst: 10_000, Concurrency: 64}
	transport := platform.NewTransport("conformance", limits, &http.Transport{DisableKeepAlives: true})
	account := platform.Account{Holder: a.subject.holder(credentials), Endpoint: a.running.Endpoint, Tokens: &tokens{}}
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
	return all
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
	return holdsNone(fmt.Sprintf("%v %+v %s", err, e, e.Text), a.secrets())
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
	if err := a.failed(bad.Check(ctx), platform.Refused, platform.ReasonCredentials); err != nil {
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
	if products == s.NoProducts || orders == s.NoOrders {
		return fmt.Errorf("the client asks for products: %t, orders: %t; declared otherwise", products, orders)
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
			err = a.failed(err, platform.Gone, platform.ReasonNotFound)
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

// checkProduct checks that a product can be shown in a status.
func checkProduct(p platform.Product) error {
	if len(p.Currency) != 3 {
		return fmt.Errorf("currency %q", p.Currency)
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
			a.running.Inject(c.fault)
			err := a.askOnce(q, c.fault)
			if e, ok := errors.AsType[*platform.Error](err); ok && e.RetryAfter != c.fault.RetryAfter {
				errs = append(errs, fmt.Errorf("%s, %s: RetryAfter %s, want %s", c.fault.Kind, q.name, e.RetryAfter, c.fault.RetryAfter))
			}
			if err := a.failed(err, c.kind, c.reasons...); err != nil {
				errs = append(errs, fmt.Errorf("%s, %s: %w", c.fault.Kind, q.name, err))
			}
		}
	}
	return errors.Join(append(errs, a.checkLabel())...)
}

func (a asking) askOnce(q question, fault Fault) error {
	c, err := a.client(a.subject.Good)
	if err != nil {
		return err
	}
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
