package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Machine is what the figures were measured on.
type Machine struct {
	CPU        string `json:"cpu"`
	Cores      int    `json:"cores"`
	MemoryGiB  int    `json:"memoryGiB"`
	Kernel     string `json:"kernel"`
	Filesystem string `json:"filesystem"`
	// Fsync of 4 KiB appended to a file where etcd and the journal have theirs, in milliseconds.
	FsyncP50   float64 `json:"fsyncP50"`
	FsyncP99   float64 `json:"fsyncP99"`
	Go         string  `json:"go"`
	Kubernetes string  `json:"kubernetes,omitempty"`
	Commit     string  `json:"commit"`
	Date       string  `json:"date"`
}

// fsyncs is how many are measured.
const fsyncs = 200

func describeMachine(ctx context.Context, dir string) (Machine, error) {
	p50, p99, err := measureFsync(dir)
	if err != nil {
		return Machine{}, fmt.Errorf("measure fsync: %w", err)
	}
	return Machine{
		CPU: field("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), MemoryGiB: memoryGiB(),
		Kernel: kernel(), Filesystem: filesystemOf(dir), FsyncP50: millis(p50), FsyncP99: millis(p99),
		Go: runtime.Version(), Commit: commit(ctx), Date: time.Now().UTC().Format(time.DateOnly),
	}, nil
}

// measureFsync appends to a file and has it on the disk, again and again.
func measureFsync(dir string) (p50, p99 time.Duration, err error) {
	f, err := os.CreateTemp(dir, "fsync-")
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = f.Close(); _ = os.Remove(f.Name()) }()
	page, times := make([]byte, 4096), make([]time.Duration, 0, fsyncs)
	for range fsyncs {
		start := time.Now()
		if _, err := f.Write(page); err != nil {
			return 0, 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, 0, err
		}
		times = append(times, time.Since(start))
	}
	quantilesOf(times) // sorts
	return quantile(times, 0.5), quantile(times, 0.99), nil
}

// field is the first value of a "name : value" line.
func field(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if key, value, found := strings.Cut(lines.Text(), ":"); found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func memoryGiB() int {
	var kib int
	_, _ = fmt.Sscan(field("/proc/meminfo", "MemTotal"), &kib)
	return (kib + 1<<19) >> 20
}

func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return runtime.GOOS
	}
	return runtime.GOOS + " " + strings.TrimSpace(string(text))
}

// filesystemOf is the type of the file system that a directory is on.
func filesystemOf(dir string) string {
	mounts, err := os.ReadFile("/proc/mounts")
	path, err2 := filepath.Abs(dir)
	if err != nil || err2 != nil {
		return "unknown"
	}
	found, longest := "unknown", -1
	for line := range strings.Lines(string(mounts)) {
		part := strings.Fields(line)
		if len(part) < 3 {
			continue
		}
		at := strings.TrimSuffix(part[1], "/")
		if (path == at || strings.HasPrefix(path, at+"/")) && len(at) >= longest {
			found, longest = part[2], len(at)
		}
	}
	return found
}

// scratch makes the run's directory, on a disk: fsync costs nothing in memory.
func scratch(dir string) (string, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	if fs := filesystemOf(dir); fs == "tmpfs" || fs == "ramfs" {
		return "", fmt.Errorf("%s is in memory (%s), where an fsync costs nothing: name a directory on a disk with -dir", dir, fs)
	}
	return os.MkdirTemp(dir, "channel-operator-bench-")
}

func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// versions notes what runs in the stack.
func (s *stack) versions(ctx context.Context, m *Machine) error {
	var version struct {
		GitVersion string `json:"gitVersion"`
	}
	if err := s.api.getInto(ctx, "/version", &version); err != nil {
		return err
	}
	m.Kubernetes = version.GitVersion
	return nil
}
