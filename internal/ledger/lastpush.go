package ledger

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

// lastPushEvery is how coarse a Channel's lastPushTime is: a push must not cost a write of
// its own.
const lastPushEvery = 5 * time.Minute

// lastPush keeps Channels' lastPushTime, and what pushes tell of their credit, off the way
// of the pushes.
type lastPush struct {
	api client.Client

	mu      sync.Mutex
	noted   map[types.NamespacedName]note
	written map[types.NamespacedName]time.Time
}

// note is what is to be written of a Channel.
type note struct {
	// at is when the last push was recorded; a credit alone waits for one.
	at time.Time
	// credit as the newest push that tells it does; nil if none does.
	credit *v1alpha1.ChannelCredit
}

func newLastPush(api client.Client) *lastPush {
	return &lastPush{api: api, noted: map[types.NamespacedName]note{}, written: map[types.NamespacedName]time.Time{}}
}

func (p *lastPush) note(account *accounts.Account, at time.Time) {
	p.add(keyOf(account), note{at: at})
}

// noteCredit notes what a push tells of the account's credit: as of the time that the push
// bears, but no later than it was received.
func (p *lastPush) noteCredit(account *accounts.Account, receivedAt time.Time, credit *platform.Credit) {
	at := credit.At
	if at.IsZero() || at.After(receivedAt) {
		at = receivedAt
	}
	p.add(keyOf(account), note{credit: &v1alpha1.ChannelCredit{
		Amount: credit.Amount, At: metav1.NewTime(at.UTC().Truncate(time.Second)),
	}})
}

func keyOf(account *accounts.Account) types.NamespacedName {
	return types.NamespacedName{Namespace: account.Namespace, Name: account.Name}
}

func (p *lastPush) add(name types.NamespacedName, more note) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.noted[name] = p.noted[name].and(more)
}

// and is the newer of each of two notes.
func (n note) and(more note) note {
	if more.at.After(n.at) {
		n.at = more.at
	}
	if newerCredit(n.credit, more.credit) {
		n.credit = more.credit
	}
	return n
}

// newerCredit reports whether b is told of a time that is not before a's.
func newerCredit(a, b *v1alpha1.ChannelCredit) bool {
	return b != nil && (a == nil || !b.At.Before(&a.At))
}

// due takes the Channels whose notes are to be written.
func (p *lastPush) due() map[types.NamespacedName]note {
	p.mu.Lock()
	defer p.mu.Unlock()
	due := map[types.NamespacedName]note{}
	for name, noted := range p.noted {
		if noted.at.Sub(p.written[name]) >= lastPushEvery {
			due[name] = noted
			p.written[name] = noted.at
			delete(p.noted, name)
		}
	}
	return due
}

// again takes back a write that failed.
func (p *lastPush) again(name types.NamespacedName, failed note) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.written, name)
	p.noted[name] = failed.and(p.noted[name])
}

// write writes what is due, in a bounded time: whoever calls it has more to look at, and an API server
// may hold a connection and never answer. What was not written is due at the next call.
func (p *lastPush) write(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	for name, noted := range p.due() {
		if err := client.IgnoreNotFound(p.writeOne(ctx, name, noted)); err != nil {
			p.again(name, noted)
			ctrl.LoggerFrom(ctx).Error(err, "write the time of the last push", "channel", name)
		}
	}
}

// writeOne writes what is noted of one Channel. Another replica may have heard of a newer
// credit, so that is looked at before.
func (p *lastPush) writeOne(ctx context.Context, name types.NamespacedName, noted note) error {
	channel := &v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}}
	status := map[string]any{"lastPushTime": metav1.NewTime(noted.at.UTC())}
	if noted.credit != nil {
		if err := p.api.Get(ctx, name, channel); err != nil {
			return err
		}
		if newerCredit(channel.Status.Credit, noted.credit) {
			status["credit"] = noted.credit
		}
	}
	body, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		return err
	}
	return p.api.Status().Patch(ctx, channel, client.RawPatch(types.MergePatchType, body))
}
