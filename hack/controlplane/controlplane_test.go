package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/laidoulaile/channel-operator/hack/loopback"
	"github.com/laidoulaile/channel-operator/test/env"
)

// runAsProgram makes the test binary be the program, so that tests can signal it.
const runAsProgram = "CONTROLPLANE_TEST_RUN_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(runAsProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestPortsAreRemembered(t *testing.T) {
	dir := t.TempDir()
	first, err := loadPorts(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := loadPorts(dir)
	if err != nil {
		t.Fatal(err)
	}
	if first != again {
		t.Errorf("ports %+v, then %+v", first, again)
	}
}

func TestTakenPortIsNamed(t *testing.T) {
	known, err := pickPorts()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := listen(known.APIServer)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	err = waitFree(known, 0)
	if err == nil || !strings.Contains(err.Error(), strconv.Itoa(known.APIServer)) {
		t.Errorf("waitFree: %v, want an error that names port %d", err, known.APIServer)
	}
}

func TestCredentialsAreKept(t *testing.T) {
	dir := t.TempDir()
	first, err := loadCredentials(dir)
	if err != nil {
		t.Fatal(err)
	}
	before := readAll(t, first.dir)
	again, err := loadCredentials(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, readAll(t, again.dir)); diff != "" {
		t.Errorf("credentials changed (-before +after):\n%s", diff)
	}
	config, err := again.kubeconfig("https://127.0.0.1:20000")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := clientcmd.RESTConfigFromKubeConfig(config); err != nil {
		t.Errorf("kubeconfig: %v", err)
	}
}

// An interrupted first start leaves no token; half a set must not be used.
func TestHalfMadeCredentialsAreMadeAnew(t *testing.T) {
	dir := t.TempDir()
	c, err := loadCredentials(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(c.tokens()), os.Truncate(c.servingKey(), 0)); err != nil {
		t.Fatal(err)
	}
	if c, err = loadCredentials(dir); err != nil {
		t.Fatal(err)
	}
	if key, err := os.ReadFile(c.servingKey()); err != nil || len(key) == 0 {
		t.Errorf("serving key: %d bytes, %v", len(key), err)
	}
}

func readAll(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %s, want 0600", entry.Name(), info.Mode())
		}
		data, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[entry.Name()] = string(data)
	}
	return files
}

func TestLock(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(file, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(file, false); !errors.Is(err, errLocked) {
		t.Errorf("second lock: %v, want errLocked", err)
	}
	unlock()
	if unlock, err = lock(file, false); err != nil {
		t.Fatalf("after unlock: %v", err)
	}
	unlock()
}

func TestAssetsAreMadeOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bin", "k8s")
	var made atomic.Int32
	fake := func(_ context.Context, dir string) error {
		made.Add(1)
		fakeBinaries(t, dir)
		return nil
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if err := ensureAssets(t.Context(), dir, io.Discard, fake); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if made.Load() != 1 {
		t.Errorf("made %d times, want once", made.Load())
	}
	if err := checkComplete(dir); err != nil {
		t.Error(err)
	}
}

func TestFailedBuildLeavesNothing(t *testing.T) {
	parent := t.TempDir()
	broken := errors.New("broken")
	err := ensureAssets(t.Context(), filepath.Join(parent, "k8s"), io.Discard, func(_ context.Context, dir string) error {
		return errors.Join(broken, os.WriteFile(filepath.Join(dir, "etcd"), nil, 0o700))
	})
	if !errors.Is(err, broken) {
		t.Fatalf("got %v, want the build's error", err)
	}
	entries, err := os.ReadDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.IsDir() {
			t.Errorf("%s is left behind", entry.Name())
		}
	}
}

func TestAssetsFromTheEnvironment(t *testing.T) {
	given, own := t.TempDir(), t.TempDir()
	fakeBinaries(t, own)
	t.Setenv(assetsEnv, given)
	var out bytes.Buffer
	got, err := defaultAssets(t.Context(), own, &out)
	if err != nil || got != own || !strings.Contains(out.String(), assetsEnv) {
		t.Errorf("incomplete %s: got %s, %v, saying %q; want %s and a word about it", assetsEnv, got, err, out.String(), own)
	}
	fakeBinaries(t, given)
	if got, err := defaultAssets(t.Context(), own, io.Discard); err != nil || got != given {
		t.Errorf("complete %s: got %s, %v, want %s", assetsEnv, got, err, given)
	}
}

func TestDownloadIsPreferredToABuild(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	download, tools, dir := t.TempDir(), t.TempDir(), t.TempDir()
	fakeBinaries(t, download)
	script := "#!/bin/sh\ncase \"$*\" in *'--print path 1.'*.x) printf %s " + download + ";; *) exit 1;; esac\n"
	if err := os.WriteFile(filepath.Join(tools, "setup-envtest"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", tools+string(filepath.ListSeparator)+os.Getenv("PATH"))
	m := maker{source: filepath.Join(root, "hack", "controlplane", "k8s"), out: io.Discard}
	if err := m.make(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if err := checkComplete(dir); err != nil {
		t.Error(err)
	}
}

func TestLinkerFlags(t *testing.T) {
	got, err := linkerFlags("v1.36.3")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{".gitVersion=v1.36.3", ".gitMajor=1", ".gitMinor=36"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
	if _, err := linkerFlags("devel"); err == nil {
		t.Error("a version that is none passes")
	}
}

func fakeBinaries(t *testing.T, dir string) {
	t.Helper()
	for _, name := range binaryNames {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Error(err)
		}
	}
}

func TestTail(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(file, []byte(strings.Repeat("a line\n", 2000)+"the last\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := string(tail(file))
	if !strings.HasPrefix(got, "a line\n") || !strings.HasSuffix(got, "\nthe last\n") || len(got) > 4096 {
		t.Errorf("tail is %d bytes, from %.10q to %q", len(got), got, got[len(got)-10:])
	}
}

// program is `controlplane up` as a process of its own.
type program struct {
	cmd    *exec.Cmd
	dir    string
	stdout io.Reader
	stderr bytes.Buffer
}

func startProgram(t *testing.T, dir string) *program {
	t.Helper()
	assets, err := env.Assets()
	if err != nil {
		t.Fatal(err)
	}
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{cmd: exec.Command(executable, "up", "--dir", dir, "--assets", assets), dir: dir}
	p.cmd.Env = append(os.Environ(), runAsProgram+"=1")
	p.cmd.Stderr = &p.stderr
	if p.stdout, err = p.cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	return p
}

// kubeconfig waits until the program says that it is ready.
func (p *program) kubeconfig(t *testing.T) string {
	t.Helper()
	lines := bufio.NewScanner(p.stdout)
	for ready := false; !ready && lines.Scan(); {
		ready = strings.HasPrefix(lines.Text(), "ready at ")
	}
	data, err := os.ReadFile(filepath.Join(p.dir, "kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func (p *program) signal(t *testing.T, signal os.Signal) error {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	return p.cmd.Wait()
}

func (p *program) childPID(t *testing.T, name string) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(p.dir, name+".pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("timed out waiting for %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func clientFor(t *testing.T, kubeconfig string) (*kubernetes.Clientset, *rest.Config) {
	t.Helper()
	config, err := clientcmd.RESTConfigFromKubeConfig([]byte(kubeconfig))
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client, config
}

// The life of one cluster: written to, doubled in vain, interrupted, started again,
// killed, started again, and ended by the death of its store.
func TestUp(t *testing.T) {
	dir := t.TempDir()
	first := startProgram(t, dir)
	kubeconfig := first.kubeconfig(t)
	client, config := clientFor(t, kubeconfig)
	note := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "note", Namespace: metav1.NamespaceDefault},
		Data:       map[string]string{"kept": "yes"},
	}
	if _, err := client.CoreV1().ConfigMaps(note.Namespace).Create(t.Context(), note, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	checkRBAC(t, config)
	checkSecondIsRefused(t, dir)
	if info, err := os.Stat(filepath.Join(dir, "kubeconfig")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("kubeconfig: mode %v, %v, want 0600", info.Mode(), err)
	}
	if err := first.signal(t, syscall.SIGTERM); err != nil {
		t.Errorf("interrupted: %v\n%s", err, first.stderr.String())
	}

	second := startProgram(t, dir)
	checkSameCluster(t, second, kubeconfig)
	etcd := second.childPID(t, "etcd")
	_ = second.signal(t, syscall.SIGKILL)
	waitFor(t, "etcd to die with its parent", func() bool { return syscall.Kill(etcd, 0) != nil })

	third := startProgram(t, dir)
	checkSameCluster(t, third, kubeconfig)
	if err := syscall.Kill(third.childPID(t, "etcd"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	err := third.cmd.Wait()
	if err == nil || !strings.Contains(third.stderr.String(), "etcd ended: signal: killed") {
		t.Errorf("etcd died: exit %v, saying %q", err, third.stderr.String())
	}
	checkNothingListens(t, dir)
}

func checkSameCluster(t *testing.T, p *program, kubeconfig string) {
	t.Helper()
	if diff := cmp.Diff(kubeconfig, p.kubeconfig(t)); diff != "" {
		t.Errorf("kubeconfig changed over a restart (-before +after):\n%s", diff)
	}
	client, _ := clientFor(t, kubeconfig)
	note, err := client.CoreV1().ConfigMaps(metav1.NamespaceDefault).Get(t.Context(), "note", metav1.GetOptions{})
	if err != nil || note.Data["kept"] != "yes" {
		t.Errorf("the ConfigMap after a restart: %v, %v", note, err)
	}
}

func checkRBAC(t *testing.T, admin *rest.Config) {
	t.Helper()
	config := rest.CopyConfig(admin)
	config.Impersonate = rest.ImpersonationConfig{UserName: "nobody"}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.CoreV1().Secrets(metav1.NamespaceDefault).List(t.Context(), metav1.ListOptions{})
	if !apierrors.IsForbidden(err) {
		t.Errorf("a user without a role lists secrets: %v, want forbidden", err)
	}
}

func checkSecondIsRefused(t *testing.T, dir string) {
	t.Helper()
	second := startProgram(t, dir)
	err := second.cmd.Wait()
	if err == nil || !strings.Contains(second.stderr.String(), "running on "+dir+" already") {
		t.Errorf("a second start: exit %v, saying %q", err, second.stderr.String())
	}
}

func checkNothingListens(t *testing.T, dir string) {
	t.Helper()
	known, err := loadPorts(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range known.all() {
		if conn, err := net.Dial("tcp", loopback.Address(port)); err == nil {
			_ = conn.Close()
			t.Errorf("port %d still answers", port)
		}
	}
}
