package controllers

import (
	"context"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/conditions"
)

// Indexes of the cache.
const (
	// indexChannel finds products and orders by the name of their Channel.
	indexChannel = "spec.channelRef.name"
	// indexProduct finds a product by <channel>/<product id>.
	indexProduct = "channel/productID"
	// indexCodes finds orders by the name of the Secret with their codes.
	indexCodes = "spec.codesSecretRef.name"
)

type workQueue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// AddIndexes adds what the controllers look up in the cache.
func AddIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	for _, index := range []struct {
		object client.Object
		name   string
		value  client.IndexerFunc
	}{
		{&v1alpha1.ProductSync{}, indexChannel, func(o client.Object) []string {
			return []string{o.(*v1alpha1.ProductSync).Spec.ChannelRef.Name}
		}},
		{&v1alpha1.ProductSync{}, indexProduct, func(o client.Object) []string {
			spec := o.(*v1alpha1.ProductSync).Spec
			return []string{spec.ChannelRef.Name + "/" + spec.ProductID}
		}},
		{&v1alpha1.OrderVoucher{}, indexChannel, func(o client.Object) []string {
			return []string{o.(*v1alpha1.OrderVoucher).Spec.ChannelRef.Name}
		}},
		{&v1alpha1.OrderVoucher{}, indexCodes, func(o client.Object) []string {
			if ref := o.(*v1alpha1.OrderVoucher).Spec.CodesSecretRef; ref != nil {
				return []string{ref.Name}
			}
			return nil
		}},
	} {
		if err := indexer.IndexField(ctx, index.object, index.name, index.value); err != nil {
			return err
		}
	}
	return nil
}

// enqueueAnnounced wakes an object when it comes or changes; one that comes without news
// (made by discovery or by hand) waits behind those with news.
func enqueueAnnounced(hasNews func(client.Object) bool) handler.EventHandler {
	plain := handler.WithLowPriorityWhenUnchanged(&handler.EnqueueRequestForObject{})
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, queue workQueue) {
			if hasNews(e.Object) {
				plain.Create(ctx, e, queue)
				return
			}
			addLow(queue, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(e.Object)})
		},
		UpdateFunc:  plain.Update,
		DeleteFunc:  plain.Delete,
		GenericFunc: plain.Generic,
	}
}

func addLow(queue workQueue, request reconcile.Request) {
	addWith(queue, handler.LowPriority, request)
}

func addWith(queue workQueue, priority int, request reconcile.Request) {
	if byPriority, ok := queue.(priorityqueue.PriorityQueue[reconcile.Request]); ok {
		byPriority.AddWithOpts(priorityqueue.AddOpts{Priority: &priority}, request)
		return
	}
	queue.Add(request)
}

// enqueueOwing wakes an object when it comes or changes; one that the platform waits for
// comes before all others.
func enqueueOwing(owes func(client.Object) bool) handler.EventHandler {
	plain := handler.WithLowPriorityWhenUnchanged(&handler.EnqueueRequestForObject{})
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, queue workQueue) {
			if owes(e.Object) {
				addWith(queue, deadlinePriority, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(e.Object)})
				return
			}
			plain.Create(ctx, e, queue)
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, queue workQueue) {
			if owes(e.ObjectNew) {
				addWith(queue, deadlinePriority, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(e.ObjectNew)})
				return
			}
			plain.Update(ctx, e, queue)
		},
		DeleteFunc:  plain.Delete,
		GenericFunc: plain.Generic,
	}
}

// enqueueDependents wakes, behind everything else, what belongs to a Channel: the objects
// of the list's kind that name it. Those that the platform waits for come before all.
func enqueueDependents(c client.Reader, kind client.ObjectList, owes func(client.Object) bool) handler.EventHandler {
	return enqueueNamed(c, kind, indexChannel, func(item client.Object) int {
		if owes(item) {
			return deadlinePriority
		}
		return handler.LowPriority
	})
}

// enqueueCodes wakes the orders whose codes are in a Secret.
func enqueueCodes(c client.Reader, owes func(client.Object) bool) handler.EventHandler {
	return enqueueNamed(c, &v1alpha1.OrderVoucherList{}, indexCodes, func(item client.Object) int {
		if owes(item) {
			return deadlinePriority
		}
		return 0
	})
}

// never: nothing of this kind is waited for.
func never(client.Object) bool { return false }

// enqueueNamed wakes what names an object, as the index has it. What is there at the start
// wakes nothing: all is looked at then.
func enqueueNamed(c client.Reader, kind client.ObjectList, index string, priority func(client.Object) int) handler.EventHandler {
	wake := func(ctx context.Context, named client.Object, queue workQueue) {
		list := kind.DeepCopyObject().(client.ObjectList)
		err := c.List(ctx, list, client.InNamespace(named.GetNamespace()), client.MatchingFields{index: named.GetName()})
		if err == nil {
			err = meta.EachListItem(list, func(item runtime.Object) error {
				object := item.(client.Object)
				addWith(queue, priority(object), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(object)})
				return nil
			})
		}
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "list what names an object", "object", client.ObjectKeyFromObject(named), "index", index)
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q workQueue) {
			if !e.IsInInitialList {
				wake(ctx, e.Object, q)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q workQueue) { wake(ctx, e.ObjectNew, q) },
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q workQueue) { wake(ctx, e.Object, q) },
	}
}

// asked passes what asks for a look: a changed spec, or the requested-at annotation.
// Our own status writes do not.
func asked() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			return e.ObjectOld.GetAnnotations()[v1alpha1.AnnotationRequestedAt] != e.ObjectNew.GetAnnotations()[v1alpha1.AnnotationRequestedAt]
		},
		CreateFunc:  func(event.CreateEvent) bool { return false },
		DeleteFunc:  func(event.DeleteEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	})
}

// readyChanged passes when a Channel's spec, or whether it is ready, changed: what
// depends on it looks again.
func readyChanged() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, okBefore := e.ObjectOld.(*v1alpha1.Channel)
			after, okAfter := e.ObjectNew.(*v1alpha1.Channel)
			if !okBefore || !okAfter {
				return false
			}
			_, was := conditions.Of(before.Status.Conditions)
			_, is := conditions.Of(after.Status.Conditions)
			return was != is
		},
		CreateFunc:  func(event.CreateEvent) bool { return false },
		DeleteFunc:  func(event.DeleteEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	})
}
