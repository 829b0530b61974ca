package journal_test

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// skip makes the call that a thread is about to make none at all.
func skip(tid int) error {
	number := int32(-1)
	vector := unix.Iovec{Base: (*byte)(unsafe.Pointer(&number)), Len: 4}
	const systemCall = 0x404 // NT_ARM_SYSTEM_CALL
	_, _, errno := syscall.Syscall6(syscall.SYS_PTRACE, syscall.PTRACE_SETREGSET, uintptr(tid), systemCall, uintptr(unsafe.Pointer(&vector)), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// setResult makes the call that a thread has just made fail.
func setResult(tid int, errno syscall.Errno) error {
	var regs syscall.PtraceRegs
	if err := syscall.PtraceGetRegs(tid, &regs); err != nil {
		return err
	}
	regs.Regs[0] = -uint64(errno)
	return syscall.PtraceSetRegs(tid, &regs)
}
