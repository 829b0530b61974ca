package faults

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
)

const (
	// Of one chapter: orders of a few notifications and of dozens, products and their changes.
	plainOrders, hotOrders, hotUses, products, changes = 16, 2, 40, 4, 10
	// mostCopies is how often a message is delivered at most, and spread how many other
	// deliveries may lie in between, per message of the chapter.
	mostCopies, spread = 3, 60
)

// market is an account on a fake Fliggy, and its Channel.
type market struct {
	*world
	fake *platformtest.Fliggy
	name string
	// past is what each order and product was, one after the other, as happen saw it.
	past map[string][]string
}

func (w *world) openMarket(name, account string) *market {
	w.Helper()
	return w.openMarketWith(name, account, marketOptions{})
}

// marketOptions are what a market may have besides; the zero value has nothing.
type marketOptions struct {
	// token that pushes must bear.
	token string
	// before stands between us and the platform.
	before func(http.Handler) http.Handler
}

func (w *world) openMarketWith(name, account string, o marketOptions) *market {
	w.Helper()
	fake, err := platformtest.NewFliggy(platformtest.FliggyConfig{Account: account})
	if err != nil {
		w.Fatal(err)
	}
	var platform http.Handler = fake
	if o.before != nil {
		platform = o.before(fake)
	}
	server := httptest.NewServer(platform)
	w.Cleanup(server.Close)
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: map[string]string{"privateKey": fake.PrivateKey(), "pushToken": o.token}})
	channel := &v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.ChannelSpec{
		Platform: v1alpha1.PlatformFliggy, Account: account, Endpoint: server.URL,
		CredentialsRef: v1alpha1.SecretReference{Name: name},
		Limits:         v1alpha1.ChannelLimits{RequestsPerSecond: ptr.To[int32](1000), Burst: ptr.To[int32](1000), Concurrency: ptr.To[int32](100)}}}
	if o.token != "" {
		channel.Spec.Receive.TokenSecretRef = &v1alpha1.SecretKeyReference{Name: name, Key: "pushToken"}
	}
	w.createChannel(channel)
	return &market{world: w, fake: fake, name: name, past: map[string][]string{}}
}

// step is one thing that happens on the platform, and the push that tells it.
type step func() ([]byte, error)

// play is what happens with one order or product, step by step.
type play struct {
	order, product string
	steps          []step
}

// event is a place in the platform's work: something happens, or is delivered.
type event struct {
	at   int
	play *play // nil: a delivery
	of   *happening
}

// happening is a step and, once it happened, its message.
type happening struct{ message *message }

// chapter invents orders and products whose names begin with a number, and the order in
// which things happen with them, and are delivered: each as often as the dice say, and
// mixed with what comes before and after.
func (m *market) chapter(random *rand.Rand, number int) []event {
	plays := m.plays(random, number)
	var whose []*play
	for _, p := range plays {
		whose = append(whose, slices.Repeat([]*play{p}, len(p.steps))...)
	}
	random.Shuffle(len(whose), func(i, j int) { whose[i], whose[j] = whose[j], whose[i] })
	var events []event
	for i, p := range whose {
		h := &happening{}
		events = append(events, event{at: i, play: p, of: h})
		for range 1 + random.IntN(mostCopies) {
			events = append(events, event{at: i + random.IntN(spread), of: h})
		}
	}
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	return events
}

func (m *market) plays(random *rand.Rand, number int) []*play {
	var plays []*play
	for i := range plainOrders + hotOrders {
		id := strconv.Itoa(8_000_000_000_000_000_000 + number*1000 + i)
		quantity := int64(1 + random.IntN(4))
		if i >= plainOrders {
			quantity = hotUses + 10
		}
		err := m.fake.PutOrder(platformtest.Order{ID: id, OutOrderID: "out-" + id, ProductID: "7", Quantity: quantity, Price: 12345})
		if err != nil {
			m.Fatal(err)
		}
		p := &play{order: id, steps: m.hot(id)}
		if i < plainOrders {
			p.steps = m.plain(random, id, quantity)
		}
		plays = append(plays, p)
	}
	for i := range products {
		plays = append(plays, m.product(random, strconv.Itoa(600_000_000+number*1000+i)))
	}
	return plays
}

// plain is the life of an order as the dice have it.
func (m *market) plain(random *rand.Rand, id string, quantity int64) []step {
	f := m.fake
	pay := func() ([]byte, error) { return f.Pay(id) }
	tell := func() ([]byte, error) { return f.StatusPush(id) }
	issue := func() ([]byte, error) {
		return f.IssueCodes(id, platformtest.OrderCode{Code: planted + id, Persons: quantity})
	}
	use := func() ([]byte, error) { return f.UseCode(id, planted+id, 1) }
	ask := func() ([]byte, error) { return f.RequestRefund(id, 12345, 1, quantity == 1) }
	refund := func() ([]byte, error) { return f.Refund(id, 12345, 1, quantity == 1) }
	decline := func() ([]byte, error) { return f.RefundFails(id, "too late") }
	lives := [][]step{
		{tell, func() ([]byte, error) { return f.Close(id) }},
		{pay, tell},
		{pay, func() ([]byte, error) { return f.IssueFails(id, "sold out") }},
		{pay, tell, issue},
		{pay, issue, use, tell},
		append([]step{pay, issue}, slices.Repeat([]step{use}, int(quantity))...),
		{pay, issue, ask},
		{pay, issue, ask, refund, tell},
		{pay, issue, ask, decline, use},
	}
	return lives[random.IntN(len(lives))]
}

// hot is the life of an order that a group uses one by one.
func (m *market) hot(id string) []step {
	steps := []step{
		func() ([]byte, error) { return m.fake.Pay(id) },
		func() ([]byte, error) {
			return m.fake.IssueCodes(id, platformtest.OrderCode{Code: planted + id, Persons: hotUses + 10})
		},
	}
	return append(steps, slices.Repeat([]step{func() ([]byte, error) { return m.fake.UseCode(id, planted+id, 1) }}, hotUses)...)
}

// kinds of product pushes, and the aspects that each is about.
var kinds = map[string][]string{
	"VACATION_RESOURCE_INFO_CHANGE":        {"info"},
	"VACATION_RESOURCE_VALID_CHANGE":       {"availability"},
	"VACATION_RESOURCE_INVALID_CHANGE":     {"availability"},
	"VACATION_RESOURCE_PRICE_STOCK_CHANGE": {"price", "stock"},
	"VACATION_RESOURCE_PRICE_CHANGE":       {"price"},
	"VACATION_RESOURCE_STOCK_CHANGE":       {"stock"},
}

// happen takes the play's next step and gives the message that tells it.
func (p *play) happen() (*message, error) {
	body, err := p.steps[0]()
	if err != nil {
		return nil, err
	}
	p.steps = p.steps[1:]
	return read(body, p)
}

func read(body []byte, p *play) (*message, error) {
	var head struct {
		MessageID   string `json:"messageId"`
		PushType    string `json:"pushType"`
		ChangedTime int64  `json:"changedTime"`
	}
	if err := json.Unmarshal(body, &head); err != nil {
		return nil, err
	}
	m := &message{id: head.MessageID, kind: head.PushType, body: body, order: p.order, product: p.product, path: platformtest.FliggyOrderPath}
	if p.product != "" {
		m.path, m.changedAt = platformtest.FliggyProductPath, time.UnixMilli(head.ChangedTime)
	}
	return m, nil
}

// truth is what an order has come to, by the platform's own books: what its status must
// say, in short.
func truth(o platformtest.Order) string {
	var persons, used, refunded int64
	for _, c := range o.Codes {
		persons, used, refunded = persons+c.Persons, used+c.Used, refunded+c.Refunded
	}
	var phase v1alpha1.OrderPhase
	switch {
	case o.Status == platformtest.FliggyFailed:
		phase = v1alpha1.OrderFailed
	case o.Status == platformtest.FliggyClosed:
		phase = v1alpha1.OrderCancelled
	case o.RefundStatus == platformtest.FliggyRefunded:
		phase = v1alpha1.OrderRefunded
	case o.RefundStatus == platformtest.FliggyRefundApplying:
		phase = v1alpha1.OrderRefundRequested
	case o.RefundStatus == platformtest.FliggyPartRefunded:
		phase = v1alpha1.OrderPartlyRefunded
	case used > 0 && used == persons:
		phase = v1alpha1.OrderUsed
	case used > 0:
		phase = v1alpha1.OrderPartlyUsed
	case o.Status == platformtest.FliggyTicketed:
		phase = v1alpha1.OrderIssued
	case o.Status == platformtest.FliggyPaid:
		phase = v1alpha1.OrderPaid
	default:
		phase = v1alpha1.OrderPending
	}
	return brief(phase, len(o.Codes), persons, used, refunded)
}

// told is the same, by the status. Refunds one by one are left out: they are asked for with
// the next look after the one that finds that there are any.
func told(status v1alpha1.OrderVoucherStatus) string {
	return brief(status.Phase, len(status.Codes), status.Totals.Persons, status.Totals.Used, status.Totals.Refunded)
}

func brief(phase v1alpha1.OrderPhase, codes int, persons, used, refunded int64) string {
	return fmt.Sprintf("%s, %d codes for %d persons, %d used, %d refunded", phase, codes, persons, used, refunded)
}
