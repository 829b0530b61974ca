package ledger

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

const (
	// maxReason is how many characters of a platform's text are kept (the schema's bound).
	maxReason = 512
	// Bounds of what is kept of prices and cancellations (the schema's).
	maxPrice, maxRules, maxWord, maxRuleText = 64, 16, 32, 256
)

// orderFact is a notification for an order's list.
type orderFact struct {
	OutOrderID   string                `json:"outOrderID,omitempty"`
	Notification v1alpha1.Notification `json:"notification"`
}

func orderFactOf(account *accounts.Account, push platform.Push, whole *pushBody, told *platform.OrderNotification) (fact, error) {
	notification, err := seal(account, push, whole, told)
	if err != nil {
		return fact{}, fmt.Errorf("notification %s of order %s of Channel %s: %w", told.MessageID, told.OrderID, account.Name, err)
	}
	return fact{Object: objectOf(account, kindOrder, told.OrderID), ReceivedAt: push.ReceivedAt,
		Order: &orderFact{OutOrderID: told.OutOrderID, Notification: notification}}, nil
}

// writeOrder appends notifications to their OrderVoucher, each id once.
func (l *Ledger) writeOrder(ctx context.Context, facts []fact) []result {
	written := l.appendAll(ctx, facts[0].Object, distinct(facts))
	results := make([]result, len(facts))
	for i, f := range facts {
		id := f.Order.Notification.ID
		results[i] = written[id]
		if written[id].outcome == platform.OutcomeRecorded {
			written[id] = result{outcome: platform.OutcomeDuplicate} // what comes behind is a copy
		}
	}
	return results
}

func distinct(facts []fact) []*orderFact {
	seen := map[string]bool{}
	var once []*orderFact
	for _, f := range facts {
		if id := f.Order.Notification.ID; !seen[id] {
			seen[id] = true
			once = append(once, f.Order)
		}
	}
	return once
}

// appendAll appends notifications of different ids in one write, and says what became of
// each by its id. The API server takes all or none: what it refuses is written again
// without those that are there already, or in two halves.
func (l *Ledger) appendAll(ctx context.Context, o object, facts []*orderFact) map[string]result {
	err := l.append(ctx, o, facts)
	refused := refusalOf(err)
	switch {
	case err == nil:
		return same(facts, result{outcome: platform.OutcomeRecorded})
	case len(facts) == 1 && refused == refusedDuplicate:
		return same(facts, result{outcome: platform.OutcomeDuplicate})
	case refused == refusedDuplicate, errors.Is(err, errFull): // a full list may have it all the same
		return l.appendMissing(ctx, o, facts, err)
	case len(facts) > 1 && ofOne(err):
		return l.appendHalves(ctx, o, facts)
	}
	return unwritten(o, facts, err)
}

func (l *Ledger) appendHalves(ctx context.Context, o object, facts []*orderFact) map[string]result {
	half := len(facts) / 2
	written := l.appendAll(ctx, o, facts[:half])
	maps.Copy(written, l.appendAll(ctx, o, facts[half:]))
	return written
}

// unwritten is the same failure for all.
func unwritten(o object, facts []*orderFact, err error) map[string]result {
	ids := make([]string, 0, len(facts))
	for _, f := range facts {
		ids = append(ids, f.Notification.ID)
	}
	return same(facts, result{platform.OutcomeRetry, fmt.Errorf("record %s of %s: %w", strings.Join(ids, ", "), o, err)})
}

// appendMissing appends what is not there: of many, the refusal does not say which is.
func (l *Ledger) appendMissing(ctx context.Context, o object, facts []*orderFact, refusal error) map[string]result {
	there, err := l.notified(ctx, o)
	if err != nil {
		return unwritten(o, facts, err)
	}
	written := map[string]result{}
	var missing []*orderFact
	for _, f := range facts {
		if there[f.Notification.ID] {
			written[f.Notification.ID] = result{outcome: platform.OutcomeDuplicate}
		} else {
			missing = append(missing, f)
		}
	}
	switch {
	case len(missing) == 0:
	case len(missing) < len(facts):
		maps.Copy(written, l.appendAll(ctx, o, missing))
	case len(facts) > 1: // some may fit, or were taken away in the meantime
		return l.appendHalves(ctx, o, facts)
	default:
		return unwritten(o, facts, refusal)
	}
	return written
}

// notified are the ids of the notifications that an order's object has.
func (l *Ledger) notified(ctx context.Context, o object) (map[string]bool, error) {
	there := map[string]bool{}
	for _, name := range []string{ObjectName(o.Channel, o.ID), hashedName(o.Channel, o.ID)} {
		var voucher v1alpha1.OrderVoucher
		err := l.api.Get(ctx, o.key(name), &voucher)
		if client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("read %s: %w", o, err)
		}
		if err != nil || voucher.Spec.OrderID != o.ID || voucher.Spec.ChannelRef.Name != o.Channel {
			continue
		}
		for _, n := range voucher.Spec.Notifications {
			there[n.ID] = true
		}
	}
	return there, nil
}

func same(facts []*orderFact, r result) map[string]result {
	results := make(map[string]result, len(facts))
	for _, f := range facts {
		results[f.Notification.ID] = r
	}
	return results
}

// append writes all of the notifications or none. A full list is compacted once.
func (l *Ledger) append(ctx context.Context, o object, facts []*orderFact) error {
	patch := func(ctx context.Context, name string) error {
		body, err := appendPatch(o, facts)
		if err != nil {
			return err
		}
		err = l.patchOrder(ctx, o.key(name), body)
		if refusalOf(err) == refusedFull {
			if err := l.compact(ctx, o.key(name)); err != nil {
				return err
			}
			err = l.patchOrder(ctx, o.key(name), body)
		}
		return err
	}
	create := func(ctx context.Context, name string) error {
		spec := v1alpha1.OrderVoucherSpec{
			ChannelRef: v1alpha1.ChannelReference{Name: o.Channel}, OrderID: o.ID, OutOrderID: outOrderID(facts),
		}
		for _, f := range facts {
			spec.Notifications = append(spec.Notifications, f.Notification)
		}
		return l.api.Create(ctx, &v1alpha1.OrderVoucher{ObjectMeta: o.meta(name), Spec: spec})
	}
	return l.upsert(ctx, o, patch, create)
}

// outOrderID is the distributor's id of the order as the last that names it has it.
func outOrderID(facts []*orderFact) string {
	for _, f := range slices.Backward(facts) {
		if f.OutOrderID != "" {
			return f.OutOrderID
		}
	}
	return ""
}

func (l *Ledger) patchOrder(ctx context.Context, key types.NamespacedName, body []byte) error {
	voucher := &v1alpha1.OrderVoucher{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	return l.api.Patch(ctx, voucher, client.RawPatch(types.JSONPatchType, body))
}

type jsonPatchOp struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// appendPatch appends without reading. Replacing the identity by itself changes nothing
// on our object and is refused on another's.
func appendPatch(o object, facts []*orderFact) ([]byte, error) {
	ops := []jsonPatchOp{
		{"replace", "/spec/channelRef/name", o.Channel},
		{"replace", "/spec/orderID", o.ID},
	}
	for _, f := range facts {
		ops = append(ops, jsonPatchOp{"add", "/spec/notifications/-", f.Notification})
	}
	if id := outOrderID(facts); id != "" {
		ops = append(ops, jsonPatchOp{"add", "/spec/outOrderID", id})
	}
	body, err := json.Marshal(ops)
	if err != nil {
		return nil, fmt.Errorf("encode patch: %w", err)
	}
	return body, nil
}

// seal turns what a push told into what may be kept: codes hashed and masked, text
// scrubbed, the body encrypted.
func seal(account *accounts.Account, push platform.Push, whole *pushBody, told *platform.OrderNotification) (v1alpha1.Notification, error) {
	sealed, err := whole.seal(told.Part)
	if err != nil {
		return v1alpha1.Notification{}, err
	}
	secrets := slices.Clone(told.Secrets)
	for _, code := range told.Codes {
		secrets = append(secrets, code.Text)
	}
	masked := account.Mask(told.Codes)
	notification := v1alpha1.Notification{
		ID:           account.MessageID(told),
		Type:         v1alpha1.NotificationType(told.Kind),
		PlatformType: told.PlatformType,
		ReceivedAt:   metav1.NewMicroTime(push.ReceivedAt.UTC()),
		Succeeded:    told.Succeeded,
		Reason:       sealing.Excerpt(told.Reason, maxReason, secrets...),
		Remark:       sealing.Excerpt(told.Remark, maxReason, secrets...),
		Price:        priceOf(told.Price),
		Cancellation: cancellationOf(told.Cancellation, secrets),
		Codes:        masked,
		Truncated:    len(told.Codes) > len(masked),
		Refund:       refundOf(told.Refund),
		Sealed:       sealed,
	}
	if !told.OccurredAt.IsZero() {
		at := metav1.NewMicroTime(told.OccurredAt.UTC())
		notification.OccurredAt = &at
	}
	if !told.Deadline.IsZero() {
		at := metav1.NewTime(told.Deadline.UTC().Truncate(time.Second))
		notification.Deadline = &at
	}
	notification.Reply, err = sealReply(account, told.Replied)
	return notification, err
}

// sealReply keeps what the platform was told; the body of the reply, where it holds codes
// made here, for those who may read them.
func sealReply(account *accounts.Account, replied *platform.Replied) (*v1alpha1.NotificationReply, error) {
	if replied == nil {
		return nil, nil
	}
	reply := &v1alpha1.NotificationReply{Result: v1alpha1.Result(replied.Result)}
	if len(replied.Body) == 0 {
		return reply, nil
	}
	sealed, err := account.Sealer.Seal(replied.Body)
	reply.Sealed = sealed
	return reply, err
}

func priceOf(told *platform.Price) *v1alpha1.OrderPrice {
	if told == nil {
		return nil
	}
	price := &v1alpha1.OrderPrice{Text: sealing.Cut(told.Text, maxPrice)}
	if told.Amount != nil {
		price.Money = &v1alpha1.Money{Currency: told.Currency, Amount: *told.Amount}
	}
	return price
}

func cancellationOf(told *platform.Cancellation, secrets []sealing.Secret) *v1alpha1.Cancellation {
	if told == nil {
		return nil
	}
	cancellation := &v1alpha1.Cancellation{Type: v1alpha1.CancellationType(told.Type), PlatformType: sealing.Word(told.PlatformType, maxWord, secrets...)}
	for _, rule := range told.Rules[:min(len(told.Rules), maxRules)] {
		cancellation.Rules = append(cancellation.Rules, v1alpha1.CancellationRule{
			PlatformType: cmp.Or(sealing.Word(rule.PlatformType, maxWord, secrets...), "unknown"),
			StartDay:     sealing.Word(rule.StartDay, maxWord, secrets...), EndDay: sealing.Word(rule.EndDay, maxWord, secrets...),
			Percent: sealing.Word(rule.Percent, maxWord, secrets...), Text: sealing.Excerpt(rule.Text, maxRuleText, secrets...),
		})
	}
	return cancellation
}

func refundOf(fact *platform.RefundFact) *v1alpha1.NotifiedRefund {
	if fact == nil {
		return nil
	}
	refund := &v1alpha1.NotifiedRefund{ID: fact.ID, Quantity: fact.Quantity, Full: fact.Full, Succeeded: fact.Succeeded}
	if fact.Amount != nil {
		refund.Amount = &v1alpha1.Money{Currency: fact.Currency, Amount: *fact.Amount}
	}
	return refund
}
