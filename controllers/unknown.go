package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/conditions"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/unproven"
)

// This file tells of the objects that only pushes named whose sender nothing proves, and
// deletes those that the platform goes on not to know.

const (
	// defaultUnknownTTL is spec.receive.unknownObjects.ttl where it is not set.
	defaultUnknownTTL = 24 * time.Hour
	// leastDenials is how often this process must have heard from the platform that it does
	// not know an object before that is deleted, and denialGap what lies between at the least,
	// and between the last push and the deletion: a platform may know a thing a little later
	// than it pushes it.
	leastDenials = 3
	denialGap    = 10 * time.Minute
	// unknownEvery is how often it is looked whether a Channel says what there is now.
	unknownEvery = time.Minute
)

// Unknowns counts what unproven pushes made and the platform has not confirmed, and of how much
// of it it said that it does not know it; *ledger.Ledger does.
type Unknowns interface {
	Unknown(channel types.NamespacedName) (objects, notFound int, counted bool)
}

// stray is an object as far as its deletion depends on it.
type stray struct {
	// marked: unproven pushes made it, and nobody else has named it. touched: somebody set
	// something of it that no push sets. confirmed: the platform has known it.
	marked, touched, confirmed bool
	// made is when, and lastWord when something was last pushed about it.
	made, lastWord time.Time
	// denied: in this look the platform said plainly that it does not know it. denials is how
	// often it has, and since when.
	denied  bool
	denials denial
	// kept: something was pushed about it and acknowledged that is not on it yet.
	kept bool
	strayTerms
}

// strayTerms are its Channel's.
type strayTerms struct {
	// ready: the Channel works.
	ready bool
	ttl   time.Duration
}

func strayTermsOf(channel *v1alpha1.Channel) strayTerms {
	if channel == nil {
		return strayTerms{}
	}
	_, ready := conditions.Of(channel.Status.Conditions)
	return strayTerms{ready: ready, ttl: unknownTTL(channel)}
}

func unknownTTL(channel *v1alpha1.Channel) time.Duration {
	if ttl := channel.Spec.Receive.UnknownObjects.TTL; ttl != nil {
		return ttl.Duration
	}
	return defaultUnknownTTL
}

// decideStray is pure: whether an object is deleted, and if not, when to look again for that;
// zero: not for that.
func decideStray(s stray, now time.Time) (remove bool, look time.Duration) {
	if !s.marked || s.touched || s.confirmed || !s.denied || !s.ready {
		return false, 0
	}
	switch left := s.left(now); {
	case left > 0:
		return false, left
	case s.denials.times < leastDenials, s.kept:
		return false, denialGap
	}
	return true, 0
}

// left is how long it stays for the sake of time. Pushes do not renew that: they are as unproven
// as the object. One that came just now only has the platform asked again before, and no more
// often than until twice the time is over.
func (s *stray) left(now time.Time) time.Duration {
	known := min(now.Sub(s.made), now.Sub(s.denials.first))
	return max(s.ttl-known, min(denialGap-now.Sub(s.lastWord), 2*s.ttl-known))
}

func strayProduct(ps *v1alpha1.ProductSync) stray {
	s := stray{
		marked:    unproven.Marked(ps),
		touched:   touched(ps) || ps.Spec.Suspend || ps.Spec.ResyncInterval != nil,
		confirmed: ps.Status.FetchedAt != nil,
		made:      ps.CreationTimestamp.Time,
		lastWord:  ps.CreationTimestamp.Time,
	}
	observed := ps.Status.Observed
	for _, one := range aspects(ps, &observed) {
		if one.announced != nil && one.announced.ChangedAt.After(s.lastWord) {
			s.lastWord = one.announced.ChangedAt.Time
		}
	}
	return s
}

func strayOrder(ov *v1alpha1.OrderVoucher) stray {
	return stray{
		marked: unproven.Marked(ov),
		touched: touched(ov) || ov.Spec.Suspend || ov.Spec.CodesSecretRef != nil || len(ov.Spec.RefundDecisions) > 0 ||
			len(ov.Status.Answers) > 0,
		confirmed: ov.Status.Confirmed != nil,
		made:      ov.CreationTimestamp.Time,
		lastWord:  newestReceived(ov),
	}
}

// ours are the labels that an object has from us.
var ours = []string{v1alpha1.LabelChannel, v1alpha1.LabelPlatform, v1alpha1.LabelUnproven}

// touched reports whether somebody else has set something of an object's metadata, such as
// the tools that keep objects in step with Git do. To ask for a look is nothing of the kind.
func touched(o client.Object) bool {
	for key := range o.GetLabels() {
		if !slices.Contains(ours, key) {
			return true
		}
	}
	for key := range o.GetAnnotations() {
		if key != v1alpha1.AnnotationRequestedAt {
			return true
		}
	}
	return len(o.GetFinalizers())+len(o.GetOwnerReferences()) > 0
}

// isDenial reports whether the platform said plainly that it does not know what it was asked for.
func isDenial(err error) bool {
	failure, ok := errors.AsType[*platform.Error](err)
	return ok && failure.Kind == platform.Gone && failure.Reason == platform.ReasonNotFound
}

// denials are how often the platform said in a row that it does not know an object, no more
// than one in each gap.
type denials struct{ of sync.Map } // types.NamespacedName → denial

type denial struct {
	times       int
	first, last time.Time
}

// hear notes what came of a look; what was not answered changes nothing.
func (d *denials) hear(key types.NamespacedName, err error, now time.Time) denial {
	var before denial
	if found, ok := d.of.Load(key); ok {
		before = found.(denial)
	}
	switch {
	case isDenial(err) && (before.times == 0 || now.Sub(before.last) >= denialGap):
		if before.times == 0 {
			before.first = now
		}
		before.times, before.last = before.times+1, now
		d.of.Store(key, before)
	case !isDenial(err) && answered(err):
		d.of.Delete(key)
		return denial{}
	}
	return before
}

// dismiss deletes an object if it is time: exactly as it was when the platform was asked for
// it, so that a push which came meanwhile keeps it. It gives when to look again for that.
func dismiss(ctx context.Context, c client.Client, object client.Object, channel string, s stray, now time.Time) (removed bool, look time.Duration, err error) {
	remove, look := decideStray(s, now)
	if !remove {
		return false, look, nil
	}
	err = c.Delete(ctx, object, client.Preconditions{UID: ptr.To(object.GetUID()), ResourceVersion: ptr.To(object.GetResourceVersion())})
	switch {
	case apierrors.IsConflict(err):
		return false, denialGap, nil
	case client.IgnoreNotFound(err) != nil:
		return false, 0, fmt.Errorf("delete what nobody knows: %w", err)
	}
	unknownRemoved.WithLabelValues(object.GetNamespace() + "/" + channel).Inc()
	ctrl.LoggerFrom(ctx).Info("deleted an object that only pushes named whose sender nothing proves, and that the platform does not know",
		"channel", channel, "lastWord", s.lastWord, "denials", s.denials.times, "deniedSince", s.denials.first)
	return true, 0, nil
}

// noLater bounds when to look again; zero is no bound.
func noLater(next again, look time.Duration) again {
	if look > 0 && (next.after <= 0 || look < next.after) {
		next.after = look
	}
	return next
}

// unknownCount is what there is of a Channel.
type unknownCount struct{ objects, notFound int }

// countUnknown is nil until it is known.
func (r *ChannelReconciler) countUnknown(channel types.NamespacedName) *unknownCount {
	if r.Unknown == nil {
		return nil
	}
	objects, notFound, counted := r.Unknown.Unknown(channel)
	if !counted {
		return nil
	}
	return &unknownCount{objects, notFound}
}

// unknownRisk is pure: what a Channel says of the objects that only unproven pushes named; nil
// is nothing. It counts in powers of ten, and a bound that was reached is so until a tenth of
// it is free: what comes and goes is no write each time.
func unknownRisk(channel *v1alpha1.Channel, count *unknownCount) *conditions.Risk {
	before := meta.FindStatusCondition(channel.Status.Conditions, v1alpha1.ConditionUnknownObjects)
	if count == nil {
		return riskIn(before)
	}
	most := int(ptr.Deref(channel.Spec.Receive.UnknownObjects.Max, accounts.DefaultMaxUnknown))
	full := most
	if before != nil && before.Reason == v1alpha1.ReasonBoundReached {
		full = most - most/10
	}
	switch {
	case count.objects > 0 && count.objects >= full:
		return &conditions.Risk{Reason: v1alpha1.ReasonBoundReached, Message: fmt.Sprintf(
			"pushes whose sender nothing proves made %d products and orders that the platform has not confirmed, as many as they may "+
				"(spec.receive.unknownObjects.max): those that would make one more are told to send again; set spec.receive.tokenSecretRef", most)}
	case count.notFound > 0:
		return &conditions.Risk{Reason: v1alpha1.ReasonPushedUnproven, Message: fmt.Sprintf(
			"pushes whose sender nothing proves named products and orders that the platform does not know, at least %d; "+
				"each is deleted when the platform goes on not to know it for %s; set spec.receive.tokenSecretRef", coarse(count.notFound), unknownTTL(channel))}
	}
	return nil
}

func riskIn(condition *metav1.Condition) *conditions.Risk {
	if condition == nil {
		return nil
	}
	return &conditions.Risk{Reason: condition.Reason, Message: condition.Message}
}

// coarse is the largest power of ten that is not more than n, which is at least 1.
func coarse(n int) int {
	power := 1
	for power*10 <= n {
		power *= 10
	}
	return power
}

// watchUnknown has Channels looked at that do not say what there is now, until the context ends.
func (r *ChannelReconciler) watchUnknown(ctx context.Context) error {
	ticker := time.NewTicker(r.unknownEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			r.wakeOutdated(ctx)
		}
	}
}

func (r *ChannelReconciler) wakeOutdated(ctx context.Context) {
	var list v1alpha1.ChannelList
	if err := r.List(ctx, &list); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "list the Channels for what nobody knows")
		return
	}
	for i := range list.Items {
		channel := &list.Items[i]
		says := riskIn(meta.FindStatusCondition(channel.Status.Conditions, v1alpha1.ConditionUnknownObjects))
		if is := unknownRisk(channel, r.countUnknown(client.ObjectKeyFromObject(channel))); ptr.Equal(says, is) {
			continue
		}
		select {
		case r.outdated <- event.GenericEvent{Object: channel}:
		case <-ctx.Done():
			return
		}
	}
}
