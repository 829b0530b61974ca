package ledger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	bucket "golang.org/x/time/rate"
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
// and write whose sender nothing proves is bounded, by Channel.

// What is refused of pushes that nothing proves, and may be sent again.
var (
	// errUnknown is a push that would make one object too many, or these too heavy.
	errUnknown = errors.New("pushes whose sender nothing proves made as many objects as they may (spec.receive.unknownObjects.max), " +
		"or wrote as much on them, that the platform has not confirmed: set spec.receive.tokenSecretRef")
	// errLarge is a push that says too much.
	errLarge = errors.New("a push whose sender nothing proves is larger than it may be: set spec.receive.tokenSecretRef")
	// errOften is a push that comes after too many.
	errOften = errors.New("pushes whose sender nothing proves have the API server write more than they may: set spec.receive.tokenSecretRef")
)

const (
	// maxUnproven is how much an unproven fact may weigh, in bytes. A platform's pushes have one or
	// two thousand; one that issues a hundred codes still fits.
	maxUnproven = 32 << 10
	// unknownWeight is what the notifications of a Channel's unknown objects may weigh for each of
	// them, in the mean: some pushes about each fit, and 1000 objects are 16 MiB, not a gigabyte.
	unknownWeight = 16 << 10
	// unprovenRate is how many bytes a second the unproven pushes of a Channel may have written, by
	// each replica, and unprovenBurst how many at once. Each write stores the whole object, and etcd
	// keeps what was before for ten minutes: that is 240 MiB, of the 2 GiB that it has. It suffices for
	// two hundred small objects a second. The burst is more than any object has, and thousands of pushes.
	unprovenRate, unprovenBurst = 400 << 10, 8 << 20
	// bareWeight is about what an object has beside notifications, in bytes.
	bareWeight = 2 << 10
)

// unknown counts, by Channel, the objects that unproven pushes made and that the platform has
// not confirmed: those that the cache shows, and those that this replica let in and that it
// does not show yet. So all replicas together may have some more than the bound: what each has
// let in and the others do not see yet.
type unknown struct {
	synced []func() bool // the cache has told all there was at the start
	refuse *prometheus.CounterVec

	mu       sync.Mutex
	channels map[channel]*unknownOf
	// written bounds what is written for unproven pushes, in bytes. Who wrote nothing of late has none.
	written map[channel]*bucket.Limiter
}

// unknownOf are the objects of one Channel.
type unknownOf struct {
	// shown by the cache, by kind and name; how many of them the platform said not to know, and
	// what their notifications weigh.
	shown    map[string]shownAs
	notFound int
	weight   int
	// coming are those that were let in, by what they are about, and when that was last.
	coming map[object]time.Time
}

// shownAs is how the cache shows an object.
type shownAs struct {
	notFound bool
	weight   int
}

// comingFor is how long the cache may take to show what was let in and the journal does not keep,
// many times what a write may take. What it shows by then no more was removed again before it was
// shown: while a watch was broken, nobody is told of that.
const comingFor = 5 * time.Minute

func newUnknown() *unknown {
	return &unknown{channels: map[channel]*unknownOf{}, written: map[channel]*bucket.Limiter{}, refuse: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "channel_operator_unproven_refused_total",
		Help: "Pushes that nothing proves and that would have made or written more than the Channel's bounds, by channel.",
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

// letIn makes room for what the facts of one push make and write. Without room nothing of
// the push may be acknowledged; it is then to be sent again. What is in the journal was
// acknowledged, and needs none.
func (l *Ledger) letIn(ctx context.Context, most int, facts []fact) error {
	for i, f := range facts {
		if !f.Unproven {
			continue
		}
		if err := l.unknown.enter(f, l.shown(ctx, f.Object), most, l.now()); err != nil {
			l.letGo(facts[:i], nil)
			l.unknown.refuse.WithLabelValues(f.Object.channel().String()).Inc()
			return fmt.Errorf("record %s: %w", f.Object, err)
		}
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
// in, and what it has not shown for so long that it will not; and who wrote nothing of late.
func (l *Ledger) settleComing(ctx context.Context) {
	l.unknown.rest(l.now())
	for o, since := range l.unknown.allComing() {
		switch {
		case l.shown(ctx, o) != nil:
			l.unknown.settle(o, since)
		case l.nothingKept(o, true) != nil:
			l.unknown.comesStill(o, since, l.now())
		case l.sees() && l.now().Sub(since) > comingFor:
			l.unknown.settle(o, since)
		}
	}
}

// shown is the object as the cache has it, nil if it has none; as long as it is not filled it has
// none. It is not to be changed.
func (l *Ledger) shown(ctx context.Context, o object) client.Object {
	if !l.sees() {
		return nil
	}
	names := []string{ObjectName(o.Channel, o.ID), hashedName(o.Channel, o.ID)}
	if o.Kind == kindChannel {
		names = []string{o.Channel}
	}
	for _, name := range names {
		there := o.empty()
		if l.cache.Get(ctx, o.key(name), there, client.UnsafeDisableDeepCopy) == nil && o.is(there) {
			return there
		}
	}
	return nil
}

// enter takes what a fact needs, or says what there is none of: its object, as the cache shows it
// or nil, counts as coming if it is new, and its bytes as written.
func (u *unknown) enter(f fact, there client.Object, most int, now time.Time) error {
	o, weight := f.Object, f.weight()
	if weight > maxUnproven {
		return errLarge
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	defer u.tidy(o.channel())
	of, isNew := u.of(o.channel()), there == nil && o.Kind != kindChannel
	if !of.hasRoom(o, there, most) {
		return errUnknown
	}
	if !u.writtenBy(o.channel()).AllowN(now, bareWeight+weightOf(there)+weight) {
		return errOften
	}
	if isNew {
		of.coming[o.subject()] = now
	}
	return nil
}

// hasRoom reports whether one more may be written on an object. Those that the platform has
// confirmed need no room, nor does the Channel itself.
func (of *unknownOf) hasRoom(o object, there client.Object, most int) bool {
	if o.Kind == kindChannel {
		return true
	}
	if there == nil {
		if _, comes := of.coming[o.subject()]; !comes && len(of.shown)+len(of.coming) >= most {
			return false
		}
	} else if _, counts, _ := judge(there); !counts {
		return true
	}
	return of.weight <= max(most, len(of.shown))*unknownWeight
}

// writtenBy bounds what is written for a Channel's unproven pushes.
func (u *unknown) writtenBy(c channel) *bucket.Limiter {
	if u.written[c] == nil {
		u.written[c] = bucket.NewLimiter(unprovenRate, unprovenBurst)
	}
	return u.written[c]
}

// rest forgets the Channels that may write as much as if they had not.
func (u *unknown) rest(now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	maps.DeleteFunc(u.written, func(_ channel, l *bucket.Limiter) bool { return l.TokensAt(now) >= unprovenBurst })
}

// weightOf is what the notifications, or notices, of an object weigh, with the bodies that the cache drops.
func weightOf(there client.Object) (weight int) {
	switch t := there.(type) {
	case *v1alpha1.OrderVoucher:
		weight = unproven.Sealed(t)
		for _, n := range t.Spec.Notifications {
			weight += weigh(n)
		}
	case *v1alpha1.Channel:
		for _, n := range t.Status.Notices {
			weight += len(n.Sealed)
		}
	}
	return weight
}

func (u *unknown) leave(o object) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.of(o.channel()).coming, o.subject())
	u.tidy(o.channel())
}

// comesStill counts the time of what is coming anew: the journal keeps it, and the cache can show it
// only after that.
func (u *unknown) comesStill(o object, since, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if of := u.channels[o.channel()]; of != nil && of.coming[o].Equal(since) {
		of.coming[o] = now
	}
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
		as := shownAs{notFound, weightOf(there)}
		of.shown[string(o.Kind)+"/"+there.GetName()] = as
		of.weight += as.weight
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
	as := of.shown[key]
	of.weight -= as.weight
	if as.notFound {
		of.notFound--
	}
	delete(of.shown, key)
	u.tidy(o.channel())
}

func (u *unknown) of(c channel) *unknownOf {
	of := u.channels[c]
	if of == nil {
		of = &unknownOf{shown: map[string]shownAs{}, coming: map[object]time.Time{}}
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
	case *v1alpha1.Channel:
		o.Kind, o.Channel = kindChannel, t.Name
		return o, false, false
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
	switch o.Kind {
	case kindOrder:
		return &v1alpha1.OrderVoucher{}
	case kindChannel:
		return &v1alpha1.Channel{}
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
