package platformtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fliggy"
	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
	"github.com/laidoulaile/channel-operator/internal/platform/sctt"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// broken is Fliggy's adapter with something replaced.
type broken struct {
	fliggy.Adapter
	paths  func() []string
	open   func(platform.Push) (platform.Message, error)
	reply  func(path string, outcome platform.Outcome) platform.Reply
	why    func(reply *platform.Reply, why string)
	client func(platform.Client) platform.Client
	lax    bool // takes any credentials
	alone  bool // says that pushes decide
	signs  bool // says that pushes are signed
}

func (b broken) PushesDecide() bool { return b.alone }

func (b broken) SignsPushes() bool { return b.signs }

func (b broken) Paths() []string {
	if b.paths != nil {
		return b.paths()
	}
	return b.Adapter.Paths()
}

func (b broken) Open(p platform.Push) (platform.Message, error) {
	if b.open != nil {
		return b.open(p)
	}
	return b.Adapter.Open(p)
}

func (b broken) Reply(path string, outcome platform.Outcome, why string) platform.Reply {
	if b.reply != nil {
		return b.reply(path, outcome)
	}
	reply := b.Adapter.Reply(path, outcome, why)
	if b.why != nil {
		b.why(&reply, why)
	}
	return reply
}

func (b broken) NewClient(a platform.Account, t *platform.Transport) (platform.Client, error) {
	c, err := b.Adapter.NewClient(a, t)
	if err != nil && b.lax {
		return nil, nil
	}
	if err == nil && b.client != nil {
		c = b.client(c)
	}
	return c, err
}

// message is Fliggy's with its events altered.
type message struct {
	platform.Message
	kind   string
	signed bool
	proof  platform.Proof
	alter  func(*platform.Event)
}

func (m message) Type() string {
	if m.kind != "" {
		return m.kind
	}
	return m.Message.Type()
}

func (m message) Verify(h platform.Holder) (platform.Proof, error) {
	if m.signed {
		return platform.ProofSigned, nil
	}
	if m.proof != "" {
		return m.proof, nil
	}
	return m.Message.Verify(h)
}

func (m message) Events() ([]platform.Event, error) {
	events, err := m.Message.Events()
	for i := range events {
		if m.alter != nil {
			m.alter(&events[i])
		}
	}
	return events, err
}

// opens wraps Fliggy's messages.
func opens(wrap func(platform.Message) platform.Message) broken {
	return broken{open: func(p platform.Push) (platform.Message, error) {
		m, err := fliggy.Adapter{}.Open(p)
		if err != nil {
			return nil, err
		}
		return wrap(m), nil
	}}
}

func alters(alter func(*platform.Event)) broken {
	return opens(func(m platform.Message) platform.Message { return message{Message: m, alter: alter} })
}

func onOrder(alter func(*platform.OrderNotification)) broken {
	return alters(func(e *platform.Event) {
		if e.Order != nil {
			alter(e.Order)
		}
	})
}

// client is Fliggy's with something replaced.
type client struct {
	platform.Client
	platform.ProductClient
	platform.OrderClient
}

func (c client) Check(ctx context.Context) error { return c.Client.Check(ctx) }

func asks(alter func(*client)) broken {
	return broken{client: func(c platform.Client) platform.Client {
		altered := client{c, c.(platform.ProductClient), c.(platform.OrderClient)}
		alter(&altered)
		return altered
	}}
}

type checker func(context.Context) error

func (f checker) Check(ctx context.Context) error { return f(ctx) }

type lister struct {
	platform.ProductClient
	list func(context.Context, func([]platform.ListedProduct) bool) error
}

func (l lister) ListProducts(ctx context.Context, yield func([]platform.ListedProduct) bool) error {
	return l.list(ctx, yield)
}

// checks replaces Check, lists replaces ListProducts.
func checks(check func(context.Context, platform.Client) error) broken {
	return asks(func(c *client) {
		sound := c.Client
		c.Client = checker(func(ctx context.Context) error { return check(ctx, sound) })
	})
}

func lists(list func(context.Context, platform.ProductClient, func([]platform.ListedProduct) bool) error) broken {
	return asks(func(c *client) {
		sound := c.ProductClient
		c.ProductClient = lister{sound, func(ctx context.Context, yield func([]platform.ListedProduct) bool) error {
			return list(ctx, sound, yield)
		}}
	})
}

// breakages are adapters that break one promise each, and the check that must see it.
var breakages = map[string]struct {
	check   string
	adapter platform.Adapter
}{
	"path renamed":      {"push/paths", broken{paths: func() []string { return []string{"product-changed", "order-status"} }}},
	"shared paths":      {"push/paths", broken{paths: func() []string { return sharedPaths }}},
	"other type":        {"push/samples", opens(func(m platform.Message) platform.Message { return message{Message: m, kind: "X"} })},
	"no message id":     {"push/samples", onOrder(func(o *platform.OrderNotification) { o.MessageID = "" })},
	"kind of its own":   {"push/samples", onOrder(func(o *platform.OrderNotification) { o.Kind = "SendCode" })},
	"two facts":         {"push/samples", onOrderEvent(func(e *platform.Event) { e.Notice = &platform.Notice{MessageID: "1", PlatformType: "x"} })},
	"claims signatures": {"push/signatures", opens(func(m platform.Message) platform.Message { return message{Message: m, signed: true} })},
	"takes any path": {"push/malformed", broken{open: func(p platform.Push) (platform.Message, error) {
		if p.Path == "no-such-path" {
			p.Path = "order-status"
		}
		return fliggy.Adapter{}.Open(p)
	}}},
	"panics": {"push/malformed", broken{open: func(p platform.Push) (platform.Message, error) {
		_ = p.Body[0]
		return fliggy.Adapter{}.Open(p)
	}}},
	"other error": {"push/malformed", broken{open: func(p platform.Push) (platform.Message, error) {
		m, err := fliggy.Adapter{}.Open(p)
		if err != nil {
			err = errors.New("no")
		}
		return m, err
	}}},
	"repairs cut bodies": {"push/truncated", broken{open: repairing}},
	"quotes the body": {"push/truncated", broken{open: func(p platform.Push) (platform.Message, error) {
		m, err := fliggy.Adapter{}.Open(p)
		if err != nil {
			err = fmt.Errorf("%w: %s", err, p.Body)
		}
		return m, err
	}}},
	"id of any length": {"push/hostile", broken{open: unbounded}},
	"older is refused": {"push/replies", broken{reply: func(path string, outcome platform.Outcome) platform.Reply {
		if outcome == platform.OutcomeOlder {
			outcome = platform.OutcomeMalformed
		}
		return fliggy.Adapter{}.Reply(path, outcome, "")
	}}},
	"retry reads as error": {"push/replies", broken{reply: func(path string, outcome platform.Outcome) platform.Reply {
		reply := fliggy.Adapter{}.Reply(path, outcome, "")
		if outcome == platform.OutcomeRetry {
			reply.Body = []byte("error")
		}
		return reply
	}}},
	"refused with 200": {"push/replies", broken{reply: func(path string, outcome platform.Outcome) platform.Reply {
		reply := fliggy.Adapter{}.Reply(path, outcome, "")
		reply.Status = 200
		return reply
	}}},
	"why changes the status": {"push/replies", broken{why: func(reply *platform.Reply, why string) {
		if why != "" {
			reply.Status = 422
		}
	}}},
	"why changes the verdict": {"push/replies", broken{why: func(reply *platform.Reply, why string) {
		reply.Body = append(reply.Body, why...)
	}}},
	"why accepts": {"push/replies", broken{why: func(reply *platform.Reply, why string) {
		if why == "success" {
			reply.Body = []byte(why)
		}
	}}},
	"content without a copy": {"push/copies", onOrder(func(o *platform.OrderNotification) { o.Content = []byte("x") })},
	"long id before a hash": {"push/samples", onOrder(func(o *platform.OrderNotification) {
		o.Content, o.MessageID = []byte("x"), strings.Repeat("x", 91)
	})},
	"remark of any length": {"push/samples", onOrder(func(o *platform.OrderNotification) { o.Remark = strings.Repeat("x", 513) })},
	"form of its own":      {"push/samples", onOrder(func(o *platform.OrderNotification) { setForms(o, "Paper") })},
	"amount without currency": {"push/samples", onOrder(func(o *platform.OrderNotification) {
		o.Price = &platform.Price{Text: "1 A$", Amount: new(int64(100))}
	})},
	"currency without amount": {"push/samples", onOrder(func(o *platform.OrderNotification) { o.Price = &platform.Price{Text: "1", Currency: "AUD"} })},
	"price of no words":       {"push/samples", onOrder(func(o *platform.OrderNotification) { o.Price = &platform.Price{} })},
	"cancels in its own way":  {"push/samples", onOrder(func(o *platform.OrderNotification) { o.Cancellation = &platform.Cancellation{Type: "Never"} })},
	"credit and an order":     {"push/samples", onOrderEvent(func(e *platform.Event) { e.Credit = &platform.Credit{Amount: "1"} })},
	"credit in words":         {"push/samples", onOrderEvent(func(e *platform.Event) { *e = platform.Event{Credit: &platform.Credit{Amount: "1e3"}} })},
	"none for missing": {"push/signatures", opens(func(m platform.Message) platform.Message {
		return message{Message: m, proof: platform.ProofMissing}
	})},
	"pushes decide beside orders": {"ask/what", broken{alone: true}},
	"said to be signed":           {"push/signatures", broken{signs: true}},
	"price in no currency": {"ask/products", asks(func(c *client) {
		c.ProductClient = priced{c.ProductClient, func(p *platform.Product) { p.Currency, p.Note = "", "none is told" }}
	})},
	"no currency and no word": {"ask/products", asks(func(c *client) {
		c.ProductClient = priced{c.ProductClient, func(p *platform.Product) { p.Currency, p.SKUs = "", nil }}
	})},
	"reads the clock": {"push/decoding", onOrder(func(o *platform.OrderNotification) { o.OccurredAt = time.Now() })},
	"code in reason": {"push/nothing", onOrder(func(o *platform.OrderNotification) {
		for _, c := range o.Codes {
			o.Reason = c.Text.Reveal()
		}
	})},
	"credentials unread": {"ask/credentials", broken{lax: true}},
	"check asks nothing": {"ask/credentials", checks(func(context.Context, platform.Client) error { return nil })},
	"no orders":          {"ask/what", broken{client: func(c platform.Client) platform.Client { return struct{ platform.Client }{c} }}},
	"no product error":   {"ask/questions", asks(func(c *client) { c.ProductClient = forgiving{c.ProductClient} })},
	"transient is final": {"ask/faults", checks(func(ctx context.Context, c platform.Client) error {
		err := c.Check(ctx)
		if e, ok := errors.AsType[*platform.Error](err); ok && e.Kind == platform.Transient {
			e.Kind = platform.Refused
		}
		return err
	})},
	"shows its key": {"ask/credentials", checks(func(ctx context.Context, c platform.Client) error {
		err := c.Check(ctx)
		if e, ok := errors.AsType[*platform.Error](err); ok {
			e.Text += suiteSecret
		}
		return err
	})},
	"first page only": {"ask/listing", lists(func(ctx context.Context, c platform.ProductClient, yield func([]platform.ListedProduct) bool) error {
		return c.ListProducts(ctx, func(page []platform.ListedProduct) bool { yield(page); return false })
	})},
	"page twice": {"ask/listing", lists(func(ctx context.Context, c platform.ProductClient, yield func([]platform.ListedProduct) bool) error {
		return c.ListProducts(ctx, func(page []platform.ListedProduct) bool { yield(page); return yield(page) })
	})},
	"never stops": {"ask/listing", lists(func(ctx context.Context, c platform.ProductClient, yield func([]platform.ListedProduct) bool) error {
		return c.ListProducts(ctx, func(page []platform.ListedProduct) bool { yield(page); return true })
	})},
	"error swallowed": {"ask/listing", lists(func(ctx context.Context, c platform.ProductClient, yield func([]platform.ListedProduct) bool) error {
		_ = c.ListProducts(ctx, yield)
		return nil
	})},
	"deaf to its context": {"ask/cancellation", checks(func(ctx context.Context, c platform.Client) error {
		if ctx.Err() != nil {
			return nil
		}
		return c.Check(ctx)
	})},
}

var sharedPaths = fliggy.Adapter{}.Paths()

// suiteSecret is one of the unusable credentials of the test's Subject.
const suiteSecret = "not-base64-at-all-!"

func onOrderEvent(alter func(*platform.Event)) broken {
	return alters(func(e *platform.Event) {
		if e.Order != nil {
			alter(e)
		}
	})
}

func setForms(o *platform.OrderNotification, form string) {
	for i := range o.Codes {
		o.Codes[i].Form = form
	}
}

// priced alters a product.
type priced struct {
	platform.ProductClient
	alter func(*platform.Product)
}

func (p priced) Product(ctx context.Context, q platform.ProductQuestion) (platform.Product, error) {
	product, err := p.ProductClient.Product(ctx, q)
	p.alter(&product)
	return product, err
}

// forgiving answers an unknown product with an empty one.
type forgiving struct{ platform.ProductClient }

func (f forgiving) Product(ctx context.Context, q platform.ProductQuestion) (platform.Product, error) {
	p, err := f.ProductClient.Product(ctx, q)
	if platform.KindOf(err) == platform.Gone {
		return platform.Product{}, nil
	}
	return p, err
}

// repairing closes a body cut within a text, so that a cut id passes for a whole one.
func repairing(p platform.Push) (platform.Message, error) {
	for _, tail := range []string{"", `"}`, `"}}`, `}`} {
		p.Body = append(slices.Clone(p.Body), tail...)
		if m, err := (fliggy.Adapter{}).Open(p); err == nil {
			return m, nil
		}
		p.Body = p.Body[:len(p.Body)-len(tail)]
	}
	return fliggy.Adapter{}.Open(p)
}

// unbounded takes any text for a message id.
func unbounded(p platform.Push) (platform.Message, error) {
	var fields map[string]any
	decoder := json.NewDecoder(bytes.NewReader(p.Body))
	decoder.UseNumber()
	if decoder.Decode(&fields) != nil {
		return fliggy.Adapter{}.Open(p)
	}
	id, isText := fields["messageId"].(string)
	if !isText || len(id) < 100 {
		return fliggy.Adapter{}.Open(p)
	}
	fields["messageId"] = "short"
	p.Body, _ = json.Marshal(fields)
	m, err := fliggy.Adapter{}.Open(p)
	if err != nil {
		return nil, err
	}
	return message{Message: m, alter: func(e *platform.Event) {
		if e.Order != nil {
			e.Order.MessageID = id
		}
	}}, nil
}

// TestSuiteFindsBreakages runs the one check on each broken adapter and expects it to
// fail, as it does not on the sound one (TestFliggyConformance): a suite that cannot
// fail proves nothing.
func TestSuiteFindsBreakages(t *testing.T) {
	subject := fliggySubject(t, platformtest.FliggyQuirks{})
	subject.Unusable = append(subject.Unusable, platform.Credentials{"privateKey": sealing.NewSecret(suiteSecret)})
	for name, breakage := range breakages {
		t.Run(name, func(t *testing.T) {
			subject := subject
			subject.Adapter = breakage.adapter
			if platformtest.RunCheck(t, subject, breakage.check) == nil {
				t.Error("the broken adapter passes")
			}
		})
	}
}

// muddled is SCTT's adapter, whose ids are made of the content, with something replaced.
type muddled struct {
	sctt.Adapter
	alter  func(platform.Push, *platform.OrderNotification)
	verify func(platform.Message, platform.Holder) (platform.Proof, error)
	client func(platform.Client) platform.Client
	asked  bool // says that orders can be asked for
}

func (m muddled) PushesDecide() bool { return !m.asked }

func (m muddled) Open(p platform.Push) (platform.Message, error) {
	opened, err := m.Adapter.Open(p)
	if err != nil {
		return nil, err
	}
	return muddledMessage{opened, p, m}, nil
}

func (m muddled) NewClient(a platform.Account, t *platform.Transport) (platform.Client, error) {
	c, err := m.Adapter.NewClient(a, t)
	if err == nil && m.client != nil {
		c = m.client(c)
	}
	return c, err
}

type muddledMessage struct {
	platform.Message
	push platform.Push
	by   muddled
}

func (m muddledMessage) Verify(h platform.Holder) (platform.Proof, error) {
	if m.by.verify != nil {
		return m.by.verify(m.Message, h)
	}
	return m.Message.Verify(h)
}

func (m muddledMessage) Events() ([]platform.Event, error) {
	events, err := m.Message.Events()
	for _, e := range events {
		if e.Order != nil && m.by.alter != nil {
			m.by.alter(m.push, e.Order)
		}
	}
	return events, err
}

// failing answers questions about products with an error of its own.
type failing struct {
	platform.Client
	platform.ProductClient
	err error
}

func (f failing) Check(context.Context) error { return f.err }

func fails(err error) muddled {
	return muddled{client: func(c platform.Client) platform.Client { return failing{c, c.(platform.ProductClient), err} }}
}

// muddles are breakages that only a platform whose pushes decide can have.
var muddles = map[string]struct {
	check   string
	adapter platform.Adapter
}{
	"the copy's time is content": {"push/copies", muddled{alter: func(p platform.Push, o *platform.OrderNotification) { o.Content = p.Body }}},
	"white space is content": {"push/copies", muddled{alter: func(p platform.Push, o *platform.OrderNotification) {
		o.Content = append(o.Content, fmt.Sprint(bytes.Count(p.Body, []byte("\n")))...)
	}}},
	"the time is in the id": {"push/copies", muddled{alter: func(p platform.Push, o *platform.OrderNotification) {
		o.MessageID += string(regexp.MustCompile(`"request_time":"[^"]*`).Find(p.Body))
	}}},
	"every content is the same": {"push/copies", muddled{alter: func(_ platform.Push, o *platform.OrderNotification) { o.Content = []byte("x") }}},
	"content in clear": {"push/nothing", muddled{alter: func(p platform.Push, o *platform.OrderNotification) {
		o.Content = p.Body
	}}},
	"a sign need not be there": {"push/signatures", muddled{verify: func(m platform.Message, h platform.Holder) (platform.Proof, error) {
		proof, err := m.Verify(h)
		if proof == platform.ProofMissing {
			proof = platform.ProofNone
		}
		return proof, err
	}}},
	"a sign need not be right": {"push/signatures", muddled{verify: func(m platform.Message, h platform.Holder) (platform.Proof, error) {
		proof, err := m.Verify(h)
		if errors.Is(err, platform.ErrForged) {
			return platform.ProofMissing, nil
		}
		return proof, err
	}}},
	"a sign is not looked at": {"push/signatures", muddled{verify: func(m platform.Message, h platform.Holder) (platform.Proof, error) {
		if proof, err := m.Verify(h); proof == platform.ProofMissing {
			return proof, err
		}
		return platform.ProofSigned, nil
	}}},
	"an unsigned push is anybody's": {"push/other", muddled{verify: func(m platform.Message, h platform.Holder) (platform.Proof, error) {
		proof, err := m.Verify(h)
		if errors.Is(err, platform.ErrOtherAccount) {
			return platform.ProofMissing, nil
		}
		return proof, err
	}}},
	"asks for no orders, nor decides": {"ask/what", muddled{asked: true}},
	"bad credentials are good":        {"ask/credentials", fails(nil)},
	"bad credentials are gone":        {"ask/credentials", fails(&platform.Error{Kind: platform.Gone, Reason: platform.ReasonNotFound, Op: "productlist"})},
	"an error of no kind":             {"ask/credentials", fails(errors.New("no"))},
}

// TestSuiteFindsMuddles does as TestSuiteFindsBreakages, with SCTT's adapter.
func TestSuiteFindsMuddles(t *testing.T) {
	subject := scttSubject(t, platformtest.SCTTConfig{}, "CNY")
	for name, muddle := range muddles {
		t.Run(name, func(t *testing.T) {
			subject := subject
			subject.Adapter = muddle.adapter
			if platformtest.RunCheck(t, subject, muddle.check) == nil {
				t.Error("the broken adapter passes")
			}
		})
	}
}

// TestIncompleteSubject: a Subject that leaves something out is refused.
func TestIncompleteSubject(t *testing.T) {
	whole := fliggySubject(t, platformtest.FliggyQuirks{})
	for name, leaveOut := range map[string]func(*platformtest.Subject){
		"adapter":   func(s *platformtest.Subject) { s.Adapter = nil },
		"samples":   func(s *platformtest.Subject) { s.Samples = nil },
		"bad":       func(s *platformtest.Subject) { s.Bad = nil },
		"product":   func(s *platformtest.Subject) { s.Product = "" },
		"order":     func(s *platformtest.Subject) { s.Order = platform.OrderQuestion{} },
		"malformed": func(s *platformtest.Subject) { s.Malformed = nil },
	} {
		subject := whole
		leaveOut(&subject)
		if subject.Complete() == nil {
			t.Errorf("%s left out, and the Subject is complete", name)
		}
	}
}
