package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/order"
)

const (
	// keepNotifications and keepWeight are what a full list (256 notifications, or 900000
	// of weight) is compacted to, where it can be.
	keepNotifications, keepWeight = 192, 600_000
	// What a code, a rule of cancelling and a character of a remark count beside a byte of
	// sealed body; the schema's rule on spec.notifications counts the same.
	codeWeight, ruleWeight, remarkWeight = 200, 1200, 3
)

// errFull: what comes next must wait until the platform has confirmed what is there.
var errFull = errors.New("holds as many notifications as it can, and none is superfluous until the platform confirms them: delete what you do not need")

// compact takes from a full list what does not change the status.
func (l *Ledger) compact(ctx context.Context, key types.NamespacedName) error {
	return retry.RetryOnConflict(patience, func() error {
		var voucher v1alpha1.OrderVoucher
		if err := l.api.Get(ctx, key, &voucher); err != nil {
			return err
		}
		drop := superfluous(&voucher)
		if len(drop) == 0 {
			return fmt.Errorf("order %s %w", key, errFull)
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
	received := map[string]int64{}
	for _, n := range voucher.Spec.Notifications {
		received[n.ID] = n.ReceivedAt.UnixMicro()
	}
	candidates := order.Compact(voucher.Spec.Notifications, 0)
	slices.SortStableFunc(candidates, func(a, b string) int { return cmp.Compare(received[a], received[b]) })
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
