package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"

	"github.com/laidoulaile/channel-operator/hack/loopback"
)

const (
	namespace = "bench"
	channel   = "fliggy"
	account   = "20001"
	pushToken = "bench"

	// startTimeout bounds each part's start, on two busy cores. The first of a manager among a
	// hundred thousand products takes minutes: the API server reads them all from etcd for it.
	startTimeout = 8 * time.Minute

	// memoryLimit is what config/manager sets for the heap of the manager.
	memoryLimit = "GOMEMLIMIT=870MiB"
)

// stack is a control plane of its own, a fake platform, and a manager when there is one.
// Each section has a fresh one.
type stack struct {
	dir     string
	died    context.CancelCauseFunc
	control *process
	manager *process
	api     *api
	front   *front
	server  *http.Server
	// Addresses of the manager, host:port.
	push, metrics, probes string
}

// newStack starts a control plane with the CRDs, the fake platform and its Channel. If a
// part dies, died is told.
func newStack(ctx context.Context, dir string, died context.CancelCauseFunc) (*stack, error) {
	s := &stack{dir: dir, died: died}
	err := s.begin(ctx)
	if err != nil {
		s.close()
	}
	return s, err
}

func (s *stack) begin(ctx context.Context) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	free, err := loopback.FreeAddresses(3)
	if err != nil {
		return err
	}
	s.push, s.metrics, s.probes = free[0], free[1], free[2]
	if err := s.startControlPlane(ctx); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"apply", "-k", filepath.Join("config", "crd")},
		{"wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"},
	} {
		if err := s.kubectl(ctx, "", args...); err != nil {
			return err
		}
	}
	return s.openChannel(ctx)
}

func (s *stack) controlDir() string { return filepath.Join(s.dir, "controlplane") }
func (s *stack) kubeconfig() string { return filepath.Join(s.controlDir(), "kubeconfig") }

// startControlPlane starts etcd and the API server, or starts them again as they were.
func (s *stack) startControlPlane(ctx context.Context) (err error) {
	s.control, err = startProcess(filepath.Join(s.dir, "controlplane.log"), s.died, nil, "controlplane", "up", "--dir", s.controlDir())
	if err != nil {
		return err
	}
	return until(ctx, startTimeout, func(ctx context.Context) error {
		if s.api == nil {
			if s.api, err = newAPI(s.kubeconfig()); err != nil {
				return err
			}
		}
		_, err := s.api.get(ctx, "/readyz")
		return err
	})
}

// openChannel makes the account on the fake platform and its Channel, with the widest
// limits that the fields allow.
func (s *stack) openChannel(ctx context.Context) error {
	fake, err := platformtest.NewFliggy(platformtest.FliggyConfig{Account: account})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.front = newFront(fake)
	s.server = &http.Server{Handler: s.front}
	go func() { _ = s.server.Serve(listener) }()
	return s.kubectl(ctx, fmt.Sprintf(`
apiVersion: v1
kind: Namespace
metadata: {name: %[1]s}
---
apiVersion: v1
kind: Secret
metadata: {name: fliggy-credentials, namespace: %[1]s}
stringData: {privateKey: %[2]q, token: %[7]s}
---
apiVersion: %[3]s
kind: Channel
metadata: {name: %[4]s, namespace: %[1]s}
spec:
  platform: Fliggy
  account: %[5]q
  endpoint: http://%[6]s
  credentialsRef: {name: fliggy-credentials}
  limits: {requestsPerSecond: 1000, burst: 1000, concurrency: 100}
  receive: {tokenSecretRef: {name: fliggy-credentials, key: token}} # else new objects are bounded
`, namespace, fake.PrivateKey(), v1alpha1.SchemeGroupVersion, channel, account, listener.Addr(), pushToken), "apply", "-f", "-")
}

// close ends everything, the last first: the manager needs the API server to say goodbye.
func (s *stack) close() {
	s.stopManager()
	if s.server != nil {
		_ = s.server.Close()
	}
	if s.control != nil {
		s.control.stop()
	}
}

// startController starts a manager that does everything, and waits until it receives.
func (s *stack) startController(ctx context.Context) error {
	return s.startManager(ctx, "--leader-elect=false")
}

// startStandby starts a manager that receives and records, as every replica does, and that
// is kept from the rest by a lease that another holds.
func (s *stack) startStandby(ctx context.Context) error {
	if err := s.holdLease(ctx, "somebody else"); err != nil {
		return err
	}
	return s.startManager(ctx, "--leader-elect=true", "--leader-elect-namespace", namespace)
}

func (s *stack) startManager(ctx context.Context, flags ...string) error {
	if err := s.launch(flags...); err != nil {
		return err
	}
	return until(ctx, startTimeout, func(ctx context.Context) error { return loopback.Answers(ctx, "http://"+s.probes+"/readyz") })
}

// launch starts the manager and does not wait.
func (s *stack) launch(flags ...string) (err error) {
	s.manager, err = startProcess(filepath.Join(s.dir, "manager.log"), s.died, []string{memoryLimit}, "manager", append([]string{
		"--kubeconfig", s.kubeconfig(), "--push-bind-address", s.push, "--metrics-bind-address", s.metrics, "--metrics-secure=false",
		"--health-probe-bind-address", s.probes, "--allow-private-endpoints", "--journal-dir", filepath.Join(s.dir, "journal")}, flags...)...)
	return err
}

// stopManager ends the manager, if there is one.
func (s *stack) stopManager() {
	if s.manager != nil {
		s.manager.stop()
		s.manager = nil
	}
}

// leaseName is what managers compete for.
const leaseName = "channel-operator." + v1alpha1.GroupName

// holdLease makes somebody the leader for an hour; nobody, if holder is empty.
func (s *stack) holdLease(ctx context.Context, holder string) error {
	return s.kubectl(ctx, fmt.Sprintf(`
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: %s, namespace: %s}
spec: {holderIdentity: %q, leaseDurationSeconds: 3600, renewTime: %q}
`, leaseName, namespace, holder, time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")), "apply", "--server-side", "--force-conflicts", "-f", "-")
}

// kubectl runs kubectl with an input.
func (s *stack) kubectl(ctx context.Context, input string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(assets(), "kubectl"), append([]string{"--kubeconfig", s.kubeconfig()}, args...)...)
	cmd.Stdin = strings.NewReader(input)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("kubectl %s: %w: %s", args[0], err, strings.TrimSpace(problems.String()))
	}
	return nil
}

// assets is where kubectl is.
func assets() string {
	if dir := os.Getenv("KUBEBUILDER_ASSETS"); dir != "" {
		return dir
	}
	return filepath.Join("bin", "k8s")
}

// Polls come the more seldom the longer they last: they take from what is measured.
const (
	firstPoll, lastPoll = 10 * time.Millisecond, 500 * time.Millisecond
	pollShare           = 20 // of the time it took so far
)

// until polls a condition, and says what it last lacked if it never holds.
func until(ctx context.Context, timeout time.Duration, condition func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := time.Now()
	var lacked error
	for {
		err := condition(ctx)
		if err == nil {
			return nil
		}
		if lacked == nil || ctx.Err() == nil { // what is cut off says nothing
			lacked = err
		}
		if !sleep(ctx, min(max(time.Since(start)/pollShare, firstPoll), lastPoll)) {
			return errors.Join(lacked, context.Cause(ctx))
		}
	}
}
