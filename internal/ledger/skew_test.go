package ledger_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/laidoulaile/channel-operator/internal/ledger"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

// The clocks of two replicas are five minutes behind and ahead. Whatever each of them
// receives, in whatever order and however often, stands once, and the newest change counts.
func TestReplicasWhoseClocksDifferRecordTheSame(t *testing.T) {
	const skew = 5 * time.Minute
	b := open(t, "fliggy")
	ahead := *b
	ahead.Ledger = ledger.New(b.api, b.api, nil)
	id := 0
	rapid.Check(t, func(rt *rapid.T) {
		id++
		order, product := fmt.Sprint("1", id), fmt.Sprint("2", id)
		messages := rapid.IntRange(1, 4).Draw(rt, "messages")
		newest := noon
		var events []platform.Event
		for i := range messages {
			at := noon.Add(time.Duration(rapid.IntRange(-240, 240).Draw(rt, "seconds")) * time.Second)
			if i == 0 || at.After(newest) {
				newest = at
			}
			events = append(events, told(order, fmt.Sprintf("m-%d", i)), change(product, at, fmt.Sprintf("m-%d", i), platform.AspectPrice))
		}
		deliveries := slices.Concat(rapid.Permutation(events).Draw(rt, "order"), rapid.SliceOfN(rapid.SampledFrom(events), 0, 4).Draw(rt, "redelivered"))
		for _, event := range deliveries {
			received, by := push("body"), b
			received.ReceivedAt = noon.Add(-skew)
			if rapid.Bool().Draw(rt, "by the one ahead") {
				received.ReceivedAt, by = noon.Add(skew), &ahead
			}
			by.record(received, event)
		}
		if n := len(b.order("fliggy-" + order).Spec.Notifications); n != messages {
			rt.Errorf("%d notifications of %d messages", n, messages)
		}
		if price := b.product("fliggy-" + product).Spec.Announced.Price; !price.ChangedAt.Time.Equal(newest) {
			rt.Errorf("announced is the change of %s, and the newest is of %s", price.ChangedAt, newest)
		}
	})
}
