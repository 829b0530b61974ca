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
	outcome, err := l.announce(ctx, account, push, change, change.Aspects)
	if err != nil || outcome != platform.OutcomeOlder || len(change.Aspects) < 2 {
		return outcome, err
	}
	for _, aspect := range change.Aspects {
		one, err := l.announce(ctx, account, push, change, []platform.Aspect{aspect})
		if err != nil {
			return one, err
		}
		if one == platform.OutcomeRecorded {
			outcome = one
		}
	}
	return outcome, nil
}

func (l *Ledger) announce(ctx context.Context, account *accounts.Account, push platform.Push, change *platform.ProductChange, aspects []platform.Aspect) (platform.Outcome, error) {
	spec := v1alpha1.ProductSyncSpec{
		ChannelRef: v1alpha1.ChannelReference{Name: account.Name},
		ProductID:  change.ProductID,
	}
	announcement := &v1alpha1.Announcement{
		ChangedAt: metav1.NewMicroTime(notAhead(change.ChangedAt, push.ReceivedAt)),
		MessageID: change.MessageID,
		Type:      change.Type,
	}
	for _, aspect := range aspects {
		switch aspect {
		case platform.AspectInfo:
			spec.Announced.Info = announcement
		case platform.AspectPrice:
			spec.Announced.Price = announcement
		case platform.AspectStock:
			spec.Announced.Stock = announcement
		case platform.AspectAvailability:
			spec.Announced.Availability = announcement
		}
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
