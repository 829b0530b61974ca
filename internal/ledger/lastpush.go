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
)

const (
	// lastPushEvery is how coarse a Channel's lastPushTime is: a push must not cost a
	// write of its own.
	lastPushEvery = 5 * time.Minute
	// lastPushLook is how often it is looked at whether a Channel's time is due.
	lastPushLook = 5 * time.Second
)

// lastPush keeps Channels' lastPushTime, off the way of the pushes.
type lastPush struct {
	api client.Client

	mu      sync.Mutex
	noted   map[types.NamespacedName]time.Time
	written map[types.NamespacedName]time.Time
}

func newLastPush(api client.Client) *lastPush {
	return &lastPush{api: api, noted: map[types.NamespacedName]time.Time{}, written: map[types.NamespacedName]time.Time{}}
}

func (p *lastPush) note(account *accounts.Account, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.noted[types.NamespacedName{Namespace: account.Namespace, Name: account.Name}] = at
}

// due takes the Channels whose time is to be written.
func (p *lastPush) due() map[types.NamespacedName]time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	due := map[types.NamespacedName]time.Time{}
	for name, at := range p.noted {
		if at.Sub(p.written[name]) >= lastPushEvery {
			due[name] = at
			p.written[name] = at
			delete(p.noted, name)
		}
	}
	return due
}

// again takes back a write that failed.
func (p *lastPush) again(name types.NamespacedName, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.written, name)
	if p.noted[name].Before(at) {
		p.noted[name] = at
	}
}

// NeedLeaderElection is false: every replica receives.
func (l *Ledger) NeedLeaderElection() bool { return false }

// Start writes lastPushTime now and then until the context ends.
func (l *Ledger) Start(ctx context.Context) error {
	ticker := time.NewTicker(lastPushLook)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			l.pushed.write(ctx)
		}
	}
}

func (p *lastPush) write(ctx context.Context) {
	for name, at := range p.due() {
		body, err := json.Marshal(map[string]any{"status": map[string]any{"lastPushTime": metav1.NewTime(at.UTC())}})
		if err == nil {
			channel := &v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}}
			err = p.api.Status().Patch(ctx, channel, client.RawPatch(types.MergePatchType, body))
		}
		if client.IgnoreNotFound(err) != nil {
			p.again(name, at)
			ctrl.LoggerFrom(ctx).Error(err, "write the time of the last push", "channel", name)
		}
	}
}
