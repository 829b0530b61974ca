package ledger

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
	"github.com/laidoulaile/channel-operator/internal/unproven"
)

// fact is what one event says, sealed, and on which object it is to be written. It is all
// that is needed to write it.
type fact struct {
	Object     object    `json:"object"`
	ReceivedAt time.Time `json:"receivedAt"`
	// Account that was pushed to. Records of older versions do not say it.
	Account string `json:"account,omitempty"`
	// Unproven: nothing proves who sent it.
	Unproven bool `json:"unproven,omitempty"`
	// One of these is set.
	Order   *orderFact              `json:"order,omitempty"`
	Product *productFact            `json:"product,omitempty"`
	Notice  *v1alpha1.ChannelNotice `json:"notice,omitempty"`
}

// object is what a fact is written on, by what it is about: its name follows from that.
type object struct {
	Kind      kind              `json:"kind"`
	Namespace string            `json:"namespace"`
	Channel   string            `json:"channel"`
	Platform  v1alpha1.Platform `json:"platform"`
	// ID of the order or the product on the platform; empty for the Channel itself.
	ID string `json:"id,omitempty"`

	// unproven: what is being written is, and makes the object carry the mark. It is no part
	// of what the object is: only a writer sets it, on its own copy.
	unproven bool
}

// channel an object belongs to: what is scarce is divided among these.
type channel struct{ namespace, name string }

func (o object) channel() channel { return channel{o.Namespace, o.Channel} }

// String is the Channel's name in the journal, as channelOf gives it.
func (c channel) String() string { return c.namespace + "/" + c.name }

// kind of object.
type kind string

const (
	kindOrder   kind = "order"
	kindProduct kind = "product"
	kindChannel kind = "channel"
)

// String names the object for people.
func (o object) String() string {
	if o.Kind == kindChannel {
		return "Channel " + o.Channel
	}
	return fmt.Sprintf("%s %s of Channel %s", o.Kind, o.ID, o.Channel)
}

func (o object) key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: o.Namespace, Name: name}
}

func (o object) meta(name string) metav1.ObjectMeta {
	meta := metav1.ObjectMeta{
		Namespace: o.Namespace,
		Name:      name,
		Labels: map[string]string{
			v1alpha1.LabelChannel:  o.Channel,
			v1alpha1.LabelPlatform: string(o.Platform),
		},
	}
	if o.unproven {
		meta.Labels[v1alpha1.LabelUnproven] = unproven.Label(time.Now())
	}
	return meta
}

func objectOf(account *accounts.Account, k kind, id string) object {
	return object{Kind: k, Namespace: account.Namespace, Channel: account.Name, Platform: account.Platform, ID: id}
}

// factsOf are what the events of one push say. What they say of the credit is noted on the
// way: it is no fact that anybody is promised.
func (l *Ledger) factsOf(account *accounts.Account, push platform.Push, events []platform.Event) ([]fact, error) {
	facts := make([]fact, 0, len(events))
	whole := &pushBody{account: account, text: push.Body, copies: len(events)}
	for _, event := range events {
		f, err := fact{}, error(nil)
		switch {
		case event.Product != nil:
			f = productFactOf(account, push, event.Product)
		case event.Order != nil:
			f, err = orderFactOf(account, push, whole, event.Order)
		case event.Notice != nil:
			f, err = noticeFactOf(account, push, event.Notice)
		case event.Credit != nil:
			l.pushed.noteCredit(account, push.ReceivedAt, event.Credit)
			continue
		default:
			err = fmt.Errorf("an event of Channel %s says nothing", account.Name)
		}
		if err != nil {
			return nil, err
		}
		f.Account, f.Unproven = account.ID, push.Unproven
		facts = append(facts, f)
	}
	return facts, nil
}

// maxCopies is how many bytes the copies of one body may come to: a push about very many
// orders leaves with each only the part that is about it.
const maxCopies = 1 << 20

// pushBody is a push's body, sealed once for all the orders it is about.
type pushBody struct {
	sealing.Hidden

	account *accounts.Account
	text    []byte
	copies  int
	sealed  string
}

func (b *pushBody) seal(part sealing.Secret) (string, error) {
	if !part.IsZero() && len(b.text)*b.copies > maxCopies {
		return b.account.Sealer.Seal([]byte(part.Reveal()))
	}
	if b.sealed == "" {
		sealed, err := b.account.Sealer.Seal(b.text)
		if err != nil {
			return "", err
		}
		b.sealed = sealed
	}
	return b.sealed, nil
}

// result is what became of a fact.
type result struct {
	outcome platform.Outcome
	err     error
}

// all gives as many facts the same result.
func all(n int, outcome platform.Outcome, err error) []result {
	results := make([]result, n)
	for i := range results {
		results[i] = result{outcome, err}
	}
	return results
}

// halves writes the two halves of a group, each for itself.
func halves(ctx context.Context, facts []fact, write func(context.Context, []fact) []result) []result {
	half := len(facts) / 2
	return append(write(ctx, facts[:half]), write(ctx, facts[half:])...)
}

// known reports whether this version can write the fact: it may come from a journal that
// another wrote.
func (f fact) known() bool {
	switch f.Object.Kind {
	case kindOrder:
		return f.Order != nil
	case kindProduct:
		return f.Product != nil
	case kindChannel:
		return f.Notice != nil
	}
	return false
}

// isOf reports whether the fact may be written for a Channel that has its Channel's name by now. One that
// was made again for another account is another's. Nil is none: what was acknowledged stays that Channel's.
func (f fact) isOf(channel *v1alpha1.Channel) bool {
	return channel == nil || (f.Account == "" || f.Account == channel.Spec.Account) &&
		(f.Object.Platform == "" || f.Object.Platform == channel.Spec.Platform)
}

// weight is about how many bytes the fact is.
func (f fact) weight() int {
	const frame = 500
	switch {
	case f.Order != nil:
		return frame + weigh(f.Order.Notification)
	case f.Notice != nil:
		return frame + len(f.Notice.Sealed)
	}
	return frame
}
