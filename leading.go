package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// longestPause is how long the process may stand still and still believe that it leads. A
	// leader that cannot renew its lease for so long gives it up.
	longestPause = 8 * time.Second
	// leaseDuration is how long a lease lasts that nobody renews: when its holder is killed,
	// another leads a few seconds later.
	leaseDuration = 12 * time.Second
	// leaseRetry is how often it is renewed, and looked at by who does not hold it. Each such pause is up
	// to 2.2 times as long (client-go's), and two of them come on top of the lease until another leads:
	// 16.4 seconds after the holder was killed, at the latest.
	leaseRetry = time.Second
)

var errStoodStill = errors.New("the process stood still, so that another replica may lead since")

// statusClient is the manager's client. Where one of several replicas leads, it writes a status,
// and deletes, only if the process is sure that it does.
// The other result reports whether it is; nil: there is one replica.
func statusClient(mgr ctrl.Manager, elected bool) (client.Client, func() bool, error) {
	if !elected {
		return mgr.GetClient(), nil, nil
	}
	leader := newLeading()
	return leader.client(mgr.GetClient()), leader.sure, mgr.Add(leader)
}

// leading knows whether a process that leads may go on to believe so. One that was stopped, or
// got no processor, has lost its lease without hearing of it; what it is about to write a
// moment later is of long ago.
type leading struct {
	// wall is the time of day. The clock that time.Now measures spans with may stand still while a
	// guest is suspended; this one is put right when it goes on. Where it jumps ahead for another
	// reason, that ends the leader once, and another leads.
	wall func() time.Time

	mu             sync.Mutex
	last, lastWall time.Time
	over           bool
}

func newLeading() *leading { return &leading{wall: timeOfDay} }

// timeOfDay is now, without what would measure a span by the other clock.
func timeOfDay() time.Time { return time.Now().Round(0) }

// sure reports whether the process never stood still for long since it led. Once it did, it is
// never sure again.
func (l *leading) sure() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, wall := time.Now(), l.wall()
	l.over = l.over || !l.last.IsZero() && max(now.Sub(l.last), wall.Sub(l.lastWall)) > longestPause
	l.last, l.lastWall = now, wall
	return !l.over
}

// Start looks every second as long as the process leads, and ends it when it is not sure.
func (l *leading) Start(ctx context.Context) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for l.sure() {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
	return errStoodStill
}

// client writes no status, and deletes nothing, unless the process is sure that it leads.
func (l *leading) client(c client.Client) client.Client { return leadersClient{c, l} }

type leadersClient struct {
	client.Client
	leading *leading
}

func (c leadersClient) Delete(ctx context.Context, object client.Object, opts ...client.DeleteOption) error {
	if !c.leading.sure() {
		return errStoodStill
	}
	return c.Client.Delete(ctx, object, opts...)
}

func (c leadersClient) Status() client.SubResourceWriter {
	return leadersStatus{c.Client.Status(), c.leading}
}

type leadersStatus struct {
	client.SubResourceWriter
	leading *leading
}

func (s leadersStatus) Apply(ctx context.Context, status runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
	if !s.leading.sure() {
		return errStoodStill
	}
	return s.SubResourceWriter.Apply(ctx, status, opts...)
}
