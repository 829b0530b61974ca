package webhookserver

import (
	"errors"
	"net/http"

	"k8s.io/apimachinery/pkg/types"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/fair"
)

const (
	// maxInHand is how many pushes are in hand at a time. One that may be large counts for
	// several: one more for each bodyUnit that it says it has, and for all that may come if it
	// does not say. So no more than 64 MiB of bodies are read at a time.
	maxInHand = 2048
	bodyUnit  = 32 << 10
)

// errCrowd is a push that there is no room for now.
var errCrowd = errors.New("too many pushes are in hand")

// door bounds the pushes in hand, fairly: first by platform, or by the Channel that the path
// names, since nothing else is known before the body is read; then, while they are recorded
// or answered, by Channel. These are half as many, so that one Channel that floods has at most
// half of what its platform can have, and another of the platform comes through the door.
type door struct {
	inHand    *fair.Shares[taker]
	recording *fair.Shares[types.NamespacedName]
}

// taker is a platform, or a Channel that the path names.
type taker struct {
	platform v1alpha1.Platform
	channel  types.NamespacedName
}

func newDoor(inHand int64) *door {
	return &door{inHand: fair.NewShares[taker](inHand), recording: fair.NewShares[types.NamespacedName](max(1, inHand/2))}
}

// enter lets a push in, unless too many are in hand. Leave gives its room back.
func (d *door) enter(at route, r *http.Request) (leave func(), admitted bool) {
	key := taker{platform: at.platform}
	if at.known { // made-up names have no share of their own
		key.channel = *at.channel
	}
	return take(d.inHand, key, weigh(r.ContentLength))
}

// record lets a push of an account be recorded or answered.
func (d *door) record(account *accounts.Account) (leave func(), admitted bool) {
	return take(d.recording, types.NamespacedName{Namespace: account.Namespace, Name: account.Name}, 1)
}

func take[K comparable](from *fair.Shares[K], key K, n int64) (giveBack func(), taken bool) {
	if !from.Take(key, n) {
		return nil, false
	}
	return func() { from.Release(key, n) }, true
}

// weigh is for how many pushes one with a body of that length counts; -1: it does not say.
func weigh(length int64) int64 {
	if length < 0 || length > maxBody {
		length = maxBody
	}
	return 1 + length/bodyUnit
}
