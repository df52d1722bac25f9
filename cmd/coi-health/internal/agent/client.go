package agent

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// maxReply bounds one line from the container, in bytes.
const maxReply = 64 << 10

// Client gives orders to an agent. It may be used by several goroutines; orders
// are carried out one after the other.
type Client struct {
	mu  sync.Mutex
	in  io.Writer
	out *bufio.Scanner
}

// NewClient talks to an agent over its two streams.
func NewClient(in io.Writer, out io.Reader) *Client {
	lines := bufio.NewScanner(out)
	lines.Buffer(make([]byte, 4096), maxReply)
	return &Client{in: in, out: lines}
}

// Do gives one order and waits for what came of it. An error means that the
// agent is gone.
func (c *Client) Do(r Request) (Reply, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	line, err := json.Marshal(r)
	if err != nil {
		return Reply{}, err
	}
	if _, err := c.in.Write(append(line, '\n')); err != nil {
		return Reply{}, fmt.Errorf("the agent inside is gone: %w", err)
	}
	if !c.out.Scan() {
		err := c.out.Err()
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return Reply{}, fmt.Errorf("the agent inside is gone: %w", err)
	}
	var reply Reply
	if err := json.Unmarshal(c.out.Bytes(), &reply); err != nil {
		return Reply{}, fmt.Errorf("the agent inside answers nonsense: %w", err)
	}
	return reply, nil
}
