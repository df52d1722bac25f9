package nft

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	groupNFTables = 7 // NFNLGRP_NFTABLES
	genPID        = 2 // NFTA_GEN_PROC_PID
	tableAttr     = 1 // the table's name in the messages of all objects
)

// Change says that a transaction of another process touched tables.
type Change struct {
	Own   bool  // the watched table
	Other bool  // a table of one of the other names
	Err   error // messages were lost: anything may have changed
}

// Watch tells of every transaction that was not made by process pid and touched
// table, or a table of any family with a name in others. The channel is closed
// when the context ends or the socket dies.
func Watch(ctx context.Context, table string, others []string, pid int) (<-chan Change, error) {
	nl, err := dial(1 << (groupNFTables - 1))
	if err != nil {
		return nil, err
	}
	w := &watcher{table: table, others: others, pid: pid}
	out := make(chan Change, 16)
	context.AfterFunc(ctx, func() { _ = nl.Close() })
	go func() {
		defer close(out)
		for {
			msgs, err := nl.Receive()
			if ctx.Err() != nil || err != nil && !errors.Is(err, unix.ENOBUFS) {
				return
			}
			c := Change{Err: err}
			if err == nil {
				c = w.foreign(msgs)
			}
			if c == (Change{}) {
				continue
			}
			select {
			case out <- c:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

// watcher remembers whether the transaction whose messages come in has touched
// the tables: only its last message names the process.
type watcher struct {
	table   string
	others  []string
	pid     int
	touched Change
}

func (w *watcher) foreign(msgs []netlink.Message) (c Change) {
	for _, m := range msgs {
		if len(m.Data) < 4 {
			continue
		}
		if int(m.Header.Type)&0xff != unix.NFT_MSG_NEWGEN {
			w.look(m.Data[4:])
			continue
		}
		by := 0
		err := eachAttr(m.Data[4:], func(typ uint16, data []byte) error {
			if typ == genPID {
				by = int(u32(data))
			}
			return nil
		})
		if err != nil || !thread(w.pid, by) {
			c.Own, c.Other = c.Own || w.touched.Own, c.Other || w.touched.Other
		}
		w.touched = Change{}
	}
	return c
}

// thread reports whether id is a thread of the process: the kernel names the
// thread that sent a transaction (net/netfilter/nf_tables_api.c), and here any
// may have.
func thread(pid, id int) bool {
	if id == pid {
		return true
	}
	_, err := os.Stat(fmt.Sprintf("/proc/%d/task/%d", pid, id))
	return id > 0 && err == nil
}

func (w *watcher) look(data []byte) {
	err := eachAttr(data, func(typ uint16, data []byte) error {
		if typ == tableAttr {
			name := cstr(data)
			w.touched.Own = w.touched.Own || name == w.table
			w.touched.Other = w.touched.Other || slices.Contains(w.others, name)
		}
		return nil
	})
	if err != nil { // what cannot be read may be about our table
		w.touched.Own = true
	}
}
