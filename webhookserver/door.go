package webhookserver

import (
	"errors"
	"io"
	"net/http"
	"net/netip"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/fair"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

const (
	// maxInHand is how many pushes are in hand at a time. One whose body is large counts for
	// several: one more for each bodyUnit that has come. So no more than 64 MiB of bodies are
	// read at a time, and what has not come takes no room.
	maxInHand = 2048
	bodyUnit  = 32 << 10
	// firstUnit is how long the first unit of a body may take to come, and nextUnit each
	// further one: whoever is slower is cut off, and has kept room for no longer than that.
	firstUnit = 2 * time.Second
	nextUnit  = time.Second / 2
	// maxDecoding is how many bodies of a platform, or of a Channel, are decoded at a time; of all twice
	// as many. It takes the processor alone, so more at a time would be no sooner done; but what a body
	// decodes to may take fifty times its room, before anybody knows who sent it.
	maxDecoding = 4
	// maxParts bounds what is in a body, by platform.Parts: the densest sample of a platform would
	// have 15,000 in 256 KiB.
	maxParts = 20_000
)

// errCrowd is a push that there is no room for now.
var errCrowd = errors.New("too many pushes are in hand")

// door bounds the pushes in hand, fairly: first by platform, or by the Channel that the path
// names, since nothing else is known before the body is read; then, while they are recorded
// or answered, by Channel. These are half as many, so that one Channel that floods has at most
// half of what its platform can have, and another of the platform comes through the door.
//
// Before all that, who comes in is divided by address, as long as its body has not come whole: so
// a stranger who sends heads and no bodies leaves room for whoever is elsewhere. All platforms
// together leave as much of the door free as one of them has for this.
//
// Those whose body has come are decoded a few at a time, by turns of who has a share.
type door struct {
	coming    map[v1alpha1.Platform]*fair.Shares[netip.Prefix]
	inHand    *fair.Shares[taker]
	recording *fair.Shares[types.NamespacedName]
	decoding  *fair.Slots[taker]
}

// taker is a platform, or a Channel that the path names.
type taker struct {
	platform v1alpha1.Platform
	channel  types.NamespacedName
}

// taker is whose share a push takes of.
func (at route) taker() taker {
	key := taker{platform: at.platform}
	if at.known { // made-up names have no share of their own
		key.channel = *at.channel
	}
	return key
}

func newDoor(inHand int64, platforms map[v1alpha1.Platform]platform.Receiver) *door {
	d := &door{coming: map[v1alpha1.Platform]*fair.Shares[netip.Prefix]{},
		inHand: fair.NewShares[taker](inHand), recording: fair.NewShares[types.NamespacedName](max(1, inHand/2)),
		decoding: fair.NewSlots[taker](2 * maxDecoding)}
	for name := range platforms {
		d.coming[name] = fair.NewShares[netip.Prefix](max(1, inHand/int64(len(platforms)+1)))
	}
	return d
}

// enter lets a push in, unless too many are in hand, or coming from its address. The zero address
// is nobody's in particular, and has no bound of its own.
func (d *door) enter(at route, from netip.Prefix) (in *visit, admitted bool) {
	in = &visit{room: d.inHand, key: at.taker(), from: from}
	if from.IsValid() {
		in.coming = d.coming[at.platform]
	}
	return in, in.grow()
}

// visit is a push in hand, and the room that it takes.
type visit struct {
	room   *fair.Shares[taker]
	key    taker
	coming *fair.Shares[netip.Prefix] // nil: its body has come, or its address says nothing
	from   netip.Prefix
	units  int64
}

// grow takes room for one more unit, if there is any.
func (v *visit) grow() bool {
	if v.coming != nil && !v.coming.Take(v.from, 1) {
		return false
	}
	if !v.room.Take(v.key, 1) {
		if v.coming != nil {
			v.coming.Release(v.from, 1)
		}
		return false
	}
	v.units++
	return true
}

// came says that no more of its body comes.
func (v *visit) came() {
	if v.coming != nil && v.units > 0 {
		v.coming.Release(v.from, v.units)
	}
	v.coming = nil
}

// leave gives its room back.
func (v *visit) leave() {
	v.came()
	v.room.Release(v.key, v.units)
}

// arriving is the body of a push in hand as it comes: each unit takes room when it begins, and
// has its time.
type arriving struct {
	body io.Reader
	conn *http.ResponseController
	in   *visit
	// due is when the unit that comes must have come.
	due  time.Time
	read int64
}

// arrive has a body come from now on. Its first unit has its room already.
func (v *visit) arrive(w http.ResponseWriter, body io.Reader, firstUnit time.Duration) *arriving {
	a := &arriving{body: body, conn: http.NewResponseController(w), in: v, due: time.Now().Add(firstUnit)}
	_ = a.conn.SetReadDeadline(a.due) // not where there is no connection, as in tests
	return a
}

// Read reads of the body. The error is errCrowd where there is no room for what comes.
func (a *arriving) Read(p []byte) (int, error) {
	if a.read >= a.in.units*bodyUnit {
		if !a.in.grow() {
			return 0, errCrowd
		}
		a.due = a.due.Add(nextUnit)
		_ = a.conn.SetReadDeadline(a.due)
	}
	p = p[:min(int64(len(p)), a.in.units*bodyUnit-a.read)]
	n, err := a.body.Read(p)
	a.read += int64(n)
	return n, err
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
