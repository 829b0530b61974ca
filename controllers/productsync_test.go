package controllers

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
)

const (
	detail     = "queryProductDetailInfo"
	priceStock = "queryProductPriceStock"
)

func observed(pick func(v1alpha1.Announced) *v1alpha1.Announcement) func(*v1alpha1.ProductSync) bool {
	return func(ps *v1alpha1.ProductSync) bool {
		return pick(ps.Spec.Announced) != nil && len(pendingAspects(ps)) == 0
	}
}

var (
	priceObserved = observed(func(a v1alpha1.Announced) *v1alpha1.Announcement { return a.Price })
	infoObserved  = observed(func(a v1alpha1.Announced) *v1alpha1.Announcement { return a.Info })
)

func TestPushAsksForNoMoreThanItAnnounces(t *testing.T) {
	s := connected(t)
	s.announce("INFO_CHANGE", "88")
	productIs(s, "ch-88", v1alpha1.ReasonSynced, infoObserved)
	details, prices := s.fake.Calls(detail), s.fake.Calls(priceStock)
	if details != 1 || prices != 0 {
		t.Errorf("the first look asked for %d details and %d prices", details, prices)
	}
	must(t, s.fake.SetPrice("88", "420.00"))
	s.announce("PRICE_CHANGE", "88")
	ps := productIs(s, "ch-88", v1alpha1.ReasonSynced, priceObserved)
	if ps.Status.Summary.Price != "420.00 CNY" || ps.Status.Title == "" {
		t.Errorf("status %+v", ps.Status)
	}
	if s.fake.Calls(detail) != details || s.fake.Calls(priceStock) != 1 {
		t.Errorf("a price push asked for %d details and %d prices", s.fake.Calls(detail)-details, s.fake.Calls(priceStock))
	}
	s.announce("INFO_CHANGE", "88")
	productIs(s, "ch-88", v1alpha1.ReasonSynced, infoObserved)
	if s.fake.Calls(detail) != details+1 || s.fake.Calls(priceStock) != 1 {
		t.Errorf("an info push asked for %d details and %d prices", s.fake.Calls(detail)-details, s.fake.Calls(priceStock)-1)
	}
}

// TestPushCostsTwoWrites: the fact and the status.
func TestPushCostsTwoWrites(t *testing.T) {
	s := connected(t)
	s.announce("INFO_CHANGE", "88")
	productIs(s, "ch-88", v1alpha1.ReasonSynced)
	s.announce("STOCK_CHANGE", "88")
	productIs(s, "ch-88", v1alpha1.ReasonSynced)
	s.request(&v1alpha1.ProductSync{}, "ch-88", "the end")
	productIs(s, "ch-88", v1alpha1.ReasonSynced, func(ps *v1alpha1.ProductSync) bool { return ps.Status.LastHandledRequestedAt != "" })
	s.eventually(func() string {
		if n := len(history[*v1alpha1.ProductSync](s, "ProductSync", "ch-88")); n < 6 {
			return "the watch is behind"
		}
		return ""
	})
	for i, ps := range history[*v1alpha1.ProductSync](s, "ProductSync", "ch-88") {
		if i >= 6 {
			t.Errorf("write %d: %+v", i, ps.Status)
		}
	}
}

func TestWhatThePlatformSaysOfAProduct(t *testing.T) {
	s := connected(t)
	s.announce("INFO_CHANGE", "88")
	productIs(s, "ch-88", v1alpha1.ReasonSynced)
	state := func(want v1alpha1.ProductState) func(*v1alpha1.ProductSync) bool {
		return func(ps *v1alpha1.ProductSync) bool { return ps.Status.State == want && ready(ps.Status.Conditions) }
	}
	must(t, s.fake.SetOffShelf("88"))
	s.announce("VALID_CHANGE", "88")
	productIs(s, "ch-88", v1alpha1.ReasonSynced, state(v1alpha1.ProductOffSale))
	must(t, s.fake.SetOnShelf("88"))
	s.announce("VALID_CHANGE", "88")
	productIs(s, "ch-88", v1alpha1.ReasonSynced, state(v1alpha1.ProductOnSale))
	s.announce("INVALID_CHANGE", "88") // the detail still answers
	productIs(s, "ch-88", v1alpha1.ReasonSynced, state(v1alpha1.ProductOffSale))
	prices := s.fake.Calls(priceStock)
	s.announce("PRICE_CHANGE", "88") // prices alone would not tell whether it is on sale
	productIs(s, "ch-88", v1alpha1.ReasonSynced, state(v1alpha1.ProductOffSale))
	if s.fake.Calls(priceStock) != prices {
		t.Error("only prices were asked for of a product off sale")
	}
	must(t, s.fake.SetGranted("88", false))
	s.announce("VALID_CHANGE", "88")
	productIs(s, "ch-88", v1alpha1.ReasonNotGranted)
	must(t, s.fake.SetGranted("88", true))
	s.announce("VALID_CHANGE", "88")
	productIs(s, "ch-88", v1alpha1.ReasonSynced, state(v1alpha1.ProductOnSale))
	s.fake.DeleteProduct("88")
	s.announce("INFO_CHANGE", "88")
	gone := productIs(s, "ch-88", v1alpha1.ReasonSynced, state(v1alpha1.ProductDeleted))
	if gone.Status.Title == "" {
		t.Error("what a deleted product was is forgotten")
	}
}

func TestProductThatIsNotVisibleYetIsFoundWithoutAPush(t *testing.T) {
	s := connected(t)
	s.announce("INFO_CHANGE", "99")
	productIs(s, "ch-99", v1alpha1.ReasonNotFound)
	s.offer("99")
	productIs(s, "ch-99", v1alpha1.ReasonSynced)
}

func TestPlatformThatWasDownIsAskedAgainWithoutAPush(t *testing.T) {
	s := connected(t)
	s.offer("89")
	s.announce("INFO_CHANGE", "88")
	s.announce("INFO_CHANGE", "89")
	known := productIs(s, "ch-88", v1alpha1.ReasonSynced)
	calm := productIs(s, "ch-89", v1alpha1.ReasonSynced)
	s.fake.Down()
	must(t, s.fake.SetPrice("88", "99.00"))
	s.announce("PRICE_CHANGE", "88")
	s.request(&v1alpha1.ProductSync{}, "ch-89", "1") // a look without news, that fails
	retried := productIs(s, "ch-88", v1alpha1.ReasonProgressingWithRetry)
	if known.Status.SKUs[0].Calendar == nil || !cmp.Equal(known.Status.SKUs, retried.Status.SKUs) {
		t.Errorf("while the platform is down its calendars are not what they were: %s", cmp.Diff(known.Status.SKUs, retried.Status.SKUs))
	}
	asked := s.fake.Calls("")
	s.eventually(func() string {
		if s.fake.Calls("") < asked+2 {
			return "not asked again"
		}
		return ""
	})
	if now := get[v1alpha1.ProductSync](s, "ch-89"); !cmp.Equal(now.Status, calm.Status) {
		t.Errorf("a failing look changed a product without news: %s", cmp.Diff(calm.Status, now.Status))
	}
	s.fake.Up()
	ps := productIs(s, "ch-88", v1alpha1.ReasonSynced, priceObserved)
	if ps.Status.Summary.Price != "99.00 CNY" {
		t.Errorf("price %s", ps.Status.Summary.Price)
	}
	productIs(s, "ch-89", v1alpha1.ReasonSynced, func(ps *v1alpha1.ProductSync) bool { return ps.Status.LastHandledRequestedAt == "1" })
	unready := 0
	for _, state := range history[*v1alpha1.ProductSync](s, "ProductSync", "ch-88") {
		if len(state.Status.Conditions) > 0 && !ready(state.Status.Conditions) {
			unready++
		}
	}
	if unready != 1 {
		t.Errorf("not Ready was written %d times", unready)
	}
}

func TestRequestedLookIsMadeOnceAndFindsNothingNew(t *testing.T) {
	s := connected(t)
	s.announce("INFO_CHANGE", "88")
	before := productIs(s, "ch-88", v1alpha1.ReasonSynced)
	asked := s.fake.Calls(detail)
	s.request(&v1alpha1.ProductSync{}, "ch-88", "now")
	after := productIs(s, "ch-88", v1alpha1.ReasonSynced, func(ps *v1alpha1.ProductSync) bool { return ps.Status.LastHandledRequestedAt == "now" })
	if diff := cmp.Diff(before.Status, after.Status, cmpopts.IgnoreFields(v1alpha1.ProductSyncStatus{}, "LastHandledRequestedAt", "FetchedAt")); diff != "" {
		t.Errorf("nothing was new, and yet: %s", diff)
	}
	// Woken by something else, it does not ask for the same request again.
	s.patch(&v1alpha1.Channel{}, "ch", `{"spec":{"limits":{"burst":30}}}`)
	channelIs(s, "ch", v1alpha1.ReasonConnected)
	s.patch(&v1alpha1.ProductSync{}, "ch-88", `{"metadata":{"annotations":{"other":"x"}}}`)
	s.announce("PRICE_CHANGE", "88")
	productIs(s, "ch-88", v1alpha1.ReasonSynced, priceObserved)
	if n := s.fake.Calls(detail); n != asked+1 {
		t.Errorf("one request, %d looks", n-asked)
	}
}

func TestSuspendedProductIsNotAskedFor(t *testing.T) {
	s := connected(t)
	s.announce("INFO_CHANGE", "88")
	productIs(s, "ch-88", v1alpha1.ReasonSynced)
	s.patch(&v1alpha1.ProductSync{}, "ch-88", `{"spec":{"suspend":true}}`)
	productIs(s, "ch-88", v1alpha1.ReasonSuspended)
	asked := s.fake.Calls("")
	s.announce("PRICE_CHANGE", "88")
	ps := productIs(s, "ch-88", v1alpha1.ReasonSuspended, func(ps *v1alpha1.ProductSync) bool { return ps.Spec.Announced.Price != nil })
	if ps.Status.Observed.Price != nil || s.fake.Calls("") != asked {
		t.Errorf("asked %d times while suspended: %+v", s.fake.Calls("")-asked, ps.Status.Observed)
	}
	s.patch(&v1alpha1.ProductSync{}, "ch-88", `{"spec":{"suspend":false}}`)
	productIs(s, "ch-88", v1alpha1.ReasonSynced, priceObserved)
}

// TestNewsThatWaitedForARestartIsLookedAtThen: also before the accounts are loaded again.
func TestNewsThatWaitedForARestartIsLookedAtThen(t *testing.T) {
	s := connected(t)
	s.offer("89")
	s.announce("INFO_CHANGE", "88")
	s.announce("INFO_CHANGE", "89")
	productIs(s, "ch-88", v1alpha1.ReasonSynced)
	calm := productIs(s, "ch-89", v1alpha1.ReasonSynced)
	asked := s.fake.Calls(detail)
	s.restart(func() {
		must(t, s.fake.SetPrice("88", "99.00"))
		s.announce("PRICE_CHANGE", "88")
	})
	began := time.Now()
	ps := productIs(s, "ch-88", v1alpha1.ReasonSynced, priceObserved)
	if took := time.Since(began); ps.Status.Summary.Price != "99.00 CNY" || took > patience/2 {
		t.Errorf("price %s after %s", ps.Status.Summary.Price, took)
	}
	if now := get[v1alpha1.ProductSync](s, "ch-89"); now.ResourceVersion != calm.ResourceVersion || s.fake.Calls(detail) != asked {
		t.Errorf("the restart asked %d times for products without news", s.fake.Calls(detail)-asked)
	}
}

// TestProductMadeBeforeItsChannel: by hand, from Git, in whatever order.
func TestProductMadeBeforeItsChannel(t *testing.T) {
	s := start(t)
	s.offer("88")
	must(t, s.api.Create(t.Context(), &v1alpha1.ProductSync{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "by-hand"},
		Spec: v1alpha1.ProductSyncSpec{ChannelRef: v1alpha1.ChannelReference{Name: "ch"}, ProductID: "88"}}))
	productIs(s, "by-hand", v1alpha1.ReasonChannelNotReady)
	s.secret(s.fake.PrivateKey())
	s.channel("ch", func(c *v1alpha1.Channel) { c.Spec.Products.Discover = true })
	productIs(s, "by-hand", v1alpha1.ReasonSynced)
	channelIs(s, "ch", v1alpha1.ReasonConnected, func(c *v1alpha1.Channel) bool { return c.Status.Catalogue != nil })
	var list v1alpha1.ProductSyncList
	must(t, s.api.List(t.Context(), &list, client.InNamespace(s.namespace)))
	if len(list.Items) != 1 {
		t.Errorf("discovery made a second object of a product that is there: %d", len(list.Items))
	}
}
