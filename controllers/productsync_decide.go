package controllers

import (
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/conditions"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/product"
)

// platformZone is where the platforms' days begin.
var platformZone = time.FixedZone("+08:00", 8*60*60)

// decideProduct is pure: what was seen to the whole status, and when to look again.
func decideProduct(ps *v1alpha1.ProductSync, seen seenProduct, now time.Time) (v1alpha1.ProductSyncStatus, again) {
	switch {
	case briefly(seen.err):
		return ps.Status, inAMoment
	case seen.loading:
		return ps.Status, again{after: seen.interval, failing: true, urgent: true}
	}
	status := *ps.Status.DeepCopy()
	status.ObservedGeneration = ps.Generation
	verdict, next := productVerdict(ps, &status, seen, now)
	if verdict == nil {
		verdict = standing(ps.Status.Conditions)
	}
	status.Conditions = conditions.Set(status.Conditions, keepWords(ps.Status.Conditions, *verdict), ps.Generation, now)
	if answered(seen.err) && seen.question != nil && seen.notAsked == nil {
		status.LastHandledRequestedAt = cutRequest(ps.Annotations[v1alpha1.AnnotationRequestedAt])
		if status.FetchedAt != nil && platform.KindOf(seen.err) != platform.Refused && !equality.Semantic.DeepEqual(ps.Status, status) {
			status.FetchedAt = stamp(now)
		}
	}
	return status, next
}

// productVerdict judges what was seen and writes the answer into the status. A nil
// verdict leaves the conditions as they are.
func productVerdict(ps *v1alpha1.ProductSync, status *v1alpha1.ProductSyncStatus, seen seenProduct, now time.Time) (*conditions.Verdict, again) {
	failure, _ := errors.AsType[*platform.Error](seen.err)
	note := ""
	switch {
	case seen.notAsked != nil && !seen.stopped && !hasNews(ps):
		return nil, again{after: seen.interval}
	case seen.question == nil && seen.notAsked == nil:
		return nil, again{after: max(seen.due.Sub(now), time.Second)}
	case seen.notAsked != nil:
		return seen.notAsked, again{after: seen.interval}
	case seen.err == nil:
		folded := product.Fold(*status, seen.answer, now.In(platformZone).Format(time.DateOnly))
		*status, note = folded, seen.answer.Note
	case failure != nil && failure.Kind == platform.Gone && failure.Reason == platform.ReasonOffSale:
		status.State = v1alpha1.ProductOffSale
	case failure != nil && failure.Kind == platform.Gone && ps.Status.FetchedAt != nil:
		status.State = v1alpha1.ProductDeleted
	case failure != nil && failure.Kind == platform.Gone:
		slow := growing(waited(ps.Status.Conditions, v1alpha1.ReasonNotFound, now), firstSlowLook, seen.interval)
		verdict, next := verdictOf(seen.err, "product "+ps.Spec.ProductID, slow)
		return &verdict, next
	case !answered(seen.err) && !hasNews(ps):
		// A resync that fails says nothing about what was announced.
		return nil, again{after: seen.interval, failing: true}
	default:
		verdict, next := verdictOf(seen.err, "product "+ps.Spec.ProductID, seen.interval)
		return &verdict, next
	}
	markObserved(ps, status, seen.question)
	if status.FetchedAt == nil {
		status.FetchedAt = stamp(now)
	}
	return &conditions.Verdict{State: conditions.Ready, Reason: v1alpha1.ReasonSynced, Message: note}, again{after: seen.interval}
}

// markObserved notes which announced changes the answer reflects: those that had been
// read before the question was put.
func markObserved(ps *v1alpha1.ProductSync, status *v1alpha1.ProductSyncStatus, question *platform.ProductQuestion) {
	for _, one := range aspects(ps, &status.Observed) {
		if one.announced != nil && question.Wants(one.aspect) {
			at := one.announced.ChangedAt
			*one.observed = &at
		}
	}
}

// hasNews reports whether the status does not yet speak of what the spec says.
func hasNews(ps *v1alpha1.ProductSync) bool {
	_, ready := conditions.Of(ps.Status.Conditions)
	return len(pendingAspects(ps)) > 0 || ps.Status.FetchedAt == nil || !ready || ps.Generation != ps.Status.ObservedGeneration
}

// answered reports whether the platform gave an answer, be it a refusal.
func answered(err error) bool {
	if err == nil {
		return true
	}
	kind := platform.KindOf(err)
	return kind == platform.Gone || kind == platform.Refused
}

// refusesAccount reports whether a failure is about the account, not about what was asked.
func refusesAccount(err error) bool {
	failure, ok := errors.AsType[*platform.Error](err)
	return ok && failure.Reason == platform.ReasonCredentials
}

// standing is the verdict that conditions already show.
func standing(current []metav1.Condition) *conditions.Verdict {
	ready := meta.FindStatusCondition(current, v1alpha1.ConditionReady)
	if ready == nil {
		return &conditions.Verdict{State: conditions.Reconciling, Reason: v1alpha1.ReasonProgressing}
	}
	verdict := &conditions.Verdict{State: conditions.Waiting, Reason: ready.Reason, Message: ready.Message}
	switch {
	case ready.Status == metav1.ConditionTrue:
		verdict.State = conditions.Ready
	case meta.IsStatusConditionTrue(current, v1alpha1.ConditionStalled):
		verdict.State = conditions.Stalled
	case meta.IsStatusConditionTrue(current, v1alpha1.ConditionReconciling):
		verdict.State = conditions.Reconciling
	}
	return verdict
}

// waited is how long an object has been not ready for a reason.
func waited(current []metav1.Condition, reason string, now time.Time) time.Duration {
	ready := meta.FindStatusCondition(current, v1alpha1.ConditionReady)
	if ready == nil || ready.Status == metav1.ConditionTrue || ready.Reason != reason {
		return 0
	}
	return now.Sub(ready.LastTransitionTime.Time)
}

func stamp(now time.Time) *metav1.Time {
	at := metav1.NewTime(now.UTC().Truncate(time.Second))
	return &at
}
