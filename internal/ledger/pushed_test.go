package ledger_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// nameless is a notification of a platform that gives messages no id.
func nameless(id, content string) platform.Event {
	event := told(id, "voucher:2")
	event.Order.Content = []byte(content)
	return event
}

// A message without an id is known by what it says, and its id tells nobody what that is.
func TestMessageWithoutAnIDIsRecordedOnce(t *testing.T) {
	b := open(t, "sctt")
	for i, test := range []struct {
		content string
		want    platform.Outcome
		kept    int
	}{
		{`{"pin":"1234"}`, platform.OutcomeRecorded, 1},
		{`{"pin":"1234"}`, platform.OutcomeDuplicate, 1},
		{`{"pin":"1235"}`, platform.OutcomeRecorded, 2},
		{`{"pin":"1234"}`, platform.OutcomeDuplicate, 2},
	} {
		if got := b.record(push("x"), nameless("11", test.content)); got != test.want {
			t.Errorf("%d: %s, want %s", i, got, test.want)
		}
		if n := len(b.order("sctt-11").Spec.Notifications); n != test.kept {
			t.Errorf("%d: %d notifications, want %d", i, n, test.kept)
		}
	}
	other := open(t, "sctt")
	other.record(push("x"), nameless("11", `{"pin":"1234"}`))
	here, there := b.order("sctt-11").Spec.Notifications[0].ID, other.order("sctt-11").Spec.Notifications[0].ID
	if !strings.HasPrefix(here, "voucher:2:") || here == there {
		t.Errorf("ids %s and %s: another key must give another", here, there)
	}
}

// A batch is acknowledged when all of it is durable, and a second copy changes nothing.
func TestBatchIsRecordedWhole(t *testing.T) {
	b := open(t, "sctt")
	var batch []platform.Event
	for i := range 40 {
		batch = append(batch, told(fmt.Sprintf("batch-%d", i), "m-1"))
	}
	for i, want := range []platform.Outcome{platform.OutcomeRecorded, platform.OutcomeDuplicate} {
		if got := b.record(push("x"), batch...); got != want {
			t.Errorf("copy %d: %s, want %s", i, got, want)
		}
	}
	var orders v1alpha1.OrderVoucherList
	if err := b.api.List(t.Context(), &orders, client.InNamespace(b.account.Namespace)); err != nil || len(orders.Items) != 40 {
		t.Fatalf("%d orders, %v", len(orders.Items), err)
	}
	for _, order := range orders.Items {
		if len(order.Spec.Notifications) != 1 {
			t.Errorf("%s has %d notifications", order.Name, len(order.Spec.Notifications))
		}
	}
}

// A batch of which one order cannot be recorded is not acknowledged; sent again, when it
// can, it is whole.
func TestBatchThatFailsInPartIsSentAgain(t *testing.T) {
	b := open(t, "sctt")
	broken := told("batch-b", "m-1")
	broken.Order.Kind = "NoSuchKind" // the API server refuses it
	batch := []platform.Event{told("batch-a", "m-1"), broken, told("batch-c", "m-1")}
	if outcome, err := b.Record(t.Context(), b.account, push("x"), batch); err == nil || outcome != platform.OutcomeRetry {
		t.Fatalf("%s, %v", outcome, err)
	}
	batch[1].Order.Kind = string(v1alpha1.NotificationOther)
	if got := b.record(push("x"), batch...); got != platform.OutcomeRecorded {
		t.Errorf("again: %s", got)
	}
	for _, name := range []string{"sctt-batch-a", "sctt-batch-b", "sctt-batch-c"} {
		if n := len(b.order(name).Spec.Notifications); n != 1 {
			t.Errorf("%s has %d notifications", name, n)
		}
	}
}

func TestTermsOfAnOrderAreKeptWithoutItsSecrets(t *testing.T) {
	b := open(t, "sctt")
	event := nameless("12", "{}")
	o := event.Order
	o.Secrets = []sealing.Secret{sealing.NewSecret("sesam")}
	o.Remark = "the box opens with Sesam"
	o.Price = &platform.Price{Text: "120.5 A$", Currency: "AUD", Amount: ptr.To(int64(12050))}
	o.Codes[0].Form = platform.FormQRCode
	o.Cancellation = &platform.Cancellation{Type: string(v1alpha1.CancellationByRule), PlatformType: "as sesam says"}
	for i := range 20 {
		o.Cancellation.Rules = append(o.Cancellation.Rules, platform.CancellationRule{
			PlatformType: []string{"1", ""}[i%2], StartDay: fmt.Sprint(i), EndDay: "7", Percent: []string{"50", "sesam%"}[i%2], Text: "half, or say Sesam" + strings.Repeat("长", 300)})
	}
	b.record(push("x"), event)
	n := b.order("sctt-12").Spec.Notifications[0]
	if n.Price == nil || *n.Price.Money != (v1alpha1.Money{Currency: "AUD", Amount: 12050}) || n.Price.Text != "120.5 A$" || n.Codes[0].Form != "QRCode" {
		t.Errorf("price %+v, codes %+v", n.Price, n.Codes)
	}
	if c := n.Cancellation; c == nil || c.Type != v1alpha1.CancellationByRule || len(c.Rules) != 16 || c.Rules[3].StartDay != "3" || c.Rules[2].PlatformType != "1" || c.Rules[3].PlatformType != "unknown" || c.Rules[2].Percent != "50" {
		t.Errorf("cancellation %+v", n.Cancellation)
	}
	raw, err := json.Marshal(n)
	if err != nil || strings.Contains(strings.ToLower(string(raw)), "sesam") || !strings.Contains(n.Remark, "the box opens with") {
		t.Errorf("%v: %s", err, raw)
	}
}

// A price whose currency is not clear is kept as it came.
func TestPriceWithoutACurrency(t *testing.T) {
	b := open(t, "sctt")
	event := nameless("13", "{}")
	event.Order.Price = &platform.Price{Text: "120 ¥"}
	b.record(push("x"), event)
	if price := b.order("sctt-13").Spec.Notifications[0].Price; price == nil || price.Text != "120 ¥" || price.Money != nil {
		t.Errorf("price %+v", price)
	}
}

func credit(amount string, at time.Time) platform.Event {
	return platform.Event{Credit: &platform.Credit{Amount: amount, At: at}}
}

// The newest credit stands on the Channel, whichever push came last; it costs pushes no write.
func TestCreditIsKeptByItsOwnTime(t *testing.T) {
	b := open(t, "sctt")
	channel := &v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Namespace: b.account.Namespace, Name: "sctt"},
		Spec: v1alpha1.ChannelSpec{Platform: v1alpha1.PlatformSCTT, Account: "255456", CredentialsRef: v1alpha1.SecretReference{Name: "s"}}}
	if err := b.api.Create(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	shown := func() *v1alpha1.ChannelCredit {
		b.WriteLastPush(t.Context())
		if err := b.api.Get(t.Context(), client.ObjectKeyFromObject(channel), channel); err != nil {
			t.Fatal(err)
		}
		return channel.Status.Credit
	}
	at := func(minute int) platform.Push {
		return platform.Push{Body: []byte("x"), ReceivedAt: noon.Add(time.Duration(minute) * time.Minute)}
	}
	b.record(at(0), told("20", "m-1"), credit("25.58", noon.Add(-2*time.Second)))
	b.record(at(0), told("20", "m-2"), credit("31.00", noon.Add(-9*time.Second))) // told later, and of before
	if got := shown(); got == nil || got.Amount != "25.58" || !got.At.Equal(ptr.To(metav1.NewTime(noon.Add(-2*time.Second)))) {
		t.Fatalf("credit %+v", got)
	}
	b.record(at(10), told("20", "m-3"), credit("40", noon.Add(-time.Minute)))
	if got := shown(); got.Amount != "25.58" {
		t.Errorf("what was so before took the place of what was so later: %+v", got)
	}
	b.record(at(20), told("20", "m-4"), credit("12.5", noon.Add(24*time.Hour))) // a clock ahead blocks nothing
	if got := shown(); got.Amount != "12.5" || !got.At.Equal(ptr.To(metav1.NewTime(noon.Add(20*time.Minute)))) {
		t.Errorf("credit %+v", got)
	}
	b.record(at(30), told("20", "m-5"), credit("-3", time.Time{}))
	if got := shown(); got.Amount != "-3" {
		t.Errorf("credit %+v", got)
	}
	if channel.Status.LastPushTime == nil || !channel.Status.LastPushTime.Equal(ptr.To(metav1.NewTime(noon.Add(30*time.Minute)))) {
		t.Errorf("last push %v", channel.Status.LastPushTime)
	}
}

// A batch about very many orders leaves with each the part that is about it, and not the
// whole; a small one the whole.
func TestWhatIsSealedOfABatch(t *testing.T) {
	b := open(t, "sctt")
	for name, test := range map[string]struct {
		size int
		want func(i int, body string) string
	}{
		"small": {10, func(_ int, body string) string { return body }},
		"large": {60 << 10, func(i int, _ string) string { return fmt.Sprintf("row %d", i) }},
	} {
		body := strings.Repeat("x", test.size)
		var batch []platform.Event
		for i := range 20 {
			event := told(fmt.Sprintf("%s-%d", name, i), "m-1")
			event.Order.Part = sealing.NewSecret(fmt.Sprintf("row %d", i))
			batch = append(batch, event)
		}
		b.record(push(body), batch...)
		for i := range 20 {
			sealed := b.order(fmt.Sprintf("sctt-%s-%d", name, i)).Spec.Notifications[0].Sealed
			if opened, err := sealing.Open(sealed, b.identity); err != nil || string(opened) != test.want(i, body) {
				t.Errorf("%s, row %d: %d bytes, %v", name, i, len(opened), err)
			}
		}
	}
}

// A copy of what a full order has is known, though nothing more fits: by its weight, and by
// its number.
func TestCopyOfWhatAFullOrderHas(t *testing.T) {
	b := open(t, "sctt")
	heavy := func(i int) platform.Event {
		event := nameless("21", fmt.Sprint(i))
		event.Order.Codes = []platform.Code{{Text: sealing.NewSecret(fmt.Sprintf("CODE-%d", i))}}
		return event
	}
	full := -1
	for i := range 10 {
		if _, err := b.Record(t.Context(), b.account, push(strings.Repeat("x", 200<<10)), []platform.Event{heavy(i)}); err != nil {
			full = i
			break
		}
	}
	if full < 2 {
		t.Fatalf("full after %d", full)
	}
	for i := range full {
		if got := b.record(push(strings.Repeat("x", 200<<10)), heavy(i)); got != platform.OutcomeDuplicate {
			t.Errorf("copy %d: %s", i, got)
		}
	}
}

// Of what may go from a full list the oldest goes first: their bodies hold what is shown
// nowhere else, and the newest are the better word.
func TestOldestGoesFirstFromAFullList(t *testing.T) {
	b := open(t, "sctt")
	const pushes = 270
	pushed := func(i int) (platform.Push, platform.Event) {
		event := nameless("22", fmt.Sprint(i)) // all of them name one code, and bear no time
		event.Order.OccurredAt = time.Time{}
		p := push("x")
		p.ReceivedAt = noon.Add(time.Duration(i) * time.Second)
		return p, event
	}
	b.flood(250, pushed)
	for i := 250; i < pushes; i++ {
		p, event := pushed(i)
		if got := b.record(p, event); got != platform.OutcomeRecorded {
			t.Fatalf("push %d: %s", i, got)
		}
	}
	gone := map[int64]bool{}
	for i := range pushes {
		gone[noon.Add(time.Duration(i)*time.Second).Unix()] = true
	}
	kept := b.order("sctt-22").Spec.Notifications
	for _, n := range kept {
		delete(gone, n.ReceivedAt.Unix())
	}
	decides := 1 // one old notification may hold a register
	for i := range pushes {
		if at := noon.Add(time.Duration(i) * time.Second).Unix(); gone[at] && i >= pushes-len(kept)+decides {
			t.Errorf("push %d is gone, of %d that are kept", i, len(kept))
		}
	}
}
