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
	for name, timeout := range map[string]time.Duration{
		"ReadHeaderTimeout": server.Server.Server.ReadHeaderTimeout,
		"ReadTimeout":       server.Server.Server.ReadTimeout,
		"WriteTimeout":      server.Server.Server.WriteTimeout,
		"IdleTimeout":       server.Server.Server.IdleTimeout,
		"ShutdownTimeout":   *server.ShutdownTimeout,
	} {
		if timeout <= 0 || timeout > 2*time.Minute {
			t.Errorf("%s = %s", name, timeout)
		}
	}
	// Reading takes its time, then recording: the reply must still be possible.
	if s := server.Server.Server; s.WriteTimeout < s.ReadTimeout+4*time.Second {
		t.Errorf("WriteTimeout = %s cuts off a reply after a slow body", s.WriteTimeout)
	}
	if n := server.Server.Server.MaxHeaderBytes; n <= 0 || n > 1<<20 {
		t.Errorf("MaxHeaderBytes = %d", n)
	}
}

func TestServerRunsOnEveryReplicaAfterTheCaches(t *testing.T) {
	var runnable manager.Runnable = webhookserver.New(with(account(), nil).options())
	if runnable.(manager.LeaderElectionRunnable).NeedLeaderElection() {
		t.Error("only the leader would receive")
	}
	if _, early := runnable.(*manager.Server); early {
		t.Error("the manager would start it before the caches")
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
	// Nothing new is taken in from here on.
	deadline := time.Now().Add(10 * time.Second)
	for {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(t.Context(), "tcp", listener.Addr().String())
		if err != nil {
			break
		}
		_ = conn.Close()
		if time.Now().After(deadline) {
			t.Fatal("still listening after its context ended")
		}
	}
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
