//go:build !race

package ledger

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/journal"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// What a push of a product may allocate here, from its event to the encoded patch, and what a group
// of 256 may that goes out together: a fifth more than was measured. That was 44 allocations of
// 3.4 KB, and 20 of 11 KB (its results are most of it); the body has 64 KiB. To encode the patch
// once more is 13 allocations. The race detector makes more of its own: `make test` runs this
// without it.
//
// A push of an order with a code and a body of 2 KiB is sealed as well: that was 170 allocations
// of 31 KB. To seal once more is 109 allocations.
const (
	pushAllocs, pushBytes   = 52, 4100
	groupAllocs, groupBytes = 24, 13400
	orderAllocs, orderBytes = 204, 38400
)

// eager takes each patch, and encodes it as a client does.
type eager struct{ client.Client }

func (eager) Patch(_ context.Context, o client.Object, p client.Patch, _ ...client.PatchOption) error {
	_, err := p.Data(o)
	return err
}

// costs is what a run allocates, at the least: now and then the runtime does so too.
func costs(run func()) (allocs, size float64) {
	const runs = 200
	allocs, size = 1e9, 1e9
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			run()
		}
		runtime.ReadMemStats(&after)
		allocs = min(allocs, float64(after.Mallocs-before.Mallocs)/runs)
		size = min(size, float64(after.TotalAlloc-before.TotalAlloc)/runs)
	}
	return allocs, size
}

// The hot path keeps to its budget: its body is neither read nor copied here, and a fact is
// encoded once.
func TestProductPushKeepsToItsBudget(t *testing.T) {
	kept, err := journal.Open(journal.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = kept.Close() }()
	l := New(eager{}, nil, kept)
	account := &accounts.Account{Namespace: "travel", Name: "fliggy", Platform: v1alpha1.PlatformFliggy}
	push := platform.Push{Body: bytes.Repeat([]byte("x"), 64<<10), ReceivedAt: time.Now()}
	changeOf := func(i int) *platform.ProductChange {
		return &platform.ProductChange{ProductID: "9007199254740995", MessageID: fmt.Sprint("m-", i), Type: "PRICE",
			Aspects: []platform.Aspect{platform.AspectPrice, platform.AspectStock}, ChangedAt: push.ReceivedAt}
	}
	events := []platform.Event{{Product: changeOf(1)}}
	var facts []fact
	for i := range maxProductGroup {
		facts = append(facts, productFactOf(account, push, changeOf(i)))
	}
	for _, test := range []struct {
		what          string
		run           func()
		allocs, bytes float64
	}{
		{"a push", func() {
			if outcome, err := l.Record(t.Context(), account, push, events); err != nil || outcome != platform.OutcomeRecorded {
				t.Errorf("%s, %v", outcome, err)
			}
		}, pushAllocs, pushBytes},
		{"a group", func() {
			if results := l.write(t.Context(), facts); results[len(results)-1].outcome != platform.OutcomeRecorded {
				t.Errorf("%+v", results[len(results)-1])
			}
		}, groupAllocs, groupBytes},
	} {
		if allocs, size := costs(test.run); allocs > test.allocs || size > test.bytes {
			t.Errorf("%s allocates %.1f times, %.0f bytes; its budget is %v, %v", test.what, allocs, size, test.allocs, test.bytes)
		}
	}
}

// What a push of an order does beside is to seal its body, once, and to hash its codes.
func TestOrderPushKeepsToItsBudget(t *testing.T) {
	kept, err := journal.Open(journal.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = kept.Close() }()
	l := New(eager{}, nil, kept)
	identity, err := sealing.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	recipients, err := sealing.Recipients(identity)
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := sealing.NewSealer(recipients, sealing.NewCodeKey())
	if err != nil {
		t.Fatal(err)
	}
	account := &accounts.Account{Namespace: "travel", Name: "fliggy", Platform: v1alpha1.PlatformFliggy, Sealer: sealer}
	push := platform.Push{Body: bytes.Repeat([]byte("x"), 2<<10), ReceivedAt: time.Now()}
	events := []platform.Event{{Order: &platform.OrderNotification{OrderID: "9007199254740995", OutOrderID: "T-1", MessageID: "m-1",
		Kind: string(v1alpha1.NotificationCodesIssued), PlatformType: "SEND", OccurredAt: push.ReceivedAt, Succeeded: new(true),
		Codes: []platform.Code{{Text: sealing.NewSecret("123456789012"), Persons: new(int64(2))}}}}}
	allocs, size := costs(func() {
		if outcome, err := l.Record(t.Context(), account, push, events); err != nil || outcome != platform.OutcomeRecorded {
			t.Errorf("%s, %v", outcome, err)
		}
	})
	if allocs > orderAllocs || size > orderBytes {
		t.Errorf("it allocates %.1f times, %.0f bytes; its budget is %v, %v", allocs, size, orderAllocs, orderBytes)
	}
}
