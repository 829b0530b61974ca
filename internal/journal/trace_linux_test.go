//go:build linux && (amd64 || arm64)

package journal_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// call is a system call of a child on the journal's files, or a line that it wrote.
type call struct {
	name   string
	path   string // that it is about
	to     string // renamed to
	inode  uint64
	offset int64 // or the new size
	data   []byte
	failed bool // it was made to fail
	line   string
	n      int // counted from 1 among those on the journal's files
}

func (c call) String() string {
	if c.line != "" {
		return strings.TrimSpace(c.line)
	}
	return fmt.Sprintf("%s %s %s at %d, %d bytes, failed %t", c.name, filepath.Base(c.path), filepath.Base(c.to), c.offset, len(c.data), c.failed)
}

// fault is what is to happen at the n-th call, from 1; none at 0.
type fault struct {
	n     int
	kill  bool // the process, before the call is made or, if after is set, when it is done
	after bool
	errno syscall.Errno // the call fails with, and is not made
}

// errNoTrace is what a system says that does not let a process trace its child.
var errNoTrace = errors.New("this system does not permit ptrace")

// tracer runs a child, follows all its threads, and strikes at one of its calls.
type tracer struct {
	dir    string
	fault  fault
	calls  []call
	within map[int]*call // of each thread the call that it is in, if it is one of ours
	known  map[int]bool  // threads that have been seen
	n      int           // calls seen on the journal's files
	pid    int
}

// trace runs a child to its end and gives its calls and lines in order, and how it ended.
func trace(t *testing.T, cmd *exec.Cmd, dir string, fault fault) ([]call, syscall.WaitStatus, error) {
	t.Helper()
	runtime.LockOSThread() // a child is traced by a thread
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Setpgid: true} // other tests have children too
	if err := cmd.Start(); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errNoTrace, err)
	}
	defer func() { _ = cmd.Process.Release() }()
	tr := &tracer{dir: dir, fault: fault, within: map[int]*call{}, known: map[int]bool{}, pid: cmd.Process.Pid}
	status, err := tr.run()
	return tr.calls, status, err
}

const options = syscall.PTRACE_O_TRACECLONE | syscall.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_EXITKILL

func (tr *tracer) run() (status syscall.WaitStatus, err error) {
	if _, err := syscall.Wait4(tr.pid, &status, syscall.WALL, nil); err != nil {
		return status, err
	}
	if err := syscall.PtraceSetOptions(tr.pid, options); err != nil {
		return status, fmt.Errorf("%w: %w", errNoTrace, err)
	}
	tid := tr.pid
	for {
		if err := syscall.PtraceSyscall(tid, tr.signal(tid, status)); err != nil && !errors.Is(err, syscall.ESRCH) {
			return status, err
		}
		for {
			if tid, err = syscall.Wait4(-tr.pid, &status, syscall.WALL, nil); err == nil || !errors.Is(err, syscall.EINTR) {
				break
			}
		}
		switch {
		case err != nil:
			return status, err
		case status.Stopped():
			if err := tr.stopped(tid, status); err != nil {
				return status, err
			}
		case tid == tr.pid:
			return status, nil
		}
	}
}

// signal is what to hand on to a thread that goes on.
func (tr *tracer) signal(tid int, status syscall.WaitStatus) int {
	known := tr.known[tid]
	tr.known[tid] = true
	if !status.Stopped() || !known {
		return 0 // a new thread begins with a stop
	}
	switch sig := status.StopSignal(); sig {
	case syscall.SIGTRAP, syscall.SIGTRAP | 0x80:
		return 0
	default:
		return int(sig)
	}
}

func (tr *tracer) stopped(tid int, status syscall.WaitStatus) error {
	if status.StopSignal() != syscall.SIGTRAP|0x80 {
		return nil
	}
	var info [88]byte
	_, _, errno := syscall.Syscall6(syscall.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(tid), uintptr(len(info)), uintptr(unsafe.Pointer(&info)), 0, 0)
	err := error(nil)
	switch {
	case errno != 0:
		err = errno
	case info[0] == unix.PTRACE_SYSCALL_INFO_ENTRY:
		err = tr.entered(tid, info[24:])
	case info[0] == unix.PTRACE_SYSCALL_INFO_EXIT:
		err = tr.left(tid)
	}
	if errors.Is(err, syscall.ESRCH) {
		return nil // killed meanwhile
	}
	return err
}

// entered looks at the call that a thread is about to make: its number and its arguments.
func (tr *tracer) entered(tid int, what []byte) error {
	var args [6]uint64
	for i := range args {
		args[i] = binary.NativeEndian.Uint64(what[8+8*i:])
	}
	c := tr.call(tid, binary.NativeEndian.Uint64(what), args)
	if c == nil {
		return nil
	}
	tr.within[tid] = c
	if c.line != "" {
		return nil
	}
	tr.n++
	c.n = tr.n
	if c.n != tr.fault.n {
		return nil
	}
	if tr.fault.errno != 0 || tr.fault.kill && !tr.fault.after {
		c.failed = true
		if err := skip(tid); err != nil {
			return err
		}
	}
	if tr.fault.kill && !tr.fault.after {
		return syscall.Kill(tr.pid, syscall.SIGKILL)
	}
	return nil
}

func (tr *tracer) left(tid int) error {
	c := tr.within[tid]
	if c == nil {
		return nil
	}
	delete(tr.within, tid)
	struck := c.line == "" && c.n == tr.fault.n
	if struck && c.failed {
		if err := setResult(tid, tr.fault.errno); err != nil {
			return err
		}
	}
	if c.inode == 0 && !c.failed {
		c.inode = inode(c.path) // made just now
	}
	tr.calls = append(tr.calls, *c)
	if struck && tr.fault.kill && tr.fault.after {
		return syscall.Kill(tr.pid, syscall.SIGKILL)
	}
	return nil
}

// call is what a thread is about to do, or nil if it has nothing to do with the journal.
func (tr *tracer) call(tid int, nr uint64, args [6]uint64) *call {
	c := &call{}
	switch nr {
	case unix.SYS_WRITE:
		if args[0] == 1 {
			return &call{line: string(memory(tid, args[1], args[2]))}
		}
		return nil
	case unix.SYS_PWRITE64:
		*c = call{name: "pwrite", path: file(tid, args[0]), data: memory(tid, args[1], args[2]), offset: int64(args[3])}
	case unix.SYS_FSYNC, unix.SYS_FDATASYNC:
		*c = call{name: "fsync", path: file(tid, args[0])}
	case unix.SYS_FTRUNCATE:
		*c = call{name: "ftruncate", path: file(tid, args[0]), offset: int64(args[1])}
	case unix.SYS_MMAP:
		*c = call{name: "mmap", path: file(tid, args[4])}
	case unix.SYS_OPENAT:
		if args[2]&syscall.O_CREAT == 0 {
			return nil
		}
		*c = call{name: "create", path: text(tid, args[1])}
	case unix.SYS_MKDIRAT:
		*c = call{name: "mkdir", path: text(tid, args[1])}
	case unix.SYS_UNLINKAT:
		*c = call{name: "unlink", path: text(tid, args[1])}
	case unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2:
		*c = call{name: "rename", path: text(tid, args[1]), to: text(tid, args[3])}
	default:
		return nil
	}
	if !strings.HasPrefix(c.path, tr.dir) {
		return nil
	}
	c.inode = inode(c.path)
	return c
}

func file(tid int, fd uint64) string {
	path, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", tid, int32(fd)))
	return path
}

func inode(path string) uint64 {
	var s syscall.Stat_t
	if err := syscall.Stat(path, &s); err != nil {
		return 0
	}
	return s.Ino
}

func memory(tid int, at, size uint64) []byte {
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", tid))
	if err != nil {
		return nil
	}
	defer func() { _ = mem.Close() }()
	b := make([]byte, size)
	n, _ := mem.ReadAt(b, int64(at))
	return b[:n]
}

func text(tid int, at uint64) string {
	s, _, _ := strings.Cut(string(memory(tid, at, 1024)), "\x00")
	return s
}
