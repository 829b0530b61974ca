package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// stack is the running parts, in the order they were started.
type stack struct {
	dir, kubeconfig string
	// Addresses, host:port.
	platforms, push, metrics, probes string

	processes []*process
	died      context.CancelCauseFunc
}

// process is one part.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{}
}

// start runs a binary of bin/ until the stack stops; should it end before, the stack ends.
func (s *stack) start(name string, args ...string) error {
	log, err := os.Create(filepath.Join(s.dir, name+".log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(filepath.Join("bin", name), args...)
	cmd.Stdout, cmd.Stderr = log, log
	// An interrupt at the keyboard is for this program alone: it stops its parts in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w (run `make build`)", name, err)
	}
	p := &process{name: name, cmd: cmd, done: make(chan struct{})}
	go func() {
		err := cmd.Wait()
		close(p.done)
		s.died(fmt.Errorf("%s ended: %w; its last lines:\n%s", name, err, tail(log.Name())))
	}()
	s.processes = append(s.processes, p)
	return nil
}

// stop ends the parts, the last first: the manager needs the API server to say goodbye.
func (s *stack) stop() {
	for _, p := range slices.Backward(s.processes) {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(40 * time.Second):
			_ = p.cmd.Process.Kill()
			<-p.done
		}
	}
}

func tail(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}

// until polls a condition, and says what it last lacked if it never holds.
func until(ctx context.Context, timeout time.Duration, condition func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := condition(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// freeAddress is a loopback address nobody listens on now.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// kubectl runs kubectl with an input and gives what it prints.
func (s *stack) kubectl(ctx context.Context, input string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(assets(), "kubectl"), append([]string{"--kubeconfig", s.kubeconfig}, args...)...)
	cmd.Stdin = strings.NewReader(input)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("kubectl %s: %w: %s", args[0], err, strings.TrimSpace(problems.String()))
	}
	return out.String(), nil
}

// assets is where kubectl is.
func assets() string {
	if dir := os.Getenv("KUBEBUILDER_ASSETS"); dir != "" {
		return dir
	}
	return filepath.Join("bin", "k8s")
}

func httpOK(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}

// tell asks the fake platform to do something, and fails unless a push it sent was accepted.
func (s *stack) tell(ctx context.Context, path string, what any) error {
	body, err := json.Marshal(what)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.platforms+"/admin/"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Error    string `json:"error"`
		Delivery *struct {
			Accepted bool   `json:"accepted"`
			Status   int    `json:"status"`
			Body     string `json:"body"`
			Error    string `json:"error"`
		} `json:"delivery"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	switch {
	case answer.Error != "":
		return fmt.Errorf("%s: %s", path, answer.Error)
	case answer.Delivery == nil:
		return nil
	case !answer.Delivery.Accepted:
		return errors.New(path + ": the push was not accepted: " + fmt.Sprintf("%+v", *answer.Delivery))
	}
	return nil
}
