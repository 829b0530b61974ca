package controllers

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/recorder"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	ac "github.com/laidoulaile/channel-operator/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/conditions"
	"github.com/laidoulaile/channel-operator/internal/order"
	"github.com/laidoulaile/channel-operator/internal/panics"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

const (
	// firstDoubt is the least gap before a push that is not confirmed is asked about again.
	firstDoubt = 2 * time.Second
	// firstOrderLook is the least gap before an order that is not over is asked for again.
	firstOrderLook = time.Minute
	// slowestOrderLook is the longest gap: a refund may be decided days later.
	slowestOrderLook = 6 * time.Hour
	// eventAnswered is the reason of the event for an answer that the platform took.
	eventAnswered = "Answered"
)

// OrderVoucherReconciler keeps orders as their platform has them.
type OrderVoucherReconciler struct {
	client.Client
	Events   recorder.EventRecorder
	Accounts *accounts.Registry
	// Doubt is told of a Channel whose account was refused.
	Doubt func(types.NamespacedName)
	// Kept reports whether something that was pushed about an object waits to be written on it;
	// nil: nothing ever does.
	Kept func(client.Object) bool
	// Leads reports whether this process is sure to be the one that tells platforms anything; nil:
	// there is no other.
	Leads func() bool
	// Workers look at this many orders at a time.
	Workers int
	Now     func() time.Time

	looks *looks
}

// seenOrder is what one look at an order saw.
type seenOrder struct {
	// asked: there was something to ask.
	asked bool
	// notAsked is why no question could be put; stopped: not for being suspended, but
	// because the Channel cannot be asked at all, which an order that is not over tells
	// even without news.
	notAsked *conditions.Verdict
	stopped  bool
	// loading: the Channel or its account is not known yet.
	loading bool
	// pushesDecide: the platform cannot be asked for orders, and what it pushed is all there
	// is to know.
	pushesDecide bool
	answer       *order.Answer
	err          error
	// owed are the answers that the platform waits for, and what came of telling them;
	// mute: it cannot be told anything later.
	owed []owed
	mute bool
	// stale: it took some, and did not say what the order is since.
	stale bool
	// terms of the Channel for what nobody knows.
	terms strayTerms
	// due is when the order is to be asked for again; zero: not by itself.
	due time.Time
}

// SetupWithManager registers the controller.
func (r *OrderVoucherReconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.looks = newLooks(r.Now())
	return ctrl.NewControllerManagedBy(mgr).
		Named("ordervoucher").
		Watches(&v1alpha1.OrderVoucher{}, enqueueOwing(r.owes), builder.WithPredicates(asked())).
		Watches(&v1alpha1.Channel{}, enqueueDependents(r.Client, &v1alpha1.OrderVoucherList{}, r.owes), builder.WithPredicates(readyChanged())).
		WatchesRawSource(r.Accounts.SecretEvents(enqueueCodes(r.Client, r.owes), predicate.ResourceVersionChangedPredicate{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: r.Workers, ReconciliationTimeout: askTimeout}).
		Complete(panics.Reconciler("ordervoucher", r))
}

// owes reports whether an order owes an answer whose deadline is still to come.
func (r *OrderVoucherReconciler) owes(o client.Object) bool {
	ov, ok := o.(*v1alpha1.OrderVoucher)
	return ok && owesInTime(ov, r.Now())
}

// Reconcile observes and answers what is owed, decides, records.
func (r *OrderVoucherReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var ov v1alpha1.OrderVoucher
	if err := r.Get(ctx, request.NamespacedName, &ov); apierrors.IsNotFound(err) {
		r.looks.forget(request.NamespacedName)
		return ctrl.Result{}, nil
	} else if err != nil {
		return ctrl.Result{}, err
	}
	seen := r.observe(ctx, &ov)
	removed, look, err := r.dismiss(ctx, &ov, seen)
	if removed || err != nil {
		return ctrl.Result{}, err
	}
	status, next := decideOrder(&ov, seen, r.Now())
	if err := r.record(ctx, &ov, status); err != nil {
		return ctrl.Result{}, err
	}
	return r.looks.result(request.NamespacedName, noLater(next, look)), nil
}

// dismiss deletes an order that nobody knows, if it is time, and else gives when to look again
// for that.
func (r *OrderVoucherReconciler) dismiss(ctx context.Context, ov *v1alpha1.OrderVoucher, seen seenOrder) (removed bool, look time.Duration, err error) {
	if !seen.asked || seen.notAsked != nil || seen.loading || seen.pushesDecide || len(seen.owed) > 0 {
		return false, 0, nil
	}
	s := strayOrder(ov)
	s.denied, s.strayTerms = isDenial(seen.err), seen.terms
	s.denials = r.looks.denials.hear(client.ObjectKeyFromObject(ov), seen.err, r.Now())
	s.kept = s.marked && s.denied && r.Kept != nil && r.Kept(ov)
	return dismiss(ctx, r.Client, ov, ov.Spec.ChannelRef.Name, s, r.Now())
}

// observe asks the platform for the order, if there is something to ask, tells it what it
// waits for, and then asks again.
func (r *OrderVoucherReconciler) observe(ctx context.Context, ov *v1alpha1.OrderVoucher) seenOrder {
	key := client.ObjectKeyFromObject(ov)
	seen := seenOrder{due: r.due(key, ov)}
	seen.asked = orderAsks(ov, seen.due, r.Now())
	channelKey := types.NamespacedName{Namespace: ov.Namespace, Name: ov.Spec.ChannelRef.Name}
	channel, account, known := channelOf(ctx, r.Client, r.Accounts, channelKey)
	if !known {
		seen.loading = seen.asked
		return seen
	}
	seen.terms = strayTermsOf(channel)
	if account != nil && account.PushesDecide {
		// Nothing is asked, so nothing that hinders asking hinders this; nor is it told anything.
		seen.pushesDecide, seen.mute = true, true
		return seen
	}
	seen.notAsked = suspendedOr(ov.Spec.Suspend, notAskedChannel(channel, account, channelKey))
	seen.stopped = !ov.Spec.Suspend && (account == nil || !account.Suspended) && !over(&ov.Status)
	if seen.notAsked != nil || !seen.asked {
		return seen
	}
	asker, ok := account.Client.(platform.OrderClient)
	if !ok {
		seen.notAsked = &conditions.Verdict{State: conditions.Stalled, Reason: v1alpha1.ReasonPlatformNotSupported,
			Message: "the platform cannot be asked for orders, and its pushes do not decide"}
		return seen
	}
	waiting := len(order.Owed(ov.Spec, ov.Status)) > 0
	r.ask(ctx, ov, account, asker, &seen, waiting, askBeforeAnswers)
	if !refusesAccount(seen.err) && r.answer(ctx, ov, account, &seen) {
		before := seen.answer
		r.ask(ctx, ov, account, asker, &seen, true, askAfterAnswers)
		if seen.stale = seen.err != nil && before != nil; seen.stale {
			seen.answer, seen.err = before, nil
		}
	}
	if refusesAccount(seen.err) || slices.ContainsFunc(seen.owed, func(o owed) bool { return refusesAccount(o.err) }) {
		r.Doubt(channelKey)
	}
	return seen
}

// ask asks the platform for the order; in a hurry, it does not wait longer than most.
func (r *OrderVoucherReconciler) ask(ctx context.Context, ov *v1alpha1.OrderVoucher, account *accounts.Account, asker platform.OrderClient,
	seen *seenOrder, hurry bool, most time.Duration) {
	if hurry {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, most)
		defer cancel()
	}
	answer, err := asker.Order(ctx, platform.OrderQuestion{
		OrderID: ov.Spec.OrderID, OutOrderID: ov.Spec.OutOrderID,
		Refunds: order.AsksForRefunds(ov.Spec.Notifications, ov.Status),
	})
	if answered(err) {
		r.looks.answeredNow(client.ObjectKeyFromObject(ov), r.Now())
	}
	seen.answer, seen.err = nil, err
	if err == nil {
		seen.answer = masked(account, answer)
	}
}

// orderAsks reports whether there is something to ask: a push that the status does not
// speak of yet, a request, an order that is not settled, or a look that is due.
func orderAsks(ov *v1alpha1.OrderVoucher, due, now time.Time) bool {
	_, ready := conditions.Of(ov.Status.Conditions)
	return !ready || ov.Generation != ov.Status.ObservedGeneration ||
		requested(ov.Annotations, ov.Status.LastHandledRequestedAt) ||
		(!due.IsZero() && !now.Before(due))
}

// due is when an order that is not over is to be asked for again, slower and slower.
func (r *OrderVoucherReconciler) due(key types.NamespacedName, ov *v1alpha1.OrderVoucher) time.Time {
	if ov.Status.Confirmed == nil || over(&ov.Status) {
		return time.Time{}
	}
	since := ov.Status.Confirmed.At.Time
	return r.looks.due(key, since, func(last time.Time) time.Duration {
		return growing(last.Sub(since), firstOrderLook, slowestOrderLook)
	})
}

// over reports whether nothing more is expected of a confirmed order, as far as its
// status tells: the fold itself, which sees the answer, may know of more that are over.
func over(status *v1alpha1.OrderVoucherStatus) bool {
	switch status.Phase {
	case v1alpha1.OrderRefunded:
		return true
	case v1alpha1.OrderRefundRequested:
		return false
	case v1alpha1.OrderCancelled, v1alpha1.OrderUsed, v1alpha1.OrderFailed:
		return !slices.ContainsFunc(status.Refunds, undecided)
	}
	return len(status.Codes) > 0 && !slices.ContainsFunc(status.Codes, unspent) && !slices.ContainsFunc(status.Refunds, undecided)
}

func undecided(refund v1alpha1.Refund) bool { return refund.Succeeded == nil }

func unspent(code v1alpha1.Code) bool {
	return ptr.Deref(code.Used, 0)+ptr.Deref(code.Refunded, 0) < max(ptr.Deref(code.Persons, 1), 1)
}

// masked turns the platform's answer into the fold's, codes hashed and masked: from here
// on there is no code in clear.
func masked(account *accounts.Account, answer platform.Order) *order.Answer {
	folded := &order.Answer{
		State:            order.State(answer.State),
		PlatformStatus:   answer.PlatformStatus,
		RefundState:      order.RefundState(answer.RefundState),
		RefundedQuantity: answer.RefundedQuantity,
		Quantity:         answer.Quantity,
		Currency:         answer.Currency,
		Codes:            account.Mask(answer.Codes),
	}
	if answer.RefundedAmount != nil {
		folded.Refunded = &v1alpha1.Money{Currency: answer.Currency, Amount: *answer.RefundedAmount}
	}
	codes := make([]sealing.Secret, 0, len(answer.Codes))
	for _, code := range answer.Codes {
		codes = append(codes, code.Text)
	}
	for _, fact := range answer.Refunds {
		folded.Refunds = append(folded.Refunds, refundOf(fact, answer.Currency, codes))
	}
	return folded
}

// tellAnswers tells, by one event each, of what the platform took.
func (r *OrderVoucherReconciler) tellAnswers(ov *v1alpha1.OrderVoucher, answers []v1alpha1.OrderAnswer) {
	for _, answer := range answers {
		if !isAnswered(ov.Status.Answers, answer.NotificationID) {
			r.Events.Eventf(ov, nil, corev1.EventTypeNormal, eventAnswered, "Answer", "the platform took the answer to notification %s: %s",
				answer.NotificationID, answer.Result)
		}
	}
}

// record applies the status, if it changed, and measures how fresh it is.
func (r *OrderVoucherReconciler) record(ctx context.Context, ov *v1alpha1.OrderVoucher, next v1alpha1.OrderVoucherStatus) error {
	if equality.Semantic.DeepEqual(ov.Status, next) {
		return nil
	}
	status, err := toApply[ac.OrderVoucherStatusApplyConfiguration](next)
	if err != nil {
		return err
	}
	err = apply(ctx, r.Client, r.Events, ov, ov.Status.Conditions, next.Conditions,
		ac.OrderVoucher(ov.Name, ov.Namespace).WithUID(ov.UID).WithStatus(status))
	if err == nil {
		r.tellAnswers(ov, next.Answers)
	}
	if _, ready := conditions.Of(next.Conditions); err == nil && ready && ov.Status.ObservedGeneration != next.ObservedGeneration {
		if at := newestReceived(ov); !at.IsZero() {
			observeLag(ov.Namespace+"/"+ov.Spec.ChannelRef.Name, "order", at, r.Now())
		}
	}
	return err
}
