package webhookserver_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fliggy"
	"github.com/laidoulaile/channel-operator/internal/sealing"
	"github.com/laidoulaile/channel-operator/webhookserver"
)

// asking is an adapter whose order pushes are inquiries or challenges.
type asking struct {
	fliggy.Adapter
	open func(platform.Message) platform.Message
}

func (a asking) Open(p platform.Push) (platform.Message, error) {
	m, err := a.Adapter.Open(p)
	if err != nil {
		return nil, err
	}
	return a.open(m), nil
}

// inquiry asks for order "5", and decides by what is known of it.
type inquiry struct {
	platform.Message
	orders []string
	decide func(platform.Known) (platform.Answer, error)
	fresh  bool
}

func (i inquiry) Asks() platform.Lookup { return platform.Lookup{Orders: i.orders, Fresh: i.fresh} }

func (i inquiry) Answer(_ platform.Holder, known platform.Known) (platform.Answer, error) {
	return i.decide(known)
}

func says(text string) platform.Reply {
	return platform.Reply{Status: 200, ContentType: plain, Body: []byte(text)}
}

// issues gives codes, or gives again what it recorded.
func issues(known platform.Known) (platform.Answer, error) {
	if was, ok := known.Orders["5"].Recorded["m"]; ok {
		return platform.Answer{Recorded: true, Reply: says("as before: " + was.Result)}, nil
	}
	return platform.Answer{Events: []platform.Event{{Order: &platform.OrderNotification{OrderID: "5", MessageID: "m"}}}, Reply: says("new")}, nil
}

func knows(result string) platform.Known {
	return platform.Known{Orders: map[string]platform.KnownOrder{
		"5": {Recorded: map[string]platform.Recorded{"m": {Result: result}}}}}
}

func TestInquiries(t *testing.T) {
	away := errors.New("the API server is away")
	nothing := func(platform.Lookup, bool) (platform.Known, error) { return platform.Known{}, nil }
	for name, test := range map[string]struct {
		orders   []string
		decide   func(platform.Known) (platform.Answer, error)
		look     func(platform.Lookup, bool) (platform.Known, error)
		outcome  platform.Outcome
		err      error
		status   int
		body     string
		looks    []bool
		recorded int
		fresh    bool
	}{
		"past the cache at once": {
			orders: []string{"5"}, decide: issues, look: nothing, outcome: platform.OutcomeRecorded, fresh: true,
			status: 200, body: "new", looks: []bool{true}, recorded: 1},
		"recorded, then replied": {
			orders: []string{"5"}, decide: issues, look: nothing, outcome: platform.OutcomeRecorded,
			status: 200, body: "new", looks: []bool{false}, recorded: 1},
		"known to the cache as recorded": {
			orders: []string{"5"}, decide: issues,
			look:   func(platform.Lookup, bool) (platform.Known, error) { return knows("Issued"), nil },
			status: 200, body: "as before: Issued", looks: []bool{false}},
		"recorded by another meanwhile": {
			orders: []string{"5"}, decide: issues, outcome: platform.OutcomeDuplicate,
			look: func(_ platform.Lookup, fresh bool) (platform.Known, error) {
				if fresh {
					return knows("Pending"), nil
				}
				return platform.Known{}, nil
			},
			status: 200, body: "as before: Pending", looks: []bool{false, true}, recorded: 1},
		"recorded by another, and not to be found": {
			orders: []string{"5"}, decide: issues, look: nothing, outcome: platform.OutcomeDuplicate,
			status: 503, body: "retry later", looks: []bool{false, true}, recorded: 2},
		"a duplicate that is no order's": {
			decide: issues, look: nothing, outcome: platform.OutcomeDuplicate,
			status: 200, body: "new", looks: []bool{false}, recorded: 1},
		"nothing to record": {
			decide: func(platform.Known) (platform.Answer, error) { return platform.Answer{Reply: says("7")}, nil },
			look:   nothing, status: 200, body: "7", looks: []bool{false}},
		"cannot look": {
			orders: []string{"5"}, decide: issues, look: func(platform.Lookup, bool) (platform.Known, error) { return platform.Known{}, away },
			status: 503, body: "retry later", looks: []bool{false}},
		"cannot record": {
			orders: []string{"5"}, decide: issues, look: nothing, outcome: platform.OutcomeRetry, err: away,
			status: 503, body: "retry later", looks: []bool{false}, recorded: 1},
		"recorded, with an error": {
			orders: []string{"5"}, decide: issues, look: nothing, outcome: platform.OutcomeRecorded, err: away,
			status: 503, body: "retry later", looks: []bool{false}, recorded: 1},
		"asks nonsense": {
			decide: func(platform.Known) (platform.Answer, error) {
				return platform.Answer{}, fmt.Errorf("%w: too many", platform.ErrMalformed)
			},
			look: nothing, status: 400, body: "error", looks: []bool{false}},
		"keys are gone": {
			decide: func(platform.Known) (platform.Answer, error) {
				return platform.Answer{}, fmt.Errorf("%w: another key", platform.ErrCredentials)
			},
			look: nothing, status: 503, body: "retry later", looks: []bool{false}},
	} {
		t.Run(name, func(t *testing.T) {
			adapter := asking{open: func(m platform.Message) platform.Message { return inquiry{m, test.orders, test.decide, test.fresh} }}
			a := account()
			a.Receiver = adapter
			for _, prefix := range []string{byAccount, byChannel} {
				b := with(a, nil)
				b.look = test.look
				if test.outcome != "" {
					b.record = func(context.Context) (platform.Outcome, error) { return test.outcome, test.err }
				}
				options := b.options()
				options.Receivers[v1alpha1.PlatformFliggy] = adapter
				answered(t, post(webhookserver.NewHandler(options), prefix+orderTail, sample(t, "order-refund.json")), test.status, test.body)
				if !slices.Equal(b.looks, test.looks) || len(b.recorded) != test.recorded {
					t.Errorf("looked (fresh) %v and recorded %d times, want %v and %d", b.looks, len(b.recorded), test.looks, test.recorded)
				}
			}
		})
	}
}

// A sender that is not who it says is neither looked up for nor answered.
func TestInquiryOfAForger(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		status int
		body   string
	}{
		"forged":          {platform.ErrForged, 403, "error"},
		"another account": {platform.ErrOtherAccount, 404, "error"},
		"no key to check": {platform.ErrCredentials, 503, "retry later"},
	} {
		t.Run(name, func(t *testing.T) {
			var decoded int
			adapter := asking{open: func(m platform.Message) platform.Message {
				h := hint{m, hinting{decoded: &decoded, verify: func(platform.Credentials) (platform.Proof, error) { return "", test.err }}}
				return inquiry{h, []string{"5"}, issues, false}
			}}
			b := with(account(), nil)
			options := b.options()
			options.Receivers[v1alpha1.PlatformFliggy] = adapter
			answered(t, post(webhookserver.NewHandler(options), byAccount+orderTail, sample(t, "order-refund.json")), test.status, test.body)
			if len(b.looks) != 0 || len(b.recorded) != 0 {
				t.Errorf("looked %d, recorded %d times", len(b.looks), len(b.recorded))
			}
		})
	}
}

// Somebody waits for the answer: what hangs is answered "try again" within two seconds.
func TestInquiryIsAnsweredInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		adapter := asking{open: func(m platform.Message) platform.Message { return inquiry{m, []string{"5"}, issues, false} }}
		b := with(account(), nil)
		b.record = func(ctx context.Context) (platform.Outcome, error) {
			<-ctx.Done()
			return platform.OutcomeRetry, ctx.Err()
		}
		options := b.options()
		options.Receivers[v1alpha1.PlatformFliggy] = adapter
		start := time.Now()
		answered(t, post(webhookserver.NewHandler(options), byAccount+orderTail, sample(t, "order-refund.json")), 503, "retry later")
		if took := time.Since(start); took > 2*time.Second || took < time.Second {
			t.Errorf("answered after %s", took)
		}
	})
}

// challenge asks whether we are there, in nobody's name.
type challenge struct {
	platform.Message
	account string
	signed  bool
	key     string
}

func (c challenge) Account() string      { return c.account }
func (c challenge) Signed() bool         { return c.signed }
func (c challenge) Echo() platform.Reply { return says("12345") }
func (c challenge) Verify(h platform.Holder) (platform.Proof, error) {
	if c.signed && h.Credentials == nil {
		return "", platform.ErrCredentials
	}
	if c.signed && h.Credentials["secret"].Reveal() != c.key {
		return "", platform.ErrForged
	}
	return platform.ProofSigned, nil
}

func TestChallenges(t *testing.T) {
	for name, test := range map[string]struct {
		challenge challenge
		token     string
		notReady  bool
		noSecret  bool
		prefix    string
		status    int
		body      string
	}{
		"unsigned, in nobody's name":          {challenge: challenge{}, prefix: byAccount, status: 200, body: "12345"},
		"unsigned, before we know the others": {challenge: challenge{}, notReady: true, prefix: byAccount, status: 200, body: "12345"},
		"signed by some account":              {challenge: challenge{signed: true, key: "second"}, prefix: byAccount, status: 200, body: "12345"},
		"signed by nobody":                    {challenge: challenge{signed: true, key: "third"}, prefix: byAccount, status: 403, body: "error"},
		"signed, before we know the accounts": {challenge: challenge{signed: true, key: "second"}, notReady: true, prefix: byAccount, status: 503, body: "retry later"},
		"signed by nobody, as far as we see":  {challenge: challenge{signed: true, key: "third"}, noSecret: true, prefix: byAccount, status: 503, body: "retry later"},
		"for an account":                      {challenge: challenge{account: holder}, prefix: byAccount, status: 200, body: "12345"},
		"for an unknown account":              {challenge: challenge{account: "999"}, prefix: byAccount, status: 404, body: "error"},
		"at the Channel":                      {challenge: challenge{}, prefix: byChannel, status: 200, body: "12345"},
		"at the Channel, signed by another":   {challenge: challenge{signed: true, key: "second"}, prefix: byChannel, status: 403, body: "error"},
		"at the Channel, without its token":   {challenge: challenge{}, token: "t", prefix: byChannel, status: 403, body: "error"},
	} {
		t.Run(name, func(t *testing.T) {
			adapter := asking{open: func(m platform.Message) platform.Message { c := test.challenge; c.Message = m; return c }}
			first, second := account(), account()
			first.Credentials = platform.Credentials{"secret": sealing.NewSecret("first")}
			second.ID, second.Name, second.Credentials = "2", "other", platform.Credentials{"secret": sealing.NewSecret("second")}
			first.Receiver, second.Receiver = adapter, adapter
			if test.noSecret {
				first.Credentials = nil
			}
			if test.token != "" {
				first.Guard.Tokens = []sealing.Secret{sealing.NewSecret(test.token)}
			}
			b := with(first, nil)
			b.accounts["2"], b.notReady = found{second, nil}, test.notReady
			options := b.options()
			options.Receivers[v1alpha1.PlatformFliggy] = adapter
			answered(t, post(webhookserver.NewHandler(options), test.prefix+orderTail, sample(t, "order-refund.json")), test.status, test.body)
			if len(b.recorded) != 0 || len(b.looks) != 0 {
				t.Error("it was recorded or looked up")
			}
		})
	}
}

// tried counts how often its signature is checked.
type tried struct {
	challenge
	times *int
}

func (c tried) Verify(h platform.Holder) (platform.Proof, error) {
	*c.times++
	return c.challenge.Verify(h)
}

// A challenge in nobody's name is checked by the keys of all accounts: one that is large is
// refused before.
func TestLargeChallengeIsNotTried(t *testing.T) {
	const largest = 4 << 10
	for size, want := range map[int]struct {
		status int
		body   string
		tried  bool
	}{
		largest:     {200, "12345", true},
		largest + 1: {400, "error", false},
		maxBody:     {400, "error", false},
	} {
		var times int
		adapter := asking{open: func(m platform.Message) platform.Message {
			return tried{challenge{Message: m, signed: true, key: "k"}, &times}
		}}
		a := account()
		a.Credentials = platform.Credentials{"secret": sealing.NewSecret("k")}
		options := with(a, nil).options()
		options.Receivers[v1alpha1.PlatformFliggy] = adapter
		body := sample(t, "order-refund.json")
		w := post(webhookserver.NewHandler(options), byAccount+orderTail, body+strings.Repeat(" ", size-len(body)))
		answered(t, w, want.status, want.body)
		if (times > 0) != want.tried {
			t.Errorf("%d bytes: tried %d times", size, times)
		}
	}
}

var _ webhookserver.Accounts = (*accounts.Registry)(nil)
