package bpf

import "github.com/cilium/ebpf"

// Call is a system call that is told, with how its paths are read in the
// upper bits (the enum in watch.bpf.c).
type Call = uint8

const (
	firstPath  = 32
	secondPath = 64
	bothPaths  = firstPath | secondPath
	fourthPath = 128
)

// System calls that are told when they return.
const (
	Setns         Call = 1
	Unshare       Call = 2
	Ptrace        Call = 3
	VMWritev      Call = 4
	InitModule    Call = 5
	FinitModule   Call = 6
	BPF           Call = 7
	OpenByHandle  Call = 8
	IOUring       Call = 9
	Userfaultfd   Call = 10
	Keyctl        Call = 11
	Mount         Call = 12 | bothPaths
	MoveMount     Call = 13 | secondPath | fourthPath
	Umount        Call = 14 | firstPath
	PivotRoot     Call = 15 | bothPaths
	MemfdCreate   Call = 16 | firstPath
	Mknod         Call = 17 | firstPath
	Mknodat       Call = 18 | secondPath
	CloneCall     Call = 19
	callNumberMax      = 31
)

// machine is what depends on the processor: numbers of calls, places of registers.
type machine struct {
	native, compat map[Call]int
	regs           [2][7]uint32 // offsets in struct pt_regs: number, five arguments, result
	compatBit      uint32
}

// The numbers are from the kernel's system call tables, the offsets from
// struct pt_regs of arch/x86 and arch/arm64; both are stable interface.
// A 32-bit call on x86-64 takes its arguments in bx cx dx si di.
var machines = map[string]machine{
	"amd64": {
		native: map[Call]int{
			Setns: 308, Unshare: 272, Ptrace: 101, VMWritev: 311, InitModule: 175, FinitModule: 313, BPF: 321, OpenByHandle: 304,
			IOUring: 425, Userfaultfd: 323, Keyctl: 250, Mount: 165, MoveMount: 429, Umount: 166, PivotRoot: 155, MemfdCreate: 319, Mknod: 133, Mknodat: 259,
		},
		compat: map[Call]int{
			Setns: 346, Unshare: 310, Ptrace: 26, VMWritev: 348, InitModule: 128, FinitModule: 350, BPF: 357, OpenByHandle: 342,
			IOUring: 425, Userfaultfd: 374, Keyctl: 288, Mount: 21, MoveMount: 429, Umount: 52, PivotRoot: 217, MemfdCreate: 356, Mknod: 14, Mknodat: 297,
		},
		regs:      [2][7]uint32{{120, 112, 104, 96, 56, 72, 80}, {120, 40, 88, 96, 104, 112, 80}},
		compatBit: 2, // TS_COMPAT
	},
	"arm64": {
		native: map[Call]int{
			Setns: 268, Unshare: 97, Ptrace: 117, VMWritev: 271, InitModule: 105, FinitModule: 273, BPF: 280, OpenByHandle: 265,
			IOUring: 425, Userfaultfd: 282, Keyctl: 219, Mount: 40, MoveMount: 429, Umount: 39, PivotRoot: 41, MemfdCreate: 279, Mknodat: 33,
		},
		regs: [2][7]uint32{{280, 272, 8, 16, 24, 32, 0}},
	},
}

// Usable reports, for the launch note, whether this kernel lets programs be
// loaded at all: BTF of the running kernel is there and readable.
func Usable() error {
	_, err := ebpf.LoadCollectionSpec("/sys/kernel/btf/vmlinux")
	return err
}
