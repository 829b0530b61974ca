package env

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/laidoulaile/channel-operator/hack/loopback"
)

// ManagerNamespace is the operator's own namespace in config/default.
const ManagerNamespace = "channel-operator-system"

// managerName is the manager's ServiceAccount.
const managerName = "channel-operator-manager"

// readyTimeout is how long a manager may take to start, or to stop, on a busy machine.
const readyTimeout = 3 * time.Minute

// operator is what all managers of a test binary share.
type operator struct{ dir, binary, admin string }

// installed builds the manager, with the race detector where the tests have it, and
// applies config/default: the manager runs with the rights that it gives, and no others.
var installed = sync.OnceValues(func() (operator, error) {
	root, err := Root()
	if err != nil {
		return operator{}, err
	}
	dir, err := os.MkdirTemp("", "channel-operator-test-")
	if err != nil {
		return operator{}, err
	}
	o := operator{dir: dir, binary: filepath.Join(dir, "manager"), admin: filepath.Join(dir, "admin.kubeconfig")}
	build := exec.Command("go", "build", "-race="+strconv.FormatBool(raceDetector), "-o", o.binary, ".")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return o, fmt.Errorf("build the manager: %w\n%s", err, out)
	}
	if err := writeKubeconfig(o.admin, "", ""); err != nil {
		return o, err
	}
	if out, err := o.kubectl("apply", "-k", filepath.Join(root, "config", "default")); err != nil {
		return o, fmt.Errorf("apply config/default: %w\n%s", err, out)
	}
	return o, nil
})

// writeKubeconfig writes one for an administrator or, given the namespace of a manager's
// ServiceAccount, one that acts in its name. A server other than the API server itself stands in front of it.
func writeKubeconfig(file, server, namespaceOfManager string) error {
	config := Config()
	cluster := &clientcmdapi.Cluster{Server: server}
	user := &clientcmdapi.AuthInfo{}
	if server == "" {
		cluster.Server, cluster.CertificateAuthorityData = config.Host, config.CAData
		user.ClientCertificateData, user.ClientKeyData = config.CertData, config.KeyData
	}
	if namespaceOfManager != "" {
		user.Impersonate = "system:serviceaccount:" + namespaceOfManager + ":" + managerName
		user.ImpersonateGroups = []string{"system:serviceaccounts", "system:serviceaccounts:" + namespaceOfManager, "system:authenticated"}
	}
	return clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"test": cluster},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"test": user},
		Contexts:       map[string]*clientcmdapi.Context{"test": {Cluster: "test", AuthInfo: "test"}},
		CurrentContext: "test",
	}, file)
}

// Kubectl runs kubectl as an administrator and gives what it prints.
func Kubectl(args ...string) (string, error) {
	o, err := installed()
	if err != nil {
		return "", err
	}
	return o.kubectl(args...)
}

func (o operator) kubectl(args ...string) (string, error) {
	assets, err := Assets()
	if err != nil {
		return "", err
	}
	out, err := exec.Command(filepath.Join(assets, "kubectl"), append([]string{"--kubeconfig", o.admin}, args...)...).CombinedOutput()
	return string(out), err
}

// Manager is a running manager process.
type Manager struct {
	// Push, Metrics and Probes are its addresses.
	Push, Metrics, Probes string
	// Log is what it wrote so far.
	Log *Log

	cmd   *exec.Cmd
	ended chan struct{}
	err   error
}

// Log is a process's output. It is safe for concurrent use.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write adds to the log.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// ManagerOptions say how a manager is started; the zero value will do.
type ManagerOptions struct {
	// Server stands in front of the API server; empty is the API server itself.
	Server string
	// Push is the address for pushes; empty takes a free one.
	Push string
	// InstalledIn is the namespace of its ServiceAccount, which gives it its rights; empty is
	// that of config/default.
	InstalledIn string
	// PublicOnly has it call none but public endpoints, as one with real accounts does; else it
	// has --allow-private-endpoints.
	PublicOnly bool
	// Flags besides those that say where everything is.
	Flags []string
}

// StartManager starts the real binary and waits until it is ready to receive.
func StartManager(o ManagerOptions) (*Manager, error) {
	shared, err := installed()
	if err != nil {
		return nil, err
	}
	free, err := loopback.FreeAddresses(3)
	for err == nil && slices.Contains(free, o.Push) { // nobody listens there yet
		free, err = loopback.FreeAddresses(3)
	}
	if err != nil {
		return nil, err
	}
	m := &Manager{Push: cmp.Or(o.Push, free[0]), Metrics: free[1], Probes: free[2], Log: &Log{}, ended: make(chan struct{})}
	kubeconfig := filepath.Join(shared.dir, "manager-"+m.Probes[len("127.0.0.1:"):]+".kubeconfig")
	if err := writeKubeconfig(kubeconfig, o.Server, cmp.Or(o.InstalledIn, ManagerNamespace)); err != nil {
		return nil, err
	}
	m.cmd = exec.Command(shared.binary, append([]string{"--kubeconfig", kubeconfig,
		"--push-bind-address", m.Push, "--metrics-bind-address", m.Metrics, "--metrics-secure=false",
		"--health-probe-bind-address", m.Probes, "--allow-private-endpoints=" + strconv.FormatBool(!o.PublicOnly)}, o.Flags...)...)
	m.cmd.Stdout, m.cmd.Stderr = m.Log, m.Log
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := m.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { m.err = m.cmd.Wait(); close(m.ended) }()
	return m, m.awaitReady()
}

// FreeAddress is a loopback address that nobody listens on.
func FreeAddress() (string, error) {
	free, err := loopback.FreeAddresses(1)
	if err != nil {
		return "", err
	}
	return free[0], nil
}

func (m *Manager) awaitReady() error {
	deadline := time.Now().Add(readyTimeout)
	for time.Now().Before(deadline) {
		if response, err := http.Get("http://" + m.Probes + "/readyz"); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-m.ended:
			return fmt.Errorf("the manager ended: %w\n%s", m.err, m.Log)
		case <-time.After(20 * time.Millisecond):
		}
	}
	m.Kill()
	return fmt.Errorf("the manager is not ready after %s\n%s", readyTimeout, m.Log)
}

// Stop ends the manager as a cluster does, and returns how it ended.
func (m *Manager) Stop() error {
	_ = m.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-m.ended:
		return m.err
	case <-time.After(readyTimeout):
		m.Kill()
		return errors.New("the manager has not ended after SIGTERM")
	}
}

// Kill ends the manager at once (SIGKILL), and waits until it is gone.
func (m *Manager) Kill() {
	_ = m.cmd.Process.Kill()
	<-m.ended
}

// Pid is the manager's process id.
func (m *Manager) Pid() int { return m.cmd.Process.Pid }

// Ended is closed when the process is gone.
func (m *Manager) Ended() <-chan struct{} { return m.ended }
