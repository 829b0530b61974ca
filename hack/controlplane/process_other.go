//go:build !linux

package main

import "syscall"

// childAttributes: a group of its own, so that a terminal's Ctrl-C reaches only us
// and we stop the two in order.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
