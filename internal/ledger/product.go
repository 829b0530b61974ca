package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

// recordProduct announces a change on its ProductSync. A push that names several
// aspects goes out as one patch; if the API server knows a newer change of one of them,
// the others must not be lost with it, and each goes on its own.
func (l *Ledger) recordProduct(ctx context.Context, account *accounts.Account, push platform.Push, change *platform.ProductChange) (platform.Outcome, error) {
	changedAt := notAhead(change.ChangedAt, push.ReceivedAt)
	outcome, err := l.announce(ctx, account, change, changedAt, change.Aspects...)
	if err != nil || outcome != platform.OutcomeOlder {
		return outcome, err
	}
	for _, aspect := range change.Aspects {
		one, err := l.announceOne(ctx, account, push, change, changedAt, aspect)
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
func (l *Ledger) announceOne(ctx context.Context, account *accounts.Account, push platform.Push, change *platform.ProductChange, changedAt time.Time, aspect platform.Aspect) (platform.Outcome, error) {
	outcome, err := l.announce(ctx, account, change, changedAt, aspect)
	if err != nil || outcome != platform.OutcomeOlder {
		return outcome, err
	}
	known, err := l.announced(ctx, account, change.ProductID, aspect)
	if err != nil || known == nil || known.MessageID == change.MessageID || !known.ChangedAt.After(push.ReceivedAt) {
		return outcome, err
	}
	return l.announce(ctx, account, change, known.ChangedAt.Add(time.Microsecond), aspect)
}

// announced reads the known change of an aspect; nil if there is none, or no object.
func (l *Ledger) announced(ctx context.Context, account *accounts.Account, productID string, aspect platform.Aspect) (*v1alpha1.Announcement, error) {
	for _, name := range []string{ObjectName(account.Name, productID), hashedName(account.Name, productID)} {
		var there v1alpha1.ProductSync
		err := l.api.Get(ctx, types.NamespacedName{Namespace: account.Namespace, Name: name}, &there)
		if client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("read product %s of Channel %s: %w", productID, account.Name, err)
		}
		if err == nil && there.Spec.ProductID == productID && there.Spec.ChannelRef.Name == account.Name {
			return *aspectOf(&there.Spec.Announced, aspect), nil
		}
	}
	return nil, nil
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

func (l *Ledger) announce(ctx context.Context, account *accounts.Account, change *platform.ProductChange, changedAt time.Time, aspects ...platform.Aspect) (platform.Outcome, error) {
	spec := v1alpha1.ProductSyncSpec{
		ChannelRef: v1alpha1.ChannelReference{Name: account.Name},
		ProductID:  change.ProductID,
	}
	for _, aspect := range aspects {
		*aspectOf(&spec.Announced, aspect) = &v1alpha1.Announcement{
			ChangedAt: metav1.NewMicroTime(changedAt), MessageID: change.MessageID, Type: change.Type}
	}
	err := l.upsertProduct(ctx, account, spec)
	switch {
	case err == nil:
		return platform.OutcomeRecorded, nil
	case refusalOf(err) == refusedOlder:
		return platform.OutcomeOlder, nil
	default:
		return platform.OutcomeRetry, fmt.Errorf("announce a change of product %s of Channel %s: %w", change.ProductID, account.Name, err)
	}
}

// notAhead is the time a change counts as announced: no later than clocks differ.
func notAhead(changedAt, receivedAt time.Time) time.Time {
	if changedAt.IsZero() || changedAt.After(receivedAt.Add(maxAhead)) {
		return receivedAt.UTC()
	}
	return changedAt.UTC()
}

// upsertProduct merges the spec into the product's object: a merge patch touches just
// the aspects it names.
func (l *Ledger) upsertProduct(ctx context.Context, account *accounts.Account, spec v1alpha1.ProductSyncSpec) error {
	body, err := json.Marshal(map[string]any{"spec": spec})
	if err != nil {
		return fmt.Errorf("encode patch: %w", err)
	}
	patch := func(ctx context.Context, name string) error {
		product := &v1alpha1.ProductSync{ObjectMeta: metav1.ObjectMeta{Namespace: account.Namespace, Name: name}}
		return l.api.Patch(ctx, product, client.RawPatch(types.MergePatchType, body))
	}
	create := func(ctx context.Context, name string) error {
		return l.api.Create(ctx, &v1alpha1.ProductSync{ObjectMeta: objectMeta(account, name), Spec: spec})
	}
	return upsert(ctx, account.Name, spec.ProductID, patch, create)
}

// EnsureProduct makes the object of a product that discovery found, if it is not there.
// It reports whether it made one.
func (l *Ledger) EnsureProduct(ctx context.Context, account *accounts.Account, productID string) (made bool, err error) {
	spec := v1alpha1.ProductSyncSpec{ChannelRef: v1alpha1.ChannelReference{Name: account.Name}, ProductID: productID}
	for _, name := range []string{ObjectName(account.Name, productID), hashedName(account.Name, productID)} {
		err = l.api.Create(ctx, &v1alpha1.ProductSync{ObjectMeta: objectMeta(account, name), Spec: spec})
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
