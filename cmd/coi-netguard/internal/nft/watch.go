package nft

import (
	"context"
	"errors"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	groupNFTables = 7 // NFNLGRP_NFTABLES
	genPID        = 2 // NFTA_GEN_PROC_PID
	tableAttr     = 1 // the table's name in the messages of all objects
)

// Watch tells of every transaction that touched the table and was not made by
// process pid. A non-nil error on the channel means that messages were lost.
// The channel is closed when the context ends or the socket dies.
func Watch(ctx context.Context, table string, pid int) (<-chan error, error) {
	nl, err := dial(1 << (groupNFTables - 1))
	if err != nil {
		return nil, err
	}
	w := &watcher{table: table, pid: pid}
	out := make(chan error, 16)
	context.AfterFunc(ctx, func() { _ = nl.Close() })
	go func() {
		defer close(out)
		for {
			msgs, err := nl.Receive()
			if ctx.Err() != nil || err != nil && !errors.Is(err, unix.ENOBUFS) {
				return
			}
			if err == nil && !w.foreign(msgs) {
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

// watcher remembers whether the transaction whose messages come in has touched
// the table: only its last message names the process.
type watcher struct {
	table   string
	pid     int
	touched bool
}

func (w *watcher) foreign(msgs []netlink.Message) (foreign bool) {
	for _, m := range msgs {
		if len(m.Data) < 4 {
			continue
		}
		if int(m.Header.Type)&0xff != unix.NFT_MSG_NEWGEN {
			w.touched = w.touched || w.ours(m.Data[4:])
			continue
		}
		by := 0
		err := eachAttr(m.Data[4:], func(typ uint16, data []byte) error {
			if typ == genPID {
				by = int(u32(data))
			}
			return nil
		})
		foreign = foreign || w.touched && (err != nil || by != w.pid)
		w.touched = false
	}
	return foreign
}

var errFound = errors.New("found")

func (w *watcher) ours(data []byte) bool {
	err := eachAttr(data, func(typ uint16, data []byte) error {
		if typ == tableAttr && cstr(data) == w.table {
			return errFound
		}
		return nil
	})
	// What cannot be read may be about our table.
	return err != nil
}
