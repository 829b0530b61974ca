package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
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
	var lacked error
	for {
		err := condition(ctx)
		if err == nil {
			return nil
		}
		if lacked == nil || ctx.Err() == nil { // what is cut off says nothing
			lacked = err
		}
		select {
		case <-ctx.Done():
			return lacked
		case <-tick.C:
		}
	}
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

// ask asks a fake platform for something, with a body if what is not nil.
func (s *stack) ask(ctx context.Context, path string, what, into any) error {
	method, body := http.MethodGet, []byte(nil)
	if what != nil {
		var err error
		if body, err = json.Marshal(what); err != nil {
			return err
		}
		method = http.MethodPost
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+s.platforms+"/admin/"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", path, response.Status, bytes.TrimSpace(text))
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// delivery is what became of a push.
type delivery struct {
	Accepted bool   `json:"accepted"`
	Attempts int    `json:"attempts"`
	Status   int    `json:"status"`
	Body     string `json:"body"`
	Error    string `json:"error"`
}

// tell asks a fake platform to do something, and fails unless a push it sent was accepted.
// It gives the answer.
func (s *stack) tell(ctx context.Context, path string, what any) (json.RawMessage, error) {
	var answer json.RawMessage
	if err := s.ask(ctx, path, what, &answer); err != nil {
		return nil, err
	}
	var sent struct {
		Delivery *delivery `json:"delivery"`
		Fate     string    `json:"fate"` // is there if the answer itself is a delivery
	}
	err := json.Unmarshal(answer, &sent)
	if err == nil && sent.Fate != "" {
		err = json.Unmarshal(answer, &sent.Delivery)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if d := sent.Delivery; d != nil && !d.Accepted {
		return nil, fmt.Errorf("%s: the push was not accepted, in %d attempts: status %d, %q %s", path, d.Attempts, d.Status, d.Body, d.Error)
	}
	return answer, nil
}

// tellAll tells one after the other.
func (s *stack) tellAll(ctx context.Context, deeds []deed) error {
	for _, d := range deeds {
		if _, err := s.tell(ctx, d.path, d.what); err != nil {
			return err
		}
	}
	return nil
}
