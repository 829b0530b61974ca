package order

import (
	"cmp"
	"slices"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
)

// Compact chooses notifications that may be removed so that at most keep remain: hints
// first, then what newer notifications have superseded, oldest first. What is left folds
// to the same Outcome, with any evidence and whatever is pushed later. Where more than
// keep are needed for that, it chooses no more than it safely can.
func Compact(notifications []v1alpha1.Notification, keep int) (drop []string) {
	told := read(notifications, nil)
	needed := told.deciders()
	all := distinct(notifications)
	spare := slices.DeleteFunc(slices.Clone(all), func(n *v1alpha1.Notification) bool { return needed[n.ID] })
	slices.SortFunc(spare, func(a, b *v1alpha1.Notification) int {
		return cmp.Or(cmp.Compare(rank(!isHint(a)), rank(!isHint(b))), compare(a, b))
	})
	excess := max(0, len(all)-max(0, keep))
	for _, n := range spare[:min(excess, len(spare))] {
		drop = append(drop, n.ID)
	}
	return drop
}

// isHint: the push only says that something happened.
func isHint(n *v1alpha1.Notification) bool {
	switch n.Type {
	case v1alpha1.NotificationStatusChanged, v1alpha1.NotificationBooking, v1alpha1.NotificationOther:
		return true
	}
	return false
}
