package ledger

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/order"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

const (
	// maxReason is how many characters of a platform's text are kept (the schema's bound).
	maxReason = 512
	// Bounds of what is kept of prices and cancellations (the schema's).
	maxPrice, maxRules, maxWord, maxRuleText = 64, 16, 32, 256
	// keepNotifications and keepWeight are what a full list (256 notifications, or 900000
	// of weight) is compacted to, where it can be.
	keepNotifications, keepWeight = 192, 600_000
	// What a code, a rule of cancelling and a character of a remark count beside a byte of
	// sealed body; the schema's rule on spec.notifications counts the same.
	codeWeight, ruleWeight, remarkWeight = 200, 1200, 3
)

// recordOrder appends a notification to its OrderVoucher. The API server refuses a
// second copy by the list's key; a full list is compacted once.
func (l *Ledger) recordOrder(ctx context.Context, account *accounts.Account, push platform.Push, told *platform.OrderNotification) (platform.Outcome, error) {
	notification, err := seal(account, push, told)
	if err != nil {
		return platform.OutcomeRetry, fmt.Errorf("notification %s of order %s of Channel %s: %w", told.MessageID, told.OrderID, account.Name, err)
	}
	err = l.appendNotification(ctx, account, told, notification)
	switch {
	case err == nil:
		return platform.OutcomeRecorded, nil
	case refusalOf(err) == refusedDuplicate:
		return platform.OutcomeDuplicate, nil
	default:
		return platform.OutcomeRetry, fmt.Errorf("record notification %s of order %s of Channel %s: %w", told.MessageID, told.OrderID, account.Name, err)
	}
}

func (l *Ledger) appendNotification(ctx context.Context, account *accounts.Account, told *platform.OrderNotification, notification v1alpha1.Notification) error {
	body, err := appendPatch(account.Name, told, notification)
	if err != nil {
		return err
	}
	patch := func(ctx context.Context, name string) error {
		key := types.NamespacedName{Namespace: account.Namespace, Name: name}
		err := l.patchOrder(ctx, key, body)
		if refusalOf(err) == refusedFull {
			if err := l.compact(ctx, key); err != nil {
				return err
			}
			err = l.patchOrder(ctx, key, body)
		}
		return err
	}
	create := func(ctx context.Context, name string) error {
		return l.api.Create(ctx, &v1alpha1.OrderVoucher{
			ObjectMeta: objectMeta(account, name),
			Spec: v1alpha1.OrderVoucherSpec{
				ChannelRef: v1alpha1.ChannelReference{Name: account.Name},
				OrderID:    told.OrderID, OutOrderID: told.OutOrderID,
				Notifications: []v1alpha1.Notification{notification},
			},
		})
	}
	return upsert(ctx, account.Name, told.OrderID, patch, create)
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
func appendPatch(channel string, told *platform.OrderNotification, notification v1alpha1.Notification) ([]byte, error) {
	ops := []jsonPatchOp{
		{"replace", "/spec/channelRef/name", channel},
		{"replace", "/spec/orderID", told.OrderID},
		{"add", "/spec/notifications/-", notification},
	}
	if told.OutOrderID != "" {
		ops = append(ops, jsonPatchOp{"add", "/spec/outOrderID", told.OutOrderID})
	}
	body, err := json.Marshal(ops)
	if err != nil {
		return nil, fmt.Errorf("encode patch: %w", err)
	}
	return body, nil
}

// compact takes from a full list what does not change the status.
func (l *Ledger) compact(ctx context.Context, key types.NamespacedName) error {
	return retry.RetryOnConflict(patience, func() error {
		var voucher v1alpha1.OrderVoucher
		if err := l.api.Get(ctx, key, &voucher); err != nil {
			return err
		}
		drop := superfluous(&voucher)
		if len(drop) == 0 {
			return fmt.Errorf("order %s holds as many notifications as it can, and none is superfluous until the platform confirms them: delete what you do not need", key)
		}
		before := voucher.DeepCopy()
		voucher.Spec.Notifications = slices.DeleteFunc(voucher.Spec.Notifications, func(n v1alpha1.Notification) bool {
			return drop[n.ID]
		})
		return l.api.Patch(ctx, &voucher, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	})
}

// superfluous chooses what may go until the rest is small enough: first what the fold
// does not need; then, if the platform confirmed everything that was pushed, the oldest,
// for the status is the platform's own answer and stands without them. Those that issued
// codes go last: their sealed bodies are where the codes themselves are kept.
func superfluous(voucher *v1alpha1.OrderVoucher) map[string]bool {
	candidates := order.Compact(voucher.Spec.Notifications, 0)
	if confirmed(voucher) {
		oldest := slices.SortedStableFunc(slices.Values(voucher.Spec.Notifications), func(a, b v1alpha1.Notification) int {
			return cmp.Or(issues(a)-issues(b), a.ReceivedAt.Compare(b.ReceivedAt.Time))
		})
		for _, n := range oldest {
			candidates = append(candidates, n.ID)
		}
	}
	count, weight := len(voucher.Spec.Notifications), 0
	weights, replied := map[string]int{}, map[string]int{}
	for _, n := range voucher.Spec.Notifications {
		weights[n.ID] = weigh(n)
		if n.Reply != nil {
			replied[n.ID] = 1
		}
		weight += weights[n.ID]
	}
	// What was replied goes last of all: it must be found again if it is asked for again.
	slices.SortStableFunc(candidates, func(a, b string) int { return replied[a] - replied[b] })
	drop := map[string]bool{}
	for _, id := range candidates {
		if count <= keepNotifications && weight <= keepWeight {
			break
		}
		if !drop[id] {
			drop[id] = true
			count, weight = count-1, weight-weights[id]
		}
	}
	return drop
}

func weigh(n v1alpha1.Notification) int {
	weight := len(n.Sealed) + codeWeight*len(n.Codes) + remarkWeight*utf8.RuneCountInString(n.Remark)
	if n.Reply != nil {
		weight += len(n.Reply.Sealed)
	}
	if n.Cancellation != nil {
		weight += ruleWeight * len(n.Cancellation.Rules)
	}
	return weight
}

// issues is 1 for a notification that issued codes, or asked for them, else 0.
func issues(n v1alpha1.Notification) int {
	switch n.Type {
	case v1alpha1.NotificationCodesIssued, v1alpha1.NotificationCodesRequested:
		return 1
	}
	return 0
}

// seal turns what a push told into what may be kept: codes hashed and masked, text
// scrubbed, the body encrypted.
func seal(account *accounts.Account, push platform.Push, told *platform.OrderNotification) (v1alpha1.Notification, error) {
	sealed, err := account.Sealer.Seal(push.Body)
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
	cancellation := &v1alpha1.Cancellation{Type: v1alpha1.CancellationType(told.Type), PlatformType: sealing.Cut(told.PlatformType, maxWord)}
	for _, rule := range told.Rules[:min(len(told.Rules), maxRules)] {
		cancellation.Rules = append(cancellation.Rules, v1alpha1.CancellationRule{
			PlatformType: cmp.Or(sealing.Cut(rule.PlatformType, maxWord), "unknown"),
			StartDay:     sealing.Cut(rule.StartDay, maxWord), EndDay: sealing.Cut(rule.EndDay, maxWord),
			Percent: sealing.Cut(rule.Percent, maxWord), Text: sealing.Excerpt(rule.Text, maxRuleText, secrets...),
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
