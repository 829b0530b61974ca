package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// script is a platform that a test writes: it has orders with units that want codes and
// refunds that want decisions, takes answers, and fails when it is told to. It is its own
// adapter and its only client.
type script struct {
	mu     sync.Mutex
	orders map[string]*scriptedOrder
	// failing calls of a kind (ask, issue, decide, notice), oldest first; nil is none.
	failing map[string][]error
	// approvesUnused is the policy on refunds.
	approvesUnused bool
	// asked are the orders that were asked for, oldest first.
	asked []string
	// gate, if it is there, holds every question until it is closed.
	gate chan struct{}
	// step is called before and after each call did what it does; an error is the call's.
	step func(string) error
	// notices are what is said of a subject; inquired are the subjects that were asked about.
	notices  map[string]string
	inquired []string
	// pushesDecide: it cannot be asked for orders, though its client could.
	pushesDecide bool
	// onlyChecks: its client can do no more than check the account.
	onlyChecks bool
	// settings, client and account are what is wrong with a Channel's block, with what its
	// client is made of, and with the account when it is checked; nil is nothing.
	settings, client, account error
}

// scriptedOrder is an order with units u-1, u-2, …
type scriptedOrder struct {
	// codes by unit, once told; every telling is kept.
	codes map[string]string
	told  []string
	units int
	// used and refunded units; open refunds by id, with their units.
	used, refunded map[string]bool
	open           map[string][]string
	decided        map[string]bool
}

func newScript() *script {
	return &script{orders: map[string]*scriptedOrder{}, failing: map[string][]error{}, notices: map[string]string{}}
}

// DefaultEndpoint, Settings and NewClient make it an adapter.
func (s *script) DefaultEndpoint() string                               { return "https://script.example" }
func (s *script) Paths() []string                                       { return []string{"script"} }
func (s *script) SignsPushes() bool                                     { return true }
func (s *script) Reply(string, platform.Outcome, string) platform.Reply { return platform.Reply{} }

// set changes what the platform, or a Channel of it, is like.
func (s *script) set(alter func(*script)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	alter(s)
}

func (s *script) PushesDecide() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pushesDecide
}

func (s *script) Settings(json.RawMessage) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return nil, s.settings
}

func (s *script) NewClient(platform.Account, *platform.Transport) (platform.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.client != nil:
		return nil, s.client
	case s.onlyChecks:
		return struct{ platform.Client }{s}, nil
	}
	return s, nil
}

// Check of the account.
func (s *script) Check(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.account
}

func (s *script) Open(platform.Push) (platform.Message, error) {
	return nil, platform.ErrMalformed
}

// fail has the next calls of a kind fail.
func (s *script) fail(kind string, errs ...error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing[kind] = append(s.failing[kind], errs...)
}

func (s *script) next(kind string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.failing[kind]) == 0 {
		return nil
	}
	err := s.failing[kind][0]
	s.failing[kind] = s.failing[kind][1:]
	return err
}

// call does something on the platform, unless it fails before or its answer is lost.
func (s *script) call(kind string, do func() error) error {
	if err := s.next(kind); err != nil {
		return err
	}
	if err := s.at("before " + kind); err != nil {
		return err
	}
	s.mu.Lock()
	err := do()
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return s.at("after " + kind)
}

func (s *script) at(step string) error {
	if s.step == nil {
		return nil
	}
	return s.step(step)
}

// sell places a paid order of so many units.
func (s *script) sell(id string, units int) *scriptedOrder {
	s.mu.Lock()
	defer s.mu.Unlock()
	order := &scriptedOrder{units: units, codes: map[string]string{}, used: map[string]bool{}, refunded: map[string]bool{},
		open: map[string][]string{}, decided: map[string]bool{}}
	s.orders[id] = order
	return order
}

// told is what the platform was told of an order, in order.
func (s *script) told(id string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.orders[id].told)
}

// Order answers as the platform has it. Units have no codes before they are told.
func (s *script) Order(ctx context.Context, question platform.OrderQuestion) (answer platform.Order, err error) {
	s.mu.Lock()
	s.asked = append(s.asked, question.OrderID)
	gate := s.gate
	s.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return answer, ctx.Err()
		}
	}
	err = s.call("ask", func() error {
		order, known := s.orders[question.OrderID]
		if !known {
			return &platform.Error{Kind: platform.Gone, Reason: platform.ReasonNotFound, Op: "ask", Code: "404"}
		}
		answer = order.answer(question.OrderID)
		return nil
	})
	return answer, err
}

func (o *scriptedOrder) answer(id string) platform.Order {
	answer := platform.Order{OrderID: id, State: platform.OrderPaid, PlatformStatus: "paid", Currency: "CNY", RefundState: platform.RefundNone}
	for _, unit := range units(o.units) {
		if len(o.codes) == 0 {
			break
		}
		answer.State = platform.OrderIssued
		code := platform.Code{ID: unit, Text: sealing.NewSecret(o.codes[unit]), Persons: ptr.To[int64](1), Used: ptr.To[int64](0), Refunded: ptr.To[int64](0)}
		if o.used[unit] {
			code.Used = ptr.To[int64](1)
		}
		if o.refunded[unit] {
			code.Refunded = ptr.To[int64](1)
		}
		answer.Codes = append(answer.Codes, code)
	}
	for _, id := range slices.Sorted(maps.Keys(o.open)) {
		answer.Refunds = append(answer.Refunds, platform.RefundFact{ID: id, Currency: "CNY"})
	}
	for _, id := range slices.Sorted(maps.Keys(o.decided)) {
		answer.Refunds = append(answer.Refunds, platform.RefundFact{ID: id, Currency: "CNY", Succeeded: ptr.To(o.decided[id])})
	}
	return answer
}

func units(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("u-%d", i+1)
	}
	return names
}

// IssueCodes takes codes. Those that it has are not changed.
func (s *script) IssueCodes(_ context.Context, issue platform.Issue) error {
	return s.call("issue", func() error {
		order := s.orders[issue.OrderID]
		var text []string
		for _, code := range issue.Codes {
			text = append(text, code.ID+"="+code.Text.Reveal())
			if _, known := order.codes[code.ID]; !known {
				order.codes[code.ID] = code.Text.Reveal()
			}
		}
		order.told = append(order.told, strings.Join(text, " "))
		return nil
	})
}

// DecideRefund takes a decision. One that was taken is not changed.
func (s *script) DecideRefund(_ context.Context, decision platform.Decision) error {
	return s.call("decide", func() error {
		order := s.orders[decision.OrderID]
		if decision.Used {
			decision.Reason = "used already"
		}
		text := fmt.Sprintf("%s of %s: %t %s", decision.RefundID, decision.PlatformType, decision.Approve, decision.Reason)
		for _, code := range decision.Codes {
			text += fmt.Sprintf(" %s=%s", code.ID, code.Text.Reveal())
		}
		order.told = append(order.told, text)
		for _, unit := range order.open[decision.RefundID] {
			order.refunded[unit] = order.refunded[unit] || decision.Approve
		}
		if _, known := order.decided[decision.RefundID]; !known {
			order.decided[decision.RefundID] = decision.Approve
			delete(order.open, decision.RefundID)
		}
		return nil
	})
}

func (s *script) ApprovesUnused(string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.approvesUnused
}

// Notice says what is written of a subject; of type "deaf" it cannot be asked.
func (s *script) Notice(_ context.Context, platformType, subject string) (text string, asked bool, err error) {
	if platformType == "deaf" {
		return "", false, nil
	}
	err = s.call("notice", func() error {
		s.inquired = append(s.inquired, subject)
		text = s.notices[subject]
		return nil
	})
	return text, err == nil, err
}

// The pushes of the platform, as its adapter would decode them.

// wantsCodes asks for the codes of an order, until a deadline.
func wantsCodes(id string, n int, deadline time.Time) platform.OrderNotification {
	told := platform.OrderNotification{OrderID: id, MessageID: "issue:" + id, Kind: string(v1alpha1.NotificationCodesRequested),
		PlatformType: "issue_codes", Deadline: deadline, Replied: &platform.Replied{Result: platform.ResultPending}}
	for _, unit := range units(n) {
		told.Codes = append(told.Codes, platform.Code{ID: unit})
	}
	return told
}

// wantsRefund asks for a decision on the refund of units of an order, until a deadline.
func (s *script) wantsRefund(id, refundID string, deadline time.Time, names ...string) platform.OrderNotification {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orders[id].open[refundID] = names
	told := platform.OrderNotification{OrderID: id, MessageID: "refund:" + id + ":" + refundID, Kind: string(v1alpha1.NotificationRefundRequested),
		PlatformType: "refund_apply", Deadline: deadline, Replied: &platform.Replied{Result: platform.ResultPending},
		Refund: &platform.RefundFact{ID: refundID, Currency: "CNY"}}
	for _, unit := range names {
		told.Codes = append(told.Codes, platform.Code{ID: unit})
	}
	return told
}

// scripted makes a Channel `dy` on the script, and waits until it works.
func (s *stack) scripted() {
	s.Helper()
	s.secret("key")
	s.channel("dy", onScript)
	channelIs(s, "dy", v1alpha1.ReasonConnected)
}

// onScript is a Channel of the script's one account.
func onScript(c *v1alpha1.Channel) {
	c.Spec.Platform, c.Spec.Account, c.Spec.Endpoint = v1alpha1.PlatformDouyin, "app", ""
}

// tell has the Channel `dy` record a notification, as the webhook server would.
func (s *stack) tell(told platform.OrderNotification) {
	s.Helper()
	var holder *accounts.Account
	s.eventually(func() (missing string) {
		var err error
		if holder, err = s.registry.ByAccount(v1alpha1.PlatformDouyin, "app"); err != nil {
			missing = err.Error()
		}
		return missing
	})
	outcome, err := s.book.Record(s.Context(), holder, platform.Push{Path: "script", Body: []byte("{}"), ReceivedAt: time.Now()},
		[]platform.Event{{Order: &told}})
	if err != nil || outcome != platform.OutcomeRecorded {
		s.Fatalf("push: %s, %v", outcome, err)
	}
}

// codes makes or replaces a Secret with codes.
func (s *stack) codes(name, text string) {
	s.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}, Data: map[string][]byte{codesKey: []byte(text)}}
	if err := s.api.Update(s.Context(), secret); apierrors.IsNotFound(err) {
		must(s.T, s.api.Create(s.Context(), secret))
	} else {
		must(s.T, err)
	}
}

func codesOf(texts ...string) []sealing.Secret {
	var codes []sealing.Secret
	for _, text := range texts {
		codes = append(codes, sealing.NewSecret(text))
	}
	return codes
}
