package product

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

const today = "2025-09-23"

// The printed example comes out as printed, and nothing of the caller's is touched.
func TestFoldExample(t *testing.T) {
	text, err := os.ReadFile("testdata/product.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var example v1alpha1.ProductSync
	if err := yaml.UnmarshalStrict(text, &example); err != nil {
		t.Fatal(err)
	}
	want := example.Status
	previous := v1alpha1.ProductSyncStatus{
		Conditions: want.Conditions, ObservedGeneration: want.ObservedGeneration, Observed: want.Observed,
		FetchedAt: want.FetchedAt, LastHandledRequestedAt: want.LastHandledRequestedAt,
	}
	days := year(30, func(i int, d *platform.Day) {
		d.Amount, d.Market, d.Stock = ptr.To[int64](35050), ptr.To[int64](49900), ptr.To[int64](12)
		if i >= 8 {
			d.Amount = ptr.To[int64](42000)
			d.Closed, d.Stock = i == 8, ptr.To(int64(min(5, (i-8)*5)))
		}
	})
	answer := platform.Product{
		Info: &platform.ProductInfo{Title: want.Title, SupplierCode: want.SupplierCode}, Currency: "CNY",
		SKUs: []platform.SKU{{ID: "88", Name: want.Title, Days: days}},
	}
	for _, today := range []string{today, "2026-11-22", ""} {
		if diff := cmp.Diff(want, Fold(previous, answer, today)); diff != "" {
			t.Errorf("today %q: want -, got +:\n%s", today, diff)
		}
	}
}

// year is so many days from the first, each as set.
func year(n int, set func(i int, d *platform.Day)) []platform.Day {
	days := make([]platform.Day, n)
	for i := range days {
		days[i].Date = after(today, int32(i))
		set(i, &days[i])
	}
	return days
}

func day(date string, amount, stock int64) platform.Day {
	return platform.Day{Date: date, Amount: &amount, Stock: &stock}
}

func TestFoldState(t *testing.T) {
	for name, test := range map[string]struct {
		previous v1alpha1.ProductState
		told     platform.ProductState
		want     v1alpha1.ProductState
	}{
		"told":                         {v1alpha1.ProductOnSale, platform.ProductOffSale, v1alpha1.ProductOffSale},
		"told unknown":                 {v1alpha1.ProductOnSale, platform.ProductUnknown, v1alpha1.ProductUnknown},
		"not told, never told":         {"", "", v1alpha1.ProductOnSale},
		"not told, unknown":            {v1alpha1.ProductUnknown, "", v1alpha1.ProductOnSale},
		"not told, thought deleted":    {v1alpha1.ProductDeleted, "", v1alpha1.ProductOnSale},
		"not told, told off sale once": {v1alpha1.ProductOffSale, "", v1alpha1.ProductOffSale},
		"not told, told banned once":   {v1alpha1.ProductBanned, "", v1alpha1.ProductBanned},
	} {
		t.Run(name, func(t *testing.T) {
			got := Fold(v1alpha1.ProductSyncStatus{State: test.previous}, platform.Product{State: test.told}, today).State
			if got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// Sale times and the review are kept as far as they are told, times to the second.
func TestFoldReviewAndSale(t *testing.T) {
	from := time.Date(2026, 11, 22, 8, 0, 0, 999_000_000, time.FixedZone("+08:00", 8*3600))
	for name, test := range map[string]struct {
		start, end         time.Time
		wantStart, wantEnd string
	}{
		"both":            {from, from.AddDate(1, 0, 0), `"2026-11-22T00:00:00Z"`, `"2027-11-22T00:00:00Z"`},
		"the end alone":   {time.Time{}, from, "null", `"2026-11-22T00:00:00Z"`},
		"neither":         {time.Time{}, time.Time{}, "null", "null"},
		"no time at all":  {time.Unix(-1<<50, 0), time.Unix(1<<50, 0), "null", "null"},
		"as late as goes": {from, time.Unix(253402300799, 0), `"2026-11-22T00:00:00Z"`, `"9999-12-31T23:59:59Z"`},
	} {
		t.Run(name, func(t *testing.T) {
			got := Fold(v1alpha1.ProductSyncStatus{SaleEnd: &metav1.Time{Time: from}}, platform.Product{Info: &platform.ProductInfo{
				Review: "FAIL", ReviewReason: "the pictures", SaleStart: test.start, SaleEnd: test.end}}, today)
			start, err := json.Marshal(got.SaleStart)
			if err != nil {
				t.Fatal(err)
			}
			end, err := json.Marshal(got.SaleEnd)
			if err != nil {
				t.Fatal(err)
			}
			if got.SaleStart != nil && got.SaleStart.Nanosecond() != 0 {
				t.Error("finer than what is stored: each look would be a write")
			}
			if string(start) != test.wantStart || string(end) != test.wantEnd {
				t.Errorf("sold from %s to %s", start, end)
			}
			if got.Review == nil || *got.Review != (v1alpha1.ProductReview{Result: "FAIL", Reason: "the pictures"}) {
				t.Errorf("review %+v", got.Review)
			}
		})
	}
}

// An answer of price and stock alone leaves the rest as it was; one with Info replaces it.
func TestFoldInfo(t *testing.T) {
	previous := v1alpha1.ProductSyncStatus{
		State: v1alpha1.ProductOnSale, Title: "old", Category: "c", SupplierCode: "s",
		Review: &v1alpha1.ProductReview{Result: "PASS"}, Rules: &v1alpha1.ProductRules{Booking: "b"},
		SaleStart: &metav1.Time{Time: time.Unix(1, 0)}, SaleEnd: &metav1.Time{Time: time.Unix(2, 0)},
		SKUs: []v1alpha1.SKU{{ID: "1", Name: "one"}, {ID: "2", Name: "two"}}, Stock: ptr.To[int64](9),
		PriceRange: &v1alpha1.PriceRange{Currency: "CNY"}, Summary: v1alpha1.ProductSummary{Price: "old"},
	}
	skus := []platform.SKU{{ID: "2"}, {ID: "3", Name: "three"}, {Name: "no id"}}
	want := previous
	want.SKUs = []v1alpha1.SKU{{ID: "2", Name: "two"}, {ID: "3", Name: "three"}}
	want.Stock, want.PriceRange, want.Summary = nil, nil, v1alpha1.ProductSummary{}
	if diff := cmp.Diff(want, Fold(previous, platform.Product{SKUs: skus, Currency: "CNY"}, today)); diff != "" {
		t.Errorf("without info: want -, got +:\n%s", diff)
	}

	info := &platform.ProductInfo{
		Title: strings.Repeat("西", 600), Category: strings.Repeat("湖", 600), SupplierCode: strings.Repeat("🎫", 600),
		Review: strings.Repeat("r", 600), ReviewReason: strings.Repeat("理", 2000), RefundRule: strings.Repeat("退", 600),
	}
	got := Fold(previous, platform.Product{Info: info}, today)
	for name, bound := range map[string]struct {
		text string
		want int
	}{
		"title": {got.Title, 512}, "category": {got.Category, 128}, "supplier code": {got.SupplierCode, 128},
		"review": {got.Review.Result, 64}, "reason": {got.Review.Reason, 1024},
		"refund": {got.Rules.Refund, 512}, "booking": {got.Rules.Booking, 0},
	} {
		if n := utf8.RuneCountInString(bound.text); n != bound.want || !utf8.ValidString(bound.text) {
			t.Errorf("%s has %d characters, want %d", name, n, bound.want)
		}
	}
	if got := Fold(previous, platform.Product{Info: &platform.ProductInfo{ReviewReason: "of nothing"}}, today); got.Review != nil || got.Rules != nil || got.SaleEnd != nil || got.Title != "" {
		t.Errorf("what the info leaves empty stayed: %+v", got)
	}
	if previous.Title != "old" || previous.SKUs[0].ID != "1" {
		t.Error("the previous status was changed")
	}
}

func TestFoldPriceAndStock(t *testing.T) {
	closed := func(d platform.Day) platform.Day { d.Closed = true; return d }
	noStock := func(d platform.Day) platform.Day { d.Stock = nil; return d }
	for name, test := range map[string]struct {
		skus     []platform.SKU
		currency string
		price    string
		stock    *int64
	}{
		"nothing": {},
		"one price": {
			skus:  []platform.SKU{{ID: "1", Days: []platform.Day{day("2025-01-01", 35050, 2), day("2025-01-02", 35050, 3)}}},
			price: "350.50 CNY", stock: ptr.To[int64](5),
		},
		"a range over several": {
			skus: []platform.SKU{
				{ID: "1", Days: []platform.Day{day("2025-01-01", 42000, 2)}},
				{ID: "2", Days: []platform.Day{day("2025-01-01", 35050, 3)}},
			},
			price: "350.50-420.00 CNY", stock: ptr.To[int64](5),
		},
		"closed days do not count": {
			skus: []platform.SKU{{ID: "1", Days: []platform.Day{
				closed(day("2025-01-01", 1, 100)), day("2025-01-02", 200, 3), closed(day("2025-01-03", 900, 100)),
			}}},
			price: "2.00 CNY", stock: ptr.To[int64](3),
		},
		"all closed": {
			skus:  []platform.SKU{{ID: "1", Days: []platform.Day{closed(day("2025-01-01", 100, 100)), closed(day("2025-01-02", 200, 1))}}},
			price: "1.00-2.00 CNY",
		},
		"without a stock": {
			skus:  []platform.SKU{{ID: "1", Days: []platform.Day{noStock(day("2025-01-01", 100, 0))}}},
			price: "1.00 CNY",
		},
		"a stock that all days share counts once": {
			skus: []platform.SKU{
				{ID: "1", Stock: ptr.To[int64](7), Days: []platform.Day{day("2025-01-01", 100, 7), day("2025-01-02", 100, 7)}},
				{ID: "2", Days: []platform.Day{day("2025-01-01", 100, 1)}},
			},
			price: "1.00 CNY", stock: ptr.To[int64](8),
		},
		"a day without a price cannot be booked": {
			skus:  []platform.SKU{{ID: "1", Days: []platform.Day{day("2025-01-01", 100, 1), {Date: "2025-01-02", Stock: ptr.To[int64](50)}}}},
			price: "1.00 CNY", stock: ptr.To[int64](1),
		},
		"no prices at all": {
			skus:  []platform.SKU{{ID: "1", Days: []platform.Day{{Date: "2025-01-02", Stock: ptr.To[int64](50)}}}},
			stock: ptr.To[int64](50),
		},
		"no currency": {
			skus:     []platform.SKU{{ID: "1", Days: []platform.Day{day("2025-01-01", 100, 1)}}},
			currency: "¥", stock: ptr.To[int64](1),
		},
		"a stock below zero is none": {
			skus:  []platform.SKU{{ID: "1", Stock: ptr.To[int64](-5)}, {ID: "2", Stock: ptr.To[int64](3)}},
			stock: ptr.To[int64](3),
		},
		"too many to count": {
			skus:  []platform.SKU{{ID: "1", Stock: ptr.To[int64](math.MaxInt64)}, {ID: "2", Stock: ptr.To[int64](5)}, {ID: "3", Stock: ptr.To[int64](-5)}},
			stock: ptr.To[int64](math.MaxInt64),
		},
	} {
		t.Run(name, func(t *testing.T) {
			currency := "CNY"
			if test.currency != "" {
				currency = test.currency
			}
			got := Fold(v1alpha1.ProductSyncStatus{}, platform.Product{SKUs: test.skus, Currency: currency}, today)
			if got.Summary.Price != test.price || (got.PriceRange == nil) != (test.price == "") {
				t.Errorf("price %q, want %q", got.Summary.Price, test.price)
			}
			if diff := cmp.Diff(test.stock, got.Stock); diff != "" {
				t.Errorf("stock: want -, got +:\n%s", diff)
			}
		})
	}
}

// A year with weekend prices and a stock that changes on sixty days stays small.
func TestOrdinaryYearIsSmall(t *testing.T) {
	days := year(366, func(i int, d *platform.Day) {
		d.Amount, d.Market = ptr.To[int64](35050), ptr.To[int64](49900)
		when := instant(d.Date)
		if weekend := when.Weekday() == time.Friday || when.Weekday() == time.Saturday; weekend {
			d.Amount, d.Market = ptr.To[int64](42000), ptr.To[int64](59900)
		}
		d.Stock = ptr.To(int64(20 + i/6*7%23))
	})
	status := Fold(v1alpha1.ProductSyncStatus{}, platform.Product{Currency: "CNY", SKUs: []platform.SKU{{ID: "1805831187321867", Name: "西湖一晚双早套餐", Days: days}}}, today)
	text, err := json.Marshal(status.SKUs[0])
	if err != nil {
		t.Fatal(err)
	}
	if changes := len(strings.Fields(status.SKUs[0].Calendar.Stock)); changes < 60 {
		t.Errorf("only %d runs of stock", changes)
	}
	t.Logf("%d bytes, %d prices", len(text), len(status.SKUs[0].Calendar.Prices))
	if len(text) > 8<<10 {
		t.Errorf("an ordinary year takes %d bytes", len(text))
	}
}

// However much a platform lists, the status stays below what etcd takes.
func TestFoldIsBounded(t *testing.T) {
	answer := platform.Product{Currency: "CNY"}
	for i := range 100 {
		answer.SKUs = append(answer.SKUs, platform.SKU{ID: fmt.Sprint(i), Name: strings.Repeat("西", 600), Days: year(900, func(i int, d *platform.Day) {
			d.Amount, d.Market, d.Stock = ptr.To(int64(math.MaxInt64-i)), ptr.To(int64(i)), ptr.To(int64(math.MaxInt64-i%2))
			d.Closed = i%2 == 0
		})})
	}
	status := Fold(v1alpha1.ProductSyncStatus{}, answer, today)
	text, err := json.Marshal(status)
	if err != nil {
		t.Fatal(err)
	}
	if len(status.SKUs) != maxSKUs || len(text) > 1<<20+1<<18 {
		t.Errorf("%d SKUs, %d bytes", len(status.SKUs), len(text))
	}
	if days := status.SKUs[0].Calendar.Days; days < 90 {
		t.Errorf("only %d days are left", days)
	}
}

var someInfo = rapid.Custom(func(t *rapid.T) platform.ProductInfo {
	text := rapid.StringN(0, 3, -1)
	return platform.ProductInfo{
		Title: text.Draw(t, "title"), Category: text.Draw(t, "category"), SupplierCode: text.Draw(t, "supplier"),
		Review: text.Draw(t, "review"), ReviewReason: text.Draw(t, "reason"),
		BookingRule: text.Draw(t, "booking"), RefundRule: text.Draw(t, "refund"), ConfirmsRule: text.Draw(t, "confirm"),
	}
})

var someAnswer = rapid.Custom(func(t *rapid.T) platform.Product {
	return platform.Product{
		State:    rapid.SampledFrom([]platform.ProductState{"", platform.ProductOnSale, platform.ProductOffSale, platform.ProductBanned, platform.ProductUnknown}).Draw(t, "state"),
		Info:     rapid.Ptr(someInfo, true).Draw(t, "info"),
		Currency: rapid.SampledFrom([]string{"CNY", "", "JPY"}).Draw(t, "currency"),
		SKUs: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) platform.SKU {
			return platform.SKU{
				ID: rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, "sku"), Name: rapid.SampledFrom([]string{"", "one"}).Draw(t, "name"),
				Stock: rapid.Ptr(rapid.Int64(), true).Draw(t, "shared"), Days: someDays.Draw(t, "days"),
			}
		}), 0, 3).Draw(t, "skus"),
	}
})

// The same answer again changes nothing, on any day; and the caller's fields stay.
func TestFoldTwiceIsOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first, second := someAnswer.Draw(t, "first"), someAnswer.Draw(t, "second")
		at := metav1.NewTime(time.Unix(1758600000, 0))
		previous := Fold(v1alpha1.ProductSyncStatus{
			Conditions: []metav1.Condition{{Type: "Ready"}}, FetchedAt: &at, ObservedGeneration: 7, LastHandledRequestedAt: "now",
			Observed: v1alpha1.Observed{Price: ptr.To(metav1.NewMicroTime(at.Time))},
		}, first, today)
		before := previous.DeepCopy()
		once := Fold(previous, second, today)
		once.Conditions[0].Reason = "Changed" // a controller goes on to write its own
		if diff := cmp.Diff(before, &previous); diff != "" {
			t.Fatalf("the previous status was changed:\n%s", diff)
		}
		if diff := cmp.Diff(once, Fold(once, second, "2026-01-01")); diff != "" {
			t.Fatalf("once -, twice +:\n%s", diff)
		}
		if once.ObservedGeneration != 7 || once.FetchedAt == nil || len(once.Conditions) != 1 || once.Observed.Price == nil || once.LastHandledRequestedAt != "now" {
			t.Fatalf("the caller's fields: %+v", once)
		}
	})
}
