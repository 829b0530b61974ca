package ledger

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	ac "github.com/laidoulaile/channel-operator/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/apierror"
	"github.com/laidoulaile/channel-operator/internal/journal"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

const (
	// Bounds of what a Channel shows of what is set aside (the schema's).
	maxReplica, maxAsideObjects, maxAsideObject, maxAsideReason = 64, 8, 160, 256
	// asideOwner, and the replica's name behind it, owns what a replica shows.
	asideOwner = "channel-operator-journal-"
)

// asides is what a replica remembers of how it showed what its journal has set aside. It is
// for one goroutine.
type asides struct {
	replica string
	// asked is what requested-at of each Channel was at the last look.
	asked map[types.NamespacedName]string
	// trouble is why a Channel does not show what it should, as it was logged last.
	trouble map[types.NamespacedName]string
}

func newAsides() *asides {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	return &asides{replica: sealing.Cut(cmp.Or(host, "unknown"), maxReplica), trouble: map[types.NamespacedName]string{}}
}

// errNoChannel is why nothing can show what is set aside: an event in the namespace says it.
var errNoChannel = errors.New("the Channel is not there")

// aside is what is set aside of one Channel.
type aside struct {
	seqs  []uint64
	entry v1alpha1.ChannelSetAside
}

// lookAside has the Channels show what the journal has set aside, and has it tried again
// where a Channel's requested-at has changed.
func (l *Ledger) lookAside(ctx context.Context) {
	if l.journal == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	var channels v1alpha1.ChannelList
	err := l.cache.List(ctx, &channels, client.UnsafeDisableDeepCopy) // they are only read
	if l.asides.log(ctx, types.NamespacedName{}, err); err != nil {
		return
	}
	records := l.journal.Asides()
	if stats := l.journal.Stats(); stats.Failed || stats.Asides != len(records) {
		return // what there is is not known now
	}
	asked := map[types.NamespacedName]string{}
	ofChannels := asidesOf(records, l.asides.replica)
	for i := range channels.Items {
		channel := &channels.Items[i]
		name := client.ObjectKeyFromObject(channel)
		asked[name] = channel.Annotations[v1alpha1.AnnotationRequestedAt]
		of := ofChannels[name]
		delete(ofChannels, name)
		l.asides.log(ctx, name, l.showAside(ctx, channel, of))
		if before := l.asides.asked[name]; asked[name] != before && !l.tryAgain(ctx, asked[name], of) {
			asked[name] = before
		}
	}
	for name, of := range ofChannels {
		if l.asides.log(ctx, name, errNoChannel) {
			gone := v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}}
			l.tell(&gone, of.entry, "make the Channel again, with the same name, if it matters")
		}
	}
	l.asides.asked = asked
}

// showAside has a Channel show what is set aside of it, if it does not yet; of is nil if that
// is nothing. What it shows is this replica's own: other replicas have entries beside it.
func (l *Ledger) showAside(ctx context.Context, channel *v1alpha1.Channel, of *aside) error {
	var shown, due *v1alpha1.ChannelSetAside
	for i, entry := range channel.Status.SetAside {
		if entry.Replica == l.asides.replica {
			shown = &channel.Status.SetAside[i]
		}
	}
	configuration := ac.Channel(channel.Name, channel.Namespace)
	if of != nil {
		due = &of.entry
		configuration.WithStatus(ac.ChannelStatus().WithSetAside(entryOf(of.entry)))
	}
	if equality.Semantic.DeepEqual(shown, due) {
		return nil
	}
	err := l.api.Status().Apply(ctx, configuration, client.FieldOwner(asideOwner+l.asides.replica), client.ForceOwnership)
	if err == nil && shown == nil {
		l.tell(channel, *due, "see status.setAside")
	}
	return client.IgnoreNotFound(err) // it is not there at the next look
}

// tell whoever watches a Channel, or its namespace if the Channel is gone.
func (l *Ledger) tell(channel *v1alpha1.Channel, due v1alpha1.ChannelSetAside, next string) {
	if l.Events != nil {
		l.Events.Eventf(channel, nil, corev1.EventTypeWarning, v1alpha1.EventPushSetAside, "Record",
			"%d pushes that were acknowledged cannot be recorded, and are set aside in the journal of %s: %s", due.Records, due.Replica, next)
	}
}

func entryOf(entry v1alpha1.ChannelSetAside) *ac.ChannelSetAsideApplyConfiguration {
	applied := ac.ChannelSetAside().WithReplica(entry.Replica).WithRecords(entry.Records).WithOldest(entry.Oldest)
	for _, o := range entry.Objects {
		applied.WithObjects(ac.ChannelSetAsideObject().WithObject(o.Object).WithRecords(o.Records).WithReason(o.Reason))
	}
	return applied
}

// tryAgain puts back what is set aside of a Channel, if somebody asks. It reports whether
// that was heard.
func (l *Ledger) tryAgain(ctx context.Context, asked string, of *aside) bool {
	if asked == "" || of == nil {
		return true
	}
	if err := l.journal.Restore(of.seqs...); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "what is set aside in the journal is not tried again")
		return false
	}
	return true
}

// log says once what keeps a Channel, or all, from showing what they should. It reports
// whether it said it.
func (a *asides) log(ctx context.Context, name types.NamespacedName, err error) (said bool) {
	if err == nil {
		delete(a.trouble, name)
		return false
	}
	why := err.Error()
	if a.trouble[name] == why {
		return false
	}
	a.trouble[name] = why
	ctrl.LoggerFrom(ctx).Info("what is set aside in the journal cannot be shown on its Channel", "channel", name, "why", err)
	return true
}

// asidesOf sorts what is set aside by Channels. The oldest records come first, so that what
// comes later changes no more than it must of what is shown.
func asidesOf(records []journal.Aside, replica string) map[types.NamespacedName]*aside {
	all := map[types.NamespacedName]*aside{}
	for _, record := range records {
		name, object, ok := nameOf(record.Object)
		if !ok {
			continue // by no version that we know; it is counted all the same
		}
		if all[name] == nil {
			all[name] = &aside{entry: v1alpha1.ChannelSetAside{Replica: replica, Oldest: seconds(record.At)}}
		}
		all[name].add(record, object)
	}
	return all
}

func (a *aside) add(record journal.Aside, object string) {
	a.seqs = append(a.seqs, record.Seq)
	a.entry.Records++
	if at := seconds(record.At); at.Before(&a.entry.Oldest) {
		a.entry.Oldest = at
	}
	reason := cmp.Or(sealing.Cut(record.Reason, maxAsideReason), "not known")
	i := slices.IndexFunc(a.entry.Objects, func(o v1alpha1.ChannelSetAsideObject) bool { return o.Object == object })
	switch {
	case i >= 0:
		a.entry.Objects[i].Records++
		a.entry.Objects[i].Reason = reason
	case len(a.entry.Objects) < maxAsideObjects:
		a.entry.Objects = append(a.entry.Objects, v1alpha1.ChannelSetAsideObject{Object: object, Records: 1, Reason: reason})
	}
}

// seconds is a time as the API server gives it back.
func seconds(at time.Time) metav1.Time { return metav1.NewTime(at.UTC().Truncate(time.Second)) }

// nameOf reads the name that an object has in the journal: its Channel, and what it is for
// people.
func nameOf(journaled string) (channel types.NamespacedName, subject string, ok bool) {
	parts := strings.SplitN(journaled, "/", 4)
	if len(parts) != 4 {
		return channel, "", false
	}
	channel = types.NamespacedName{Namespace: parts[1], Name: parts[2]}
	if kind(parts[0]) == kindChannel {
		return channel, "notices", true
	}
	printable := func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}
	return channel, sealing.Cut(strings.Map(printable, parts[0]+" "+parts[3]), maxAsideObject), true
}

// reasonOf is why a record is refused.
func reasonOf(err error) string { return apierror.Reason(err, maxAsideReason) }

func seqsOf(records []journal.Aside) []uint64 {
	seqs := make([]uint64, 0, len(records))
	for _, record := range records {
		seqs = append(seqs, record.Seq)
	}
	return seqs
}
