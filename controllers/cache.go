package controllers

import (
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/product"
	"github.com/laidoulaile/channel-operator/internal/unproven"
)

// CacheOptions keep out of memory what the controllers never look at, and small what they
// seldom do. Nothing is ever written back from a cached object whole.
func CacheOptions() cache.Options {
	return cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&v1alpha1.ProductSync{}:  {Transform: packCalendars},
			&v1alpha1.OrderVoucher{}: {Transform: stripSealed},
		},
	}
}

// packCalendars makes a product's calendars small; Reconcile unpacks them.
func packCalendars(object any) (any, error) {
	ps, ok := object.(*v1alpha1.ProductSync)
	if !ok {
		return object, nil
	}
	ps.ManagedFields = nil
	return ps, product.Pack(ps)
}

// stripSealed drops the sealed bodies, and notes how large they were.
func stripSealed(object any) (any, error) {
	if voucher, ok := object.(*v1alpha1.OrderVoucher); ok {
		voucher.ManagedFields = nil
		bytes := 0
		for i := range voucher.Spec.Notifications {
			bytes += len(voucher.Spec.Notifications[i].Sealed)
			voucher.Spec.Notifications[i].Sealed = ""
			if reply := voucher.Spec.Notifications[i].Reply; reply != nil {
				bytes += len(reply.Sealed)
				reply.Sealed = ""
			}
		}
		unproven.NoteSealed(voucher, bytes)
	}
	return object, nil
}
