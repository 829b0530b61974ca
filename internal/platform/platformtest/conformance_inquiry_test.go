package platformtest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/douyin"
	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// spoilt is Douyin's adapter with something replaced.
type spoilt struct {
	douyin.Adapter
	before  func(platform.Push) platform.Push
	message func(platform.Message) platform.Message
	reply   func(path string, outcome platform.Outcome) platform.Reply
	account func(platform.Account) platform.Account
	client  func(*everything)
}

func (s spoilt) Open(p platform.Push) (platform.Message, error) {
	if s.before != nil {
		p = s.before(p)
	}
	m, err := s.Adapter.Open(p)
	if err == nil && s.message != nil {
		m = s.message(m)
	}
	return m, err
}

func (s spoilt) Reply(path string, outcome platform.Outcome, why string) platform.Reply {
	if s.reply != nil {
		return s.reply(path, outcome)
	}
	return s.Adapter.Reply(path, outcome, why)
}

func (s spoilt) NewClient(a platform.Account, t *platform.Transport) (platform.Client, error) {
	if s.account != nil {
		a = s.account(a)
	}
	c, err := s.Adapter.NewClient(a, t)
	if err != nil || s.client == nil {
		return c, err
	}
	whole := &everything{c, c.(platform.ProductClient), c.(platform.OrderClient), c.(platform.OrderAnswerer), c.(platform.NoticeClient)}
	s.client(whole)
	return whole, nil
}

// everything is a client of all kinds.
type everything struct {
	platform.Client
	platform.ProductClient
	platform.OrderClient
	platform.OrderAnswerer
	platform.NoticeClient
}

// challenge and inquiry are Douyin's with something replaced.
type challenge struct {
	platform.Challenge
	echo   func(platform.Reply) platform.Reply
	signed func() bool
}

func (c challenge) Echo() platform.Reply {
	if c.echo != nil {
		return c.echo(c.Challenge.Echo())
	}
	return c.Challenge.Echo()
}

func (c challenge) Signed() bool {
	if c.signed != nil {
		return c.signed()
	}
	return c.Challenge.Signed()
}

type inquiry struct {
	platform.Inquiry
	asks   func() platform.Lookup
	answer func(platform.Inquiry, platform.Holder, platform.Known) (platform.Answer, error)
}

func (i inquiry) Asks() platform.Lookup {
	if i.asks != nil {
		return i.asks()
	}
	return i.Inquiry.Asks()
}

func (i inquiry) Answer(h platform.Holder, k platform.Known) (platform.Answer, error) {
	return i.answer(i.Inquiry, h, k)
}

func onChallenge(spoil func(*challenge)) spoilt {
	return spoilt{message: func(m platform.Message) platform.Message {
		if c, ok := m.(platform.Challenge); ok {
			altered := challenge{Challenge: c}
			spoil(&altered)
			return altered
		}
		return m
	}}
}

func answers(answer func(platform.Inquiry, platform.Holder, platform.Known) (platform.Answer, error)) spoilt {
	return spoilt{message: func(m platform.Message) platform.Message {
		if i, ok := m.(platform.Inquiry); ok {
			return inquiry{Inquiry: i, answer: answer}
		}
		return m
	}}
}

// onAnswer alters sound answers.
func onAnswer(alter func(*platform.Answer)) spoilt {
	return answers(func(i platform.Inquiry, h platform.Holder, k platform.Known) (platform.Answer, error) {
		answer, err := i.Answer(h, k)
		if err == nil {
			alter(&answer)
		}
		return answer, err
	})
}

func onReplied(alter func(*platform.OrderNotification)) spoilt {
	return onAnswer(func(a *platform.Answer) {
		for _, e := range a.Events {
			if e.Order != nil && e.Order.Replied != nil {
				alter(e.Order)
			}
		}
	})
}

// forgetful answers without what was recorded, and says what forgets tells it to.
func forgetful(says bool) spoilt {
	return answers(func(i platform.Inquiry, h platform.Holder, k platform.Known) (platform.Answer, error) {
		recorded := false
		k.Orders = maps.Clone(k.Orders)
		for id, order := range k.Orders {
			recorded = recorded || len(order.Recorded) > 0
			order.Recorded = nil
			k.Orders[id] = order
		}
		answer, err := i.Answer(h, k)
		answer.Recorded = says && recorded
		return answer, err
	})
}

// verifier is a message that verifies otherwise.
type verifier struct {
	platform.Inquiry
	verify func(platform.Holder) (platform.Proof, error)
}

func (v verifier) Verify(h platform.Holder) (platform.Proof, error) { return v.verify(h) }

func verifies(verify func(platform.Message, platform.Holder) (platform.Proof, error)) spoilt {
	return spoilt{message: func(m platform.Message) platform.Message {
		if i, ok := m.(platform.Inquiry); ok {
			return verifier{i, func(h platform.Holder) (platform.Proof, error) { return verify(m, h) }}
		}
		return m
	}}
}

// answerer and noticer are Douyin's with something replaced.
type answerer struct {
	platform.OrderAnswerer
	issue  func(context.Context, platform.Issue) error
	decide func(context.Context, platform.Decision) error
}

func (a answerer) IssueCodes(ctx context.Context, i platform.Issue) error {
	if a.issue != nil {
		return a.issue(ctx, i)
	}
	return a.OrderAnswerer.IssueCodes(ctx, i)
}

func (a answerer) DecideRefund(ctx context.Context, d platform.Decision) error {
	if a.decide != nil {
		return a.decide(ctx, d)
	}
	return a.OrderAnswerer.DecideRefund(ctx, d)
}

func issues(issue func(context.Context, platform.OrderAnswerer, platform.Issue) error) spoilt {
	return spoilt{client: func(c *everything) {
		sound := c.OrderAnswerer
		c.OrderAnswerer = answerer{OrderAnswerer: sound, issue: func(ctx context.Context, i platform.Issue) error { return issue(ctx, sound, i) }}
	}}
}

func decides(decide func(context.Context, platform.OrderAnswerer, platform.Decision) error) spoilt {
	return spoilt{client: func(c *everything) {
		sound := c.OrderAnswerer
		c.OrderAnswerer = answerer{OrderAnswerer: sound, decide: func(ctx context.Context, d platform.Decision) error { return decide(ctx, sound, d) }}
	}}
}

type noticer func(ctx context.Context, platformType, subject string) (string, bool, error)

func (n noticer) Notice(ctx context.Context, platformType, subject string) (string, bool, error) {
	return n(ctx, platformType, subject)
}

func notices(notice noticer) spoilt {
	return spoilt{client: func(c *everything) { c.NoticeClient = notice }}
}

// greedy are tokens that are fetched for each call, stubborn those that are never replaced.
type greedy struct{}

func (greedy) Token(ctx context.Context, _ sealing.Secret, fetch func(context.Context) (platform.Token, error)) (sealing.Secret, error) {
	token, err := fetch(ctx)
	return token.Text, err
}

type stubborn struct{ platform.Tokens }

func (s stubborn) Token(ctx context.Context, _ sealing.Secret, fetch func(context.Context) (platform.Token, error)) (sealing.Secret, error) {
	return s.Tokens.Token(ctx, sealing.Secret{}, fetch)
}

// gossip are tokens that are fetched through Tokens once, so that they are asked for, and
// then for each call.
type gossip struct{ platform.Tokens }

func (g gossip) Token(ctx context.Context, refused sealing.Secret, fetch func(context.Context) (platform.Token, error)) (sealing.Secret, error) {
	if _, err := g.Tokens.Token(ctx, refused, fetch); err != nil {
		return sealing.Secret{}, err
	}
	return greedy{}.Token(ctx, refused, fetch)
}

func keeps(wrap func(platform.Tokens) platform.Tokens) spoilt {
	return spoilt{account: func(a platform.Account) platform.Account { a.Tokens = wrap(a.Tokens); return a }}
}

// stray asks the platform something that it complains of, with each check.
func stray() spoilt {
	var endpoint string
	s := spoilt{account: func(a platform.Account) platform.Account { endpoint = a.Endpoint; return a }}
	s.client = func(c *everything) {
		sound := c.Client
		c.Client = checker(func(ctx context.Context) error {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"/goodlife/v1/goods/product/online/query/", nil)
			if err != nil {
				return err
			}
			response, err := http.DefaultClient.Do(request)
			if err == nil {
				err = response.Body.Close()
			}
			return errors.Join(err, sound.Check(ctx))
		})
	}
	return s
}

var counter atomic.Int64

// spoils are adapters that break one promise each, and the check that must see it.
var spoils = map[string]struct {
	check   string
	adapter platform.Adapter
}{
	"a challenge's number as a text": {"push/challenges", onChallenge(func(c *challenge) {
		c.echo = func(r platform.Reply) platform.Reply {
			r.Body = bytes.ReplaceAll(r.Body, []byte("12345"), []byte(`"12345"`))
			return r
		}
	})},
	"a challenge refused": {"push/challenges", onChallenge(func(c *challenge) {
		c.echo = func(r platform.Reply) platform.Reply { r.Status = 403; return r }
	})},
	"a challenge said to be unsigned": {"push/signatures", onChallenge(func(c *challenge) { c.signed = func() bool { return false } })},
	"a challenge that is none": {"push/samples", spoilt{message: func(m platform.Message) platform.Message {
		return struct{ platform.Message }{m}
	}}},
	"codes without id and text": {"push/samples", onAnswer(func(a *platform.Answer) {
		for _, e := range a.Events {
			if e.Order != nil && len(e.Order.Codes) > 0 {
				e.Order.Codes[0] = platform.Code{}
			}
		}
	})},
	"a result of its own": {"push/samples", onReplied(func(o *platform.OrderNotification) { o.Replied.Result = "Later" })},
	"a reply kept in clear": {"push/samples", onReplied(func(o *platform.OrderNotification) {
		if o.Replied.Result == platform.ResultPending {
			o.Replied.Body = []byte("{}")
		}
	})},
	"a deadline though answered": {"push/samples", onReplied(func(o *platform.OrderNotification) { o.Deadline = o.OccurredAt.AddDate(0, 0, 1) })},
	"a number as a text": {"push/inquiries", onAnswer(func(a *platform.Answer) {
		a.Reply.Body = bytes.ReplaceAll(a.Reply.Body, []byte(`"error_code":0`), []byte(`"error_code":"0"`))
	})},
	"more than data": {"push/inquiries", onAnswer(func(a *platform.Answer) {
		a.Reply.Body = append(bytes.TrimSuffix(a.Reply.Body, []byte("}")), `,"extra":{}}`...)
	})},
	"another status": {"push/inquiries", onAnswer(func(a *platform.Answer) { a.Reply.Status = 201 })},
	"orders not asked for": {"push/inquiries", spoilt{message: func(m platform.Message) platform.Message {
		if i, ok := m.(platform.Inquiry); ok {
			return inquiry{i, func() platform.Lookup { return platform.Lookup{} }, platform.Inquiry.Answer}
		}
		return m
	}}},
	"another reply kept": {"push/inquiries", onReplied(func(o *platform.OrderNotification) {
		if o.Replied.Result == platform.ResultIssued {
			o.Replied.Body = []byte("{}")
		}
	})},
	"an error for want of knowledge": {"push/inquiries", answers(func(i platform.Inquiry, h platform.Holder, k platform.Known) (platform.Answer, error) {
		if k.Product == nil && len(k.Orders) == 0 {
			return platform.Answer{}, errors.New("nothing is known")
		}
		return i.Answer(h, k)
	})},
	"a made code in an error": {"push/inquiries", answers(func(i platform.Inquiry, h platform.Holder, k platform.Known) (platform.Answer, error) {
		if k.Product == nil && len(k.Orders) == 0 {
			return platform.Answer{}, fmt.Errorf("%w: %s", platform.ErrMalformed, k.MakeCode("1", "1").Reveal())
		}
		return i.Answer(h, k)
	})},
	"answered anew each time":      {"push/what was", forgetful(false)},
	"other codes under other keys": {"push/what was", forgetful(true)},
	"a reply that counts": {"push/decoding", onAnswer(func(a *platform.Answer) {
		a.Reply.Body = fmt.Appendf(a.Reply.Body, "%d", counter.Add(1))
	})},
	"a made code in a reason": {"push/nothing", onReplied(func(o *platform.OrderNotification) {
		for _, c := range o.Codes {
			o.Reason += c.Text.Reveal()
		}
	})},
	"its own alone": {"push/other", verifies(func(m platform.Message, h platform.Holder) (platform.Proof, error) {
		proof, err := m.Verify(h)
		if errors.Is(err, platform.ErrOtherAccount) {
			err = nil
		}
		return proof, err
	})},
	"an account before its signature": {"push/other", verifies(func(platform.Message, platform.Holder) (platform.Proof, error) {
		return "", platform.ErrOtherAccount
	})},
	"answered is refused": {"push/replies", spoilt{reply: func(path string, outcome platform.Outcome) platform.Reply {
		if outcome == platform.OutcomeAnswered {
			outcome = platform.OutcomeMalformed
		}
		return douyin.Adapter{}.Reply(path, outcome, "")
	}}},
	"refused with a text": {"push/replies", spoilt{reply: func(path string, outcome platform.Outcome) platform.Reply {
		reply := douyin.Adapter{}.Reply(path, outcome, "")
		if strings.HasPrefix(path, "spi/") && !outcome.Accepted() {
			reply.Body = []byte(`{"data":{"error_code":"200","description":"no"}}`)
		}
		return reply
	}}},
	"codes not given": {"ask/answers", issues(func(context.Context, platform.OrderAnswerer, platform.Issue) error { return nil })},
	"codes in another order": {"ask/answers", issues(func(ctx context.Context, a platform.OrderAnswerer, i platform.Issue) error {
		if len(i.Codes) == 2 {
			i.Codes = []platform.Code{{ID: i.Codes[0].ID, Text: i.Codes[1].Text}, {ID: i.Codes[1].ID, Text: i.Codes[0].Text}}
		}
		return a.IssueCodes(ctx, i)
	})},
	"codes given once": {"ask/answers", once()},
	"codes in an error": {"ask/answers", issues(func(ctx context.Context, a platform.OrderAnswerer, i platform.Issue) error {
		err := a.IssueCodes(ctx, i)
		if e, ok := errors.AsType[*platform.Error](err); ok {
			e.Text += i.Codes[0].Text.Reveal()
		}
		return err
	})},
	"the opposite decided": {"ask/answers", decides(func(ctx context.Context, a platform.OrderAnswerer, d platform.Decision) error {
		d.Approve = !d.Approve
		return a.DecideRefund(ctx, d)
	})},
	"decides what did not ask": {"ask/answers", decides(func(ctx context.Context, a platform.OrderAnswerer, d platform.Decision) error {
		if d.PlatformType == "no-such-type" {
			return nil
		}
		return a.DecideRefund(ctx, d)
	})},
	"no tokens shared":      {"ask/access", keeps(func(platform.Tokens) platform.Tokens { return greedy{} })},
	"a token for each call": {"ask/access", keeps(func(t platform.Tokens) platform.Tokens { return gossip{t} })},
	"a bad token kept":      {"ask/access", keeps(func(t platform.Tokens) platform.Tokens { return stubborn{t} })},
	"breaks a rule":         {"ask/the platform", stray()},
	"no notices": {"ask/what", spoilt{client: func(c *everything) {
		c.NoticeClient = noticer(func(context.Context, string, string) (string, bool, error) { return "", true, nil })
	}}},
	"notices without a text": {"ask/questions", notices(func(context.Context, string, string) (string, bool, error) { return "", true, nil })},
	"notices not asked":      {"ask/questions", notices(func(context.Context, string, string) (string, bool, error) { return "x", false, nil })},
	"notices of two lines":   {"ask/questions", notices(func(context.Context, string, string) (string, bool, error) { return "x\ny", true, nil })},
	"an error that is final": {"ask/faults", issues(func(ctx context.Context, a platform.OrderAnswerer, i platform.Issue) error {
		err := a.IssueCodes(ctx, i)
		if e, ok := errors.AsType[*platform.Error](err); ok && e.Kind == platform.Transient {
			e.Kind = platform.Refused
		}
		return err
	})},
}

// once gives codes that the platform has already as an error.
func once() spoilt {
	given := map[string]bool{}
	return issues(func(ctx context.Context, a platform.OrderAnswerer, i platform.Issue) error {
		if given[i.OrderID] {
			return &platform.Error{Kind: platform.Refused, Op: "x", Text: "given before"}
		}
		given[i.OrderID] = true
		return a.IssueCodes(ctx, i)
	})
}

// TestSuiteFindsSpoils is TestSuiteFindsBreakages for what only Douyin has.
func TestSuiteFindsSpoils(t *testing.T) {
	whole := douyinSubject(t, platformtest.DouyinConfig{})
	// An adapter that looks at the body alone takes any header and any URL.
	lenient := spoilt{before: func(p platform.Push) platform.Push {
		for _, sample := range whole.Samples {
			if bytes.Equal(sample.Body, p.Body) {
				p.Header, p.Query = sample.Header, sample.Query
			}
		}
		return p
	}}
	all := maps.Clone(spoils)
	all["headers unread"] = struct {
		check   string
		adapter platform.Adapter
	}{"push/signatures", lenient}
	for name, spoil := range all {
		t.Run(name, func(t *testing.T) {
			subject := whole
			subject.Adapter = spoil.adapter
			if platformtest.RunCheck(t, subject, spoil.check) == nil {
				t.Error("the spoilt adapter passes")
			}
		})
	}
}
