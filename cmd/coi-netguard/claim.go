package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
)

// claim makes this process the only guard that writes a table. The lock file of
// ~/.coi/run does not: with another HOME the same user has another one, and two
// guards would undo each other's rules. An abstract socket belongs to the network
// namespace, as the table does, and is gone with its process (unix(7)).
//
// Somebody else's process that sits on the name cannot write the table, so it
// keeps no guard from its work: the result is nil then.
func claim(table string) (*net.UnixListener, error) { return claimAs(table, os.Geteuid()) }

func claimAs(table string, own int) (*net.UnixListener, error) {
	addr := &net.UnixAddr{Name: "@coi-netguard/" + table, Net: "unix"}
	l, err := net.ListenUnix("unix", addr)
	if err == nil {
		return l, nil
	}
	if !errors.Is(err, unix.EADDRINUSE) {
		return nil, fmt.Errorf("claim table %s: %w", table, err)
	}
	pid, uid, err := holder(addr)
	if err != nil || uid != own {
		return nil, nil //nolint:nilerr // a name nobody of ours answers at is no guard of ours
	}
	return nil, cli.Fail(coi.ExitFailed, "a guard of your other home %s writes table %s (pid %d)", cli.Escape(homeOf(pid)), table, pid).
		Hint("use the same HOME, or set COI_HOME: each has a table of its own")
}

// holder is the process that listens at an address.
func holder(addr *net.UnixAddr) (pid, uid int, err error) {
	c, err := net.DialUnix("unix", nil, addr)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = c.Close() }()
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	var cred *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) { cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return 0, 0, err
	}
	if failed != nil {
		return 0, 0, failed
	}
	return int(cred.Pid), int(cred.Uid), nil
}

// homeOf is the ~/.coi of a process of ours, "" when it cannot be told.
func homeOf(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return ""
	}
	for kv := range bytes.SplitSeq(b, []byte{0}) {
		if v, ok := bytes.CutPrefix(kv, []byte("HOME=")); ok {
			return filepath.Join(string(v), ".coi")
		}
	}
	return ""
}
