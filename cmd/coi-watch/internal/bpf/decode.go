package bpf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
)

// native is the byte order of records; every machine coi runs on has this one.
var native = binary.LittleEndian

// Kind says which struct of watch.bpf.c a record is.
type Kind uint16

// Kinds of record.
const (
	KindExec Kind = iota + 1
	KindFork
	KindExit
	KindConnect
	KindSend
	KindListen
	KindAccept
	KindSyscall
)

// ErrShort is a record that ends before its own lengths say.
var ErrShort = errors.New("record too short")

// Endpoint is a socket. Family is AF_*, Type SOCK_*, State TCP_*.
type Endpoint struct {
	Family, Type, Proto, State uint16
	Local, Remote              netip.AddrPort
}

// Desc is descriptor 0, 1 or 2 at exec time. Mode 0 means closed.
type Desc struct {
	Ino       uint64
	Dev, Rdev uint32 // kernel form: major in the upper 12 bits
	Mode      uint32
	Sock      Endpoint
}

// Record is one event of the kernel side. Only the fields of its Kind are set.
type Record struct {
	Kind      Kind
	Slot      uint16
	Seq       uint64
	Mono      uint64 // CLOCK_MONOTONIC, ns
	PID, PPID int
	Start     uint64 // clock ticks since boot, as field 22 of /proc/PID/stat
	UID       uint32 // host uid
	NSPID     int

	// exec
	Ino, Magic       uint64
	Ctime            int64 // change time of the inode, seconds; unlike the time of writing it cannot be set
	Dev, Mode, Nlink uint32
	TTY              int32 // index, -1 none
	EUID             uint32
	File, Interp     string // as passed to execve; the interpreter of a script, else the same
	Name             string // last part of the file that runs
	Argv             []string
	ArgvCut          bool
	ArgvMissed       bool
	FD               [3]Desc

	// fork
	Child, ChildNSPID int
	ChildStart        uint64

	// exit
	Read, Written uint64

	// connect, send, listen, accept
	Sock Endpoint

	// syscall
	Call        Call
	Compat      bool
	Ret         int64
	Arg         [5]uint64
	NS          [5]uint32 // mnt pid net cgroup user, after the call
	Path, Path2 string
}

const (
	headSize     = 48
	endpointSize = 48
	descSize     = 24 + endpointSize
	execFixed    = headSize + 24 + 24 + 8 + 3*descSize
	syscallSize  = headSize + 16 + 40 + 24 + 512
	hz           = 10_000_000 // ns in one USER_HZ tick, 100 a second on every Linux
)

// SlotOf is the slot of a record, without reading the rest of it; -1 when the
// record is too short to have one.
func SlotOf(b []byte) int {
	if len(b) < headSize {
		return -1
	}
	return int(native.Uint16(b[2:]))
}

// Decode reads one record.
func Decode(b []byte) (Record, error) {
	var r Record
	err := r.Decode(b)
	return r, err
}

// Decode reads one record into r, whatever was there before. Nothing of r
// points into b. The bytes come from our own programs, but their text comes
// from the container.
func (r *Record) Decode(b []byte) error {
	*r = Record{}
	if len(b) < headSize {
		return ErrShort
	}
	r.Kind, r.Slot = Kind(native.Uint16(b)), native.Uint16(b[2:])
	r.Seq, r.Mono = native.Uint64(b[8:]), native.Uint64(b[16:])
	r.PID, r.PPID = int(native.Uint32(b[24:])), int(native.Uint32(b[28:]))
	r.Start = native.Uint64(b[32:]) / hz
	r.UID, r.NSPID = native.Uint32(b[40:]), int(native.Uint32(b[44:]))
	body := b[headSize:]
	switch r.Kind {
	case KindExec:
		return r.exec(body)
	case KindFork:
		if len(body) < 16 {
			return ErrShort
		}
		r.ChildStart = native.Uint64(body) / hz
		r.Child, r.ChildNSPID = int(native.Uint32(body[8:])), int(native.Uint32(body[12:]))
	case KindExit:
		if len(body) < 16 {
			return ErrShort
		}
		r.Read, r.Written = native.Uint64(body), native.Uint64(body[8:])
	case KindConnect, KindSend, KindListen, KindAccept:
		if len(body) < endpointSize {
			return ErrShort
		}
		r.Sock = endpoint(body)
	case KindSyscall:
		return r.syscall(body)
	default:
		return errors.New("unknown kind of record")
	}
	return nil
}

func (r *Record) exec(b []byte) error {
	if len(b) < execFixed-headSize {
		return ErrShort
	}
	r.Ino, r.Ctime, r.Magic = native.Uint64(b), int64(native.Uint64(b[8:])), native.Uint64(b[16:])
	r.Dev, r.Mode, r.Nlink = native.Uint32(b[24:]), native.Uint32(b[28:]), native.Uint32(b[32:])
	r.TTY, r.EUID = int32(native.Uint32(b[36:])), native.Uint32(b[40:])
	total := native.Uint32(b[44:])
	var n [4]int
	for i := range n {
		n[i] = int(native.Uint16(b[48+2*i:]))
	}
	for i := range r.FD {
		r.FD[i] = desc(b[56+i*descSize:])
	}
	data := b[56+3*descSize:]
	if n[0]+n[1]+n[2]+n[3] > len(data) {
		return ErrShort
	}
	all := string(data[:n[0]+n[1]+n[2]+n[3]]) // one copy for all the parts
	r.File, all = untilNUL(all[:n[0]]), all[n[0]:]
	r.Interp, all = untilNUL(all[:n[1]]), all[n[1]:]
	r.Name, all = untilNUL(all[:n[2]]), all[n[2]:]
	if n[3] > 0 {
		r.Argv = strings.Split(strings.TrimSuffix(all, "\x00"), "\x00")
	}
	r.ArgvCut, r.ArgvMissed = int(total) > n[3] && n[3] > 0, n[3] == 0 && total > 0
	return nil
}

func (r *Record) syscall(b []byte) error {
	if len(b) < syscallSize-headSize {
		return ErrShort
	}
	r.Call, r.Ret = Call(native.Uint32(b)), int64(native.Uint64(b[8:]))
	for i := range r.Arg {
		r.Arg[i] = native.Uint64(b[16+8*i:])
	}
	for i := range r.NS {
		r.NS[i] = native.Uint32(b[56+4*i:])
	}
	r.Compat = native.Uint32(b[76:]) != 0
	if r.Compat {
		r.Ret = int64(int32(r.Ret))
	}
	r.Path, r.Path2 = text(b[80:336]), text(b[336:592])
	return nil
}

func desc(b []byte) Desc {
	return Desc{
		Ino: native.Uint64(b), Dev: native.Uint32(b[8:]), Rdev: native.Uint32(b[12:]), Mode: native.Uint32(b[16:]),
		Sock: endpoint(b[24:]),
	}
}

func endpoint(b []byte) Endpoint {
	e := Endpoint{Family: native.Uint16(b), Type: native.Uint16(b[2:]), Proto: native.Uint16(b[4:]), State: native.Uint16(b[10:])}
	lport, rport := native.Uint16(b[6:]), binary.BigEndian.Uint16(b[8:]) // skc_num is host order, skc_dport network order
	e.Local = netip.AddrPortFrom(address(e.Family, b[16:32]), lport)
	e.Remote = netip.AddrPortFrom(address(e.Family, b[32:48]), rport)
	return e
}

func address(family uint16, b []byte) netip.Addr {
	switch family {
	case 2:
		return netip.AddrFrom4([4]byte(b))
	case 10:
		return netip.AddrFrom16([16]byte(b)).Unmap()
	}
	return netip.Addr{}
}

// text is the part of b before its first NUL.
func text(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}

func untilNUL(s string) string {
	if i := strings.IndexByte(s, 0); i >= 0 {
		return s[:i]
	}
	return s
}

// Argv splits the argument area of a process. Arguments end with NUL; a
// missing last one is accepted, because the area may be cut.
func Argv(b []byte) []string {
	if len(b) == 0 {
		return nil
	}
	s := strings.TrimSuffix(string(b), "\x00")
	return strings.Split(s, "\x00")
}
