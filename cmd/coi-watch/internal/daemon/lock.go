package daemon

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Offsets and values of the seccomp filter (linux/seccomp.h, linux/audit.h).
const (
	dataNr   = 0 // struct seccomp_data.nr
	dataArch = 4
	bitX32   = 0x40000000
)

// machines are the audit architecture and the numbers of execve and execveat.
var machines = map[string]struct{ arch, execve, execveat uint32 }{
	"amd64": {unix.AUDIT_ARCH_X86_64, 59, 322},
	"arm64": {unix.AUDIT_ARCH_AARCH64, 221, 281},
}

// denyExec makes this program unable to become or start another one, for good:
// whoever takes it over by a crafted event finds no exec behind its rights. A
// call of another architecture is denied as a whole.
func denyExec() error {
	m, ok := machines[runtime.GOARCH]
	if !ok {
		return fmt.Errorf("no filter for %s", runtime.GOARCH)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	deny := unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	ret := func(v uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: v} }
	equal := func(v uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: yes, Jf: no, K: v}
	}
	filter := []unix.SockFilter{
		load(dataArch),
		equal(m.arch, 1, 0),
		ret(deny),
		load(dataNr),
		{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, Jt: 2, Jf: 0, K: bitX32},
		equal(m.execve, 1, 0),
		equal(m.execveat, 0, 1),
		ret(deny),
		ret(unix.SECCOMP_RET_ALLOW),
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}
