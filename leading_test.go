package main

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/controllers"
	"github.com/laidoulaile/channel-operator/test/env"
)

// writes counts the statuses that are written, and what is deleted.
type writes struct {
	client.SubResourceWriter
	n int
}

// statusOnly is a client that has nothing but statuses, and deletes.
type statusOnly struct {
	client.Client
	statuses *writes
}

func (c statusOnly) Status() client.SubResourceWriter { return c.statuses }

func (c statusOnly) Delete(context.Context, client.Object, ...client.DeleteOption) error {
	c.statuses.n++
	return nil
}

func (w *writes) Apply(context.Context, runtime.ApplyConfiguration, ...client.SubResourceApplyOption) error {
	w.n++
	return nil
}

func TestALeaderThatStoodStillWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := newLeading(), &writes{}
		c := l.client(statusOnly{statuses: w})
		for range 3 {
			time.Sleep(longestPause)
			if err := c.Status().Apply(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(longestPause + 1) // the worker is the first to see it, and does not forget
		for range 2 {
			if err := c.Status().Apply(t.Context(), nil); !errors.Is(err, errStoodStill) {
				t.Errorf("written: %v", err)
			}
			if err := c.Delete(t.Context(), nil); !errors.Is(err, errStoodStill) {
				t.Errorf("deleted: %v", err)
			}
		}
		if err := l.Start(t.Context()); !errors.Is(err, errStoodStill) || w.n != 3 {
			t.Errorf("it goes on: %v; %d writes", err, w.n)
		}
	})
}

// A suspended guest's clock for spans may stand still: then the time of day tells. That goes back
// now and then, by little or much, and says nothing then.
func TestALeaderThatWasSuspendedWritesNothing(t *testing.T) {
	l, w := newLeading(), &writes{}
	c, wall := l.client(statusOnly{statuses: w}), timeOfDay()
	l.wall = func() time.Time { return wall }
	for _, step := range []time.Duration{0, longestPause, -time.Hour, longestPause} {
		wall = wall.Add(step)
		if err := errors.Join(c.Status().Apply(t.Context(), nil), c.Delete(t.Context(), nil)); err != nil {
			t.Fatalf("%s later: %v", step, err)
		}
	}
	wall = wall.Add(longestPause + 1)
	if err := c.Delete(t.Context(), nil); !errors.Is(err, errStoodStill) {
		t.Errorf("deleted: %v", err)
	}
	if err := c.Status().Apply(t.Context(), nil); !errors.Is(err, errStoodStill) || w.n != 8 {
		t.Errorf("written: %v; %d writes", err, w.n)
	}
	if now := timeOfDay(); now != now.Round(0) {
		t.Errorf("%s measures spans by the clock that may stand still", now)
	}
}

// Whatever the controllers write, where one of several replicas leads, they write as the leader.
func TestControllersWriteAsTheLeader(t *testing.T) {
	mgr, err := ctrl.NewManager(env.Config(), managerOptions(options{metricsAddress: "0", probeAddress: "0"}))
	if err != nil {
		t.Fatal(err)
	}
	for _, elected := range []bool{true, false} {
		all, err := reconcilers(mgr, nil, nil, options{leaderElect: elected})
		if err != nil || len(all) != 3 {
			t.Fatalf("%d controllers: %v", len(all), err)
		}
		for _, one := range all {
			if _, asLeader := reflect.TypeAssert[leadersClient](reflect.ValueOf(one).Elem().FieldByName("Client")); asLeader != elected {
				t.Errorf("%T, elected %t: as the leader %t", one, elected, asLeader)
			}
			if orders, tells := one.(*controllers.OrderVoucherReconciler); tells && (orders.Leads != nil) != elected {
				t.Errorf("elected %t: it knows whether it leads: %t", elected, !elected)
			}
		}
	}
}

func TestALeaderThatIsIdleGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeading()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := l.Start(ctx); err != nil || !l.sure() {
			t.Errorf("it ended: %v", err)
		}
	})
}
