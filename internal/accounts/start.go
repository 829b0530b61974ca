package accounts

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
)

// Ready reports whether every Channel there was at the start has been loaded, or cannot be for
// a reason of its own; or those that the copy knew of were restored.
func (r *Registry) Ready() bool { return r.ready.Load() || r.restored.Load() }

// NeedLeaderElection is false: every replica receives.
func (r *Registry) NeedLeaderElection() bool { return false }

// Start tries all Channels until the API server has answered about each, and keeps the copy.
// What cannot be loaded then is known to be there, and Reconcile goes on trying. The manager
// calls it when its cache has synced.
func (r *Registry) Start(ctx context.Context) error {
	log := ctrl.LoggerFrom(ctx).WithName("accounts")
	defer r.secrets.endAll()
	var copying sync.WaitGroup
	defer copying.Wait()
	keep := sync.OnceFunc(func() { copying.Go(func() { r.keepCopy(ctx) }) })
	for delay := 200 * time.Millisecond; ; delay = min(2*delay, 5*time.Second) {
		seen, err := r.tryAll(ctx)
		if seen.answers() {
			keep()
		}
		if err == nil {
			r.ready.Store(true)
			log.Info("all Channels are known", "loaded", seen.loaded)
			return nil
		}
		log.Error(err, "the API server does not give every Channel and its Secrets: trying again", "receiving", r.Ready())
		if !comes(ctx, time.After(delay)) {
			return nil
		}
	}
}

// round is what came of trying every Channel once.
type round struct {
	listed bool
	loaded int
	failed []error
}

// answers: the API server was there, for some at least. Every Channel is known by name then.
func (o *round) answers() bool { return o.listed && (o.loaded > 0 || len(o.failed) == 0) }

// tryAll loads every Channel. The error is the API server's failing; what is wrong with one
// Channel alone is logged.
func (r *Registry) tryAll(ctx context.Context) (*round, error) {
	var list v1alpha1.ChannelList
	seen := &round{}
	if err := r.channels.List(ctx, &list); err != nil {
		return seen, fmt.Errorf("list Channels: %w", err)
	}
	seen.listed = true
	for i := range list.Items {
		if err := r.Load(ctx, &list.Items[i]); err != nil {
			seen.failed = append(seen.failed, err)
		} else {
			seen.loaded++
		}
	}
	// What was deleted since it was listed may have been forgotten before it was loaded; and
	// what was restored may have been deleted before this process was there to see it.
	for _, name := range append(namesOf(list.Items), r.onlyRestored()...) {
		r.forgetGone(ctx, name)
	}
	return seen, seen.failing(ctx)
}

// failing is how the API server itself fails; nil if it does not.
func (o *round) failing(ctx context.Context) error {
	var failing []error
	for _, err := range o.failed {
		if !o.own(err) {
			failing = append(failing, err)
			continue
		}
		ctrl.LoggerFrom(ctx).WithName("accounts").Error(err, "a Channel cannot be loaded: its pushes are to be sent again")
	}
	return errors.Join(failing...)
}

// own: the API server answered, and the answer is about this Channel alone: a right or a Secret that is
// missing, an admission webhook that refuses its sealing Secret (with 400 or 403), somebody who made or
// changed that at the same time (409). An internal error is one too (a Secret that cannot be decrypted),
// as long as others are given. Who asks too often, too slowly or as nobody, asks so about every Channel.
func (o *round) own(err error) bool {
	status, answered := errors.AsType[*apierrors.StatusError](err)
	if !answered {
		return false
	}
	switch code := status.Status().Code; code {
	case http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	default:
		return code >= 400 && code < 500 || apierrors.IsInternalError(err) && o.loaded > 0
	}
}

func namesOf(channels []v1alpha1.Channel) []types.NamespacedName {
	var names []types.NamespacedName
	for i := range channels {
		names = append(names, client.ObjectKeyFromObject(&channels[i]))
	}
	return names
}
