package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// process is one of bin/, in a group of its own: an interrupt at the keyboard is for this
// program, which ends its parts in order.
type process struct {
	name  string
	cmd   *exec.Cmd
	ended chan struct{}
	// expected: somebody here ended it, or is about to.
	expected atomic.Bool
}

// startProcess starts a binary of bin/ with its log in a file. Should it end unasked, died
// is told why. env is added to its environment.
func startProcess(log string, died func(error), env []string, name string, args ...string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }()
	cmd := exec.Command(filepath.Join("bin", name), args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w (run `make build`)", name, err)
	}
	p := &process{name: name, cmd: cmd, ended: make(chan struct{})}
	go func() {
		err := cmd.Wait()
		close(p.ended)
		if !p.expected.Load() {
			died(fmt.Errorf("%s ended: %w; its last lines:\n%s", name, err, tail(log)))
		}
	}()
	return p, nil
}

// stop asks it to end, and ends it if it has not after a while.
func (p *process) stop() {
	p.expected.Store(true)
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(40 * time.Second):
		p.kill()
	}
}

// kill ends it at once.
func (p *process) kill() {
	p.expected.Store(true)
	_ = p.cmd.Process.Kill()
	<-p.ended
}

func tail(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}
