package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// writes counts the statuses that are written.
type writes struct {
	client.SubResourceWriter
	n int
}

// statusOnly is a client that has nothing but statuses.
type statusOnly struct {
	client.Client
	statuses client.SubResourceWriter
}

func (c statusOnly) Status() client.SubResourceWriter { return c.statuses }

func (w *writes) Apply(context.Context, runtime.ApplyConfiguration, ...client.SubResourceApplyOption) error {
	w.n++
	return nil
}

func TestALeaderThatStoodStillWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := &leading{}, &writes{}
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
		}
		if err := l.Start(t.Context()); !errors.Is(err, errStoodStill) || w.n != 3 {
			t.Errorf("it goes on: %v; %d writes", err, w.n)
		}
	})
}

func TestALeaderThatIsIdleGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &leading{}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := l.Start(ctx); err != nil || !l.sure() {
			t.Errorf("it ended: %v", err)
		}
	})
}
