package ledger

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

const (
	// maxNotices a Channel holds (the schema's bound).
	maxNotices = 64
	// maxSealedNotice is the longest sealed body a notice holds (the schema's bound).
	maxSealedNotice = 8192
)

// recordNotice keeps a push of unknown content on its Channel: the newest of each kind
// and subject. It is rare, so it may read before it writes.
func (l *Ledger) recordNotice(ctx context.Context, account *accounts.Account, push platform.Push, told *platform.Notice) (platform.Outcome, error) {
	sealed, err := account.Sealer.Seal(push.Body)
	if err != nil {
		return platform.OutcomeRetry, err
	}
	if len(sealed) > maxSealedNotice {
		sealed = ""
	}
	notice := v1alpha1.ChannelNotice{
		PlatformType: told.PlatformType, Subject: told.Subject, ID: told.MessageID, Count: 1,
		ReceivedAt: metav1.NewMicroTime(push.ReceivedAt.UTC()), Sealed: sealed,
		Detail: sealing.Cut(told.Detail, maxReason),
	}
	outcome := platform.OutcomeRecorded
	err = retry.RetryOnConflict(patience, func() error {
		var channel v1alpha1.Channel
		if err := l.api.Get(ctx, types.NamespacedName{Namespace: account.Namespace, Name: account.Name}, &channel); err != nil {
			return err
		}
		before := channel.DeepCopy()
		var isNew bool
		if channel.Status.Notices, isNew = addNotice(channel.Status.Notices, notice); !isNew {
			outcome = platform.OutcomeDuplicate
			return nil
		}
		outcome = platform.OutcomeRecorded
		return l.api.Status().Patch(ctx, &channel, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	})
	if err != nil {
		return platform.OutcomeRetry, fmt.Errorf("record notice %s on Channel %s: %w", told.MessageID, account.Name, err)
	}
	return outcome, nil
}

// addNotice puts a notice among those of a Channel and reports whether it was new.
func addNotice(notices []v1alpha1.ChannelNotice, notice v1alpha1.ChannelNotice) ([]v1alpha1.ChannelNotice, bool) {
	for i, old := range notices {
		if old.PlatformType != notice.PlatformType || old.Subject != notice.Subject {
			continue
		}
		if old.ID == notice.ID {
			return notices, false
		}
		notice.Count = old.Count + 1
		notices = slices.Delete(slices.Clone(notices), i, i+1)
		break
	}
	notices = append(slices.Clone(notices), notice)
	slices.SortStableFunc(notices, func(a, b v1alpha1.ChannelNotice) int {
		return cmp.Or(b.ReceivedAt.Compare(a.ReceivedAt.Time), cmp.Compare(a.ID, b.ID))
	})
	return notices[:min(len(notices), maxNotices)], true
}
