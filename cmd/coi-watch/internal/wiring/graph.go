// Package wiring judges how the processes of a container are connected: who
// reads what from whom, and where that leads outside. It is pure; the graph is
// filled from /proc and sock_diag by its caller.
package wiring

// Kind is what a descriptor is. The words are those of the event's stdio field.
type Kind string

// Kinds of descriptor. Master is the controlling end of a pty; both ends carry
// the index of the terminal as their ID.
const (
	File   Kind = "file"
	Pipe   Kind = "pipe"
	FIFO   Kind = "fifo"
	Unix   Kind = "unix"
	Inet   Kind = "inet"
	Vsock  Kind = "vsock"
	PTY    Kind = "pty"
	Master Kind = "ptmx"
	Null   Kind = "null"
)

// FD is one open descriptor.
//
// ID names the object: the inode of a pipe, fifo or socket ("<netns>:<inode>"
// when namespaces differ), the index of a terminal. PeerID is the inode of the
// other end of a unix pair. Read and Write are from the open mode; a socket or
// terminal has both.
type FD struct {
	N      int    `json:"n"`
	Kind   Kind   `json:"kind"`
	ID     string `json:"id,omitempty"`
	PeerID string `json:"peer_id,omitempty"`
	Read   bool   `json:"r,omitempty"`
	Write  bool   `json:"w,omitempty"`

	// The rest is about inet and vsock sockets only. Peer is "address", Port its
	// port; both are those of the remote side. Listen: a listening socket, then
	// Port is the local one. Accepted: it came from a listener. Connected:
	// established, or a datagram socket with a peer. LocalPort joins a loopback
	// connection to its listener. AgeMS and Received (bytes) feed shell.net-fd.
	Proto     string `json:"proto,omitempty"`
	Peer      string `json:"peer,omitempty"`
	Port      int    `json:"port,omitempty"`
	LocalPort int    `json:"local_port,omitempty"`
	Listen    bool   `json:"listen,omitempty"`
	Accepted  bool   `json:"accepted,omitempty"`
	Connected bool   `json:"connected,omitempty"`
	AgeMS     int64  `json:"age_ms,omitempty"`
	Received  int64  `json:"received,omitempty"`
	Sent      int64  `json:"sent,omitempty"` // bytes that the other side has
}

// Role says whether a process is one whose connections are expected.
type Role string

// Roles. Tool is the program coi started, Agent a further process of the same
// program, Relay a trusted relay (init, tmux server, sshd started by init,
// container runtimes, processes entered from outside).
const (
	Plain Role = ""
	Tool  Role = "tool"
	Agent Role = "agent"
	Relay Role = "relay"
)

// Node is one process. Key is unique over time (pid and start time).
type Node struct {
	PID    int      `json:"pid"`
	Start  uint64   `json:"start"`
	PPID   int      `json:"ppid"`
	Exe    string   `json:"exe,omitempty"`
	Class  string   `json:"class,omitempty"` // of package program
	Argv   []string `json:"argv,omitempty"`
	Role   Role     `json:"role,omitempty"`
	AgeMS  int64    `json:"age_ms,omitempty"`
	FDs    []FD     `json:"fds,omitempty"` // 0, 1, 2 of all; all of holders
	NetNS  uint64   `json:"netns,omitempty"`
	Nested bool     `json:"nested,omitempty"` // in a pid namespace below the container's
}

// Graph is one moment of one container.
type Graph struct {
	Nodes []Node `json:"nodes"`
}
