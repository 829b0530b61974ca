package ledger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/conditions"
	"github.com/laidoulaile/channel-operator/internal/unproven"
)

// This file keeps whoever guesses an account id from filling the cluster: what a push may make
// whose sender nothing proves is bounded, by Channel.

// errUnknown is a push that would make one object too many.
var errUnknown = errors.New("pushes whose sender nothing proves made as many objects as they may (spec.receive.unknownObjects.max) " +
	"that the platform has not confirmed: set spec.receive.tokenSecretRef")

// unknown counts, by Channel, the objects that unproven pushes made and that the platform has
// not confirmed: those that the cache shows, and those that this replica let in and that it
// does not show yet. So all replicas together may have some more than the bound: what each has
// let in and the others do not see yet.
type unknown struct {
	synced []func() bool // the cache has told all there was at the start
	refuse *prometheus.CounterVec

	mu       sync.Mutex
	channels map[channel]*unknownOf
}

// unknownOf are the objects of one Channel.
type unknownOf struct {
	// shown by the cache, by kind and name, and whether the platform said that it knows no such.
	shown    map[string]bool
	notFound int
	// coming are those that were let in, by what they are about, and when that was last.
	coming map[object]time.Time
}

// comingFor is how long the cache may take to show what was let in and the journal does not keep,
// many times what a write may take. What it shows by then no more was removed again before it was
// shown: while a watch was broken, nobody is told of that.
const comingFor = 5 * time.Minute

func newUnknown() *unknown {
	return &unknown{channels: map[channel]*unknownOf{}, refuse: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "channel_operator_unproven_refused_total",
		Help: "Pushes that nothing proves and that would have made an object beyond the Channel's bound, by channel.",
	}, []string{"channel"})}
}

// Watch has the ledger count what unproven pushes made, as the cache shows it. It is called
// before the manager starts.
func (l *Ledger) Watch(ctx context.Context, informers cache.Informers) error {
	for _, watched := range []client.Object{&v1alpha1.ProductSync{}, &v1alpha1.OrderVoucher{}} {
		informer, err := informers.GetInformer(ctx, watched, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("watch %T: %w", watched, err)
		}
		handle, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc:    l.unknown.show,
			UpdateFunc: func(before, after any) { l.unknown.hide(before); l.unknown.show(after) },
			DeleteFunc: l.unknown.hide,
		})
		if err != nil {
			return fmt.Errorf("watch %T: %w", watched, err)
		}
		l.unknown.synced = append(l.unknown.synced, handle.HasSynced)
	}
	return nil
}

// Unknown is how many objects of a Channel were made by pushes whose sender nothing proves and
// are not confirmed by the platform, and of how many of them it said that it does not know
// them. It is not counted until all was seen.
func (l *Ledger) Unknown(name types.NamespacedName) (objects, notFound int, counted bool) {
	for _, synced := range l.unknown.synced {
		if !synced() {
			return 0, 0, false
		}
	}
	objects, notFound = l.unknown.count(channel{name.Namespace, name.Name})
	return objects, notFound, len(l.unknown.synced) > 0
}

func (u *unknown) count(c channel) (objects, notFound int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if of := u.channels[c]; of != nil {
		objects, notFound = len(of.shown), of.notFound
	}
	return objects, notFound
}

// letIn makes room for the objects that the facts of one push make. Without room nothing of
// the push may be acknowledged; it is then to be sent again. What is in the journal was
// acknowledged, and needs none.
func (l *Ledger) letIn(ctx context.Context, most int, facts []fact) error {
	for i, f := range facts {
		if !f.Unproven || f.Object.Kind == kindChannel || l.shows(ctx, f.Object) || l.unknown.enter(f.Object, most, l.now()) {
			continue
		}
		l.letGo(facts[:i], nil)
		l.unknown.refuse.WithLabelValues(f.Object.channel().String()).Inc()
		return fmt.Errorf("record %s: %w", f.Object, errUnknown)
	}
	return nil
}

// letGo gives back the room of what was not made: of all facts, or of those that failed.
func (l *Ledger) letGo(facts []fact, results []result) {
	for i, f := range facts {
		if f.Unproven && (results == nil || results[i].err != nil) {
			l.unknown.leave(f.Object)
		}
	}
}

// settleComing forgets what the cache shows by now, for it may have been there before it was let
// in, and what it has not shown for so long that it will not.
func (l *Ledger) settleComing(ctx context.Context) {
	for o, since := range l.unknown.allComing() {
		if l.shows(ctx, o) || l.sees() && l.now().Sub(since) > comingFor && l.nothingKept(o, true) == nil {
			l.unknown.settle(o, since)
		}
	}
}

// shows reports whether the cache has the object; as long as it is not filled it has none.
func (l *Ledger) shows(ctx context.Context, o object) bool {
	if !l.sees() {
		return false
	}
	for _, name := range []string{ObjectName(o.Channel, o.ID), hashedName(o.Channel, o.ID)} {
		there := o.empty()
		if l.cache.Get(ctx, o.key(name), there, client.UnsafeDisableDeepCopy) == nil && o.is(there) {
			return true
		}
	}
	return false
}

// enter counts an object as coming, unless there is no room for it.
func (u *unknown) enter(o object, most int, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	of := u.of(o.channel())
	if _, there := of.coming[o.subject()]; !there && len(of.shown)+len(of.coming) >= most {
		u.tidy(o.channel())
		return false
	}
	of.coming[o.subject()] = now
	return true
}

func (u *unknown) leave(o object) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.of(o.channel()).coming, o.subject())
	u.tidy(o.channel())
}

// settle forgets what was coming, unless it was let in again since.
func (u *unknown) settle(o object, since time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if of := u.of(o.channel()); of.coming[o].Equal(since) {
		delete(of.coming, o)
	}
	u.tidy(o.channel())
}

func (u *unknown) allComing() map[object]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := map[object]time.Time{}
	for _, of := range u.channels {
		maps.Copy(all, of.coming)
	}
	return all
}

// show counts an object of the cache, if it is to be counted.
func (u *unknown) show(shown any) {
	there, ok := shown.(client.Object)
	if !ok {
		return
	}
	o, counts, notFound := judge(there)
	u.mu.Lock()
	defer u.mu.Unlock()
	of := u.of(o.channel())
	delete(of.coming, o.subject())
	if counts {
		of.shown[string(o.Kind)+"/"+there.GetName()] = notFound
		if notFound {
			of.notFound++
		}
	}
	u.tidy(o.channel())
}

// hide takes back what show counted.
func (u *unknown) hide(hidden any) {
	if last, ok := hidden.(toolscache.DeletedFinalStateUnknown); ok {
		hidden = last.Obj
	}
	there, ok := hidden.(client.Object)
	if !ok {
		return
	}
	o, _, _ := judge(there)
	u.mu.Lock()
	defer u.mu.Unlock()
	of, key := u.of(o.channel()), string(o.Kind)+"/"+there.GetName()
	if of.shown[key] {
		of.notFound--
	}
	delete(of.shown, key)
	u.tidy(o.channel())
}

func (u *unknown) of(c channel) *unknownOf {
	of := u.channels[c]
	if of == nil {
		of = &unknownOf{shown: map[string]bool{}, coming: map[object]time.Time{}}
		u.channels[c] = of
	}
	return of
}

// tidy forgets a Channel that has nothing.
func (u *unknown) tidy(c channel) {
	if of := u.channels[c]; of != nil && len(of.shown)+len(of.coming) == 0 {
		delete(u.channels, c)
	}
}

// judge tells what an object is about, whether it counts as unknown, and whether the platform
// said that it does not know it.
func judge(there client.Object) (o object, counts, notFound bool) {
	var confirmed bool
	var current []metav1.Condition
	o.Namespace = there.GetNamespace()
	switch t := there.(type) {
	case *v1alpha1.ProductSync:
		o.Kind, o.Channel, o.ID = kindProduct, t.Spec.ChannelRef.Name, t.Spec.ProductID
		confirmed, current = t.Status.FetchedAt != nil, t.Status.Conditions
	case *v1alpha1.OrderVoucher:
		o.Kind, o.Channel, o.ID = kindOrder, t.Spec.ChannelRef.Name, t.Spec.OrderID
		confirmed, current = t.Status.Confirmed != nil, t.Status.Conditions
	}
	reason, _ := conditions.Of(current)
	counts = unproven.Marked(there) && !confirmed
	return o, counts, counts && reason == v1alpha1.ReasonNotFound
}

// subject is what an object is about, and nothing else.
func (o object) subject() object {
	return object{Kind: o.Kind, Namespace: o.Namespace, Channel: o.Channel, ID: o.ID}
}

// is reports whether an object is the one that facts of o are written on.
func (o object) is(there client.Object) bool {
	found, _, _ := judge(there)
	return found == o.subject()
}

// empty is an object of the kind, to read into.
func (o object) empty() client.Object {
	if o.Kind == kindOrder {
		return &v1alpha1.OrderVoucher{}
	}
	return &v1alpha1.ProductSync{}
}

// mark has what is written for these facts carry the mark, should it be made by them: where
// nothing proves any of them.
func mark(facts []fact) {
	doubtful := true
	for _, f := range facts {
		doubtful = doubtful && f.Unproven
	}
	for i := range facts {
		facts[i].Object.unproven = doubtful
	}
}

// vouch takes the mark off an object that counts, as the cache has it, before something proven
// is written on it: it is then never taken for one that only somebody unproven has named.
func (l *Ledger) vouch(ctx context.Context, o object, there client.Object) error {
	if o.unproven || there == nil {
		return nil
	}
	if about, counts, _ := judge(there); !counts || about != o.subject() {
		return nil
	}
	off := fmt.Appendf(nil, `{"metadata":{"labels":{%q:null}}}`, v1alpha1.LabelUnproven)
	bare := o.empty()
	bare.SetNamespace(o.Namespace)
	bare.SetName(there.GetName())
	return client.IgnoreNotFound(l.api.Patch(ctx, bare, client.RawPatch(types.MergePatchType, off)))
}

// Describe and Collect show how many objects are unknown, by Channel.
func (u *unknown) Describe(to chan<- *prometheus.Desc) { to <- unknownDesc }

var unknownDesc = prometheus.NewDesc("channel_operator_unknown_objects",
	"Objects that pushes made whose sender nothing proves, and that the platform has not confirmed, by channel.", []string{"channel"}, nil)

// Collect gives the Channels that have any.
func (u *unknown) Collect(to chan<- prometheus.Metric) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for c, of := range u.channels {
		to <- prometheus.MustNewConstMetric(unknownDesc, prometheus.GaugeValue, float64(len(of.shown)), c.String())
	}
}
