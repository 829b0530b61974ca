package controllers

import (
	"cmp"
	"context"
	"maps"
	"math/rand/v2"
	"slices"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

const (
	// maxNoticesAsked is how many notices one look at a Channel asks about.
	maxNoticesAsked = 4
	// maxInquiry is how many characters of an answer are kept (the schema's bound).
	maxInquiry = 512
	// nothingTold stands for an answer without a text.
	nothingTold = "the platform does not say"
)

// inquire asks about some of the notices that the status does not speak of yet; more is
// whether others are left that may be asked about at once. A failure is logged and leaves
// the rest to a later look: what a notice names does not make an account unready.
func inquire(ctx context.Context, channel *v1alpha1.Channel, account *accounts.Account) (told []v1alpha1.ChannelInquiry, more bool) {
	asker, ok := account.Client.(platform.NoticeClient)
	if !ok {
		return nil, false
	}
	pending := notInquired(channel.Status)
	// In another order each time: those that cannot be answered are not in the way for ever.
	rand.Shuffle(len(pending), func(i, j int) { pending[i], pending[j] = pending[j], pending[i] }) // #nosec G404 -- no secret
	for _, notice := range pending {
		if len(told) == maxNoticesAsked {
			return told, true
		}
		text, asked, err := asker.Notice(ctx, notice.PlatformType, notice.Subject)
		switch {
		case err != nil && platform.KindOf(err) == platform.Gone:
			text = "not known to the platform"
		case err != nil:
			ctrl.LoggerFrom(ctx).Info("the platform was asked in vain about a notice", "platformType", notice.PlatformType, "subject", notice.Subject, "reason", err)
			return told, platform.KindOf(err) == platform.Throttled // it is only not the account's turn
		case !asked:
			continue
		}
		told = append(told, v1alpha1.ChannelInquiry{NoticeID: notice.ID, PlatformType: notice.PlatformType, Subject: notice.Subject,
			Answer: cmp.Or(sealing.Cut(text, maxInquiry), nothingTold)})
	}
	return told, false
}

// notInquired are the notices with a subject whose newest message was not asked about.
func notInquired(status v1alpha1.ChannelStatus) []v1alpha1.ChannelNotice {
	return slices.DeleteFunc(slices.Clone(status.Notices), func(n v1alpha1.ChannelNotice) bool {
		return n.Subject == "" || slices.ContainsFunc(status.Inquiries, func(i v1alpha1.ChannelInquiry) bool {
			return isAbout(i, n) && i.NoticeID == n.ID
		})
	})
}

func isAbout(i v1alpha1.ChannelInquiry, n v1alpha1.ChannelNotice) bool {
	return i.PlatformType == n.PlatformType && i.Subject == n.Subject
}

// inStep are the inquiries for the notices that are there: the one just made or, as long
// as there is none, the one known. Their order is their own, so that one notice more does
// not turn the list about.
func inStep(notices []v1alpha1.ChannelNotice, known, told []v1alpha1.ChannelInquiry) []v1alpha1.ChannelInquiry {
	var kept []v1alpha1.ChannelInquiry
	for _, n := range notices {
		about := func(i v1alpha1.ChannelInquiry) bool { return n.Subject != "" && isAbout(i, n) }
		if i := slices.IndexFunc(told, about); i >= 0 {
			kept = append(kept, told[i])
		} else if i := slices.IndexFunc(known, about); i >= 0 {
			kept = append(kept, known[i])
		}
	}
	slices.SortFunc(kept, func(a, b v1alpha1.ChannelInquiry) int {
		return cmp.Or(cmp.Compare(a.PlatformType, b.PlatformType), cmp.Compare(a.Subject, b.Subject))
	})
	return kept
}

// noticed passes when other messages are the newest of a Channel's notices, and the
// platform can be asked about them. What the controller writes itself does not pass.
func (r *ChannelReconciler) noticed() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, okBefore := e.ObjectOld.(*v1alpha1.Channel)
			after, okAfter := e.ObjectNew.(*v1alpha1.Channel)
			return okBefore && okAfter && !sameNotices(before.Status.Notices, after.Status.Notices) &&
				canInquire(r.Accounts.Asking(client.ObjectKeyFromObject(after)))
		},
		CreateFunc:  func(event.CreateEvent) bool { return false },
		DeleteFunc:  func(event.DeleteEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

func canInquire(account *accounts.Account) bool {
	if account == nil {
		return false // the Channel is looked at when its account is there
	}
	_, ok := account.Client.(platform.NoticeClient)
	return ok
}

// sameNotices: the same messages are the newest, in whatever order.
func sameNotices(a, b []v1alpha1.ChannelNotice) bool {
	newest := func(notices []v1alpha1.ChannelNotice) map[[3]string]bool {
		messages := map[[3]string]bool{}
		for _, n := range notices {
			messages[[3]string{n.PlatformType, n.Subject, n.ID}] = true
		}
		return messages
	}
	return maps.Equal(newest(a), newest(b))
}
