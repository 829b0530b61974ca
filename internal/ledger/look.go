package ledger

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/conditions"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

// The cache's indexes by which a product is found under the names a platform gives it:
// <channel>/<name>. A product has the name of each of its units too.
const (
	indexUnit         = "channel/unit"
	indexSupplierCode = "channel/supplierCode"
)

// AddIndexes adds what Look needs to the cache.
func AddIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	if err := indexer.IndexField(ctx, &v1alpha1.ProductSync{}, indexUnit, func(o client.Object) []string {
		product := o.(*v1alpha1.ProductSync)
		names := []string{product.Spec.ChannelRef.Name + "/" + product.Spec.ProductID}
		for _, unit := range product.Status.SKUs {
			if unit.ID != product.Spec.ProductID {
				names = append(names, product.Spec.ChannelRef.Name+"/"+unit.ID)
			}
		}
		return names
	}); err != nil {
		return err
	}
	return indexer.IndexField(ctx, &v1alpha1.ProductSync{}, indexSupplierCode, func(o client.Object) []string {
		product := o.(*v1alpha1.ProductSync)
		if product.Status.SupplierCode == "" {
			return nil
		}
		return []string{product.Spec.ChannelRef.Name + "/" + product.Status.SupplierCode}
	})
}

// Look gives what must be known to answer an inquiry: products from the cache, orders
// from the cache too or, for a fresh look, from the API server itself.
func (l *Ledger) Look(ctx context.Context, account *accounts.Account, lookup platform.Lookup, fresh bool) (platform.Known, error) {
	known := platform.Known{
		Now: time.Now(), Orders: map[string]platform.KnownOrder{},
		MakeCode: account.MakeCode, CodeID: account.CodeID,
	}
	if lookup.Product != nil {
		product, err := l.lookProduct(ctx, account, *lookup.Product)
		if err != nil {
			return known, fmt.Errorf("look up a product of Channel %s: %w", account.Name, err)
		}
		known.Product = product
	}
	var reader client.Reader = l.api
	if !fresh {
		reader = l.cache
	}
	for _, id := range lookup.Orders {
		if err := l.nothingKept(objectOf(account, kindOrder, id), fresh); err != nil {
			return known, err
		}
		voucher, err := lookOrder(ctx, reader, account, id)
		if err != nil {
			return known, fmt.Errorf("look up order %s of Channel %s: %w", id, account.Name, err)
		}
		if voucher != nil {
			order := knownOrder(voucher)
			order.Confirmed = order.Confirmed && !account.Suspended && account.Problem == nil && !voucher.Spec.Suspend
			known.Orders[id] = order
		}
	}
	return known, nil
}

// nothingKept: what the journal keeps of an object was acknowledged and is not on it yet, so
// a fresh look would miss it.
func (l *Ledger) nothingKept(o object, fresh bool) error {
	if l.journal == nil || !fresh {
		return nil
	}
	kept, err := l.journal.Has(o.name())
	if err == nil && kept {
		err = errBehind
	}
	if err != nil {
		return fmt.Errorf("look up %s: what was pushed about it is not written yet: %w", o, err)
	}
	return nil
}

// Keeps reports whether this replica's journal keeps something that was pushed about a product
// or an order and is not on it yet, or cannot tell now.
func (l *Ledger) Keeps(there client.Object) bool {
	o, _, _ := judge(there)
	return l.nothingKept(o, true) != nil
}

func (l *Ledger) lookProduct(ctx context.Context, account *accounts.Account, names platform.ProductNames) (*platform.KnownProduct, error) {
	for _, by := range []struct {
		index string
		names []string
	}{{indexUnit, names.IDs}, {indexSupplierCode, names.SupplierCodes}} {
		for _, name := range by.names {
			if name == "" {
				continue
			}
			var list v1alpha1.ProductSyncList
			err := l.cache.List(ctx, &list, client.InNamespace(account.Namespace), client.MatchingFields{by.index: account.Name + "/" + name})
			if err != nil {
				return nil, err
			}
			if len(list.Items) > 0 {
				return knownProduct(&list.Items[0], names.IDs), nil
			}
		}
	}
	return nil, nil
}

func knownProduct(product *v1alpha1.ProductSync, ids []string) *platform.KnownProduct {
	known := &platform.KnownProduct{
		State:   platform.ProductState(product.Status.State),
		Deleted: product.Status.State == v1alpha1.ProductDeleted,
		Stock:   product.Status.Stock,
	}
	if at := product.Status.SaleStart; at != nil {
		known.SaleStart = at.Time
	}
	if at := product.Status.SaleEnd; at != nil {
		known.SaleEnd = at.Time
	}
	for _, unit := range product.Status.SKUs {
		for _, id := range ids {
			if unit.ID == id && unit.Stock != nil {
				known.Stock = unit.Stock
			}
		}
	}
	return known
}

// lookOrder reads an order's object under either of its names; nil if it is not there.
func lookOrder(ctx context.Context, reader client.Reader, account *accounts.Account, id string) (*v1alpha1.OrderVoucher, error) {
	for _, name := range []string{ObjectName(account.Name, id), hashedName(account.Name, id)} {
		voucher := &v1alpha1.OrderVoucher{}
		err := reader.Get(ctx, types.NamespacedName{Namespace: account.Namespace, Name: name}, voucher)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if voucher.Spec.OrderID == id && voucher.Spec.ChannelRef.Name == account.Name {
			return voucher, nil
		}
	}
	return nil, nil
}

func knownOrder(voucher *v1alpha1.OrderVoucher) platform.KnownOrder {
	known := platform.KnownOrder{
		OutOrderID: voucher.Spec.OutOrderID,
		Phase:      string(voucher.Status.Phase),
		Confirmed:  confirmed(voucher),
		Codes:      map[string]platform.KnownCode{},
		Recorded:   map[string]platform.Recorded{},
	}
	for _, code := range voucher.Status.Codes {
		known.Codes[code.ID] = platform.KnownCode{Used: ptr.Deref(code.Used, 0), Refunded: ptr.Deref(code.Refunded, 0), UseUnknown: code.Used == nil}
	}
	for _, n := range voucher.Spec.Notifications {
		if n.Reply == nil {
			continue
		}
		recorded := platform.Recorded{Result: string(n.Reply.Result)}
		for _, answer := range voucher.Status.Answers {
			if answer.NotificationID == n.ID {
				recorded.Later = string(answer.Result)
			}
		}
		for _, code := range n.Codes {
			recorded.CodeIDs = append(recorded.CodeIDs, code.ID)
			recorded.Refs = append(recorded.Refs, code.Ref)
		}
		known.Recorded[n.ID] = recorded
	}
	return known
}

// confirmed: the platform's answer is what the status shows, and it bears out everything
// that was pushed.
func confirmed(voucher *v1alpha1.OrderVoucher) bool {
	reason, ready := conditions.Of(voucher.Status.Conditions)
	return ready && reason == v1alpha1.ReasonConfirmed && voucher.Status.ObservedGeneration == voucher.Generation
}
