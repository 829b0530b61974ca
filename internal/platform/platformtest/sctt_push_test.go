package platformtest_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/order"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
	"github.com/laidoulaile/channel-operator/internal/platform/sctt"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// overNothing is a receiver that needs no network, so that time can be synthetic.
type overNothing func(*http.Request) (status int, body string, err error)

func (f overNothing) RoundTrip(r *http.Request) (*http.Response, error) {
	status, body, err := f(r)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

const scttOK = `{"code":0,"msg":"ok","data":null}`

func TestSCTTVerdict(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   platformtest.Verdict
	}{
		{200, scttOK, platformtest.Accepted},
		{200, `{"code":4001,"msg":"no","data":null}`, platformtest.Retry},
		{200, `{"msg":"ok"}`, platformtest.Retry},
		{200, `ok`, platformtest.Retry},
		{200, ``, platformtest.Retry},
		{201, scttOK, platformtest.Retry},
		{400, `{"code":4001,"msg":"no","data":null}`, platformtest.Refused},
		{400, scttOK, platformtest.Retry},
		{404, `page not found`, platformtest.Retry},
		{503, `{"code":5000,"msg":"please try again","data":null}`, platformtest.Retry},
	} {
		if got := platformtest.SCTTVerdict(c.status, []byte(c.body)); got != c.want {
			t.Errorf("%d %s: %s", c.status, c.body, got)
		}
	}
}

// TestSCTTTriesAgain: until the reply is a 200 with code 0, and the same bytes each time.
func TestSCTTTriesAgain(t *testing.T) {
	type reply struct {
		status int
		body   string
	}
	refusal, retry, good := reply{400, `{"code":4001,"msg":"no"}`}, reply{503, `{"code":5000,"msg":"x"}`}, reply{200, scttOK}
	for name, c := range map[string]struct {
		replies  []reply
		attempts int
		fate     platformtest.Fate
	}{
		"at once":          {[]reply{good}, 1, platformtest.Delivered},
		"after a refusal":  {[]reply{refusal, retry, good}, 3, platformtest.Delivered},
		"always refused":   {[]reply{refusal}, 5, platformtest.Denied},
		"never there":      {[]reply{retry}, 5, platformtest.GivenUp},
		"a body of no use": {[]reply{{200, "ok"}, good}, 2, platformtest.Delivered},
		"no reply":         {[]reply{{}, good}, 2, platformtest.Delivered},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var bodies []string
				fake, err := platformtest.NewSCTT(platformtest.SCTTConfig{PushBase: "http://receiver", RetryEvery: time.Minute,
					Transport: overNothing(func(r *http.Request) (int, string, error) {
						body, _ := io.ReadAll(r.Body)
						bodies = append(bodies, string(body))
						next := c.replies[min(len(bodies), len(c.replies))-1]
						if next.status == 0 {
							return 0, "", errors.New("refused")
						}
						return next.status, next.body, nil
					})})
				must(t, err)
				start := time.Now()
				content, err := fake.VoucherPush(platformtest.SCTTOrderID)
				must(t, err)
				d := fake.Send(t.Context(), platformtest.SCTTVoucherPath, content)
				if d.Attempts != c.attempts || d.Fate != c.fate || time.Since(start) != time.Duration(c.attempts-1)*time.Minute {
					t.Errorf("%+v after %s", d, time.Since(start))
				}
				if len(slices.Compact(bodies)) != 1 {
					t.Errorf("other bytes: %q", bodies)
				}
			})
		})
	}
}

// scttInbox is a webhook server that keeps what arrives.
type scttInbox struct {
	mu     sync.Mutex
	seen   []string
	bodies [][]byte
	types  []string
}

func (i *scttInbox) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.seen, i.bodies, i.types = append(i.seen, r.Method+" "+r.URL.String()), append(i.bodies, body), append(i.types, r.Header.Get("Content-Type"))
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(scttOK)), Request: r}, err
}

// TestSCTTOnTheWire: signed to the common path, as printed to the Channel's own.
func TestSCTTOnTheWire(t *testing.T) {
	in := &scttInbox{}
	fake := newSCTT(t, platformtest.SCTTConfig{PushBase: "http://receiver", PushToken: "t&k", ChannelPath: "/api/channels/travel/sctt", Transport: in})
	content, err := fake.SetStatus(platformtest.SCTTOrderID, platformtest.SCTTBooked, "")
	must(t, err)
	batch, err := fake.Cancel(platformtest.SCTTCancelDone, "", platformtest.SCTTOrderID, platformtest.SCTTSecondOrderID)
	must(t, err)
	fake.Send(t.Context(), platformtest.SCTTVoucherPath, content)
	fake.SendToChannel(t.Context(), platformtest.SCTTCancelPath, batch)
	fake.SendSample(t.Context())
	want := []string{"POST http://receiver/api/webhooks/sctt/order-voucher?token=t%26k",
		"POST http://receiver/api/channels/travel/sctt/order-cancel?token=t%26k", "POST http://receiver/api/channels/travel/sctt/order-voucher?token=t%26k"}
	if diff := cmp.Diff(want, in.seen); diff != "" || in.types[0] != "application/json" {
		t.Errorf("%s %q", diff, in.types)
	}
	if platformtest.SCTTMerchant(in.bodies[0]) != platformtest.SCTTAccount || platformtest.SCTTMerchant(in.bodies[1]) != "" {
		t.Errorf("%s\n%s", in.bodies[0], in.bodies[1])
	}
	if !strings.HasSuffix(string(in.bodies[0]), string(content[1:])) || string(in.bodies[1]) != string(batch) {
		t.Error("what is pushed is not the content")
	}
	// The digest is that of the platform's page, from its first brace to its last.
	if sum := sha256.Sum256(in.bodies[2]); hex.EncodeToString(sum[:]) != "e7fdd7b46f93aab2832df827d33ba86754e0f3c8ee242a6f06ddbfe3f8cfe440" {
		t.Errorf("the printed sample is altered: %x", sum)
	}
	for _, d := range fake.Deliveries() {
		if d.Fate != platformtest.Delivered || !strings.HasSuffix(d.Path, d.Type) || d.Type == "" {
			t.Errorf("%+v", d)
		}
	}
}

func TestSCTTSigned(t *testing.T) {
	fake := newSCTT(t, platformtest.SCTTConfig{Zone: "+09:00"})
	at := time.Date(2026, 2, 22, 10, 0, 0, 0, time.UTC)
	for content, want := range map[string]string{
		`{}`:         `{"merchant_id":255456,"request_time":"2026-02-22 19:00:00","sign":"5B21C4B9DB587055BEFCD46F0CEF5701"}`,
		` { "a":1 }`: `{"merchant_id":255456,"request_time":"2026-02-22 19:00:00","sign":"5B21C4B9DB587055BEFCD46F0CEF5701", "a":1 }`,
		`[1]`:        `[1]`,
		`null`:       `null`,
		"// no JSON": "// no JSON",
	} {
		if got := fake.SignedAt([]byte(content), at); string(got) != want {
			t.Errorf("%s: %s", content, got)
		}
	}
}

// TestSCTTTransitions: what each push says.
func TestSCTTTransitions(t *testing.T) {
	fake := newSCTT(t, platformtest.SCTTConfig{Credit: "200.58"})
	id := platformtest.SCTTOrderID
	check := func(content []byte, err error, parts ...string) {
		t.Helper()
		must(t, err)
		for _, part := range parts {
			if !strings.Contains(string(content), part) {
				t.Errorf("%s lacks %s", content, part)
			}
		}
	}
	content, err := fake.VoucherPush(id)
	check(content, err, `"order_code":700001,`, `"total_price":120.5,`, `"order_status":1,`, `"vouchers":[],`, `"surplus_quota":200.58,`, `"canr_percent":"50"`, `"cancel_type":3,`)
	content, err = fake.SetStatus(id, platformtest.SCTTBooked, "")
	check(content, err, `"order_status":2,`, `"surplus_quota":80.08,`, `"travel_itinerary_url":"https://`, `"confirmation_url":"https://`,
		`"voucher_type":1,`, `"voucher_type":2,`, `"voucher_type":3,`, `"voucher_type":4,`, `"voucher_type":5,`)
	content, err = fake.ChangeTicket(id, 0, 1, platformtest.SCTTTicket{Type: platformtest.SCTTBarcode, Confirmation: "NEW"})
	check(content, err, `"voucher_confirmation":"NEW"`, `"surplus_quota":80.08,`)
	content, err = fake.SetStatus(platformtest.SCTTSecondOrderID, platformtest.SCTTFailed, "no room")
	check(content, err, `"order_status":3,`, `"remark":"no room"`, `"order_currency":"A$"`)
	content, err = fake.Cancel(platformtest.SCTTCancelFailed, "too late", id, platformtest.SCTTBigOrderID)
	check(content, err, `"cancel_status":1,`, `"order_code":9007199254740995,`, `"remark":"too late"`, `"trade_number":"T-700001"`)
	if o, _ := fake.Order(id); o.Status != platformtest.SCTTBooked || o.CancelStatus != platformtest.SCTTCancelFailed {
		t.Errorf("%+v", o)
	}
	_, err = fake.Cancel(platformtest.SCTTCancelDone, "", id)
	check(nil, err)
	if o, _ := fake.Order(id); o.Status != platformtest.SCTTCancelled {
		t.Errorf("%+v", o)
	}
	for name, err := range map[string]error{
		"no order":     second(fake.SetStatus("7", 2, "")),
		"no ticket":    second(fake.ChangeTicket(id, 0, 9, platformtest.SCTTTicket{})),
		"none at all":  second(fake.Cancel(3, "")),
		"one unknown":  second(fake.Cancel(1, "x", id, "7")),
		"nothing told": second(fake.VoucherPush("7")),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if o, _ := fake.Order(id); o.CancelStatus != platformtest.SCTTCancelDone {
		t.Error("a batch that fails changes an order")
	}
}

func second[T any](_ T, err error) error { return err }

// scttLedger records what arrives, as the webhook server and the ledger do: by the account
// or the Channel's path, each notification once by its id.
type scttLedger struct {
	t        testing.TB
	settings any
	account  *accounts.Account
	clock    time.Time

	mu     sync.Mutex
	orders map[string][]v1alpha1.Notification
	seen   int
}

func newSCTTLedger(t testing.TB) *scttLedger {
	t.Helper()
	identity, err := sealing.NewIdentity()
	must(t, err)
	recipients, err := sealing.Recipients(identity)
	must(t, err)
	sealer, err := sealing.NewSealer(recipients, sealing.NewCodeKey())
	must(t, err)
	return &scttLedger{t: t, settings: scttSettings(t, platformtest.SCTTConfig{}, ""), account: &accounts.Account{Sealer: sealer},
		clock: time.Date(2026, 2, 22, 10, 0, 0, 0, time.UTC), orders: map[string][]v1alpha1.Notification{}}
}

func (l *scttLedger) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	path := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	outcome, why := platform.OutcomeRecorded, ""
	if err := l.record(platform.Push{Path: path, Header: r.Header, Body: body}); err != nil {
		outcome, why = platform.OutcomeMalformed, err.Error()
	}
	reply := sctt.Adapter{}.Reply(path, outcome, why)
	return &http.Response{StatusCode: reply.Status, Body: io.NopCloser(strings.NewReader(string(reply.Body))), Request: r}, nil
}

func (l *scttLedger) record(push platform.Push) error {
	m, err := sctt.Adapter{}.Open(push)
	if err != nil {
		return err
	}
	if _, err := m.Verify(platform.Holder{ID: platformtest.SCTTAccount, Credentials: scttCredentials(scttSecret), Settings: l.settings}); err != nil {
		return err
	}
	events, err := m.Events()
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen++
	for _, e := range events {
		if e.Order != nil {
			l.note(e.Order)
		}
	}
	return nil
}

// note adds a notification, unless its id is there already.
func (l *scttLedger) note(told *platform.OrderNotification) {
	l.clock = l.clock.Add(time.Minute)
	n := v1alpha1.Notification{ID: l.account.MessageID(told), Type: v1alpha1.NotificationType(told.Kind), PlatformType: told.PlatformType,
		ReceivedAt: metav1.NewMicroTime(l.clock), Succeeded: told.Succeeded, Reason: told.Reason, Remark: told.Remark, Codes: l.account.Mask(told.Codes)}
	if !told.OccurredAt.IsZero() {
		at := metav1.NewMicroTime(told.OccurredAt)
		n.OccurredAt = &at
	}
	known := l.orders[told.OrderID]
	if !slices.ContainsFunc(known, func(k v1alpha1.Notification) bool { return k.ID == n.ID }) {
		l.orders[told.OrderID] = append(known, n)
	}
}

// fold is what each order has come to, by pushes alone.
func (l *scttLedger) fold() map[string]order.Outcome {
	outcomes := map[string]order.Outcome{}
	for id, notifications := range l.orders {
		outcomes[id] = order.Fold(notifications, order.Evidence{Trusted: true})
	}
	return outcomes
}

func (l *scttLedger) forget() {
	l.orders, l.seen = map[string][]v1alpha1.Notification{}, 0
}

// said is one push of the platform.
type scttSaid struct {
	path    string
	content []byte
}

// someSCTTHistory lets things happen to the seeded orders, and gives the pushes that tell it.
func someSCTTHistory(t *rapid.T, fake *platformtest.SCTT) []scttSaid {
	ids := []string{platformtest.SCTTOrderID, platformtest.SCTTSecondOrderID, platformtest.SCTTBigOrderID}
	someID := rapid.SampledFrom(ids)
	someRemark := rapid.SampledFrom([]string{"", "weather", "sold out"})
	var history []scttSaid
	for range rapid.IntRange(1, 6).Draw(t, "steps") {
		path, content, err := platformtest.SCTTVoucherPath, []byte(nil), error(nil)
		switch rapid.SampledFrom([]string{"status", "status", "ticket", "cancel", "credit"}).Draw(t, "step") {
		case "status":
			content, err = fake.SetStatus(someID.Draw(t, "order"), rapid.IntRange(1, 5).Draw(t, "status"), someRemark.Draw(t, "remark"))
		case "ticket":
			id := someID.Draw(t, "order")
			if o, _ := fake.Order(id); len(o.Vouchers) == 0 {
				_, err = fake.SetStatus(id, platformtest.SCTTBooked, "")
			}
			if err == nil {
				content, err = fake.ChangeTicket(id, 0, rapid.IntRange(0, 2).Draw(t, "ticket"),
					platformtest.SCTTTicket{Type: rapid.IntRange(1, 6).Draw(t, "kind"), Confirmation: rapid.SampledFrom([]string{"A1", "B2", ""}).Draw(t, "code")})
			}
		case "cancel":
			path = platformtest.SCTTCancelPath
			batch := rapid.SliceOfNDistinct(someID, 1, len(ids), rapid.ID).Draw(t, "batch")
			content, err = fake.Cancel(rapid.IntRange(1, 4).Draw(t, "cancel status"), someRemark.Draw(t, "remark"), batch...)
		case "credit": // which the next pushes tell, and no order does
			must(t, fake.SetCredit(fmt.Sprint(rapid.IntRange(0, 1000).Draw(t, "credit"))))
			continue
		}
		must(t, err)
		history = append(history, scttSaid{path, content})
	}
	return history
}

// TestSCTTPushesInAnyOrder: pushes that are lost, sent twice at once, held and let go in
// another order, sent again later with another time and sign, or to the Channel's own path
// without any, come to what each of them once, in order, comes to.
func TestSCTTPushesInAnyOrder(t *testing.T) {
	ledger := newSCTTLedger(t)
	fake := newSCTT(t, platformtest.SCTTConfig{PushBase: "http://receiver", ChannelPath: "/api/channels/travel/sctt", RetryEvery: time.Nanosecond, Transport: ledger})
	initial := fake.Orders()
	rapid.Check(t, func(t *rapid.T) {
		for _, o := range initial {
			must(t, fake.PutOrder(o))
		}
		history := someSCTTHistory(t, fake)
		ledger.forget()
		for _, said := range history {
			if d := fake.Send(ledger.t.Context(), said.path, said.content); d.Fate != platformtest.Delivered {
				t.Fatalf("%+v", d)
			}
		}
		want, ids := ledger.fold(), idsOf(ledger.orders)
		ledger.forget()
		resend(ledger.t.Context(), t, fake, history)
		if diff := cmp.Diff(want, ledger.fold()); diff != "" {
			t.Fatalf("%d pushes became %d: want -, got +:\n%s", len(history), ledger.seen, diff)
		}
		if diff := cmp.Diff(ids, idsOf(ledger.orders)); diff != "" {
			t.Fatalf("notifications: want -, got +:\n%s", diff)
		}
	})
}

// resend sends all of the history, in any order, with all that may happen on the way.
func resend(ctx context.Context, t *rapid.T, fake *platformtest.SCTT, history []scttSaid) {
	again := rapid.SliceOfN(rapid.SampledFrom(append(slices.Clone(history), scttSaid{})), 0, 5).Draw(t, "again")
	all := rapid.Permutation(slices.DeleteFunc(append(slices.Clone(history), again...), func(s scttSaid) bool { return s.path == "" })).Draw(t, "order")
	for i, said := range all {
		fake.ClearFaults()
		if kind := rapid.SampledFrom([]platformtest.FaultKind{"", platformtest.Duplicate, platformtest.Reorder, platformtest.LoseReply}).Draw(t, "fault"); kind != "" {
			fake.Inject(platformtest.Fault{Kind: kind})
		}
		if rapid.Bool().Draw(t, "to the Channel") {
			fake.SendToChannel(ctx, said.path, said.content)
			continue
		}
		fake.Push(ctx, said.path, fake.SignedAt(said.content, scttMade.Add(time.Duration(i)*time.Second)))
	}
	fake.ClearFaults()
	for _, d := range fake.ReleasePushes(ctx, rapid.Uint64().Draw(t, "seed")) {
		if d.Fate != platformtest.Delivered {
			t.Fatalf("%+v", d)
		}
	}
}

// idsOf are the ids of each order's notifications, in order.
func idsOf(orders map[string][]v1alpha1.Notification) map[string][]string {
	ids := map[string][]string{}
	for id, notifications := range orders {
		for _, n := range notifications {
			ids[id] = append(ids[id], n.ID)
		}
		slices.Sort(ids[id])
	}
	return ids
}

// TestSCTTPhases: what an order comes to, by pushes alone.
func TestSCTTPhases(t *testing.T) {
	id := platformtest.SCTTOrderID
	status := func(status int) func(*platformtest.SCTT) (string, []byte, error) {
		return func(f *platformtest.SCTT) (string, []byte, error) {
			content, err := f.SetStatus(id, status, "")
			return platformtest.SCTTVoucherPath, content, err
		}
	}
	cancel := func(status int) func(*platformtest.SCTT) (string, []byte, error) {
		return func(f *platformtest.SCTT) (string, []byte, error) {
			content, err := f.Cancel(status, "", id, platformtest.SCTTSecondOrderID)
			return platformtest.SCTTCancelPath, content, err
		}
	}
	type steps = []func(*platformtest.SCTT) (string, []byte, error)
	for name, c := range map[string]struct {
		steps steps
		phase v1alpha1.OrderPhase
		codes int
	}{
		"waiting":              {steps{status(1)}, v1alpha1.OrderIssuing, 0},
		"booked":               {steps{status(1), status(2)}, v1alpha1.OrderIssued, 5},
		"failed":               {steps{status(1), status(3)}, v1alpha1.OrderFailed, 0},
		"cancelled":            {steps{status(1), status(2), status(4)}, v1alpha1.OrderCancelled, 5},
		"cancelled in a batch": {steps{status(1), status(2), cancel(3)}, v1alpha1.OrderCancelled, 5},
		"not cancelled":        {steps{status(1), status(2), cancel(2), cancel(1)}, v1alpha1.OrderIssued, 5},
	} {
		t.Run(name, func(t *testing.T) {
			ledger := newSCTTLedger(t)
			fake := newSCTT(t, platformtest.SCTTConfig{PushBase: "http://receiver", Transport: ledger})
			for _, step := range c.steps {
				path, content, err := step(fake)
				must(t, err)
				fake.Send(t.Context(), path, content)
			}
			got := ledger.fold()[id].Status
			if got.Phase != c.phase || len(got.Codes) != c.codes {
				t.Errorf("%s with %d codes, want %s with %d", got.Phase, len(got.Codes), c.phase, c.codes)
			}
		})
	}
}
