package ledger_test

import (
	"context"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/conditions"
	"github.com/laidoulaile/channel-operator/internal/ledger"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
	"github.com/laidoulaile/channel-operator/test/env"
)

// cached makes the book's ledger look into a cache with its indexes.
func (b *book) cached() {
	b.Helper()
	watched, err := cache.New(env.Config(), cache.Options{Scheme: b.api.Scheme(),
		DefaultNamespaces: map[string]cache.Config{b.account.Namespace: {}}})
	if err != nil {
		b.Fatal(err)
	}
	if err := ledger.AddIndexes(b.Context(), watched); err != nil {
		b.Fatal(err)
	}
	go func() { _ = watched.Start(b.Context()) }()
	if !watched.WaitForCacheSync(b.Context()) {
		b.Fatal("the cache does not sync")
	}
	b.Ledger = ledger.New(b.api, watched, nil)
}

// eventually waits for the cache.
func (b *book) eventually(done func() bool) {
	b.Helper()
	err := wait.PollUntilContextTimeout(b.Context(), 10*time.Millisecond, 20*time.Second, true,
		func(context.Context) (bool, error) { return done(), nil })
	if err != nil {
		b.Fatal("the cache does not show it:", err)
	}
}

func (b *book) look(lookup platform.Lookup, fresh bool) platform.Known {
	b.Helper()
	known, err := b.Look(b.Context(), b.account, lookup, fresh)
	if err != nil {
		b.Fatal(err)
	}
	return known
}

// listed makes a product and gives it a status.
func (b *book) listed(id string, status v1alpha1.ProductSyncStatus) {
	b.Helper()
	if _, err := b.EnsureProduct(b.Context(), b.account, id); err != nil {
		b.Fatal(err)
	}
	product := b.product(ledger.ObjectName(b.account.Name, id))
	product.Status = status
	product.Status.ObservedGeneration = product.Generation
	if err := b.api.Status().Update(b.Context(), product); err != nil {
		b.Fatal(err)
	}
}

func names(ids ...string) platform.Lookup {
	return platform.Lookup{Product: &platform.ProductNames{IDs: ids}}
}

func TestLookFindsProductsByTheirNames(t *testing.T) {
	b := open(t, "ch")
	b.cached()
	start, end := metav1.NewTime(noon), metav1.NewTime(noon.Add(time.Hour))
	b.listed("p1", v1alpha1.ProductSyncStatus{State: v1alpha1.ProductOnSale, SupplierCode: "OURS-1", Stock: ptr.To[int64](9),
		SaleStart: &start, SaleEnd: &end, SKUs: []v1alpha1.SKU{{ID: "unit-1", Stock: ptr.To[int64](4)}, {ID: "unit-2"}}})
	b.listed("p2", v1alpha1.ProductSyncStatus{State: v1alpha1.ProductDeleted, SupplierCode: "OURS-2"})
	// The other Channel's product has names that are ours, too.
	other := *b.account
	other.Name = "other"
	if _, err := b.EnsureProduct(t.Context(), &other, "p3"); err != nil {
		t.Fatal(err)
	}
	whole := &platform.KnownProduct{State: platform.ProductOnSale, SaleStart: noon, SaleEnd: noon.Add(time.Hour), Stock: ptr.To[int64](9)}
	unit := *whole
	unit.Stock = ptr.To[int64](4)
	b.eventually(func() bool {
		return b.look(names("p2"), false).Product != nil && b.look(names("unit-2"), false).Product != nil
	})
	for name, test := range map[string]struct {
		lookup platform.Lookup
		want   *platform.KnownProduct
	}{
		"by its id":                         {names("p1"), whole},
		"by a unit's id":                    {names("unit-1"), &unit},
		"by a unit that counts no stock":    {names("unit-2"), whole},
		"by the second name":                {names("", "nobody", "p1"), whole},
		"by our own code":                   {platform.Lookup{Product: &platform.ProductNames{IDs: []string{"nobody"}, SupplierCodes: []string{"OURS-1"}}}, whole},
		"the platform's names come first":   {platform.Lookup{Product: &platform.ProductNames{IDs: []string{"p2"}, SupplierCodes: []string{"OURS-1"}}}, &platform.KnownProduct{State: "Deleted", Deleted: true}},
		"a supplier's code is no id":        {names("OURS-1"), nil},
		"an id is no supplier's code":       {platform.Lookup{Product: &platform.ProductNames{SupplierCodes: []string{"p1"}}}, nil},
		"another Channel's is not ours":     {names("p3"), nil},
		"no name at all finds nothing":      {names("", ""), nil},
		"nothing is looked up if not asked": {platform.Lookup{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := b.look(test.lookup, false).Product
			if diff := cmp.Diff(test.want, got, cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// asked is a push that asked for codes and got them.
func asked(id string) platform.Event {
	return platform.Event{Order: &platform.OrderNotification{OrderID: id, MessageID: "issue:" + id,
		Kind: string(v1alpha1.NotificationCodesIssued), PlatformType: "issue", Deadline: noon.Add(time.Minute + time.Millisecond),
		Codes:   []platform.Code{{ID: "c-1", Text: sealing.NewSecret(planted)}, {Text: sealing.NewSecret("bare-code")}},
		Replied: &platform.Replied{Result: platform.ResultIssued, Body: []byte("the codes: " + planted)}}}
}

// What was replied is kept with the notification, its codes sealed, and a look tells it.
func TestReplyIsKept(t *testing.T) {
	b := open(t, "ch")
	b.cached()
	if got := b.record(push("{}"), asked("5")); got != platform.OutcomeRecorded {
		t.Fatal(got)
	}
	if got := b.record(push("{}"), asked("5")); got != platform.OutcomeDuplicate {
		t.Error("twice:", got)
	}
	var stored v1alpha1.OrderVoucher
	if err := b.api.Get(t.Context(), client.ObjectKey{Namespace: b.account.Namespace, Name: "ch-5"}, &stored); err != nil {
		t.Fatal(err)
	}
	n := stored.Spec.Notifications[0]
	if n.Reply == nil || n.Reply.Result != v1alpha1.ResultIssued || n.Deadline == nil || !n.Deadline.Equal(ptr.To(metav1.NewTime(noon.Add(time.Minute)))) {
		t.Fatalf("reply %+v, deadline %v", n.Reply, n.Deadline)
	}
	if body, err := sealing.Open(n.Reply.Sealed, b.identity); err != nil || string(body) != "the codes: "+planted {
		t.Errorf("the sealed reply opens as %q, %v", body, err)
	}
	if _, err := base64.StdEncoding.DecodeString(n.Reply.Sealed); err != nil || strings.Contains(n.Reply.Sealed, planted) {
		t.Error("the reply is not sealed")
	}
	if n.Codes[0].Ref != "c-1" || n.Codes[0].ID != b.account.Sealer.CodeID(sealing.NewSecret("c-1")) || n.Codes[1].Ref != "" {
		t.Errorf("codes %+v", n.Codes)
	}
	want := platform.Recorded{Result: "Issued", CodeIDs: []string{n.Codes[0].ID, n.Codes[1].ID}, Refs: []string{"c-1", ""}}
	for _, fresh := range []bool{true, false} {
		lookup := platform.Lookup{Orders: []string{"5", "6"}}
		b.eventually(func() bool { return len(b.look(lookup, fresh).Orders) == 1 })
		if diff := cmp.Diff(want, b.look(lookup, fresh).Orders["5"].Recorded["issue:5"]); diff != "" {
			t.Errorf("fresh %v, -want +got:\n%s", fresh, diff)
		}
	}
}

// A fresh look sees what the cache cannot know yet.
func TestFreshLookReadsTheAPIServer(t *testing.T) {
	b := open(t, "ch")
	b.Ledger = ledger.New(b.api, nowhere{b.api}, nil)
	b.record(push("{}"), asked("5"))
	lookup := platform.Lookup{Orders: []string{"5"}}
	if known := b.look(lookup, false); len(known.Orders) != 0 {
		t.Error("the cache knew it")
	}
	if known := b.look(lookup, true); len(known.Orders) != 1 {
		t.Error("a fresh look does not see it")
	}
}

// nowhere is a cache in which there is nothing.
type nowhere struct{ client.Reader }

func (nowhere) Get(_ context.Context, key client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
	return apierrors.NewNotFound(schema.GroupResource{Group: v1alpha1.GroupName, Resource: "ordervouchers"}, key.Name)
}

// An order counts as confirmed only while its status speaks of all that was pushed, and the
// platform can be asked again.
func TestLookTellsWhatIsConfirmed(t *testing.T) {
	b := open(t, "ch")
	b.record(push("{}"), asked("5"))
	ov := b.order("ch-5")
	ov.Status.ObservedGeneration = ov.Generation
	ov.Status.Conditions = conditions.Set(nil, conditions.Verdict{State: conditions.Ready, Reason: v1alpha1.ReasonConfirmed}, ov.Generation, noon)
	if err := b.api.Status().Update(t.Context(), ov); err != nil {
		t.Fatal(err)
	}
	check := func(when string, want bool) {
		t.Helper()
		if got := b.look(platform.Lookup{Orders: []string{"5"}}, true).Orders["5"].Confirmed; got != want {
			t.Errorf("%s: confirmed %v", when, got)
		}
	}
	check("as it is", true)
	b.account.Suspended = true
	check("the Channel is suspended", false)
	b.account.Suspended, b.account.Problem = false, &accounts.Problem{Reason: v1alpha1.ReasonCredentialsMissing}
	check("the Channel is stalled", false)
	b.account.Problem = nil
	check("as it was", true)
	b.record(push("{}"), told("5", "later"))
	check("something was pushed since", false)
}
