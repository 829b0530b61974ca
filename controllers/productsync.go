package controllers

import (
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/recorder"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	ac "github.com/laidoulaile/channel-operator/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/conditions"
	"github.com/laidoulaile/channel-operator/internal/panics"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/product"
)

const (
	// firstSlowLook is the least gap before a product or an order that the platform does
	// not know is asked for again: what was just made there may not be visible yet.
	firstSlowLook = 5 * time.Second
	// askTimeout bounds one look at one object.
	askTimeout = time.Minute
)

// ProductSyncReconciler keeps products in step with their platform.
type ProductSyncReconciler struct {
	client.Client
	Events   recorder.EventRecorder
	Accounts *accounts.Registry
	// Doubt is told of a Channel whose account was refused.
	Doubt func(types.NamespacedName)
	// Kept reports whether something that was pushed about an object waits to be written on it;
	// nil: nothing ever does.
	Kept func(client.Object) bool
	// Workers look at this many products at a time.
	Workers int
	Now     func() time.Time

	looks *looks
}

// seenProduct is what one look at a product saw.
type seenProduct struct {
	// question asked; nil if nothing was to ask.
	question *platform.ProductQuestion
	// notAsked is why no question could be put; stopped: not for being suspended, but
	// because the Channel cannot be asked at all, which is told even without news.
	notAsked *conditions.Verdict
	stopped  bool
	// loading: the Channel or its account is not known yet.
	loading bool
	answer  platform.Product
	err     error
	// terms of the Channel for what nobody knows.
	terms strayTerms
	// interval between looks without news, and due, the time of the next.
	interval time.Duration
	due      time.Time
}

// SetupWithManager registers the controller.
func (r *ProductSyncReconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.looks = newLooks(r.Now())
	return ctrl.NewControllerManagedBy(mgr).
		Named("productsync").
		Watches(&v1alpha1.ProductSync{}, enqueueAnnounced(announcesNews), builder.WithPredicates(asked())).
		Watches(&v1alpha1.Channel{}, enqueueDependents(r.Client, &v1alpha1.ProductSyncList{}, never), builder.WithPredicates(readyChanged())).
		WithOptions(controller.Options{MaxConcurrentReconciles: r.Workers, ReconciliationTimeout: askTimeout}).
		Complete(panics.Reconciler("productsync", r))
}

func announcesNews(o client.Object) bool {
	ps, ok := o.(*v1alpha1.ProductSync)
	return ok && len(pendingAspects(ps)) > 0
}

// Reconcile observes, decides, records.
func (r *ProductSyncReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var ps v1alpha1.ProductSync
	if err := r.Get(ctx, request.NamespacedName, &ps); apierrors.IsNotFound(err) {
		r.looks.forget(request.NamespacedName)
		return ctrl.Result{}, nil
	} else if err != nil {
		return ctrl.Result{}, err
	}
	if err := product.Unpack(&ps); err != nil {
		return ctrl.Result{}, err
	}
	seen := r.observe(ctx, &ps)
	removed, look, err := r.dismiss(ctx, &ps, seen)
	if removed || err != nil {
		return ctrl.Result{}, err
	}
	status, next := decideProduct(&ps, seen, r.Now())
	if err := r.record(ctx, &ps, status); err != nil {
		return ctrl.Result{}, err
	}
	return r.looks.result(request.NamespacedName, noLater(next, look)), nil
}

// dismiss deletes a product that nobody knows, if it is time, and else gives when to look again
// for that.
func (r *ProductSyncReconciler) dismiss(ctx context.Context, ps *v1alpha1.ProductSync, seen seenProduct) (removed bool, look time.Duration, err error) {
	if seen.question == nil || seen.notAsked != nil || seen.loading {
		return false, 0, nil
	}
	s := strayProduct(ps)
	s.denied, s.strayTerms = isDenial(seen.err), seen.terms
	s.denials = r.looks.denials.hear(client.ObjectKeyFromObject(ps), seen.err, r.Now())
	s.kept = s.marked && s.denied && r.Kept != nil && r.Kept(ps)
	return dismiss(ctx, r.Client, ps, ps.Spec.ChannelRef.Name, s, r.Now())
}

// observe asks the platform what is to be asked, if anything.
func (r *ProductSyncReconciler) observe(ctx context.Context, ps *v1alpha1.ProductSync) seenProduct {
	key := client.ObjectKeyFromObject(ps)
	channelKey := types.NamespacedName{Namespace: ps.Namespace, Name: ps.Spec.ChannelRef.Name}
	channel, account, known := channelOf(ctx, r.Client, r.Accounts, channelKey)
	seen := seenProduct{interval: resyncOf(channel, ps.Spec.ResyncInterval), terms: strayTermsOf(channel)}
	if ps.Status.FetchedAt != nil {
		seen.due = r.looks.due(key, ps.Status.FetchedAt.Time, every(seen.interval))
	}
	seen.question = productQuestion(ps, seen.due, r.Now())
	if !known {
		seen.loading = seen.question != nil
		return seen
	}
	seen.notAsked = suspendedOr(ps.Spec.Suspend, notAskedChannel(channel, account, channelKey))
	seen.stopped = !ps.Spec.Suspend && (account == nil || !account.Suspended)
	if seen.notAsked != nil || seen.question == nil {
		return seen
	}
	asker, ok := account.Client.(platform.ProductClient)
	if !ok {
		seen.notAsked = &conditions.Verdict{State: conditions.Stalled, Reason: v1alpha1.ReasonPlatformNotSupported,
			Message: "the platform cannot be asked for products; delete this object"}
		return seen
	}
	seen.answer, seen.err = asker.Product(ctx, *seen.question)
	if seen.err == nil || platform.KindOf(seen.err) == platform.Gone || platform.KindOf(seen.err) == platform.Refused {
		r.looks.answeredNow(key, r.Now())
		seen.due = r.Now().Add(seen.interval)
	}
	if refusesAccount(seen.err) {
		r.Doubt(channelKey)
	}
	return seen
}

// productQuestion says what is to be asked now: what was announced (price and stock
// alone when only they were); everything at the first look, for a product not known to
// be on sale, on request, when a look is due, or when the spec changed in another way;
// nil when there is nothing to ask. What was announced of the availability counts until a
// look that no push asked for: then the platform's answer alone does, so that a forged
// push, or a lost one, is put right by the next resync or request.
func productQuestion(ps *v1alpha1.ProductSync, due, now time.Time) *platform.ProductQuestion {
	question := &platform.ProductQuestion{ProductID: ps.Spec.ProductID}
	_, ready := conditions.Of(ps.Status.Conditions)
	pending := pendingAspects(ps)
	asideOfPushes := requested(ps.Annotations, ps.Status.LastHandledRequestedAt) || !now.Before(due)
	if a := ps.Spec.Announced.Availability; a != nil && (slices.Contains(pending, platform.AspectAvailability) ||
		!asideOfPushes && ps.Status.State != v1alpha1.ProductOnSale) {
		question.Availability = a.Type
	}
	// Two changes in one millisecond look like one here: a new generation is news enough.
	changed := !ready || ps.Generation != ps.Status.ObservedGeneration
	switch {
	case ps.Status.FetchedAt == nil, asideOfPushes:
		question.Aspects = everything
	case onlyPriceAndStock(pending) && ps.Status.State == v1alpha1.ProductOnSale:
		question.Aspects = []platform.Aspect{platform.AspectPrice, platform.AspectStock}
	case len(pending) > 0, changed:
		question.Aspects = everything
	default:
		return nil
	}
	return question
}

// everything there is to ask about a product.
var everything = []platform.Aspect{platform.AspectInfo, platform.AspectPrice, platform.AspectStock, platform.AspectAvailability}

func onlyPriceAndStock(pending []platform.Aspect) bool {
	return len(pending) > 0 && !slices.Contains(pending, platform.AspectInfo) && !slices.Contains(pending, platform.AspectAvailability)
}

// aspects pairs, for each aspect, what is announced with what the status reflects.
func aspects(ps *v1alpha1.ProductSync, observed *v1alpha1.Observed) []struct {
	aspect    platform.Aspect
	announced *v1alpha1.Announcement
	observed  **metav1.MicroTime
} {
	a := ps.Spec.Announced
	return []struct {
		aspect    platform.Aspect
		announced *v1alpha1.Announcement
		observed  **metav1.MicroTime
	}{
		{platform.AspectInfo, a.Info, &observed.Info},
		{platform.AspectPrice, a.Price, &observed.Price},
		{platform.AspectStock, a.Stock, &observed.Stock},
		{platform.AspectAvailability, a.Availability, &observed.Availability},
	}
}

// pendingAspects are those announced and not yet reflected.
func pendingAspects(ps *v1alpha1.ProductSync) []platform.Aspect {
	var pending []platform.Aspect
	observed := ps.Status.Observed
	for _, one := range aspects(ps, &observed) {
		if one.announced != nil && (*one.observed == nil || (*one.observed).Time.Before(one.announced.ChangedAt.Time)) {
			pending = append(pending, one.aspect)
		}
	}
	return pending
}

// record applies the status, if it changed, and measures how fresh it is.
func (r *ProductSyncReconciler) record(ctx context.Context, ps *v1alpha1.ProductSync, next v1alpha1.ProductSyncStatus) error {
	if equality.Semantic.DeepEqual(ps.Status, next) {
		return nil
	}
	status, err := toApply[ac.ProductSyncStatusApplyConfiguration](next)
	if err != nil {
		return err
	}
	err = apply(ctx, r.Client, r.Events, ps, ps.Status.Conditions, next.Conditions,
		ac.ProductSync(ps.Name, ps.Namespace).WithUID(ps.UID).WithStatus(status))
	if err != nil {
		return err
	}
	was, is := ps.Status.Observed, next.Observed
	before, after := aspects(ps, &was), aspects(ps, &is)
	for i, one := range after {
		if *one.observed != nil && (*before[i].observed == nil || !(*before[i].observed).Equal(*one.observed)) {
			observeLag(ps.Namespace+"/"+ps.Spec.ChannelRef.Name, string(one.aspect), (*one.observed).Time, r.Now())
		}
	}
	return nil
}
