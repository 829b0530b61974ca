package product_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/product"
)

// What is packed is gone from the product, small, and comes back as it was.
func TestPackAndUnpack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		was := &v1alpha1.ProductSync{}
		if rapid.Bool().Draw(t, "annotated") {
			was.Annotations = map[string]string{v1alpha1.AnnotationRequestedAt: "now"}
		}
		for range rapid.IntRange(0, 3).Draw(t, "units") {
			was.Status.SKUs = append(was.Status.SKUs, v1alpha1.SKU{ID: "1", Stock: ptr.To(int64(3)), Calendar: drawCalendar(t)})
		}
		ps := was.DeepCopy()
		for range rapid.IntRange(1, 2).Draw(t, "times packed") {
			if err := product.Pack(ps); err != nil {
				t.Fatal(err)
			}
		}
		for _, unit := range ps.Status.SKUs {
			if unit.Calendar != nil {
				t.Fatal("a calendar is left")
			}
			if unit.ID != "1" || *unit.Stock != 3 {
				t.Fatalf("what is not a calendar was touched: %+v", unit)
			}
		}
		for range rapid.IntRange(1, 2).Draw(t, "times unpacked") {
			if err := product.Unpack(ps); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(was, ps); diff != "" {
			t.Fatal(diff)
		}
	})
}

func drawCalendar(t *rapid.T) *v1alpha1.Calendar {
	if rapid.Bool().Draw(t, "none") {
		return nil
	}
	calendar := &v1alpha1.Calendar{Start: "2026-11-22", Days: 365, Stock: rapid.StringMatching(`[0-9* -]{0,40}`).Draw(t, "stock"),
		Closed: rapid.SliceOfN(rapid.Just("2026-12-24"), 0, 2).Draw(t, "closed")}
	for range rapid.IntRange(0, 3).Draw(t, "prices") {
		price := v1alpha1.CalendarPrice{From: "2026-11-22", Amount: rapid.Int64().Draw(t, "amount")}
		if rapid.Bool().Draw(t, "listed") {
			price.Market = ptr.To(rapid.Int64().Draw(t, "market"))
		}
		calendar.Prices = append(calendar.Prices, price)
	}
	if len(calendar.Closed) == 0 {
		calendar.Closed = nil
	}
	return calendar
}

// Nobody but Pack can have set the annotation: the API server takes no such name.
func TestPackedIsInMemoryOnly(t *testing.T) {
	ps := &v1alpha1.ProductSync{Status: v1alpha1.ProductSyncStatus{SKUs: []v1alpha1.SKU{{ID: "1", Calendar: &v1alpha1.Calendar{Start: "2026-11-22", Days: 1}}}}}
	if err := product.Pack(ps); err != nil {
		t.Fatal(err)
	}
	for name := range ps.Annotations {
		if len(validation.IsQualifiedName(name)) == 0 {
			t.Errorf("annotation %q can be set by anybody", name)
		}
	}
	ps.Status.SKUs = nil
	if err := product.Unpack(ps); err == nil {
		t.Error("calendars of units that are gone were unpacked")
	}
}
