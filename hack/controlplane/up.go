package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/laidoulaile/channel-operator/hack/loopback"
)

const (
	startPatience  = 3 * time.Minute  // two busy cores; ten seconds is usual
	portPatience   = 10 * time.Second // for the children of a killed parent to go
	apiServerGrace = 20 * time.Second
	etcdGrace      = 10 * time.Second
)

// cluster is what one directory holds.
type cluster struct {
	dir         string
	binaries    string
	ports       ports
	credentials credentials
}

func (c *cluster) kubeconfig() string { return filepath.Join(c.dir, "kubeconfig") }
func (c *cluster) etcd() string       { return "http://" + loopback.Address(c.ports.EtcdClient) }
func (c *cluster) etcdPeer() string   { return "http://" + loopback.Address(c.ports.EtcdPeer) }
func (c *cluster) apiServer() string  { return "https://" + loopback.Address(c.ports.APIServer) }

// up runs the cluster of a directory until ctx ends (nil) or a child does (an error).
func up(ctx context.Context, dir, binaries string, out io.Writer) error {
	// See childAttributes: this thread must outlive the children it starts.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	unlock, err := lock(filepath.Join(dir, "lock"), false)
	if errors.Is(err, errLocked) {
		return fmt.Errorf("a control plane is running on %s already", dir)
	}
	if err != nil {
		return err
	}
	defer unlock()

	c, err := open(dir, binaries)
	if err != nil {
		return err
	}
	return c.run(ctx, out)
}

func open(dir, binaries string) (*cluster, error) {
	credentials, err := loadCredentials(dir)
	if err != nil {
		return nil, err
	}
	ports, err := loadPorts(dir)
	if err != nil {
		return nil, err
	}
	c := &cluster{dir: dir, binaries: binaries, ports: ports, credentials: credentials}
	return c, waitFree(ports, portPatience)
}

func (c *cluster) run(ctx context.Context, out io.Writer) (err error) {
	etcd, err := startProcess(c.dir, filepath.Join(c.binaries, "etcd"), c.etcdArgs()...)
	if err != nil {
		return err
	}
	// Deferred calls run last to first: the API server stops before its store.
	defer func() { err = errors.Join(err, etcd.stop(etcdGrace)) }()
	if err := waitReady(ctx, http.DefaultClient, c.etcd()+"/readyz", etcd); err != nil {
		return ignoreInterrupt(err)
	}

	apiServer, err := startProcess(c.dir, filepath.Join(c.binaries, "kube-apiserver"), c.apiServerArgs()...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, apiServer.stop(graceWith(etcd))) }()
	client, err := c.client()
	if err != nil {
		return err
	}
	if err := waitReady(ctx, client, c.apiServer()+"/readyz", apiServer, etcd); err != nil {
		return ignoreInterrupt(err)
	}

	if err := c.announce(out); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case <-etcd.done:
		return etcd.died()
	case <-apiServer.done:
		return apiServer.died()
	}
}

// graceWith: an API server whose store is gone would wait for it until killed.
func graceWith(etcd *process) time.Duration {
	select {
	case <-etcd.done:
		return time.Second
	default:
		return apiServerGrace
	}
}

func (c *cluster) announce(out io.Writer) error {
	kubeconfig, err := c.credentials.kubeconfig(c.apiServer())
	if err != nil {
		return err
	}
	if err := writeFile(c.kubeconfig(), kubeconfig); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "ready at %s\nKUBECONFIG=%s\n", c.apiServer(), c.kubeconfig())
	return err
}

func (c *cluster) etcdArgs() []string {
	return []string{
		"--name=local",
		"--data-dir=" + filepath.Join(c.dir, "etcd"),
		"--listen-client-urls=" + c.etcd(),
		"--advertise-client-urls=" + c.etcd(),
		"--listen-peer-urls=" + c.etcdPeer(),
		"--initial-advertise-peer-urls=" + c.etcdPeer(),
		"--initial-cluster=local=" + c.etcdPeer(),
		// Room for benchmarks with a hundred thousand objects; the default is 2 GiB.
		"--quota-backend-bytes=" + strconv.Itoa(8<<30),
		// Never --unsafe-no-fsync: what tests learn of lost writes must hold outside them.
	}
}

func (c *cluster) apiServerArgs() []string {
	return []string{
		"--etcd-servers=" + c.etcd(),
		"--bind-address=" + loopback.Host,
		"--advertise-address=" + loopback.Host,
		"--secure-port=" + strconv.Itoa(c.ports.APIServer),
		"--tls-cert-file=" + c.credentials.servingCert(),
		"--tls-private-key-file=" + c.credentials.servingKey(),
		"--client-ca-file=" + c.credentials.caCert(),
		"--token-auth-file=" + c.credentials.tokens(),
		"--authorization-mode=RBAC",
		"--service-account-issuer=" + c.apiServer(),
		"--service-account-key-file=" + c.credentials.accountKey(),
		"--service-account-signing-key-file=" + c.credentials.accountKey(),
		"--service-cluster-ip-range=10.0.0.0/24",
		// It would wait for the service accounts that a controller manager makes.
		"--disable-admission-plugins=ServiceAccount",
		// The endpoints it would keep may not be loopback's, and nobody reads them.
		"--endpoint-reconciler-type=none",
	}
}

func (c *cluster) client() (*http.Client, error) {
	ca, err := os.ReadFile(c.credentials.caCert())
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%s: no certificate in it", c.credentials.caCert())
	}
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true,
	}}, nil
}

// waitReady polls until the URL answers 200. It gives up when one of the processes ends.
func waitReady(ctx context.Context, client *http.Client, url string, processes ...*process) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for !answers(ctx, client, url) {
		for _, p := range processes {
			select {
			case <-p.done:
				return p.died()
			default:
			}
		}
		select {
		case <-ctx.Done():
			p := processes[0]
			return fmt.Errorf("%s is not ready: %w; the end of %s:\n%s", p.name, ctx.Err(), p.log, tail(p.log))
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil
}

func answers(ctx context.Context, client *http.Client, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// ignoreInterrupt: being stopped while starting is no failure.
func ignoreInterrupt(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
