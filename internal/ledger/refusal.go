package ledger

import (
	"context"
	"errors"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// refusal is what the API server's validation says about a fact.
type refusal int

const (
	refusedNot       refusal = iota // not refused, or not by validation
	refusedDuplicate                // the fact is there already
	refusedOlder                    // a newer change is announced already
	refusedFull                     // the list is at its bound
	refusedForeign                  // the object is another Channel's, or another id's
	refusedOther                    // anything else
)

// olderMessage is how the rules on Announcement begin (api/v1alpha1).
const olderMessage = "older than the announced change"

// heavyMessage is how the rule on the weight of all notifications begins (api/v1alpha1).
const heavyMessage = "the notifications weigh more"

// refusalOf reads the causes of a validation error. An object of another identity
// outranks the rest: what it holds does not concern us. What is there already need not fit.
func refusalOf(err error) refusal {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok || !apierrors.IsInvalid(err) || status.Status().Details == nil {
		return refusedNot
	}
	found := refusedOther
	for _, cause := range status.Status().Details.Causes {
		switch one := causeOf(cause); {
		case one == refusedForeign:
			return refusedForeign
		case one != refusedOther && found != refusedDuplicate:
			found = one
		}
	}
	return found
}

func causeOf(cause metav1.StatusCause) refusal {
	switch {
	case cause.Field == "spec.channelRef" || cause.Field == "spec.productID" || cause.Field == "spec.orderID":
		return refusedForeign
	case cause.Type == metav1.CauseTypeFieldValueDuplicate && strings.HasPrefix(cause.Field, "spec.notifications"):
		return refusedDuplicate
	case strings.HasPrefix(cause.Field, "spec.announced.") && strings.Contains(cause.Message, olderMessage):
		return refusedOlder
	case strings.HasPrefix(cause.Field, "spec.notifications") &&
		(cause.Type == metav1.CauseTypeTooMany || strings.Contains(cause.Message, heavyMessage)):
		return refusedFull
	default:
		return refusedOther
	}
}

// tooLarge reports whether a write is more than the API server, or etcd behind it, takes.
func tooLarge(err error) bool {
	return apierrors.IsRequestEntityTooLargeError(err) || err != nil && strings.Contains(err.Error(), "etcdserver: request is too large")
}

// ofOne reports whether the API server refuses what is written: it takes a group whole or not at
// all, and it may be one of it that is to blame. An admission webhook refuses with 400 or 403.
func ofOne(err error) bool {
	return forGood(err) || apierrors.IsBadRequest(err) || apierrors.IsForbidden(err)
}

// forGood reports whether what is written will never be taken, as it stands.
func forGood(err error) bool {
	return refusalOf(err) != refusedNot || tooLarge(err) || errors.Is(err, errFull) || errors.Is(err, errPanic)
}

// fault is for whose sake a write failed, the gravest last.
type fault int

const (
	ofObject fault = iota // the API server is there, and takes others
	inDoubt               // of the object or of the API server: others tell
	ofServer              // it takes nothing
)

// faultOf says for whose sake a write failed. An answer of 5xx may be about this object alone (a
// webhook that fails for it), and so may a conflict that outlasts our patience, or a write that
// hangs. Where there is no answer, or one about who asks, it is the API server.
func faultOf(err error) fault {
	if errors.Is(err, errFull) || errors.Is(err, errPanic) || tooLarge(err) {
		return ofObject
	}
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok {
		if errors.Is(err, context.DeadlineExceeded) {
			return inDoubt
		}
		return ofServer
	}
	switch code := status.ErrStatus.Code; {
	case code == http.StatusUnauthorized, code == http.StatusTooManyRequests:
		return ofServer
	case code == http.StatusRequestTimeout, code == http.StatusConflict, code >= 500:
		return inDoubt
	case code >= 400:
		return ofObject
	}
	return ofServer
}

// itsOwn reports whether a write failed for its object's own sake.
func itsOwn(err error) bool { return faultOf(err) == ofObject }
