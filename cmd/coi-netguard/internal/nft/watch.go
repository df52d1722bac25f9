package nft

import (
	"context"
	"errors"

	"github.com/mdlayher/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	groupNFTables = 7 // NFNLGRP_NFTABLES
	genPID        = 2 // NFTA_GEN_PROC_PID
)

// Watch tells of every change to any table that was not made by process pid. A
// non-nil error on the channel means that messages were lost. The channel is
// closed when the context ends or the socket dies.
func Watch(ctx context.Context, pid int) (<-chan error, error) {
	nl, err := dial(1 << (groupNFTables - 1))
	if err != nil {
		return nil, err
	}
	// Each transaction ends with a message of its own that names the process;
	// the others, one for each element set, need not wake us.
	filter, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 4, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: swap(unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWGEN), SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: 1 << 16},
	})
	if err == nil {
		err = nl.SetBPF(filter)
	}
	if err != nil {
		_ = nl.Close()
		return nil, err
	}
	out := make(chan error, 16)
	context.AfterFunc(ctx, func() { _ = nl.Close() })
	go func() {
		defer close(out)
		for {
			msgs, err := nl.Receive()
			if ctx.Err() != nil {
				return
			}
			if err != nil && !errors.Is(err, unix.ENOBUFS) {
				return
			}
			if err == nil && ours(msgs, pid) {
				continue
			}
			select {
			case out <- err:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

// swap: BPF loads in network order, netlink writes in that of the host.
func swap(v uint32) uint32 {
	b := [2]byte{byte(v), byte(v >> 8)}
	if nativeLittle {
		return uint32(b[0])<<8 | uint32(b[1])
	}
	return v
}

func ours(msgs []netlink.Message, pid int) bool {
	for _, m := range msgs {
		if len(m.Data) < 4 {
			return false
		}
		by := 0
		err := eachAttr(m.Data[4:], func(typ uint16, data []byte) error {
			if typ == genPID {
				by = int(u32(data))
			}
			return nil
		})
		if err != nil || by != pid {
			return false
		}
	}
	return true
}
