package ledger_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/ledger"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/test/env"
)

// switched is an API server that can be held and taken away; it counts what is written to it.
type switched struct {
	writes atomic.Int64
	gate   sync.Mutex // locked: writes wait
	away   atomic.Bool
}

func (s *switched) pass(ctx context.Context) error {
	s.writes.Add(1)
	s.gate.Lock()
	defer s.gate.Unlock()
	if s.away.Load() {
		return errors.New("connection refused")
	}
	return ctx.Err()
}

func (s *switched) client(t *testing.T) client.Client {
	t.Helper()
	known := runtime.NewScheme() // of its own: writes of the last test may not be over
	if err := errors.Join(scheme.AddToScheme(known), v1alpha1.AddToScheme(known)); err != nil {
		t.Fatal(err)
	}
	plain, err := client.NewWithWatch(env.Config(), client.Options{Scheme: known})
	if err != nil {
		t.Fatal(err)
	}
	return interceptor.NewClient(plain, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if err := s.pass(ctx); err != nil {
				return err
			}
			return c.Create(ctx, o, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			if err := s.pass(ctx); err != nil {
				return err
			}
			return c.Patch(ctx, o, p, opts...)
		},
	})
}

// counted gives the book a ledger whose writes are counted, and held while the gate is shut.
func (b *book) counted(t *testing.T) (writes *atomic.Int64, gate *sync.Mutex) {
	t.Helper()
	s := &switched{}
	b.Ledger = ledger.New(s.client(t), b.api, nil)
	return &s.writes, &s.gate
}

// storm records one event for each, all at the same time behind one that is held, and gives
// what became of each.
func (b *book) storm(gate *sync.Mutex, first platform.Event, events []platform.Event) ([]platform.Outcome, []error) {
	outcomes, errs := make([]platform.Outcome, len(events)), make([]error, len(events))
	var group sync.WaitGroup
	gate.Lock()
	group.Go(func() { _, _ = b.Record(b.Context(), b.account, push("first"), []platform.Event{first}) })
	b.stands(0)
	for i, event := range events {
		group.Go(func() {
			outcomes[i], errs[i] = b.Record(b.Context(), b.account, push("storm"), []platform.Event{event})
		})
	}
	b.stands(len(events))
	gate.Unlock()
	group.Wait()
	return outcomes, errs
}

// stands waits until one object is written, and so many facts stand in its line.
func (b *book) stands(want int) {
	b.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		objects, facts := b.Standing()
		if objects == 1 && facts == want {
			return
		}
		if time.Now().After(deadline) {
			b.Fatalf("%d objects are written, %d facts stand in line; want 1 and %d", objects, facts, want)
		}
	}
}

// A hundred pushes for one order cost a handful of writes, and all of them are kept.
func TestStormOnOneOrderIsAFewWrites(t *testing.T) {
	b := open(t, "fliggy")
	writes, gate := b.counted(t)
	var events []platform.Event
	for i := range 100 {
		events = append(events, told("1", fmt.Sprintf("m-%d", i)))
	}
	outcomes, errs := b.storm(gate, told("1", "first"), events)
	for i, outcome := range outcomes {
		if errs[i] != nil || outcome != platform.OutcomeRecorded {
			t.Errorf("push %d: %s, %v", i, outcome, errs[i])
		}
	}
	if n := len(b.order("fliggy-1").Spec.Notifications); n != 101 {
		t.Errorf("%d notifications", n)
	}
	if n := writes.Load(); n > 6 { // a patch that finds nothing, the create, and two groups
		t.Errorf("%d writes", n)
	}
}

// In a group each push hears what became of its own: new, there already, or refused.
func TestEachPushOfAGroupHearsItsOwn(t *testing.T) {
	b := open(t, "fliggy")
	b.record(push("x"), told("2", "known"))
	_, gate := b.counted(t)
	broken := told("2", "broken")
	broken.Order.Kind = "NoSuchKind"
	events := []platform.Event{told("2", "new-1"), told("2", "known"), broken, told("2", "new-2"), told("2", "known"), told("2", "new-3")}
	outcomes, errs := b.storm(gate, told("2", "first"), events)
	for i, want := range []platform.Outcome{platform.OutcomeRecorded, platform.OutcomeDuplicate, platform.OutcomeRetry,
		platform.OutcomeRecorded, platform.OutcomeDuplicate, platform.OutcomeRecorded} {
		if outcomes[i] != want || (errs[i] != nil) != (want == platform.OutcomeRetry) {
			t.Errorf("push %d: %s, %v; want %s", i, outcomes[i], errs[i], want)
		}
	}
	if n := len(b.order("fliggy-2").Spec.Notifications); n != 5 {
		t.Errorf("%d notifications, want 5", n)
	}
}

// Copies in one group are one notification, recorded once.
func TestCopiesInAGroup(t *testing.T) {
	b := open(t, "fliggy")
	_, gate := b.counted(t)
	var events []platform.Event
	for range 20 {
		events = append(events, told("3", "same"))
	}
	outcomes, errs := b.storm(gate, told("3", "first"), events)
	recorded := 0
	for i, outcome := range outcomes {
		if outcome == platform.OutcomeRecorded {
			recorded++
		}
		if errs[i] != nil || !outcome.Accepted() {
			t.Errorf("push %d: %s, %v", i, outcome, errs[i])
		}
	}
	if n := len(b.order("fliggy-3").Spec.Notifications); n != 2 || recorded != 1 {
		t.Errorf("%d notifications, recorded %d times", n, recorded)
	}
}

// Pushes of one product in a group are one write: of each aspect the newest change.
func TestStormOnOneProductIsAFewWrites(t *testing.T) {
	b := open(t, "fliggy")
	writes, gate := b.counted(t)
	var events []platform.Event
	for i := range 100 {
		aspect := []platform.Aspect{platform.AspectPrice, platform.AspectStock}[i%2]
		events = append(events, change("4", noon.Add(time.Duration(i*37%100-200)*time.Second), fmt.Sprintf("m-%d", i*37%100), aspect))
	}
	outcomes, errs := b.storm(gate, change("4", noon.Add(-time.Hour), "first", platform.AspectInfo), events)
	for i, outcome := range outcomes {
		if errs[i] != nil || outcome != platform.OutcomeRecorded && outcome != platform.OutcomeOlder {
			t.Errorf("push %d: %s, %v", i, outcome, errs[i])
		}
	}
	announced := b.product("fliggy-4").Spec.Announced
	if announced.Price.MessageID != "m-98" || announced.Stock.MessageID != "m-99" || announced.Info.MessageID != "first" {
		t.Errorf("announced %+v", announced)
	}
	if n := writes.Load(); n > 6 {
		t.Errorf("%d writes", n)
	}
}

// What is known is newer than some of a group: the rest is announced all the same.
func TestOlderChangesInAGroup(t *testing.T) {
	b := open(t, "fliggy")
	b.record(push("x"), change("5", noon, "price", platform.AspectPrice))
	_, gate := b.counted(t)
	outcomes, errs := b.storm(gate, change("5", noon, "info", platform.AspectInfo), []platform.Event{
		change("5", noon.Add(-time.Minute), "old", platform.AspectPrice),
		change("5", noon.Add(-time.Minute), "both", platform.AspectPrice, platform.AspectStock),
		change("5", noon.Add(-time.Second), "newer-stock", platform.AspectStock),
	})
	if err := errs[0]; err != nil || outcomes[0] != platform.OutcomeOlder {
		t.Errorf("old: %s, %v", outcomes[0], err)
	}
	announced := b.product("fliggy-5").Spec.Announced
	if announced.Price.MessageID != "price" || announced.Stock == nil || announced.Stock.MessageID != "newer-stock" {
		t.Errorf("announced %+v, %v, %v", announced, outcomes, errs)
	}
}

// policed is the API server with an admission policy that is against messages named "bad": it is
// asked when all else is right.
func (b *book) policed(s *switched) client.Client {
	refusal := apierrors.NewInvalid(schema.GroupKind{Kind: "ProductSync"}, "x", nil)
	return interceptor.NewClient(s.client(b.TB.(*testing.T)).(client.WithWatch), interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if body, _ := json.Marshal(o); bytes.Contains(body, []byte(`"bad"`)) {
				return refusal
			}
			return c.Create(ctx, o, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			if body, _ := p.Data(o); bytes.Contains(body, []byte(`"bad"`)) {
				if err := c.Patch(ctx, o, p, append(opts, client.DryRunAll)...); err != nil {
					return err
				}
				return refusal
			}
			return c.Patch(ctx, o, p, opts...)
		},
	})
}

// One change, or notice, that the API server refuses is refused alone, also where some of its
// group are older than what is known.
func TestOneBadChangeRefusesNoOther(t *testing.T) {
	for name, known := range map[string]string{"new": "6", "some are older": "7"} {
		t.Run(name, func(t *testing.T) {
			b, s := open(t, "fliggy"), &switched{}
			b.record(push("x"), change("7", noon.Add(time.Minute), "known", platform.AspectInfo))
			b.Ledger = ledger.New(b.policed(s), b.api, nil)
			outcomes, errs := b.storm(&s.gate, change(known, noon.Add(-time.Hour), "first", platform.AspectAvailability), []platform.Event{
				change(known, noon.Add(-3*time.Minute), "price-1", platform.AspectPrice),
				change(known, noon.Add(-2*time.Minute), "stock", platform.AspectStock),
				change(known, noon.Add(-2*time.Minute), "old", platform.AspectInfo),
				change(known, noon, "bad", platform.AspectPrice),
				change(known, noon.Add(-time.Minute), "price-2", platform.AspectPrice),
			})
			for i, err := range errs {
				if bad := i == 3; (err != nil) != bad || outcomes[i].Accepted() == bad {
					t.Errorf("change %d: %s, %v", i, outcomes[i], err)
				}
			}
			announced := b.product("fliggy-" + known).Spec.Announced
			if announced.Price == nil || announced.Price.MessageID != "price-2" || announced.Stock == nil || announced.Stock.MessageID != "stock" {
				t.Errorf("announced %+v", announced)
			}
		})
	}
	t.Run("notices", func(t *testing.T) {
		b := open(t, "fliggy")
		b.createChannel()
		var group sync.WaitGroup
		for i := range 40 { // most of them stand in line behind the first
			group.Go(func() {
				notice := &platform.Notice{MessageID: fmt.Sprint(i), PlatformType: fmt.Sprint("NEW-", i)}
				if i%10 == 5 {
					notice.PlatformType = strings.Repeat("x", 129)
				}
				_, err := b.Record(t.Context(), b.account, push("x"), []platform.Event{{Notice: notice}})
				if (err != nil) != (i%10 == 5) {
					t.Errorf("notice %d: %v", i, err)
				}
			})
		}
		group.Wait()
	})
}

// seeing starts the book's ledger with a cache, so that it looks there what exists; it counts
// its writes.
func (b *book) seeing(t *testing.T, cache client.Reader) *atomic.Int64 {
	t.Helper()
	s := &switched{}
	b.Ledger = ledger.New(s.client(t), cache, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = b.Start(ctx) })
	t.Cleanup(running.Wait)
	t.Cleanup(cancel)
	b.sees()
	return &s.writes
}

// sees waits until the ledger looks into its cache.
func (b *book) sees() {
	b.Helper()
	for deadline := time.Now().Add(20 * time.Second); !b.Seeing(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatal("it does not look into its cache")
		}
	}
}

// A push is one request: what the cache does not know is created, what it knows is patched.
func TestOnePushIsOneWrite(t *testing.T) {
	b := open(t, "fliggy")
	writes := b.seeing(t, b.api)
	for i, event := range []platform.Event{told("1", "first"), told("1", "second"), change("2", noon, "first", platform.AspectPrice),
		change("2", noon.Add(time.Second), "second", platform.AspectPrice)} {
		if outcome := b.record(push("x"), event); outcome != platform.OutcomeRecorded {
			t.Errorf("push %d: %s", i, outcome)
		}
		if n := writes.Swap(0); n != 1 {
			t.Errorf("push %d took %d writes", i, n)
		}
	}
}

// A cache that is behind costs a request more, never a push.
func TestCacheThatIsBehind(t *testing.T) {
	b := open(t, "fliggy")
	b.seeing(t, nowhere{b.api})
	b.record(push("x"), told("1", "first"))
	b.record(push("x"), change("2", noon, "first", platform.AspectPrice))
	for i, event := range []platform.Event{told("1", "second"), change("2", noon.Add(time.Second), "second", platform.AspectPrice)} {
		if outcome := b.record(push("x"), event); outcome != platform.OutcomeRecorded {
			t.Errorf("push %d: %s", i, outcome)
		}
	}
	if n := len(b.order("fliggy-1").Spec.Notifications); n != 2 {
		t.Errorf("%d notifications", n)
	}
	if got := b.product("fliggy-2").Spec.Announced.Price; got == nil || got.MessageID != "second" {
		t.Errorf("announced: %v", got)
	}
}
