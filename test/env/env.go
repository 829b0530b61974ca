// Package env gives tests a real API server: etcd and kube-apiserver with this
// project's CRDs, one pair per test binary. Nothing else of a cluster is there; in
// particular no controller manager, so a deleted namespace stays Terminating and
// owner references are not collected.
//
// A test binary that needs it has
//
//	func TestMain(m *testing.M) { os.Exit(env.Main(m)) }
package env

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// modulePath tells this module's go.mod from those nested below it.
const modulePath = "github.com/laidoulaile/channel-operator"

// Long enough for two busy cores; a healthy start takes about five seconds.
const startTimeout = 2 * time.Minute

var (
	config *rest.Config
	etcd   *envtest.Etcd
)

// Root is the directory of this module, found by walking up from the working
// directory, which for a test is its package's.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if isRoot(dir) {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("no go.mod of module %s in this directory or above", modulePath)
		}
		dir = parent
	}
}

// MustRoot is Root for a test, which ends where there is none.
func MustRoot(t testing.TB) string {
	t.Helper()
	dir, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func isRoot(dir string) bool {
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return false
	}
	first, _, _ := strings.Cut(string(mod), "\n")
	return strings.TrimSpace(first) == "module "+modulePath
}

var binaries = []string{"etcd", "kube-apiserver", "kubectl"}

// Assets is the directory with etcd, kube-apiserver and kubectl: KUBEBUILDER_ASSETS
// if it has them, else bin/k8s of this module. `bin/controlplane assets` looks at the
// same places in the same order.
func Assets() (string, error) {
	if dir := os.Getenv("KUBEBUILDER_ASSETS"); dir != "" && missing(dir) == nil {
		return dir, nil
	}
	root, err := Root()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, "bin", "k8s")
	if err := missing(dir); err != nil {
		return "", fmt.Errorf("no control-plane binaries: %w (run `make k8s`, or set KUBEBUILDER_ASSETS)", err)
	}
	return dir, nil
}

func missing(dir string) error {
	for _, name := range binaries {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// Main runs the tests of one binary against a fresh API server with the CRDs of
// config/crd/bases, and returns the exit code. Fuzzing needs none, and each of its processes
// would start one.
func Main(m *testing.M) int {
	flag.Parse()
	if flag.Lookup("test.fuzz").Value.String() != "" {
		return m.Run()
	}
	code, err := run(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, "test environment:", err)
		return max(code, 1)
	}
	return code
}

func run(tests func() int) (code int, err error) {
	environment, err := prepare()
	if err != nil {
		return 1, err
	}
	// Stopped even after a failed start: one of the two may be running.
	defer func() { err = errors.Join(err, environment.Stop()) }()

	config, err = environment.Start()
	if err != nil {
		return 1, err
	}
	etcd = environment.ControlPlane.Etcd
	// The client's own limit would be measured instead of the server.
	config.QPS, config.Burst = -1, 0
	return tests(), nil
}

func prepare() (*envtest.Environment, error) {
	assets, err := Assets()
	if err != nil {
		return nil, err
	}
	root, err := Root()
	if err != nil {
		return nil, err
	}
	// By path: envtest itself would take KUBEBUILDER_ASSETS, empty or incomplete as it may be.
	controlPlane := envtest.ControlPlane{
		APIServer:   &envtest.APIServer{Path: filepath.Join(assets, "kube-apiserver")},
		Etcd:        &envtest.Etcd{Path: filepath.Join(assets, "etcd")},
		KubectlPath: filepath.Join(assets, "kubectl"),
	}
	return &envtest.Environment{
		ControlPlane:             controlPlane,
		CRDDirectoryPaths:        []string{filepath.Join(root, "config", "crd", "bases")},
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: startTimeout,
		ControlPlaneStopTimeout:  startTimeout,
	}, nil
}

// Config reaches the API server that Main started, as a cluster admin. The copy is
// the caller's own.
func Config() *rest.Config {
	if config == nil {
		panic("env.Config: no API server; the test binary needs a TestMain that calls env.Main")
	}
	return rest.CopyConfig(config)
}

// Etcd gives the address of the etcd behind the API server that Main started, which is plain
// HTTP and open to all on this machine, and the directory of its data.
func Etcd() (url, dir string) {
	if etcd == nil {
		panic("env.Etcd: no etcd; the test binary needs a TestMain that calls env.Main")
	}
	return etcd.URL.String(), etcd.DataDir
}

// Namespace makes a namespace of its own for a test, in which the manager of config/default may
// use Secrets, as config/channel-secrets says. It is left behind: the whole API server goes away
// with the test binary.
func Namespace(t testing.TB, c client.Client) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.Create(ctx, namespace); err != nil {
		t.Fatalf("create namespace: %v", err)
	}
	if err := c.Create(ctx, secretsBinding(namespace.Name)); err != nil {
		t.Fatalf("let the manager use Secrets: %v", err)
	}
	return namespace.Name
}

// secretsBinding is config/channel-secrets. It may name a role that is not there.
func secretsBinding(namespace string) client.Object {
	const name = "channel-operator-channel-secrets"
	binding := &unstructured.Unstructured{Object: map[string]any{
		"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
		"subjects": []any{map[string]any{"kind": "ServiceAccount", "namespace": ManagerNamespace, "name": managerName}},
	}}
	binding.SetAPIVersion("rbac.authorization.k8s.io/v1")
	binding.SetKind("RoleBinding")
	binding.SetNamespace(namespace)
	binding.SetName(name)
	return binding
}
