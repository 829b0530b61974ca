package accounts

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/panics"
)

// A Channel that could not be loaded is tried again after these gaps.
const firstRetry, lastRetry = 100 * time.Millisecond, 30 * time.Second

// SetupWithManager keeps the registry current on every replica, leader or not.
func (r *Registry) SetupWithManager(mgr ctrl.Manager) error {
	secrets, err := metadata.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("make the client that watches Secrets: %w", err)
	}
	r.secrets.use(secrets)
	if err := mgr.Add(r); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("accounts").
		For(&v1alpha1.Channel{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(r.SecretEvents(SecretHandler(r.channels))).
		WithOptions(controller.Options{NeedLeaderElection: ptr.To(false), MaxConcurrentReconciles: 4,
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, lastRetry)}).
		Complete(panics.Reconciler("accounts", r))
}

// SecretHandler wakes the Channels that depend on a Secret.
func SecretHandler(channels client.Reader) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, secret client.Object) []reconcile.Request {
		var list v1alpha1.ChannelList
		if err := channels.List(ctx, &list, client.InNamespace(secret.GetNamespace())); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "list Channels that depend on a Secret", "secret", client.ObjectKeyFromObject(secret))
			return nil
		}
		var requests []reconcile.Request
		for i := range list.Items {
			if slices.Contains(SecretNames(&list.Items[i]), secret.GetName()) {
				requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{
					Namespace: list.Items[i].Namespace, Name: list.Items[i].Name}})
			}
		}
		return requests
	})
}
