package ledger

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

// noticeFactOf is what a push of unknown content says of its Channel.
func noticeFactOf(account *accounts.Account, push platform.Push, told *platform.Notice) (fact, error) {
	sealed, err := account.Sealer.Seal(push.Body)
	if err != nil {
		return fact{}, fmt.Errorf("notice %s of Channel %s: %w", told.MessageID, account.Name, err)
	}
	if len(sealed) > maxSealedNotice {
		sealed = ""
	}
	return fact{Object: objectOf(account, kindChannel, ""), ReceivedAt: push.ReceivedAt, Notice: &v1alpha1.ChannelNotice{
		PlatformType: told.PlatformType, Subject: told.Subject, ID: told.MessageID, Count: 1,
		ReceivedAt: metav1.NewMicroTime(push.ReceivedAt.UTC()), Sealed: sealed,
		Detail: sealing.Cut(told.Detail, maxReason),
	}}, nil
}

// writeNotices keeps notices on their Channel: the newest of each kind and subject, and how many
// there were. They are rare, so they may be read before they are written. A copy of the newest
// does not count, nor one beside it in a group. What came before the newest is not remembered:
// a copy of that, sent or drained once more, counts again.
func (l *Ledger) writeNotices(ctx context.Context, facts []fact) []result {
	o := facts[0].Object
	var results []result
	err := retry.RetryOnConflict(patience, func() error {
		results = all(len(facts), platform.OutcomeDuplicate, nil)
		var channel v1alpha1.Channel
		if err := l.api.Get(ctx, o.key(o.Channel), &channel); err != nil {
			return err
		}
		before, news := channel.DeepCopy(), false
		for i, f := range facts {
			if slices.ContainsFunc(facts[:i], f.tellsTheSame) {
				continue
			}
			var isNew bool
			if channel.Status.Notices, isNew = addNotice(channel.Status.Notices, *f.Notice); isNew {
				results[i].outcome, news = platform.OutcomeRecorded, true
			}
		}
		if !news {
			return nil
		}
		return l.api.Status().Patch(ctx, &channel, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	})
	if len(facts) > 1 && ofOne(err) {
		return halves(ctx, facts, l.writeNotices)
	}
	if err != nil {
		return all(len(facts), platform.OutcomeRetry, fmt.Errorf("record a notice on Channel %s: %w", o.Channel, err))
	}
	return results
}

// tellsTheSame reports whether another fact is a copy of a notice.
func (f fact) tellsTheSame(other fact) bool {
	return f.Notice.ID == other.Notice.ID && f.Notice.PlatformType == other.Notice.PlatformType && f.Notice.Subject == other.Notice.Subject
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
		if notice.ReceivedAt.Before(&old.ReceivedAt) {
			notice = old // the journal gives what is older later
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
