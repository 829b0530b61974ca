package ledger_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/journal"
	"github.com/laidoulaile/channel-operator/internal/ledger"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

// kept is a book with a journal, before an API server that can be switched.
type kept struct {
	*book
	server  *switched
	dir     string
	journal *journal.Journal
	stop    func()
	hold    func()        // before each change of the journal's file
	cache   client.Reader // the API server itself, if nil
}

func keep(t *testing.T, channel string) *kept {
	t.Helper()
	k := &kept{book: open(t, channel), server: &switched{}, dir: t.TempDir()}
	k.start(t)
	return k
}

// start starts the ledger as a new process does.
func (k *kept) start(t *testing.T) {
	t.Helper()
	var err error
	if k.journal, err = journal.Open(journal.Options{Dir: k.dir, Hold: k.hold}); err != nil {
		t.Fatal(err)
	}
	cache := k.cache
	if cache == nil {
		cache = k.api
	}
	k.Ledger = ledger.New(k.server.client(t), cache, k.journal)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	over := make(chan struct{})
	go func() { defer close(over); _ = k.Start(ctx) }()
	k.stop = sync.OnceFunc(func() {
		cancel()
		<-over
		if err := k.journal.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(k.stop)
}

// empties waits until the journal keeps nothing any more.
func (k *kept) empties() {
	k.Helper()
	for deadline := time.Now().Add(20 * time.Second); k.journal.Stats().Records > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			k.Fatalf("the journal still keeps %+v", k.journal.Stats())
		}
	}
}

// While the API server is away pushes are acknowledged from the journal, at once; when it is
// back they are written, each once.
func TestPushesAreKeptWhileTheAPIServerIsAway(t *testing.T) {
	k := keep(t, "fliggy")
	k.server.away.Store(true)
	slow := 0
	for i := range 20 {
		start := time.Now()
		if got := k.record(push(planted), told("1", fmt.Sprintf("m-%d", i/2)), change("1", noon.Add(-time.Minute+time.Duration(i)*time.Second), fmt.Sprint(i), platform.AspectPrice)); got != platform.OutcomeRecorded {
			t.Fatalf("push %d: %s", i, got)
		}
		if time.Since(start) > 1900*time.Millisecond {
			slow++
		}
	}
	if slow > 2 { // as many as a disk that is shared may hold up
		t.Errorf("%d pushes waited for the budget", slow)
	}
	if stats := k.journal.Stats(); stats.Records != 40 {
		t.Fatalf("the journal keeps %+v", stats)
	}
	if file, err := os.ReadFile(filepath.Join(k.dir, "journal.db")); err != nil || strings.Contains(string(file), planted) {
		t.Errorf("the journal shows what must be sealed, or cannot be read: %v", err)
	}
	k.server.away.Store(false)
	k.empties()
	if n := len(k.order("fliggy-1").Spec.Notifications); n != 10 {
		t.Errorf("%d notifications, want 10", n)
	}
	if price := k.product("fliggy-1").Spec.Announced.Price; price.MessageID != "19" {
		t.Errorf("announced %+v", price)
	}
}

// What was acknowledged before the process ended is written by the next one.
func TestKeptPushesOutliveTheProcess(t *testing.T) {
	k := keep(t, "fliggy")
	k.server.away.Store(true)
	k.record(push("x"), told("2", "m-1"))
	k.stop()
	k.server.away.Store(false)
	k.start(t)
	k.empties()
	if n := k.order("fliggy-2").Spec.Notifications; len(n) != 1 || n[0].ID != "m-1" || !n[0].ReceivedAt.Time.Equal(noon) {
		t.Errorf("notifications %+v", n)
	}
}

// A write that hangs costs its pushes the budget and no more; those behind it do not wait as
// long. In the end each stands once.
func TestPushesAreKeptWhileTheAPIServerHangs(t *testing.T) {
	k := keep(t, "fliggy")
	k.server.gate.Lock()
	var group sync.WaitGroup
	took := make([]time.Duration, 12)
	for i := range took {
		group.Go(func() {
			start := time.Now()
			if outcome, err := k.Record(t.Context(), k.account, push("x"), []platform.Event{told("3", fmt.Sprint(i))}); err != nil || outcome != platform.OutcomeRecorded {
				t.Errorf("push %d: %s, %v", i, outcome, err)
			}
			took[i] = time.Since(start)
		})
		if i == 0 {
			k.stands(0) // it is being written
		}
	}
	group.Wait()
	slow := 0
	for _, d := range took {
		if d > 8*time.Second {
			slow++
		}
	}
	if slow > 0 { // how soon exactly they are kept is tested where the clock is
		t.Errorf("%d pushes waited for the write that hangs: %v", slow, took)
	}
	k.server.gate.Unlock()
	k.empties()
	if n := len(k.order("fliggy-3").Spec.Notifications); n != len(took) {
		t.Errorf("%d notifications, want %d", n, len(took))
	}
}

// A push whose write takes long, and whose record hangs in the journal's disk: it is acknowledged when
// it is on its object, and when the disk answers at last, what it has kept is there already.
func TestRecordOfADiskThatHungIsADuplicate(t *testing.T) {
	k := keep(t, "fliggy")
	k.stop()
	var disk sync.Mutex
	var held atomic.Bool
	handed := make(chan struct{})
	k.hold = func() {
		if held.CompareAndSwap(true, false) {
			close(handed)
		}
		disk.Lock()
		disk.Unlock() //nolint:staticcheck // it waits
	}
	k.start(t)
	k.server.away.Store(true)
	k.record(push("x"), told("0", "m-1"))
	k.server.away.Store(false)
	k.empties() // now it drains, and has nothing to do
	disk.Lock()
	held.Store(true)
	k.server.gate.Lock()
	go func() { // the write is let go when the disk has the record
		select {
		case <-handed:
		case <-time.After(20 * time.Second):
		}
		k.server.gate.Unlock()
	}()
	if got := k.record(push("x"), told("1", "m-1")); got != platform.OutcomeRecorded {
		t.Error(got)
	}
	before, writes := k.order("fliggy-1"), k.server.writes.Load()
	disk.Unlock()
	k.eventually(func() bool { return k.server.writes.Load() > writes }) // it is drained
	k.empties()
	if after := k.order("fliggy-1"); len(after.Spec.Notifications) != 1 || after.Generation != before.Generation || k.journal.Stats().Asides > 0 {
		t.Errorf("notifications %+v", after.Spec.Notifications)
	}
}

// What somebody is answered by must be on its object.
func TestAnswersAreNotKept(t *testing.T) {
	k := keep(t, "fliggy")
	k.record(push("x"), told("4", "m-0"))
	k.empties() // a slow machine may have kept it
	k.server.away.Store(true)
	if outcome, err := k.Commit(t.Context(), k.account, push("x"), []platform.Event{told("4", "m-1")}); err == nil || outcome.Accepted() {
		t.Errorf("%s, %v", outcome, err)
	}
	if stats := k.journal.Stats(); stats.Records != 0 {
		t.Errorf("kept: %+v", stats)
	}
	// Nor is anything answered as if what is kept had not been pushed.
	k.record(push("x"), told("4", "m-2"))
	if _, err := k.Look(t.Context(), k.account, platform.Lookup{Orders: []string{"4"}}, true); err == nil {
		t.Error("a fresh look does not see what is kept, and does not say so")
	}
	k.server.away.Store(false)
	k.empties()
	if known, err := k.Look(t.Context(), k.account, platform.Lookup{Orders: []string{"4"}}, true); err != nil || len(known.Orders) != 1 {
		t.Errorf("%+v, %v", known, err)
	}
	// What is set aside was pushed, too.
	refused := told("4", "m-3")
	refused.Order.Kind = "NoSuchKind"
	k.server.away.Store(true)
	k.record(push("x"), refused)
	k.server.away.Store(false)
	k.empties()
	if _, err := k.Look(t.Context(), k.account, platform.Lookup{Orders: []string{"4"}}, true); err == nil || k.journal.Stats().Asides != 1 {
		t.Errorf("a fresh look does not see what is set aside, and does not say so: %+v", k.journal.Stats())
	}
}

// A push that the API server refuses as it stands is not acknowledged; one that was kept and
// is refused later is set aside, and the rest of its object goes on.
func TestWhatIsRefusedForGoodIsSetAside(t *testing.T) {
	k := keep(t, "fliggy")
	broken := told("5", "broken")
	broken.Order.Kind = "NoSuchKind"
	kept := 0 // as often as a slow machine keeps it
	for {
		outcome, err := k.Record(t.Context(), k.account, push("x"), []platform.Event{broken})
		if err != nil {
			break
		}
		if kept++; kept > 3 {
			t.Fatalf("it is acknowledged: %s", outcome)
		}
		k.empties()
	}
	k.server.away.Store(true)
	k.record(push("x"), told("5", "m-1"), broken, told("5", "m-2"))
	k.server.away.Store(false)
	k.empties()
	if n := len(k.order("fliggy-5").Spec.Notifications); n != 2 {
		t.Errorf("%d notifications, want 2", n)
	}
	asides := k.journal.Asides()
	if len(asides) != 1+kept || !strings.Contains(asides[0].Reason, "].type: FieldValueNotSupported") {
		t.Errorf("set aside: %+v", asides)
	}
}

// A journal that cannot take a push is no promise.
func TestFullJournalAsksForAnotherTry(t *testing.T) {
	k := keep(t, "fliggy")
	k.stop()
	full, err := journal.Open(journal.Options{Dir: t.TempDir(), MaxBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = full.Close() })
	k.server.away.Store(true)
	k.Ledger = ledger.New(k.server.client(t), k.api, full)
	if outcome, err := k.Record(t.Context(), k.account, push("x"), []platform.Event{told("6", "m-1")}); !errors.Is(err, journal.ErrFull) || outcome.Accepted() {
		t.Errorf("%s, %v", outcome, err)
	}
}

// A batch keeps to one budget, not to one for each of its orders.
func TestBatchKeepsToOneBudget(t *testing.T) {
	k := keep(t, "sctt")
	k.server.gate.Lock()
	var batch []platform.Event
	for i := range 100 {
		batch = append(batch, told(fmt.Sprintf("b-%d", i), "m-1"))
	}
	start := time.Now()
	if got := k.record(push("x"), batch...); got != platform.OutcomeRecorded {
		t.Error(got)
	}
	if took := time.Since(start); took > 15*time.Second { // a budget each would be minutes
		t.Errorf("it took %s", took)
	}
	k.server.gate.Unlock()
	k.empties()
	var orders v1alpha1.OrderVoucherList
	if err := k.api.List(t.Context(), &orders); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, o := range orders.Items {
		if o.Namespace == k.account.Namespace && len(o.Spec.Notifications) == 1 {
			n++
		}
	}
	if raw, _ := json.Marshal(orders.Items); n != 100 {
		t.Errorf("%d orders of 100 in %d bytes", n, len(raw))
	}
}

// One record that cannot be written holds up no other, and is tried again at the next start.
func TestOneRecordHoldsUpNoOther(t *testing.T) {
	k := keep(t, "fliggy")
	k.server.away.Store(true)
	home := k.account.Namespace
	k.account.Namespace = "nowhere"
	k.record(push("x"), told("stuck", "m-1"))
	k.account.Namespace = home
	broken := told("7", "broken")
	broken.Order.Kind = "NoSuchKind"
	k.record(push("x"), broken)
	for i := range 60 {
		k.record(push("x"), told(fmt.Sprintf("free-%d", i), "m-1"))
	}
	k.server.away.Store(false)
	for deadline := time.Now().Add(20 * time.Second); k.journal.Stats().Records > 1; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the journal still keeps %+v", k.journal.Stats())
		}
	}
	if stats := k.journal.Stats(); stats.Asides != 1 {
		t.Errorf("%+v", stats)
	}
	k.stop()
	k.start(t)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if stats := k.journal.Stats(); stats.Records == 1 && stats.Asides == 1 {
			break // tried again, and refused again
		} else if time.Now().After(deadline) {
			t.Fatalf("%+v", stats)
		}
	}
}

// What is drained later than something newer was written stays older: it neither takes its place
// nor is it lost.
func TestOlderFromTheJournalStaysOlder(t *testing.T) {
	k := keep(t, "fliggy")
	k.createChannel()
	direct := ledger.New(k.api, k.api, nil) // another replica
	told := func(id string, at time.Time) (platform.Push, []platform.Event) {
		return platform.Push{Body: []byte("x"), ReceivedAt: at}, []platform.Event{
			change("1", at, id, platform.AspectAvailability),
			{Notice: &platform.Notice{MessageID: id, PlatformType: "STRANGE", Subject: "s"}}}
	}
	k.server.away.Store(true)
	before, events := told("old", noon)
	k.record(before, events...)
	after, events := told("newer", noon.Add(time.Minute))
	if got, err := direct.Record(t.Context(), k.account, after, events); err != nil || got != platform.OutcomeRecorded {
		t.Fatal(got, err)
	}
	k.server.away.Store(false)
	k.empties()
	if got := k.product("fliggy-1").Spec.Announced.Availability; got.MessageID != "newer" {
		t.Errorf("announced %+v", got)
	}
	late, events := told("older still", noon.Add(-time.Hour))
	if _, err := direct.Record(t.Context(), k.account, late, events); err != nil {
		t.Fatal(err)
	}
	var channel v1alpha1.Channel
	if err := k.api.Get(t.Context(), client.ObjectKey{Namespace: k.account.Namespace, Name: "fliggy"}, &channel); err != nil {
		t.Fatal(err)
	}
	if n := channel.Status.Notices; len(n) != 1 || n[0].ID != "newer" || n[0].Count != 3 {
		t.Errorf("notices %+v", n)
	}
}

// What the API server refuses for what may pass is acknowledged from the journal, and written
// when it has passed: here the namespace is missing.
func TestPushesAreKeptWhileTheNamespaceIsMissing(t *testing.T) {
	k := keep(t, "fliggy")
	k.account.Namespace = "missing-" + k.account.Namespace
	if got := k.record(push("x"), told("1", "m-1")); got != platform.OutcomeRecorded || k.journal.Stats().Records != 1 {
		t.Fatalf("outcome %s, %+v", got, k.journal.Stats())
	}
	if err := k.api.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: k.account.Namespace}}); err != nil {
		t.Fatal(err)
	}
	k.empties()
	if n := k.order("fliggy-1").Spec.Notifications; len(n) != 1 {
		t.Errorf("notifications %+v", n)
	}
}

// A change without a time of the platform's is known by when it was received. One that was
// received by a clock behind another's, and is written when that is past, is announced all the same;
// and of many one is.
func TestTimelessChangeIsNotLostBehindAClockAhead(t *testing.T) {
	b := open(t, "ch")
	b.SetNow(func() time.Time { return noon.Add(time.Minute) })
	ahead, late := push("x"), push("x")
	ahead.ReceivedAt, late.ReceivedAt = noon.Add(3*time.Second), noon.Add(time.Second)
	b.record(ahead, change("1", time.Time{}, "m-1", platform.AspectPrice))
	if got := b.record(late, change("1", time.Time{}, "m-2", platform.AspectPrice, platform.AspectStock)); got != platform.OutcomeRecorded {
		t.Errorf("outcome %s", got)
	}
	announced := b.product("ch-1").Spec.Announced
	if announced.Price.MessageID != "m-2" || !announced.Price.ChangedAt.After(ahead.ReceivedAt) || announced.Stock == nil {
		t.Errorf("announced %+v", announced)
	}
	// A time of the platform's is what it is: an older change stays older.
	b.record(ahead, change("2", noon, "m-1", platform.AspectPrice))
	if got := b.record(late, change("2", noon.Add(-time.Minute), "m-2", platform.AspectPrice)); got != platform.OutcomeOlder {
		t.Errorf("an older change: %s", got)
	}
}

// A cache that knows nothing of a Channel, since its namespace is not watched any more, says nothing
// about the API server: what waits for that Channel is written, and holds up nobody.
func TestChannelThatTheCacheCannotShowHoldsUpNoDrain(t *testing.T) {
	k := keep(t, "fliggy")
	k.server.away.Store(true)
	k.record(push("x"), told("1", "m-1"), change("1", noon, "m-1", platform.AspectPrice))
	k.stop()
	k.cache = narrow{k.api}
	k.server.away.Store(false)
	k.start(t)
	k.empties()
	if n := k.order("fliggy-1").Spec.Notifications; len(n) != 1 || k.product("fliggy-1").Spec.Announced.Price == nil || k.journal.Stats().Asides != 0 {
		t.Errorf("notifications %+v, %+v", n, k.journal.Stats())
	}
}

// narrow is a cache of namespaces that no Channel is in, as the manager's answers.
type narrow struct{ client.Reader }

func (n narrow) Get(ctx context.Context, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
	if _, channel := object.(*v1alpha1.Channel); channel {
		return fmt.Errorf("unable to get: %v because of unknown namespace for the cache", key)
	}
	return n.Reader.Get(ctx, key, object, opts...)
}

// What waits in the journal is written for the account that it was pushed to: neither for another that
// has the Channel's name by now, nor for one of another platform. It is set aside, and written at the
// next try (here a start) if a Channel of that account has the name again. It is written too where none has it. Records of versions
// that did not say the account are written as before.
func TestWhatIsKeptIsNotTakenByAnotherAccount(t *testing.T) {
	k := keep(t, "fliggy")
	again := func(p v1alpha1.Platform, account string) {
		t.Helper()
		name := metav1.ObjectMeta{Namespace: k.account.Namespace, Name: k.account.Name}
		if err := client.IgnoreNotFound(k.api.Delete(t.Context(), &v1alpha1.Channel{ObjectMeta: name})); err != nil {
			t.Fatal(err)
		}
		if account == "" {
			return
		}
		if err := k.api.Create(t.Context(), &v1alpha1.Channel{ObjectMeta: name,
			Spec: v1alpha1.ChannelSpec{Platform: p, Account: account, CredentialsRef: v1alpha1.SecretReference{Name: "x"}}}); err != nil {
			t.Fatal(err)
		}
	}
	for i, test := range []struct {
		platform v1alpha1.Platform
		account  string
		aside    int
	}{{v1alpha1.PlatformFliggy, "2", 2}, {v1alpha1.PlatformDouyin, "1", 2}, {v1alpha1.PlatformFliggy, "1", 0}, {"", "", 0}} {
		id := fmt.Sprint(i)
		again(v1alpha1.PlatformFliggy, "1")
		k.server.away.Store(true)
		k.record(push("x"), told(id, "m-1"), change(id, noon, "m-1", platform.AspectPrice))
		k.stop() // nothing is under way while the Channel is made again
		again(test.platform, test.account)
		k.server.away.Store(false)
		k.start(t)
		k.empties()
		if asides := k.journal.Asides(); len(asides) != test.aside || test.aside > 0 && !strings.Contains(asides[0].Reason, "another account") {
			t.Errorf("%d: set aside: %+v", i, asides)
		}
		orders := v1alpha1.OrderVoucherList{}
		if err := k.api.List(t.Context(), &orders, client.InNamespace(k.account.Namespace)); err != nil {
			t.Fatal(err)
		}
		there := len(slices.DeleteFunc(orders.Items, func(o v1alpha1.OrderVoucher) bool { return o.Spec.OrderID != id }))
		if there != 1-test.aside/2 {
			t.Errorf("%d: %d orders are there", i, there)
		}
		again(v1alpha1.PlatformFliggy, "1")
		k.stop()
		k.start(t) // what is set aside is tried again
		k.empties()
		k.eventually(func() bool { return k.journal.Stats().Asides == 0 && k.journal.Stats().Records == 0 })
		if n := k.order("fliggy-" + id).Spec.Notifications; len(n) != 1 || k.product("fliggy-"+id).Spec.Announced.Price == nil {
			t.Errorf("%d: notifications %+v", i, n)
		}
	}
	k.server.away.Store(true)
	k.record(push("x"), told("older", "m-1"))
	records, err := k.journal.Of("order/"+k.account.Namespace+"/fliggy/older", 1)
	if err != nil || len(records) != 1 || !strings.Contains(string(records[0].Data), `"account":"1"`) {
		t.Fatalf("%+v, %v", records, err)
	}
	older := strings.ReplaceAll(strings.Replace(string(records[0].Data), `"account":"1",`, "", 1), `"m-1"`, `"m-2"`)
	if err := k.journal.Put(t.Context(), "order/"+k.account.Namespace+"/fliggy/older", []byte(older)); err != nil {
		t.Fatal(err)
	}
	k.stop()
	again(v1alpha1.PlatformFliggy, "2")
	k.server.away.Store(false)
	k.start(t)
	k.empties()
	if n := k.order("fliggy-older").Spec.Notifications; len(n) != 1 || n[0].ID != "m-2" || k.journal.Stats().Asides != 1 {
		t.Errorf("notifications %+v, %+v", n, k.journal.Stats())
	}
}
