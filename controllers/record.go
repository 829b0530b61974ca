package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/recorder"

	"github.com/laidoulaile/channel-operator/internal/conditions"
)

// fieldOwner owns what the controllers write to a status.
const fieldOwner = client.FieldOwner("channel-operator")

const (
	// firstRetry and lastRetry bound the growing gap between looks that fail.
	firstRetry = time.Second
	lastRetry  = 10 * time.Minute
	// jitter is the share by which a gap is lengthened at random, so that objects that
	// failed together do not come back together.
	jitter = 0.2
)

// deadlinePriority is that of work which a platform waits for: it outranks what was
// announced (0), which outranks resyncs (handler.LowPriority).
const deadlinePriority = 100

// looks is what the controllers remember of objects between looks, in memory only: how
// often a look failed in a row, and when one was last answered. Losing it costs a few
// questions, never a fact.
type looks struct {
	failures workqueue.TypedRateLimiter[types.NamespacedName]
	answered sync.Map // types.NamespacedName → time.Time
	started  time.Time
	denials  denials
}

func newLooks(now time.Time) *looks {
	return &looks{
		failures: workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](firstRetry, lastRetry),
		started:  now,
	}
}

// result turns a decision into what the queue understands.
func (l *looks) result(key types.NamespacedName, next again) ctrl.Result {
	after := next.after
	switch {
	case next.failing:
		after = l.failures.When(key)
		if next.after > 0 {
			after = min(after, next.after)
		}
	case !next.putOff:
		l.failures.Forget(key)
	}
	if after > 0 {
		after = wait.Jitter(after, jitter)
	}
	if next.notLater > 0 && (after <= 0 || next.notLater < after) {
		after = next.notLater
	}
	if after <= 0 {
		return ctrl.Result{}
	}
	result := ctrl.Result{RequeueAfter: after}
	switch {
	case next.deadline:
		result.Priority = ptr.To(deadlinePriority)
	case !next.urgent:
		result.Priority = ptr.To(handler.LowPriority)
	}
	return result
}

func (l *looks) answeredNow(key types.NamespacedName, now time.Time) { l.answered.Store(key, now) }

// due is when something that was first fetched then is to be asked for again; gap says
// how long after the last answer. What was overdue when this process started is spread
// over a quarter of its gap, so that a restart asks little more than calm weather does.
func (l *looks) due(key types.NamespacedName, fetched time.Time, gap func(last time.Time) time.Duration) time.Time {
	last := fetched
	if at, ok := l.answered.Load(key); ok && at.(time.Time).After(fetched) {
		last = at.(time.Time)
	}
	due := last.Add(gap(last))
	if due.Before(l.started) {
		due = l.started.Add(l.spread(key, gap(l.started)/4))
	}
	return due
}

// spread is a share of a span that is the same for an object as long as the process
// lives, and another one in the next.
func (l *looks) spread(key types.NamespacedName, span time.Duration) time.Duration {
	hash := fnv.New64a()
	_, _ = fmt.Fprint(hash, key, l.started.UnixNano())
	return time.Duration(hash.Sum64() % uint64(span+1)) // #nosec G115 -- below span, which is positive
}

func (l *looks) forget(key types.NamespacedName) {
	l.failures.Forget(key)
	l.answered.Delete(key)
	l.denials.of.Delete(key)
}

// toApply turns a status into its apply configuration: their JSON is the same by
// construction. It takes only what is set, so it never claims another writer's fields.
func toApply[To any](status any) (*To, error) {
	raw, err := json.Marshal(status)
	if err != nil {
		return nil, fmt.Errorf("encode status: %w", err)
	}
	applied := new(To)
	if err := json.Unmarshal(raw, applied); err != nil {
		return nil, fmt.Errorf("encode status: %w", err)
	}
	return applied, nil
}

// apply writes a whole status that changed, and tells of a transition by one event. That an
// object is Ready the first time it is looked at is none: nothing had to be waited for, and at
// the start of a catalogue of thousands nobody could find the events that matter.
func apply(ctx context.Context, c client.Client, events recorder.EventRecorder, object client.Object,
	before, after []metav1.Condition, configuration runtime.ApplyConfiguration) error {
	err := c.Status().Apply(ctx, configuration, fieldOwner, client.ForceOwnership)
	if err != nil {
		return client.IgnoreNotFound(err) // deleted meanwhile: nothing to tell, and nobody to tell it to
	}
	reasonBefore, readyBefore := conditions.Of(before)
	reason, ready := conditions.Of(after)
	first := len(before) == 0
	if reason == reasonBefore && ready == readyBefore || first && ready {
		return nil
	}
	kind := corev1.EventTypeNormal
	if !ready && !first {
		kind = corev1.EventTypeWarning
	}
	message := reason
	for _, c := range after {
		if c.Type == "Ready" && c.Message != "" {
			message = c.Message
		}
	}
	events.Eventf(object, nil, kind, reason, "Reconcile", "%s", message)
	return nil
}
