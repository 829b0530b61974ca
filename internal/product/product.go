// Package product folds a platform's answer about a product into the product's status.
// It is pure: no clock, no client, no controller.
//
// An answer says all there is to say of prices and stock, and where it brings Info, of
// the rest too; what it does not speak of stays as it was. The same answer folded again
// changes nothing: today matters only to a calendar that is too long to be kept whole
// (calendar.go), so that a resync without news writes nothing, whatever the day.
package product

import (
	"encoding/json"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/money"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

const (
	// maxSKUs is the API's bound.
	maxSKUs = 64
	// maxBytes of all calendars together keeps the object well below etcd's limit of
	// 1.5 MiB for one object, whatever the platform lists.
	maxBytes = 1 << 20
)

// Fold is the status after the answer. Conditions, Observed, FetchedAt,
// ObservedGeneration and LastHandledRequestedAt are the caller's and stay. Today is the
// platform's local date.
func Fold(previous v1alpha1.ProductSyncStatus, answer platform.Product, today string) v1alpha1.ProductSyncStatus {
	status := *previous.DeepCopy()
	status.State = state(previous.State, answer.State)
	if answer.Info != nil {
		describe(&status, *answer.Info)
	}
	units := kept(answer.SKUs, today)
	status.SKUs = encoded(units, names(previous.SKUs))
	status.Stock = stock(units)
	status.PriceRange = priceRange(units, answer.Currency)
	status.Summary.Price = printed(status.PriceRange)
	return status
}

// state that the answer tells. One that tells none still proves that the product is
// there; whether it is on sale is then as it was last told.
func state(previous v1alpha1.ProductState, told platform.ProductState) v1alpha1.ProductState {
	if told != "" {
		return v1alpha1.ProductState(told)
	}
	switch previous {
	case "", v1alpha1.ProductUnknown, v1alpha1.ProductDeleted:
		return v1alpha1.ProductOnSale
	}
	return previous
}

// describe writes what changes seldom, within the API's bounds.
func describe(status *v1alpha1.ProductSyncStatus, info platform.ProductInfo) {
	status.Title = sealing.Cut(info.Title, 512)
	status.Category = sealing.Cut(info.Category, 128)
	status.SupplierCode = sealing.Cut(info.SupplierCode, 128)
	status.SaleStart, status.SaleEnd = moment(info.SaleStart), moment(info.SaleEnd)
	status.Review, status.Rules = nil, nil
	if info.Review != "" {
		status.Review = &v1alpha1.ProductReview{Result: sealing.Cut(info.Review, 64), Reason: sealing.Cut(info.ReviewReason, 1024)}
	}
	rules := v1alpha1.ProductRules{
		Booking: sealing.Cut(info.BookingRule, 512), Refund: sealing.Cut(info.RefundRule, 512), Confirmation: sealing.Cut(info.ConfirmsRule, 512),
	}
	if rules != (v1alpha1.ProductRules{}) {
		status.Rules = &rules
	}
}

// moment to the second, which is what the API keeps; nil if it is not told, or no time
// that the API can write.
func moment(at time.Time) *metav1.Time {
	at = at.UTC()
	if at.IsZero() || at.Year() < 1 || at.Year() > 9999 {
		return nil
	}
	return ptr.To(metav1.NewTime(at.Truncate(time.Second)))
}

// kept are the SKUs and days that the status shows. All else is computed from them, so
// that a reader of the status comes to the same. Only if together they are too large is
// every calendar cut to half its length, and half again.
func kept(skus []platform.SKU, today string) []platform.SKU {
	skus = distinct(skus)
	for horizon := maxDays; ; horizon /= 2 {
		units, total := make([]platform.SKU, len(skus)), 0
		for i, sku := range skus {
			sku.Days, _ = window(sku.Days, today, horizon)
			units[i] = sku
			total += size(calendar(sku.Days))
		}
		if total <= maxBytes || horizon == 1 {
			return units
		}
	}
}

// distinct are the first SKUs in the platform's order, each id once and none without.
func distinct(skus []platform.SKU) []platform.SKU {
	seen := map[string]bool{"": true}
	var units []platform.SKU
	for _, sku := range skus {
		sku.ID = sealing.Cut(sku.ID, 128)
		if !seen[sku.ID] && len(units) < maxSKUs {
			seen[sku.ID] = true
			units = append(units, sku)
		}
	}
	return units
}

// size of a calendar as it is stored.
func size(c *v1alpha1.Calendar) int {
	text, err := json.Marshal(c)
	if err != nil {
		return 0 // unreachable: nothing in a calendar fails to marshal
	}
	return len(text)
}

// encoded SKUs. One that comes without a name keeps the name it had.
func encoded(units []platform.SKU, names map[string]string) []v1alpha1.SKU {
	var skus []v1alpha1.SKU
	for _, unit := range units {
		sku := v1alpha1.SKU{ID: unit.ID, Name: sealing.Cut(unit.Name, 512), Calendar: calendar(unit.Days)}
		if sku.Name == "" {
			sku.Name = names[sku.ID]
		}
		if unit.Stock != nil {
			sku.Stock = ptr.To(max(0, *unit.Stock))
		}
		skus = append(skus, sku)
	}
	return skus
}

func names(skus []v1alpha1.SKU) map[string]string {
	names := make(map[string]string, len(skus))
	for _, sku := range skus {
		names[sku.ID] = sku.Name
	}
	return names
}

// stock of all SKUs: of each the stock its days share or, where it has none, the sum over
// the days that can be booked. Nil where nothing is counted.
func stock(units []platform.SKU) *int64 {
	var sum *int64
	add := func(n *int64) {
		if n != nil {
			sum = ptr.To(money.Plus(ptr.Deref(sum, 0), max(0, *n)))
		}
	}
	for _, unit := range units {
		add(unit.Stock)
		for _, day := range unit.Days {
			if unit.Stock == nil && !day.Closed {
				add(day.Stock)
			}
		}
	}
	return sum
}

// priceRange over the days that can be booked or, if none can, over all. Nil without a
// price, or without knowing of what currency.
func priceRange(units []platform.SKU, currency string) *v1alpha1.PriceRange {
	if !money.IsCode(currency) {
		return nil
	}
	open, all := span{}, span{}
	for _, unit := range units {
		for _, day := range unit.Days {
			all.include(day.Amount)
			if !day.Closed {
				open.include(day.Amount)
			}
		}
	}
	if !open.any {
		open = all
	}
	if !open.any {
		return nil
	}
	return &v1alpha1.PriceRange{Currency: currency, Min: open.min, Max: open.max}
}

// span from the least to the greatest.
type span struct {
	any      bool
	min, max int64
}

func (s *span) include(n *int64) {
	switch {
	case n == nil:
	case !s.any:
		*s = span{any: true, min: *n, max: *n}
	default:
		s.min, s.max = min(s.min, *n), max(s.max, *n)
	}
}

func printed(r *v1alpha1.PriceRange) string {
	switch {
	case r == nil:
		return ""
	case r.Min == r.Max:
		return money.Format(r.Min, r.Currency)
	}
	return money.Decimal(r.Min, r.Currency) + "-" + money.Format(r.Max, r.Currency)
}
