package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/conditions"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// again says when to look again. The zero value is: not before something changes.
type again struct {
	// after is when, at the latest.
	after time.Duration
	// failing counts the look as a failed one: after is replaced by the object's own
	// growing gap, but is its upper bound if it is not zero.
	failing bool
	// putOff: nothing was asked yet, so the look counts neither as failed nor as answered.
	putOff bool
	// urgent looks are for something announced; others may wait behind them.
	urgent bool
	// notLater, if it is not zero, is when to look in any case: something will be another
	// then, though nothing happens.
	notLater time.Duration
	// deadline looks are for what has one; all others wait behind them.
	deadline bool
}

// verdictOf is the one table from a failed question to conditions and to when to ask
// again. subject names what was asked for, such as `product 88`; slow is how often to
// ask about what does not pass by itself.
func verdictOf(err error, subject string, slow time.Duration) (conditions.Verdict, again) {
	failure, ok := errors.AsType[*platform.Error](err)
	if !ok {
		failure = &platform.Error{Kind: platform.Transient, Reason: platform.ReasonUnavailable, Op: "ask", Err: err}
	}
	switch failure.Kind {
	case platform.Throttled:
		next := again{after: failure.RetryAfter, putOff: true, urgent: true}
		if failure.RetryAfter < shortWait {
			// A platform that says no, and not for how long, is asked more and more seldom.
			next = again{after: slow, failing: true, urgent: true}
		}
		return conditions.Verdict{State: conditions.Reconciling, Reason: v1alpha1.ReasonThrottled,
			Message: fmt.Sprintf("%s: waiting for the account's turn", subject)}, next
	case platform.Gone:
		return conditions.Verdict{State: conditions.Waiting, Reason: v1alpha1.ReasonNotFound,
			Message: fmt.Sprintf("the platform does not know %s (%v); check the id, or delete this object", subject, failure)}, again{after: slow}
	case platform.Refused:
		// The Channel is looked at too; should it find nothing wrong, this object asks again by itself.
		return refusedVerdict(failure, subject), again{after: slow, failing: failure.Reason == platform.ReasonCredentials}
	case platform.Transient:
	}
	return conditions.Verdict{State: conditions.Reconciling, Reason: v1alpha1.ReasonProgressingWithRetry,
		Message: fmt.Sprintf("%s: %v; trying again", subject, failure)}, again{after: slow, failing: true, urgent: true}
}

func refusedVerdict(failure *platform.Error, subject string) conditions.Verdict {
	switch failure.Reason {
	case platform.ReasonNotGranted:
		return conditions.Verdict{State: conditions.Stalled, Reason: v1alpha1.ReasonNotGranted,
			Message: fmt.Sprintf("the account may not see %s (%v); have the platform grant it", subject, failure)}
	case platform.ReasonCredentials:
		return conditions.Verdict{State: conditions.Waiting, Reason: v1alpha1.ReasonChannelNotReady,
			Message: fmt.Sprintf("%s: the platform refuses the account (%v); see the Channel", subject, failure)}
	default:
		return conditions.Verdict{State: conditions.Stalled, Reason: v1alpha1.ReasonRefused,
			Message: fmt.Sprintf("the platform refuses the question for %s (%v); this needs a look at the operator or the id", subject, failure)}
	}
}

// channelOf reads what a look at a product or an order needs of its Channel: the object,
// nil if it is not there, and its account. Not known is what may be there, and was not
// read yet.
func channelOf(ctx context.Context, c client.Reader, registry *accounts.Registry, name types.NamespacedName) (channel *v1alpha1.Channel, account *accounts.Account, known bool) {
	channel = &v1alpha1.Channel{}
	if err := c.Get(ctx, name, channel); err != nil {
		return nil, nil, apierrors.IsNotFound(err)
	}
	account = registry.Asking(name)
	return channel, account, account != nil
}

// notAskedChannel is why a Channel's account cannot be asked now; nil if it can. What
// depends on a Channel says no more than that: the Channel itself says the rest.
func notAskedChannel(channel *v1alpha1.Channel, account *accounts.Account, name types.NamespacedName) *conditions.Verdict {
	verdict := conditions.Verdict{State: conditions.Waiting, Reason: v1alpha1.ReasonChannelNotReady}
	switch {
	case channel == nil:
		verdict.Message = fmt.Sprintf("Channel %s does not exist; create it", name.Name)
	case account.Problem != nil:
		verdict.Message = fmt.Sprintf("Channel %s is not ready: %s", name.Name, account.Problem.Reason)
	case account.Suspended:
		verdict.Message = fmt.Sprintf("Channel %s is suspended", name.Name)
	case meta.IsStatusConditionTrue(channel.Status.Conditions, v1alpha1.ConditionStalled):
		reason, _ := conditions.Of(channel.Status.Conditions)
		verdict.Message = fmt.Sprintf("Channel %s is not ready: %s", name.Name, reason)
	default:
		return nil
	}
	return &verdict
}

// suspendedOr is the verdict for an object suspended by its own spec, or the other one.
func suspendedOr(suspended bool, other *conditions.Verdict) *conditions.Verdict {
	if suspended {
		return &conditions.Verdict{State: conditions.Waiting, Reason: v1alpha1.ReasonSuspended, Message: "suspended by spec.suspend: nothing is asked"}
	}
	return other
}

// keepWords keeps the message of a passing failure while its reason stays: platforms fail
// with ever other words, and each would be a write.
func keepWords(previous []metav1.Condition, verdict conditions.Verdict) conditions.Verdict {
	for _, c := range previous {
		if c.Type == v1alpha1.ConditionReady && c.Status == metav1.ConditionFalse && c.Reason == verdict.Reason &&
			verdict.State == conditions.Reconciling && verdict.Reason != v1alpha1.ReasonNotConfirmed {
			verdict.Message = c.Message
		}
	}
	return verdict
}

// growing is a gap that grows with how long a thing has been waited for: each look
// comes half as long again after the start as the one before.
func growing(waited, least, most time.Duration) time.Duration {
	return min(max(waited/2, least), max(most, least))
}

// every is a gap that does not grow.
func every(interval time.Duration) func(time.Time) time.Duration {
	return func(time.Time) time.Duration { return interval }
}

// shortWait is how long a look may be put off without telling: the status still says,
// by its observedGeneration, that it is behind.
const shortWait = 10 * time.Second

// briefly reports whether a look was only put off for a moment by the account's own
// limits: then the platform gave no code, because it was not asked.
func briefly(err error) bool {
	failure, ok := errors.AsType[*platform.Error](err)
	return ok && failure.Kind == platform.Throttled && failure.Code == "" && failure.RetryAfter < shortWait
}

// inAMoment is when to look again after a look that was put off briefly: later and later,
// for where many wait for one account, each look that comes to nothing takes from the rest.
var inAMoment = again{after: 30 * time.Second, failing: true, urgent: true}

// requested reports whether the annotation asks for a look that was not done yet.
func requested(annotations map[string]string, handled string) bool {
	value := annotations[v1alpha1.AnnotationRequestedAt]
	return value != "" && cutRequest(value) != handled
}

// cutRequest bounds an annotation's value to what the status holds.
func cutRequest(value string) string { return sealing.Cut(value, maxRequest) }

// maxRequest is how many characters of it the status holds (the schema's bound).
const maxRequest = 256
