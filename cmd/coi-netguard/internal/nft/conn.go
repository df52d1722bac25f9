package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// socketBuffer is large enough for a whole ruleset with ten thousand addresses
// in one message and for the errors of all of its parts.
const socketBuffer = 16 << 20

// answerTime is how long the kernel may take to commit. It waits for an RCU
// grace period, which takes milliseconds.
const answerTime = 10 * time.Second

// Conn writes transactions. It keeps one socket, because the kernel ties an
// owned table to the socket that made it. It is safe for several goroutines.
type Conn struct {
	mu sync.Mutex
	nl *netlink.Conn
	// fail, when set, is asked before each transaction.
	fail func(messages int) error
}

// SetFail has fail asked before each transaction; tests make steps fail with it.
func (c *Conn) SetFail(fail func(messages int) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail = fail
}

// Open opens the socket in the network namespace of the calling thread.
func Open() (*Conn, error) {
	nl, err := dial(0)
	if err != nil {
		return nil, err
	}
	return &Conn{nl: nl}, nil
}

func dial(groups uint32) (*netlink.Conn, error) {
	nl, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{Groups: groups})
	if err != nil {
		return nil, fmt.Errorf("open netfilter socket: %w", err)
	}
	if err := errors.Join(nl.SetWriteBuffer(socketBuffer), nl.SetReadBuffer(socketBuffer)); err != nil {
		_ = nl.Close()
		return nil, fmt.Errorf("enlarge netfilter socket: %w", err)
	}
	return nl, nil
}

// Close closes the socket. A table with the persist flag stays.
func (c *Conn) Close() error { return c.nl.Close() }

// Commit sends the batch as one transaction: all of it takes effect, or
// nothing. It returns when the kernel has said which. The error wraps the
// kernel's errno of the first message that failed.
func (c *Conn) Commit(b *Batch) error {
	if b.err != nil {
		return b.err
	}
	if len(b.msgs) == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != nil {
		if err := c.fail(len(b.msgs)); err != nil {
			return err
		}
	}
	err := c.commit(b)
	for tries := 0; errors.Is(err, unix.EINTR) && tries < 3; tries++ {
		err = c.commit(b)
	}
	return err
}

func (c *Conn) commit(b *Batch) error {
	edge := func(typ int) netlink.Message {
		return netlink.Message{
			Header: netlink.Header{Type: netlink.HeaderType(typ), Flags: netlink.Request},
			Data:   header(unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES),
		}
	}
	msgs := make([]netlink.Message, 0, len(b.msgs)+2)
	msgs = append(msgs, edge(unix.NFNL_MSG_BATCH_BEGIN))
	msgs = append(msgs, b.msgs...)
	// The kernel answers in order and after the commit, so one wanted answer is enough.
	msgs[len(msgs)-1].Header.Flags |= netlink.Acknowledge
	msgs = append(msgs, edge(unix.NFNL_MSG_BATCH_END))
	sent, err := c.nl.SendMessages(msgs)
	if err != nil {
		return fmt.Errorf("send rules: %w", err)
	}
	first, last := sent[0].Header.Sequence, sent[len(sent)-2].Header.Sequence
	return c.answer(first, last)
}

// answer reads until the last message of the batch, or the batch as a whole, has
// been answered.
func (c *Conn) answer(first, last uint32) error {
	if err := c.nl.SetReadDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	defer func() { _ = c.nl.SetReadDeadline(time.Time{}) }()
	fd, err := c.nl.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	buf := make([]byte, 1<<16)
	for {
		var n int
		var rerr error
		if err := fd.Read(func(fd uintptr) bool {
			n, _, rerr = unix.Recvfrom(int(fd), buf, 0)
			return rerr != unix.EAGAIN
		}); err != nil {
			return errors.Join(failed, fmt.Errorf("wait for the kernel: %w", err))
		}
		if rerr != nil {
			return errors.Join(failed, fmt.Errorf("read the kernel's answer: %w", rerr))
		}
		for b := buf[:n]; len(b) >= 20; {
			size := int(binary.NativeEndian.Uint32(b))
			if size < 16 || size > len(b) {
				break
			}
			typ, seq := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint32(b[8:])
			if typ == unix.NLMSG_ERROR && size >= 20 {
				errno := -int32(binary.NativeEndian.Uint32(b[16:]))
				if errno != 0 && failed == nil && seq >= first && seq <= last+1 {
					failed = &Error{unix.Errno(errno), int(seq - first)}
				}
				if seq == last || seq == first && errno != 0 {
					return failed
				}
			}
			b = b[min(len(b), (size+3)&^3):]
		}
	}
}

// Error is the kernel's refusal of a transaction.
type Error struct {
	Errno   unix.Errno
	Message int // which message, from 1; 0: the batch as a whole
}

func (e *Error) Error() string {
	return fmt.Sprintf("nftables: %v (message %d)", e.Errno, e.Message)
}

// Unwrap gives the errno.
func (e *Error) Unwrap() error { return e.Errno }
