package webhookserver_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/webhookserver"
)

func TestServerIsBoundedInEveryWay(t *testing.T) {
	server := webhookserver.New(with(account(), nil).options())
	for name, timeout := range map[string]struct{ got, want time.Duration }{
		"ReadHeaderTimeout": {server.Server.ReadHeaderTimeout, 5 * time.Second},
		"ReadTimeout":       {server.Server.ReadTimeout, 8 * time.Second},
		"WriteTimeout":      {server.Server.WriteTimeout, 15 * time.Second},
		"IdleTimeout":       {server.Server.IdleTimeout, 90 * time.Second},
		"ShutdownTimeout":   {*server.ShutdownTimeout, 15 * time.Second},
	} {
		if timeout.got != timeout.want {
			t.Errorf("%s = %s, want %s as docs/operations.md says", name, timeout.got, timeout.want)
		}
	}
	// Reading takes its time, then recording: the reply must still be possible.
	if s := server.Server; s.WriteTimeout < s.ReadTimeout+4*time.Second {
		t.Errorf("WriteTimeout = %s cuts off a reply after a slow body", s.WriteTimeout)
	}
	if n := server.Server.MaxHeaderBytes; n != 64<<10 {
		t.Errorf("MaxHeaderBytes = %d, want 64 KiB as docs/operations.md says", n)
	}
}

// The manager starts its own type of server before the caches, and stops it last.
func TestServerRunsOnEveryReplicaBeforeTheCaches(t *testing.T) {
	var runnable manager.Runnable = webhookserver.New(with(account(), nil).options())
	if runnable.(manager.LeaderElectionRunnable).NeedLeaderElection() {
		t.Error("only the leader would receive")
	}
	if _, early := runnable.(*manager.Server); !early {
		t.Error("the manager would start it after the caches")
	}
}

// The manager waits for nobody when it lost its lease: then Finish does.
func TestFinishWaitsForThePushInFlight(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := with(account(), nil)
	recording, release := make(chan struct{}), make(chan struct{})
	b.record = func(context.Context) (platform.Outcome, error) {
		close(recording)
		<-release
		return platform.OutcomeRecorded, nil
	}
	options := b.options()
	options.Listener = listener
	server := webhookserver.New(options)
	go func() { _ = server.Start(t.Context()) }() // nobody waits for it
	replied := make(chan int, 1)
	go func() {
		status, _, _ := send(t.Context(), "http://"+listener.Addr().String()+byAccount+productTail, sample(t, "product-info.json"))
		replied <- status
	}()
	await(t, recording)
	finished := make(chan error, 1)
	go func() { finished <- webhookserver.Finish(server) }()
	untilRefused(t, listener.Addr().String())
	select {
	case err := <-finished:
		t.Fatalf("finished with a push in flight: %v", err)
	default:
	}
	close(release)
	if err := await(t, finished); err != nil {
		t.Error(err)
	}
	if status := await(t, replied); status != http.StatusOK {
		t.Errorf("answered %d", status)
	}
}

func TestPushInFlightAtShutdownIsAnswered(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := with(account(), nil)
	recording, release := make(chan struct{}), make(chan struct{})
	b.record = func(ctx context.Context) (platform.Outcome, error) {
		close(recording)
		<-release
		if err := ctx.Err(); err != nil {
			return platform.OutcomeRetry, err
		}
		return platform.OutcomeRecorded, nil
	}
	options := b.options()
	options.Listener = listener
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	stopped := make(chan error, 1)
	go func() { stopped <- webhookserver.New(options).Start(ctx) }()

	type reply struct {
		status int
		body   string
		err    error
	}
	replied := make(chan reply, 1)
	go func() {
		status, body, err := send(t.Context(), "http://"+listener.Addr().String()+byAccount+productTail, sample(t, "product-info.json"))
		replied <- reply{status, body, err}
	}()
	await(t, recording)
	stop()
	untilRefused(t, listener.Addr().String())
	select {
	case err := <-stopped:
		t.Fatalf("stopped with a push in flight: %v", err)
	default:
	}
	close(release)
	if got := await(t, replied); got.err != nil || got.status != http.StatusOK || got.body != "success" {
		t.Errorf("answered %d %q, %v", got.status, got.body, got.err)
	}
	if err := await(t, stopped); err != nil {
		t.Errorf("Start: %v", err)
	}
}

// untilRefused waits until nothing new is taken in.
func untilRefused(t *testing.T, address string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(t.Context(), "tcp", address)
		if err != nil {
			return
		}
		_ = conn.Close()
		if time.Now().After(deadline) {
			t.Fatal("still listening after it was told to end")
		}
	}
}

func send(ctx context.Context, url, body string) (int, string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	response, err := platform.NewRoundTripper(true).RoundTrip(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, string(answer), err
}
