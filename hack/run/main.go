// Command run is the local stack: a real API server and etcd, the fake platforms and
// the manager, with samples applied and real pushes sent. It prints what `kubectl get`
// shows and stays up until interrupted; with ONCE=1 it ends there, with 0 if everything
// is Ready. Everything listens on loopback, and ends with this program.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// startTimeout bounds each part's start.
	startTimeout = 2 * time.Minute
	// readyTimeout bounds the wait for everything to be Ready.
	readyTimeout = 2 * time.Minute
	// catalogueSize is how many products the fake Fliggy has; the others have their own.
	catalogueSize = 8
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	once := os.Getenv("ONCE") != "" && os.Getenv("ONCE") != "0"
	if err := run(ctx, once); err != nil {
		fmt.Fprintln(os.Stderr, "run:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, once bool) (err error) {
	dir, err := os.MkdirTemp("", "channel-operator-")
	if err != nil {
		return err
	}
	s := &stack{dir: dir, kubeconfig: filepath.Join(dir, "controlplane", "kubeconfig")}
	defer func() {
		s.stop()
		if err != nil {
			err = fmt.Errorf("%w\nlogs are in %s", err, dir)
			return
		}
		err = os.RemoveAll(dir)
	}()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.died = cancel
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"starting etcd and kube-apiserver", s.startControlPlane},
		{"starting the fake platforms", s.startPlatforms},
		{"installing the CRDs and the samples", s.applySamples},
		{"starting the manager", s.startManager},
		{"waiting for the discovered products", s.waitForCatalogue},
		{"sending Fliggy's pushes", s.sendFliggyPushes},
		{"sending Douyin's pushes, and deciding on refunds", s.sendDouyinPushes},
		{"waiting for what Douyin tells by itself", s.waitForDouyin},
		{"sending SCTT's pushes", s.sendSCTTPushes},
		{"waiting until SCTT's pushes show", s.waitForSCTT},
		{"waiting until everything is Ready", s.waitReady},
		{"asking the fake platforms whether they complain", s.noComplaints},
	} {
		fmt.Println("==>", step.what)
		if err := step.do(ctx); err != nil {
			s.show(context.WithoutCancel(ctx))
			return fmt.Errorf("%s: %w", step.what, errors.Join(err, context.Cause(ctx)))
		}
	}
	s.show(ctx)
	if once {
		return nil
	}
	s.explain()
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	fmt.Println("==> stopping")
	return nil
}
