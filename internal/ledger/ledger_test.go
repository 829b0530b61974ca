package ledger_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/conditions"
	"github.com/laidoulaile/channel-operator/internal/ledger"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
	"github.com/laidoulaile/channel-operator/test/env"
)

func TestMain(m *testing.M) {
	// Each check of a property is a dozen writes to a real API server here.
	if err := flag.Set("rapid.checks", "25"); err != nil {
		panic(err)
	}
	ctrl.SetLogger(logr.Discard())
	os.Exit(env.Main(m))
}

var (
	noon    = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	planted = "PLANTED-CODE-20251122"
)

// book is a ledger with an account in a namespace of its own.
type book struct {
	testing.TB
	*ledger.Ledger
	api      client.Client
	account  *accounts.Account
	identity string
}

func open(t *testing.T, channel string) *book {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	api, err := client.New(env.Config(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	writer, err := ledger.NewClient(env.Config(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	identity, err := sealing.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	recipients, err := sealing.Recipients(identity)
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := sealing.NewSealer(recipients, sealing.NewCodeKey())
	if err != nil {
		t.Fatal(err)
	}
	return &book{TB: t, Ledger: ledger.New(writer, api, nil), api: api, identity: identity, account: &accounts.Account{
		Namespace: env.Namespace(t, api), Name: channel, Platform: v1alpha1.PlatformFliggy, Holder: platform.Holder{ID: "1"}, Sealer: sealer}}
}

func push(body string) platform.Push {
	return platform.Push{Body: []byte(body), ReceivedAt: noon}
}

func change(id string, at time.Time, message string, aspects ...platform.Aspect) platform.Event {
	return platform.Event{Product: &platform.ProductChange{ProductID: id, Aspects: aspects, ChangedAt: at, MessageID: message, Type: "T"}}
}

func told(id, message string) platform.Event {
	return platform.Event{Order: &platform.OrderNotification{OrderID: id, OutOrderID: "T-1", MessageID: message,
		Kind: string(v1alpha1.NotificationCodesIssued), PlatformType: "SEND", OccurredAt: noon, Succeeded: ptr.To(true),
		Reason: "code " + planted + " at https://x.example/" + planted,
		Codes:  []platform.Code{{Text: sealing.NewSecret(planted), Persons: ptr.To(int64(2))}}}}
}

func (b *book) record(p platform.Push, events ...platform.Event) platform.Outcome {
	b.Helper()
	outcome, err := b.Record(b.Context(), b.account, p, events)
	if err != nil {
		b.Fatal(err)
	}
	return outcome
}

func (b *book) product(name string) *v1alpha1.ProductSync {
	b.Helper()
	var ps v1alpha1.ProductSync
	if err := b.api.Get(b.Context(), client.ObjectKey{Namespace: b.account.Namespace, Name: name}, &ps); err != nil {
		b.Fatal(err)
	}
	return &ps
}

func (b *book) order(name string) *v1alpha1.OrderVoucher {
	b.Helper()
	var ov v1alpha1.OrderVoucher
	if err := b.api.Get(b.Context(), client.ObjectKey{Namespace: b.account.Namespace, Name: name}, &ov); err != nil {
		b.Fatal(err)
	}
	return &ov
}

func TestProductChangeIsRecordedOnceAndNeverGoesBack(t *testing.T) {
	b := open(t, "fliggy")
	if got := b.record(push("{}"), change("88", noon, "m-1", platform.AspectPrice)); got != platform.OutcomeRecorded {
		t.Fatalf("first: %s", got)
	}
	first := b.product("fliggy-88")
	if first.Labels[v1alpha1.LabelChannel] != "fliggy" || first.Labels[v1alpha1.LabelPlatform] != "Fliggy" {
		t.Errorf("labels %v", first.Labels)
	}
	// The first write after a create also stores the status' default, which the create
	// could not: the controller's first look does it, and here this stands in for it.
	first.Status.State = v1alpha1.ProductUnknown
	if err := b.api.Status().Update(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	b.record(push("{}"), change("88", noon, "m-1", platform.AspectPrice))
	if again := b.product("fliggy-88"); again.ResourceVersion != first.ResourceVersion {
		t.Error("a second copy changed the object")
	}
	if got := b.record(push("{}"), change("88", noon.Add(-time.Second), "m-0", platform.AspectPrice)); got != platform.OutcomeOlder {
		t.Errorf("older: %s", got)
	}
	if again := b.product("fliggy-88"); again.ResourceVersion != first.ResourceVersion {
		t.Error("an older push changed the object")
	}
	if got := b.record(push("{}"), change("88", noon.Add(time.Second), "m-2", platform.AspectPrice)); got != platform.OutcomeRecorded {
		t.Errorf("newer: %s", got)
	}
	if at := b.product("fliggy-88").Spec.Announced.Price; at.MessageID != "m-2" {
		t.Errorf("announced %+v", at)
	}
}

func TestNewAspectIsNotLostWithAnOlderOne(t *testing.T) {
	b := open(t, "fliggy")
	b.record(push("{}"), change("88", noon, "price-new", platform.AspectPrice))
	got := b.record(push("{}"), change("88", noon.Add(-time.Minute), "both-old", platform.AspectPrice, platform.AspectStock))
	announced := b.product("fliggy-88").Spec.Announced
	if got != platform.OutcomeRecorded || announced.Price.MessageID != "price-new" || announced.Stock == nil || announced.Stock.MessageID != "both-old" {
		t.Errorf("%s, announced %+v", got, announced)
	}
}

func TestChangeFromTheFutureBlocksNothing(t *testing.T) {
	b := open(t, "fliggy")
	b.SetNow(func() time.Time { return noon })
	b.record(push("{}"), change("88", noon.Add(100*365*24*time.Hour), "m-future", platform.AspectPrice))
	if at := b.product("fliggy-88").Spec.Announced.Price.ChangedAt; !at.Equal(ptr.To(metav1.NewMicroTime(noon))) {
		t.Errorf("announced at %s, want when it was received", at)
	}
	if got := b.record(push("{}"), change("88", noon.Add(time.Second), "m-next", platform.AspectPrice)); got != platform.OutcomeRecorded {
		t.Errorf("the next push: %s", got)
	}
	// Nor does one that is ahead by no more than clocks differ.
	b.record(push("{}"), change("90", noon.Add(9*time.Minute), "m-ahead", platform.AspectPrice))
	for range 2 { // a second copy of what came next changes nothing
		b.record(push("{}"), change("90", noon.Add(time.Second), "m-real", platform.AspectPrice))
		if at := b.product("fliggy-90").Spec.Announced.Price; at.MessageID != "m-real" || at.ChangedAt.Sub(noon) > 9*time.Minute+time.Millisecond {
			t.Errorf("after a push from the near future: %+v", at)
		}
	}
	// What clocks may differ by is believed.
	near := noon.Add(9 * time.Minute)
	b.record(push("{}"), change("89", near, "m-1", platform.AspectPrice))
	if at := b.product("fliggy-89").Spec.Announced.Price.ChangedAt; !at.Equal(ptr.To(metav1.NewMicroTime(near))) {
		t.Errorf("announced at %s, want %s", at, near)
	}
}

// Whatever order pushes arrive in, and however often, the announced changes end the same.
func TestAnyOrderOfChangesEndsTheSame(t *testing.T) {
	b := open(t, "fliggy")
	id := 0
	all := []platform.Aspect{platform.AspectInfo, platform.AspectPrice, platform.AspectStock, platform.AspectAvailability}
	rapid.Check(t, func(rt *rapid.T) {
		var changes []*platform.ProductChange
		for i := range rapid.IntRange(1, 5).Draw(rt, "changes") {
			changes = append(changes, &platform.ProductChange{
				Aspects:   rapid.SliceOfNDistinct(rapid.SampledFrom(all), 1, 3, rapid.ID).Draw(rt, "aspects"),
				ChangedAt: noon.Add(time.Duration(rapid.IntRange(0, 2).Draw(rt, "at")) * time.Millisecond),
				MessageID: fmt.Sprintf("m-%d", i), Type: "T"})
		}
		var ends []string
		for range 2 {
			id++
			deliveries := slices.Concat(rapid.Permutation(changes).Draw(rt, "order"), rapid.SliceOfN(rapid.SampledFrom(changes), 0, 3).Draw(rt, "redelivered"))
			for _, one := range deliveries {
				one := *one
				one.ProductID = fmt.Sprint(id)
				late := push("{}")
				late.ReceivedAt = noon.Add(time.Hour)
				b.record(late, platform.Event{Product: &one})
			}
			end, err := json.Marshal(b.product(fmt.Sprintf("fliggy-%d", id)).Spec.Announced)
			if err != nil {
				rt.Fatal(err)
			}
			ends = append(ends, string(end))
		}
		if ends[0] != ends[1] {
			rt.Fatalf("two orders end differently:\n%s\n%s", ends[0], ends[1])
		}
	})
}

func TestOrderNotificationIsRecordedOnce(t *testing.T) {
	b := open(t, "fliggy")
	if got := b.record(push("body"), told("9007199254740995", "m-2")); got != platform.OutcomeRecorded {
		t.Fatalf("first: %s", got)
	}
	first := b.order("fliggy-9007199254740995")
	if first.Spec.OrderID != "9007199254740995" || first.Spec.OutOrderID != "T-1" {
		t.Errorf("spec %+v", first.Spec)
	}
	if got := b.record(push("body"), told("9007199254740995", "m-2")); got != platform.OutcomeDuplicate {
		t.Errorf("second copy: %s", got)
	}
	if again := b.order("fliggy-9007199254740995"); again.ResourceVersion != first.ResourceVersion {
		t.Error("a second copy changed the object")
	}
	b.record(push("body"), told("9007199254740995", "m-3"))
	if n := len(b.order("fliggy-9007199254740995").Spec.Notifications); n != 2 {
		t.Errorf("%d notifications, want 2", n)
	}
}

func TestNothingSecretIsStoredInClearAndTheBodyCanBeOpened(t *testing.T) {
	b := open(t, "fliggy")
	body := `{"code":"` + planted + `"}`
	b.record(push(body), told("5", "m-1"))
	ov := b.order("fliggy-5")
	raw, err := json.Marshal(ov)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), planted) {
		t.Errorf("the code stands in clear: %s", raw)
	}
	n := ov.Spec.Notifications[0]
	if n.Codes[0].Hint != "P•••" || !strings.HasPrefix(n.Codes[0].ID, "h1:") || *n.Codes[0].Persons != 2 {
		t.Errorf("code %+v", n.Codes[0])
	}
	if opened, err := sealing.Open(n.Sealed, b.identity); err != nil || string(opened) != body {
		t.Errorf("opened %q, %v", opened, err)
	}
}

func TestConcurrentPushesForOneOrderAreAllKept(t *testing.T) {
	b := open(t, "fliggy")
	const pushes = 40
	var group sync.WaitGroup
	failures := make(chan error, 2*pushes)
	for i := range pushes {
		for range 2 { // each twice at once
			group.Go(func() {
				_, err := b.Record(t.Context(), b.account, push("x"), []platform.Event{told("7", fmt.Sprintf("m-%d", i))})
				failures <- err
			})
		}
	}
	group.Wait()
	close(failures)
	for err := range failures {
		if err != nil {
			t.Error(err)
		}
	}
	if n := len(b.order("fliggy-7").Spec.Notifications); n != pushes {
		t.Errorf("%d notifications, want %d", n, pushes)
	}
}

func TestMoreCodesThanFitAreCutAndSaidSo(t *testing.T) {
	b := open(t, "fliggy")
	event := told("6", "m-1")
	event.Order.Codes = nil
	for i := range 501 {
		event.Order.Codes = append(event.Order.Codes, platform.Code{Text: sealing.NewSecret(fmt.Sprintf("CODE-%d", i))})
	}
	b.record(push("x"), event)
	if n := b.order("fliggy-6").Spec.Notifications[0]; len(n.Codes) != 500 || !n.Truncated {
		t.Errorf("%d codes, truncated %v", len(n.Codes), n.Truncated)
	}
}

func TestAppendsToAnOrderMadeByHand(t *testing.T) {
	b := open(t, "fliggy")
	byHand := &v1alpha1.OrderVoucher{ObjectMeta: metav1.ObjectMeta{Namespace: b.account.Namespace, Name: "fliggy-8"},
		Spec: v1alpha1.OrderVoucherSpec{ChannelRef: v1alpha1.ChannelReference{Name: "fliggy"}, OrderID: "8"}}
	if err := b.api.Create(t.Context(), byHand); err != nil {
		t.Fatal(err)
	}
	if got := b.record(push("x"), told("8", "m-1")); got != platform.OutcomeRecorded {
		t.Fatal(got)
	}
	if n := len(b.order("fliggy-8").Spec.Notifications); n != 1 {
		t.Errorf("%d notifications", n)
	}
}

// flood records so many pushes at once: they go out in groups, as one by one they would not
// in reasonable time.
func (b *book) flood(n int, pushed func(i int) (platform.Push, platform.Event)) {
	b.Helper()
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			p, event := pushed(i)
			if outcome, err := b.Record(b.Context(), b.account, p, []platform.Event{event}); err != nil || outcome != platform.OutcomeRecorded {
				b.Errorf("push %d: %s, %v", i, outcome, err)
			}
		})
	}
	group.Wait()
}

func TestFullListIsCompactedWithoutLosingWhatMatters(t *testing.T) {
	b := open(t, "fliggy")
	b.record(push("x"), told("9", "issued"))
	b.flood(256, func(i int) (platform.Push, platform.Event) {
		return push("x"), platform.Event{Order: &platform.OrderNotification{OrderID: "9", MessageID: fmt.Sprintf("hint-%d", i),
			Kind: string(v1alpha1.NotificationStatusChanged), PlatformType: "STATUS", OccurredAt: noon}}
	})
	b.record(push("x"), platform.Event{Order: &platform.OrderNotification{OrderID: "9", MessageID: "last",
		Kind: string(v1alpha1.NotificationStatusChanged), PlatformType: "STATUS", OccurredAt: noon}})
	kept := b.order("fliggy-9").Spec.Notifications
	if len(kept) > 256 || !slices.ContainsFunc(kept, func(n v1alpha1.Notification) bool { return n.ID == "issued" }) ||
		!slices.ContainsFunc(kept, func(n v1alpha1.Notification) bool { return n.ID == "last" }) {
		t.Errorf("%d notifications kept", len(kept))
	}
}

// Pushes that the platform confirmed may go when the list is full: the status is the
// platform's own answer. Those that it did not confirm stay, and the push is sent again.
func TestFullListOfConfirmedPushesTakesMore(t *testing.T) {
	b := open(t, "fliggy")
	pushed := func(i int) (platform.Push, platform.Event) {
		event := platform.Event{Order: &platform.OrderNotification{OrderID: "10", MessageID: fmt.Sprintf("v-%d", i), OccurredAt: noon,
			Kind: string(v1alpha1.NotificationCodeUsed), PlatformType: "VERIFY",
			Codes: []platform.Code{{Text: sealing.NewSecret(fmt.Sprintf("CODE-%d", i)), Used: ptr.To(int64(1))}}}}
		p := push(strings.Repeat("x", 3000)) // 256 of these weigh more than fits, too
		p.ReceivedAt = noon.Add(time.Duration(i) * time.Second)
		return p, event
	}
	verify := func(i int) (platform.Outcome, error) {
		p, event := pushed(i)
		return b.Record(t.Context(), b.account, p, []platform.Event{event})
	}
	b.record(push("the codes themselves"), told("10", "issued"))
	b.record(push("{}"), platform.Event{Order: &platform.OrderNotification{OrderID: "10", MessageID: "replied", OccurredAt: noon,
		Kind: string(v1alpha1.NotificationRefundRequested), PlatformType: "ASK", Replied: &platform.Replied{Result: platform.ResultRefused}}})
	const start = 195 // of these weigh a little less than fits
	b.flood(start, pushed)
	full := -1
	for i := start; i < 300; i++ {
		outcome, err := verify(i)
		if err != nil {
			full = i
			break
		}
		if outcome != platform.OutcomeRecorded {
			t.Fatalf("push %d: %s", i, outcome)
		}
	}
	if full < 100 {
		t.Fatalf("full after %d", full)
	}
	ov := b.order("fliggy-10")
	ov.Status.ObservedGeneration = ov.Generation
	ov.Status.Conditions = conditions.Set(nil, conditions.Verdict{State: conditions.Ready, Reason: v1alpha1.ReasonConfirmed}, ov.Generation, noon)
	if err := b.api.Status().Update(t.Context(), ov); err != nil {
		t.Fatalf("the full order's status cannot be written: %v", err)
	}
	if outcome, err := verify(full); err != nil || outcome != platform.OutcomeRecorded {
		t.Fatalf("after the platform confirmed: %s, %v", outcome, err)
	}
	kept := b.order("fliggy-10").Spec.Notifications
	if newest := kept[len(kept)-1]; newest.ID != fmt.Sprintf("v-%d", full) || len(kept) > 200 {
		t.Errorf("%d kept, the newest %s", len(kept), newest.ID)
	}
	if !slices.ContainsFunc(kept, func(n v1alpha1.Notification) bool { return n.ID == "issued" }) {
		t.Error("the push that issued the codes is gone, and its sealed body with it")
	}
	if !slices.ContainsFunc(kept, func(n v1alpha1.Notification) bool { return n.ID == "replied" }) {
		t.Error("what was replied is gone: asked again, the platform might hear another answer")
	}
}

func TestPushCostsTheChannelNoWriteOfItsOwn(t *testing.T) {
	b := open(t, "fliggy")
	channel := &v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Namespace: b.account.Namespace, Name: "fliggy"},
		Spec: v1alpha1.ChannelSpec{Platform: v1alpha1.PlatformFliggy, Account: "1", CredentialsRef: v1alpha1.SecretReference{Name: "s"}}}
	if err := b.api.Create(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	at := func(second int, id string) *metav1.Time {
		p := push("x")
		p.ReceivedAt = noon.Add(time.Duration(second) * time.Second)
		b.record(p, told("11", id))
		b.WriteLastPush(t.Context())
		if err := b.api.Get(t.Context(), client.ObjectKeyFromObject(channel), channel); err != nil {
			t.Fatal(err)
		}
		return channel.Status.LastPushTime
	}
	if got := at(0, "a"); got == nil || !got.Equal(ptr.To(metav1.NewTime(noon))) {
		t.Errorf("first push: %v", got)
	}
	version := channel.ResourceVersion
	if at(299, "b"); channel.ResourceVersion != version {
		t.Error("a push within five minutes wrote to the Channel")
	}
	if got := at(301, "c"); !got.Equal(ptr.To(metav1.NewTime(noon.Add(301 * time.Second)))) {
		t.Errorf("after five minutes: %v", got)
	}
}

func TestOneNameWantedByTwoChannels(t *testing.T) {
	b := open(t, "a")
	other := *b.account
	other.Name = "a-b"
	b.record(push("x"), told("b-1", "m-1"), change("b-1", noon, "m-1", platform.AspectInfo))
	if _, err := b.Record(t.Context(), &other, push("x"), []platform.Event{told("1", "m-2"), change("1", noon, "m-2", platform.AspectInfo)}); err != nil {
		t.Fatal(err)
	}
	// A second copy finds its own object again.
	if got, err := b.Record(t.Context(), &other, push("x"), []platform.Event{told("1", "m-2")}); err != nil || got != platform.OutcomeDuplicate {
		t.Fatalf("%s, %v", got, err)
	}
	var orders v1alpha1.OrderVoucherList
	var products v1alpha1.ProductSyncList
	for _, list := range []client.ObjectList{&orders, &products} {
		if err := b.api.List(t.Context(), list, client.InNamespace(b.account.Namespace)); err != nil {
			t.Fatal(err)
		}
	}
	if len(orders.Items) != 2 || len(products.Items) != 2 {
		t.Errorf("%d orders, %d products, want two of each", len(orders.Items), len(products.Items))
	}
	if made, err := b.EnsureProduct(t.Context(), &other, "1"); err != nil || made {
		t.Errorf("discovery made another: %v, %v", made, err)
	}
}

func TestObjectNames(t *testing.T) {
	for _, test := range []struct{ channel, id, want string }{
		{"fliggy", "88", "fliggy-88"},
		{"fliggy", "9007199254740995", "fliggy-9007199254740995"},
		{"sctt", "ab-12", "sctt-ab-12"},
	} {
		if got := ledger.ObjectName(test.channel, test.id); got != test.want {
			t.Errorf("%s/%s: %s, want %s", test.channel, test.id, got, test.want)
		}
	}
	for _, id := range []string{"AB", "a/b", "票", "a_b", strings.Repeat("x", 260), "-", ""} {
		got := ledger.ObjectName("fliggy", id)
		if !strings.HasPrefix(got, "fliggy-") || len(got) != len("fliggy-")+20 || got != ledger.ObjectName("fliggy", id) {
			t.Errorf("%q: %s", id, got)
		}
	}
}

func TestDiscoveredProductIsMadeOnce(t *testing.T) {
	b := open(t, "fliggy")
	for i, want := range []bool{true, false} {
		if made, err := b.EnsureProduct(t.Context(), b.account, "100"); err != nil || made != want {
			t.Errorf("call %d: %v, %v", i, made, err)
		}
	}
}

func TestNoticesAreKeptNewestOfEachKind(t *testing.T) {
	b := open(t, "fliggy")
	channel := &v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Namespace: b.account.Namespace, Name: "fliggy"},
		Spec: v1alpha1.ChannelSpec{Platform: v1alpha1.PlatformFliggy, Account: "1", CredentialsRef: v1alpha1.SecretReference{Name: "s"}}}
	if err := b.api.Create(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	notice := func(id, subject string, minute int) platform.Outcome {
		p := push(planted)
		p.ReceivedAt = noon.Add(time.Duration(minute) * time.Minute)
		return b.record(p, platform.Event{Notice: &platform.Notice{MessageID: id, PlatformType: "NEW", Subject: subject}})
	}
	for i, want := range []platform.Outcome{platform.OutcomeRecorded, platform.OutcomeDuplicate} {
		if got := notice("n-1", "88", 0); got != want {
			t.Errorf("delivery %d: %s", i, got)
		}
	}
	notice("n-2", "88", 1)
	for i := range 70 {
		notice(fmt.Sprintf("x-%d", i), fmt.Sprint(i), 2+i)
	}
	if err := b.api.Get(t.Context(), client.ObjectKeyFromObject(channel), channel); err != nil {
		t.Fatal(err)
	}
	notices := channel.Status.Notices
	if len(notices) != 64 || notices[0].ID != "x-69" {
		t.Fatalf("%d notices, first %s", len(notices), notices[0].ID)
	}
	if opened, err := sealing.Open(notices[0].Sealed, b.identity); err != nil || string(opened) != planted {
		t.Errorf("opened %q, %v", opened, err)
	}
}

func TestRecordFailsWhileTheNamespaceIsMissing(t *testing.T) {
	b := open(t, "fliggy")
	gone := *b.account
	gone.Namespace = "nowhere"
	for _, event := range []platform.Event{told("1", "m"), change("1", noon, "m", platform.AspectInfo)} {
		if got, err := b.Record(t.Context(), &gone, push("x"), []platform.Event{event}); err == nil || got.Accepted() {
			t.Errorf("%s, %v", got, err)
		}
	}
}

func (b *book) createChannel() {
	b.Helper()
	if err := b.api.Create(b.Context(), &v1alpha1.Channel{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.account.Namespace, Name: b.account.Name},
		Spec: v1alpha1.ChannelSpec{Platform: v1alpha1.PlatformFliggy, Account: "1",
			CredentialsRef: v1alpha1.SecretReference{Name: "x"}},
	}); err != nil {
		b.Fatal(err)
	}
}
