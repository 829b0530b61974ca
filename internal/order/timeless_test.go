package order

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
)

// Pushes of a platform that tells no time: their ids are hashes of what they say.

var (
	someTimeless = rapid.Custom(func(t *rapid.T) v1alpha1.Notification {
		n := v1alpha1.Notification{
			Type: rapid.SampledFrom([]v1alpha1.NotificationType{
				issued, issued, issued, cancelled, v1alpha1.NotificationStatusChanged, v1alpha1.NotificationOther,
			}).Draw(t, "type"),
			Succeeded: optional(rapid.Bool()).Draw(t, "succeeded"),
			Remark:    rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "remark"), // not folded: tells copies apart
		}
		if n.Type == cancelled && n.Succeeded == nil {
			n.Type = v1alpha1.NotificationStatusChanged // cancelling waits
		}
		if n.Type == issued {
			n.Codes = rapid.SliceOfN(someTicket, 0, 3).Draw(t, "codes")
		}
		n.PlatformType = string(n.Type)
		text, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		n.ID = fmt.Sprintf("%s:%x", n.Type, sha256.Sum256(text))[:40]
		n.ReceivedAt = someMoment.Draw(t, "receivedAt")
		return n
	})
	someTicket = rapid.Custom(func(t *rapid.T) v1alpha1.Code {
		id := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "ticket")
		return v1alpha1.Code{ID: id, Hint: id + "•••", Form: rapid.SampledFrom([]string{"", "PDF", "QRCode"}).Draw(t, "form")}
	})
	someTimelessPushes = rapid.SliceOfN(someTimeless, 0, 10)
)

// arriving is the pushes in any order, some of them again and received at another time.
func arriving(t *rapid.T, all pushes) pushes {
	again := slices.Clone(all)
	if len(all) > 0 {
		again = append(again, rapid.SliceOfN(rapid.SampledFrom(all), 0, 5).Draw(t, "resent")...)
	}
	again = rapid.Permutation(again).Draw(t, "arrival")
	for i := range again {
		again[i].ReceivedAt = *moment(int64(i))
	}
	return again
}

// Without any time, what comes first does not matter, nor does what comes twice, nor when
// and how often superfluous pushes are dropped in between.
func TestTimelessPushesInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := someTimelessPushes.Draw(t, "pushes")
		evidence := Evidence{Trusted: rapid.Bool().Draw(t, "trusted")}
		want := Fold(all, evidence)

		if diff := cmp.Diff(want, Fold(arriving(t, all), evidence)); diff != "" {
			t.Fatalf("in another order: want -, got +:\n%s", diff)
		}
		var kept pushes
		for _, n := range arriving(t, all) {
			if slices.ContainsFunc(kept, func(k v1alpha1.Notification) bool { return k.ID == n.ID }) {
				continue // the API server refuses a second copy
			}
			kept = append(kept, n)
			if rapid.Bool().Draw(t, "compact") {
				drop := Compact(kept, rapid.IntRange(0, len(kept)).Draw(t, "keep"))
				kept = slices.DeleteFunc(kept, func(n v1alpha1.Notification) bool { return slices.Contains(drop, n.ID) })
			}
		}
		if diff := cmp.Diff(want, Fold(kept, evidence)); diff != "" {
			t.Fatalf("compacted on the way: want -, got +:\n%s", diff)
		}
	})
}

// What wins among pushes without a time, said once more and without the registers.
func TestTimelessPushesByRank(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := someTimelessPushes.Draw(t, "pushes")
		trusted := rapid.Bool().Draw(t, "trusted")
		codes := map[string]bool{}
		var announced, success, failure, cancellation bool
		for _, n := range all {
			said, yes := n.Succeeded != nil, n.Succeeded != nil && *n.Succeeded
			switch n.Type {
			case issued:
				announced, success, failure = announced || !said, success || yes, failure || said && !yes
				for _, c := range n.Codes {
					codes[c.ID] = codes[c.ID] || !said || yes
				}
			case cancelled:
				cancellation = cancellation || yes
			}
		}
		want := v1alpha1.OrderPending
		switch {
		case trusted && failure && !success:
			want = v1alpha1.OrderFailed
		case trusted && cancellation:
			want = v1alpha1.OrderCancelled
		case success:
			want = v1alpha1.OrderIssued
		case announced, failure:
			want = v1alpha1.OrderIssuing
		}
		got := Fold(all, Evidence{Trusted: trusted})
		if got.Status.Phase != want {
			t.Fatalf("phase %s, want %s", got.Status.Phase, want)
		}
		if final := want == v1alpha1.OrderFailed || want == v1alpha1.OrderCancelled; got.Final != final {
			t.Fatalf("final %t", got.Final)
		}
		for _, c := range got.Status.Codes {
			if !codes[c.ID] {
				t.Fatalf("code %s, which nothing issued or announced, or which is listed twice", c.ID)
			}
			delete(codes, c.ID)
			if trusted != (c.Used == nil) {
				t.Fatalf("code %s: used %v, and no push says so", c.ID, c.Used)
			}
		}
		for id, named := range codes {
			if named {
				t.Fatalf("code %s is missing", id)
			}
		}
	})
}
