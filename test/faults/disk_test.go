package faults

import (
	"syscall"
	"unsafe"
)

// limitFileSize lets a process write no file beyond a size, as if its disk were full (it
// gets EFBIG), or, with failing false, as far as it likes again.
func limitFileSize(pid int, failing bool) error {
	limit := syscall.Rlimit{}
	if err := prlimit(pid, nil, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	if failing {
		limit.Cur = 0
	}
	return prlimit(pid, &limit, nil)
}

func prlimit(pid int, set, old *syscall.Rlimit) error {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), syscall.RLIMIT_FSIZE,
		uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(old)), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
