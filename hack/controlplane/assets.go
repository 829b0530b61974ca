package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	modulePath = "github.com/laidoulaile/channel-operator"
	assetsEnv  = "KUBEBUILDER_ASSETS"

	progressEvery = 20 * time.Second
)

var binaryNames = []string{"etcd", "kube-apiserver", "kubectl"}

// checkComplete tells which binary of a directory is missing.
func checkComplete(dir string) error {
	for _, name := range binaryNames {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			return fmt.Errorf("%s is not executable", filepath.Join(dir, name))
		}
	}
	return nil
}

// defaultAssets is KUBEBUILDER_ASSETS if that is complete, else dir (bin/k8s of this
// module if empty), which is made if need be.
func defaultAssets(ctx context.Context, dir string, out io.Writer) (string, error) {
	if env := os.Getenv(assetsEnv); env != "" {
		err := checkComplete(env)
		if err == nil {
			return env, nil
		}
		fmt.Fprintf(out, "%s is incomplete (%v): not used\n", assetsEnv, err)
	}
	root, rootErr := moduleRoot()
	if dir == "" {
		dir = filepath.Join(root, "bin", "k8s")
	}
	if checkComplete(dir) == nil {
		return dir, nil
	}
	if rootErr != nil {
		return "", fmt.Errorf("cannot make the control-plane binaries: %w; set %s", rootErr, assetsEnv)
	}
	m := maker{source: filepath.Join(root, "hack", "controlplane", "k8s"), out: out}
	return dir, ensureAssets(ctx, dir, out, m.make)
}

// moduleRoot looks above the running program, which is bin/controlplane of a clone,
// and above the working directory.
func moduleRoot() (string, error) {
	var starts []string
	if executable, err := os.Executable(); err == nil {
		starts = append(starts, filepath.Dir(executable))
	}
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	for _, start := range starts {
		for dir := start; ; dir = filepath.Dir(dir) {
			mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
			if err == nil && strings.HasPrefix(string(mod), "module "+modulePath+"\n") {
				return dir, nil
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return "", errors.New("no clone of " + modulePath + " above this program or the working directory")
}

// ensureAssets makes the binaries into a directory beside dir and moves them there,
// whole, one process at a time: a second one finds them made.
func ensureAssets(ctx context.Context, dir string, out io.Writer, makeInto func(ctx context.Context, dir string) error) error {
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	unlock, err := lockAssets(filepath.Join(parent, "."+filepath.Base(dir)+".lock"), out)
	if err != nil {
		return err
	}
	defer unlock()
	if checkComplete(dir) == nil {
		return nil
	}

	temporary, err := os.MkdirTemp(parent, "."+filepath.Base(dir)+"-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	if err := makeInto(ctx, temporary); err != nil {
		return err
	}
	return moveBinaries(temporary, dir)
}

func lockAssets(file string, out io.Writer) (unlock func(), err error) {
	unlock, err = lock(file, false)
	if errors.Is(err, errLocked) {
		fmt.Fprintln(out, "another process is making the control-plane binaries; waiting for it")
		return lock(file, true)
	}
	return unlock, err
}

func moveBinaries(from, to string) error {
	if err := checkComplete(from); err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, name := range binaryNames {
		if err := os.Rename(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			return err
		}
	}
	return nil
}

// maker gets the binaries: downloaded if that can be had, else built from source.
type maker struct {
	source string // directory of the module that pins their versions
	out    io.Writer
}

func (m maker) make(ctx context.Context, dir string) error {
	version, err := m.kubernetesVersion(ctx)
	if err != nil {
		return err
	}
	if m.download(ctx, version, dir) {
		return nil
	}
	return m.build(ctx, version, dir)
}

// kubernetesVersion is the one go.mod names, such as v1.36.3.
func (m maker) kubernetesVersion(ctx context.Context) (string, error) {
	version, err := m.command(ctx, "go", "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes").Output()
	if err != nil {
		return "", explain("go list", err)
	}
	return strings.TrimSpace(string(version)), nil
}

// download asks setup-envtest, where it is installed and has a network.
func (m maker) download(ctx context.Context, version, dir string) bool {
	const tool = "setup-envtest"
	if _, err := exec.LookPath(tool); err != nil {
		return false
	}
	major, minor, ok := majorMinor(version)
	if !ok {
		return false
	}
	release := major + "." + minor + ".x"
	fmt.Fprintf(m.out, "asking %s for Kubernetes %s\n", tool, release)
	found, err := m.command(ctx, tool, "use", "--bin-dir", filepath.Join(dir, "download"), "--print", "path", release).Output()
	if err == nil {
		err = moveBinaries(strings.TrimSpace(string(found)), dir)
	}
	if err != nil {
		fmt.Fprintf(m.out, "%s cannot: %v\n", tool, explain(tool, err))
	}
	return err == nil
}

func (m maker) build(ctx context.Context, version, dir string) error {
	flags, err := linkerFlags(version)
	if err != nil {
		return err
	}
	defer m.progress("building etcd, kube-apiserver and kubectl " + version + " from source, once; five to ten minutes on two cores")()
	build := m.command(ctx, "go", "build", "-trimpath", "-ldflags", flags, "-o", dir+string(filepath.Separator),
		"go.etcd.io/etcd/server/v3", "k8s.io/kubernetes/cmd/kube-apiserver", "k8s.io/kubernetes/cmd/kubectl")
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the control plane: %w\n%s", err, lastLines(output, 30))
	}
	// Named after its directory: go.etcd.io/etcd/server.
	return os.Rename(filepath.Join(dir, "server"), filepath.Join(dir, "etcd"))
}

// linkerFlags give the binaries the version that a release would have; clients and
// feature gates read it.
func linkerFlags(version string) (string, error) {
	major, minor, ok := majorMinor(version)
	if !ok {
		return "", fmt.Errorf("k8s.io/kubernetes has the odd version %q", version)
	}
	const server, client = "k8s.io/component-base/version.", "k8s.io/client-go/pkg/version."
	return strings.Join([]string{
		"-s -w",
		"-X " + server + "gitVersion=" + version,
		"-X " + server + "gitMajor=" + major,
		"-X " + server + "gitMinor=" + minor,
		"-X " + client + "gitVersion=" + version,
	}, " "), nil
}

func majorMinor(version string) (major, minor string, ok bool) {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" {
		return "", "", false
	}
	return parts[0], parts[1], true
}

// command runs in the source module, static, and outside any workspace.
func (m maker) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = m.source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	return cmd
}

// progress prints what goes on now and then, so that nobody takes it for hanging.
func (m maker) progress(what string) (stop func()) {
	start := time.Now()
	fmt.Fprintln(m.out, what)
	ticker := time.NewTicker(progressEvery)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				fmt.Fprintf(m.out, "  still building: %s\n", time.Since(start).Round(time.Second))
			}
		}
	}()
	return func() {
		ticker.Stop()
		close(done)
		<-ended
		fmt.Fprintf(m.out, "  took %s\n", time.Since(start).Round(time.Second))
	}
}

// explain adds what a command said on standard error.
func explain(what string, err error) error {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return fmt.Errorf("%s: %w: %s", what, err, lastLines(exit.Stderr, 5))
	}
	return fmt.Errorf("%s: %w", what, err)
}

func lastLines(text []byte, n int) []byte {
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-n):], []byte("\n"))
}
