package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

// productFact is an announced change of some aspects of a product.
type productFact struct {
	Aspects []platform.Aspect `json:"aspects"`
	// Change as it is announced of each.
	Change v1alpha1.Announcement `json:"change"`
	// Timeless: the platform says no time, and the change's is that of the receipt.
	Timeless bool `json:"timeless,omitempty"`
}

func productFactOf(account *accounts.Account, push platform.Push, change *platform.ProductChange) fact {
	return fact{Object: objectOf(account, kindProduct, change.ProductID), ReceivedAt: push.ReceivedAt, Product: &productFact{
		Aspects: change.Aspects,
		Change: v1alpha1.Announcement{ChangedAt: metav1.NewMicroTime(notAhead(change.ChangedAt, push.ReceivedAt)),
			MessageID: change.MessageID, Type: change.Type},
		Timeless: change.ChangedAt.IsZero(),
	}}
}

// clock is the time after which what is known proves nothing about a fact. A time that the
// platform says is looked at by our clock. That of a receipt is by the clock of whoever received,
// and another's may be ahead of it, or was set meanwhile.
func (l *Ledger) clock(f fact) time.Time {
	if f.Product.Timeless {
		return f.ReceivedAt
	}
	return l.now()
}

// writeProduct announces changes on their ProductSync: of each aspect the newest, in one
// write. If the API server knows a newer change of some aspect, what is new must not be
// lost with it: then what is known is read, and the rest is written. What it refuses otherwise
// is written in two halves: one bad change refuses no other.
func (l *Ledger) writeProduct(ctx context.Context, facts []fact) []result {
	o, newest := facts[0].Object, newestOf(facts)
	outcome, err := l.announce(ctx, o, newest)
	switch {
	case len(facts) > 1 && ofOne(err):
		return halves(ctx, facts, l.writeProduct)
	case err != nil:
		return all(len(facts), outcome, err)
	case outcome == platform.OutcomeOlder:
		return l.writeRest(ctx, facts)
	}
	return told(facts, newest)
}

// told says of which facts something was announced.
func told(facts []fact, announced v1alpha1.Announced) []result {
	results := make([]result, len(facts))
	for i, f := range facts {
		results[i].outcome = platform.OutcomeOlder
		if slices.ContainsFunc(f.Product.Aspects, func(aspect platform.Aspect) bool {
			newest := *aspectOf(&announced, aspect)
			return newest != nil && !f.Product.Change.ChangedAt.Before(&newest.ChangedAt)
		}) {
			results[i].outcome = platform.OutcomeRecorded
		}
	}
	return results
}

// writeRest announces what is no older than what is known. A change that is known and lies
// ahead of our clock proves nothing about another: then each is looked at for itself, as it is
// if somebody else announced something in between.
func (l *Ledger) writeRest(ctx context.Context, facts []fact) []result {
	o := facts[0].Object
	known, err := l.announced(ctx, o)
	if err != nil {
		return all(len(facts), platform.OutcomeRetry, err)
	}
	if last, timeless := lastTimeless(facts); timeless && aheadOf(known, l.clock(last)) {
		outcome, err := l.announceApart(ctx, last)
		return all(len(facts), outcome, err) // all that they say is that somebody has to ask
	}
	if aheadOf(known, l.now()) {
		return l.writeApart(ctx, facts, known)
	}
	rest := newestOf(facts)
	for _, aspect := range everyAspect {
		newest, there := aspectOf(&rest, aspect), *aspectOf(&known, aspect)
		if *newest != nil && there != nil && (*newest).ChangedAt.Before(&there.ChangedAt) {
			*newest = nil
		}
	}
	if rest == (v1alpha1.Announced{}) {
		return all(len(facts), platform.OutcomeOlder, nil)
	}
	switch outcome, err := l.announce(ctx, o, rest); {
	case len(facts) > 1 && ofOne(err):
		return halves(ctx, facts, l.writeProduct)
	case err != nil:
		return all(len(facts), outcome, err)
	case outcome == platform.OutcomeOlder:
		return l.writeApart(ctx, facts, known)
	}
	return told(facts, rest)
}

// lastTimeless is the fact that was received last, with the aspects of all, if none has a time
// of the platform's.
func lastTimeless(facts []fact) (last fact, timeless bool) {
	var aspects []platform.Aspect
	for _, f := range facts {
		if !f.Product.Timeless {
			return fact{}, false
		}
		if last.Product == nil || !f.ReceivedAt.Before(last.ReceivedAt) {
			last = f
		}
		aspects = append(aspects, f.Product.Aspects...)
	}
	slices.Sort(aspects)
	whole := *last.Product
	whole.Aspects, last.Product = slices.Compact(aspects), &whole
	return last, true
}

// newestOf gives of each aspect the newest change; of two of the same time, the later.
func newestOf(facts []fact) v1alpha1.Announced {
	var newest v1alpha1.Announced
	for i := range facts {
		change := &facts[i].Product.Change
		for _, aspect := range facts[i].Product.Aspects {
			if at := aspectOf(&newest, aspect); *at == nil || !change.ChangedAt.Before(&(*at).ChangedAt) {
				*at = change
			}
		}
	}
	return newest
}

// announces reports whether some aspect of the fact is as new as what is announced.
func announces(f fact, announced v1alpha1.Announced) bool {
	return slices.ContainsFunc(f.Product.Aspects, func(aspect platform.Aspect) bool {
		known := *aspectOf(&announced, aspect)
		return known == nil || !f.Product.Change.ChangedAt.Before(&known.ChangedAt)
	})
}

// writeApart writes change by change, but for those that are older in all they say than
// what is known.
func (l *Ledger) writeApart(ctx context.Context, facts []fact, known v1alpha1.Announced) []result {
	results := make([]result, len(facts))
	for i, f := range facts {
		if announces(f, known) || aheadOf(known, l.clock(f)) {
			results[i].outcome, results[i].err = l.announceApart(ctx, f)
		} else {
			results[i].outcome = platform.OutcomeOlder
		}
	}
	return results
}

func aheadOf(known v1alpha1.Announced, now time.Time) bool {
	return slices.ContainsFunc(everyAspect, func(aspect platform.Aspect) bool {
		change := *aspectOf(&known, aspect)
		return change != nil && change.ChangedAt.After(now)
	})
}

var everyAspect = []platform.Aspect{platform.AspectInfo, platform.AspectPrice, platform.AspectStock, platform.AspectAvailability}

// announceApart announces a change aspect by aspect.
func (l *Ledger) announceApart(ctx context.Context, f fact) (platform.Outcome, error) {
	outcome := platform.OutcomeOlder
	for _, aspect := range f.Product.Aspects {
		one, err := l.announceOne(ctx, f, aspect)
		if err != nil {
			return one, err
		}
		if one == platform.OutcomeRecorded {
			outcome = one
		}
	}
	return outcome, nil
}

// announceOne announces a change of one aspect. Where the change that is known lies ahead
// of our clock, as far as clocks may differ, it proves nothing about this one, which then
// counts as the next: no push can block those that come after it.
func (l *Ledger) announceOne(ctx context.Context, f fact, aspect platform.Aspect) (platform.Outcome, error) {
	outcome, err := l.announce(ctx, f.Object, only(aspect, f.Product.Change))
	if err != nil || outcome != platform.OutcomeOlder {
		return outcome, err
	}
	there, err := l.announced(ctx, f.Object)
	known := *aspectOf(&there, aspect)
	if err != nil || known == nil || known.MessageID == f.Product.Change.MessageID || !known.ChangedAt.After(l.clock(f)) {
		return outcome, err
	}
	next := f.Product.Change
	next.ChangedAt = metav1.NewMicroTime(known.ChangedAt.Add(time.Microsecond))
	return l.announce(ctx, f.Object, only(aspect, next))
}

func only(aspect platform.Aspect, change v1alpha1.Announcement) v1alpha1.Announced {
	var announced v1alpha1.Announced
	*aspectOf(&announced, aspect) = &change
	return announced
}

// announced reads the known changes of a product; none if there is no object.
func (l *Ledger) announced(ctx context.Context, o object) (v1alpha1.Announced, error) {
	for _, name := range []string{ObjectName(o.Channel, o.ID), hashedName(o.Channel, o.ID)} {
		var there v1alpha1.ProductSync
		err := l.api.Get(ctx, o.key(name), &there)
		if client.IgnoreNotFound(err) != nil {
			return v1alpha1.Announced{}, fmt.Errorf("read %s: %w", o, err)
		}
		if err == nil && there.Spec.ProductID == o.ID && there.Spec.ChannelRef.Name == o.Channel {
			return there.Spec.Announced, nil
		}
	}
	return v1alpha1.Announced{}, nil
}

func aspectOf(announced *v1alpha1.Announced, aspect platform.Aspect) **v1alpha1.Announcement {
	switch aspect {
	case platform.AspectPrice:
		return &announced.Price
	case platform.AspectStock:
		return &announced.Stock
	case platform.AspectAvailability:
		return &announced.Availability
	default:
		return &announced.Info
	}
}

// announce writes what is announced: all of it, or, if a newer change of one aspect is
// known, none.
func (l *Ledger) announce(ctx context.Context, o object, announced v1alpha1.Announced) (platform.Outcome, error) {
	err := l.upsertProduct(ctx, o, announced)
	switch {
	case err == nil:
		return platform.OutcomeRecorded, nil
	case refusalOf(err) == refusedOlder:
		return platform.OutcomeOlder, nil
	default:
		return platform.OutcomeRetry, fmt.Errorf("announce a change of %s: %w", o, err)
	}
}

// notAhead is the time a change counts as announced: no later than clocks differ.
func notAhead(changedAt, receivedAt time.Time) time.Time {
	if changedAt.IsZero() || changedAt.After(receivedAt.Add(maxAhead)) {
		return receivedAt.UTC()
	}
	return changedAt.UTC()
}

// upsertProduct merges what is announced into the product's object: a merge patch touches
// just the aspects it names.
func (l *Ledger) upsertProduct(ctx context.Context, o object, announced v1alpha1.Announced) error {
	spec := v1alpha1.ProductSyncSpec{ChannelRef: v1alpha1.ChannelReference{Name: o.Channel}, ProductID: o.ID, Announced: announced}
	patch := func(ctx context.Context, name string) error {
		body, err := json.Marshal(map[string]any{"spec": spec})
		if err != nil {
			return fmt.Errorf("encode patch: %w", err)
		}
		product := &v1alpha1.ProductSync{ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: name}}
		return l.api.Patch(ctx, product, client.RawPatch(types.MergePatchType, body))
	}
	create := func(ctx context.Context, name string) error {
		return l.api.Create(ctx, &v1alpha1.ProductSync{ObjectMeta: o.meta(name), Spec: spec})
	}
	return l.upsert(ctx, o, patch, create)
}

// EnsureProduct makes the object of a product that discovery found, if it is not there.
// It reports whether it made one.
func (l *Ledger) EnsureProduct(ctx context.Context, account *accounts.Account, productID string) (made bool, err error) {
	spec := v1alpha1.ProductSyncSpec{ChannelRef: v1alpha1.ChannelReference{Name: account.Name}, ProductID: productID}
	for _, name := range []string{ObjectName(account.Name, productID), hashedName(account.Name, productID)} {
		err = l.api.Create(ctx, &v1alpha1.ProductSync{ObjectMeta: objectOf(account, kindProduct, productID).meta(name), Spec: spec})
		if !apierrors.IsAlreadyExists(err) {
			break
		}
		var there v1alpha1.ProductSync
		if err = l.api.Get(ctx, types.NamespacedName{Namespace: account.Namespace, Name: name}, &there); err != nil {
			break
		}
		if there.Spec.ProductID == productID && there.Spec.ChannelRef.Name == account.Name {
			return false, nil
		}
	}
	if err != nil {
		return false, fmt.Errorf("make the object of product %s of Channel %s: %w", productID, account.Name, err)
	}
	return true, nil
}
