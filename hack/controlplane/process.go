package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// process is a child with its log in DIR/<name>.log and its id in DIR/<name>.pid.
type process struct {
	name    string
	log     string
	pidFile string
	cmd     *exec.Cmd
	done    chan struct{} // closed when it has ended
	err     error         // how; read it after done
}

func startProcess(dir, binary string, args ...string) (*process, error) {
	name := filepath.Base(binary)
	p := &process{
		name:    name,
		log:     filepath.Join(dir, name+".log"),
		pidFile: filepath.Join(dir, name+".pid"),
		cmd:     exec.Command(binary, args...),
		done:    make(chan struct{}),
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = childAttributes()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	err = writeFile(p.pidFile, []byte(strconv.Itoa(p.cmd.Process.Pid)+"\n"))
	go p.wait()
	if err != nil {
		return nil, errors.Join(err, p.stop(0))
	}
	return p, nil
}

func (p *process) wait() {
	p.err = p.cmd.Wait()
	_ = os.Remove(p.pidFile)
	close(p.done)
}

// stop asks it to end, and ends it if it has not within the grace period.
func (p *process) stop(grace time.Duration) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(grace):
	}
	err := p.cmd.Process.Kill()
	<-p.done
	return errors.Join(fmt.Errorf("%s did not stop within %s and was killed", p.name, grace), err)
}

// died is the error of a child that ended unasked.
func (p *process) died() error {
	how := "exit status 0"
	if p.err != nil {
		how = p.err.Error()
	}
	return fmt.Errorf("%s ended: %s; the end of %s:\n%s", p.name, how, p.log, tail(p.log))
}

// tail is the last lines of a file, for people.
func tail(file string) []byte {
	const most = 4096
	f, err := os.Open(file)
	if err != nil {
		return []byte(err.Error())
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return []byte(err.Error())
	}
	text := make([]byte, min(size, most))
	if _, err := f.ReadAt(text, size-int64(len(text))); err != nil {
		return []byte(err.Error())
	}
	if size > most {
		if _, rest, found := bytes.Cut(text, []byte("\n")); found {
			text = rest
		}
	}
	return text
}
