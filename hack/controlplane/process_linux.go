package main

import "syscall"

// childAttributes: a group of its own, so that a terminal's Ctrl-C reaches only us
// and we stop the two in order; and an end with the parent, even one by kill -9.
// The kernel watches the thread that started the child, hence the lock in up.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
