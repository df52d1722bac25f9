package wiring

import (
	"net/netip"
	"regexp"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
)

// maxHops bounds a path from the outside to the standard streams of a shell.
const maxHops = 4

// Shape is how a shell reaches the outside.
type Shape string

// Shapes, as in the rules shell.net-stdio, shell.net-relay and shell.net-fd.
const (
	Stdio Shape = "stdio" // its own standard streams are connections
	Via   Shape = "relay" // other processes carry its input and output
	Held  Shape = "fd"    // it holds a connection and has received data on it
)

// Verdict is one shell that is wired to the outside.
type Verdict struct {
	Shape    Shape
	Node     Node
	Peer     string
	Port     int
	Accepted bool // the connection came in from a listener: a bind shell
	RelayPID int  // process that holds the outside socket, for Via
	Tool     bool // the relay is of class relay
	Path     []int
}

// Judge finds shells and interpreters that are run from outside the container.
// It looks at descriptors only: names and arguments say who may be a candidate,
// never who is guilty.
func Judge(g Graph) []Verdict {
	x := index(g)
	var out []Verdict
	for i := range g.Nodes {
		n := &g.Nodes[i]
		if !Candidate(*n) || trusted(n) {
			continue
		}
		if v, ok := x.direct(n); ok {
			out = append(out, v)
			continue
		}
		if v, ok := x.relayed(n); ok && takesCommands(*n) {
			out = append(out, v)
			continue
		}
		if v, ok := x.held(n); ok {
			out = append(out, v)
		}
	}
	return out
}

// Candidate reports processes that take commands from their standard input:
// shells, and interpreters without program text or script.
func Candidate(n Node) bool {
	switch program.Class(n.Class) {
	case program.Shell:
		return true
	case program.Interpreter:
		return stdinDriven(n.Argv)
	}
	return false
}

// takesCommands reports candidates that run what they read. Every tool starts
// shells on pipes of its own, with a text or a script to run, and keeps a
// connection meanwhile: such a shell is driven by nobody, unless its text has
// words that read further commands. One whose own streams are connections is
// judged whatever it was given.
func takesCommands(n Node) bool {
	if program.Class(n.Class) != program.Shell {
		return true
	}
	text, script := given(n.Argv)
	return !script || text != "" && furtherText.MatchString(text)
}

// furtherText are words by which a text goes on with what it reads.
var furtherText = regexp.MustCompile(`\b(?:read|eval|source|mapfile|readarray|xargs|/dev/stdin|/dev/fd/0|/proc/self/fd/0)\b|(?:^|[\s;&|(])(?:\.|-s|-i)\s|\b(?:ba|da|z|k|a)?sh\s*(?:$|[;&|<>)\n])`)

// given is what a shell was given to run: the text of -c, or a script file.
func given(argv []string) (text string, script bool) {
	c, on, file := false, false, "" // -c, -i or -s
	for i := 1; i < len(argv); i++ {
		a := argv[i]
		switch {
		case a == "+o" || a == "+O" || a == "--rcfile" || a == "--init-file":
			i++
		case a == "--":
			if i+1 < len(argv) && file == "" {
				file = argv[i+1]
			}
			i = len(argv)
		case strings.HasPrefix(a, "--") || strings.HasPrefix(a, "+"):
		case len(a) > 1 && a[0] == '-':
			c, on = c || strings.Contains(a, "c"), on || strings.ContainsAny(a, "is")
			if strings.HasSuffix(a, "o") || strings.HasSuffix(a, "O") {
				i++ // the name of an option
			}
		default:
			file = a
			i = len(argv)
		}
	}
	if c {
		return file, file != ""
	}
	return "", !on && file != "" && !strings.HasPrefix(file, "/dev/") && !strings.HasPrefix(file, "/proc/")
}

func stdinDriven(argv []string) bool {
	for _, a := range argv[min(1, len(argv)):] {
		switch {
		case a == "-i" || a == "-s" || a == "-":
			return true
		case !strings.HasPrefix(a, "-"):
			return false
		case strings.HasPrefix(a, "-c") || strings.HasPrefix(a, "-e") || strings.HasPrefix(a, "-m") || strings.HasPrefix(a, "-r") || strings.HasPrefix(a, "--eval"):
			return false
		}
	}
	return true
}

func trusted(n *Node) bool { return n.Role == Tool || n.Role == Agent || n.Role == Relay }

type graph struct {
	nodes   []Node
	writers map[string][]*Node // object → processes that can write into it
	readers map[string][]*Node
	byPID   map[int]*Node
	listen  map[int]*Node // loopback listeners by port
}

// end is the object that a descriptor joins: reading from "pipe:7" meets the
// writers of "pipe:7". A socket pair and a terminal have two ends.
func end(fd FD, reading bool) string {
	switch fd.Kind {
	case Pipe, FIFO:
		return string(fd.Kind) + ":" + fd.ID
	case Unix:
		if fd.PeerID == "" {
			return ""
		}
		if reading {
			return "unix:" + fd.ID
		}
		return "unix:" + fd.PeerID
	case PTY:
		if reading {
			return "pty-in:" + fd.ID
		}
		return "pty-out:" + fd.ID
	case Master:
		if reading {
			return "pty-out:" + fd.ID
		}
		return "pty-in:" + fd.ID
	}
	return ""
}

func index(g Graph) graph {
	x := graph{nodes: g.Nodes, writers: map[string][]*Node{}, readers: map[string][]*Node{}, byPID: map[int]*Node{}, listen: map[int]*Node{}}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		x.byPID[n.PID] = n
		for _, fd := range n.FDs {
			if fd.Listen {
				x.listen[fd.Port] = n
			}
			both := fd.Kind == Unix || fd.Kind == PTY || fd.Kind == Master
			if fd.Read || both {
				if k := end(fd, true); k != "" {
					x.readers[k] = append(x.readers[k], n)
				}
			}
			if fd.Write || both {
				if k := end(fd, false); k != "" {
					x.writers[k] = append(x.writers[k], n)
				}
			}
		}
	}
	return x
}

// outside reports whether a descriptor leads out of the container.
func (x graph) outside(n *Node, fd FD) bool {
	if fd.Kind != Inet && fd.Kind != Vsock || fd.Listen || !fd.Connected {
		return false
	}
	if fd.Kind == Vsock || !loopback(fd.Peer) {
		return true
	}
	// Two steps: a loopback peer whose listener has a way out of its own.
	l := x.listen[fd.Port]
	if l == nil || l == n || trusted(l) {
		return false
	}
	for _, f := range l.FDs {
		if f.Kind == Inet && f.Connected && !f.Listen && !loopback(f.Peer) || f.Kind == Vsock && f.Connected {
			return true
		}
	}
	return false
}

func loopback(addr string) bool {
	a, err := netip.ParseAddr(strings.Trim(addr, "[]"))
	if err != nil {
		return addr == "" || addr == "localhost"
	}
	return a.Unmap().IsLoopback() || a.IsUnspecified()
}

func stream(n *Node, num int) (FD, bool) {
	for _, fd := range n.FDs {
		if fd.N == num {
			return fd, true
		}
	}
	return FD{}, false
}

func (x graph) direct(n *Node) (Verdict, bool) {
	in, ok := stream(n, 0)
	if !ok || !x.outside(n, in) {
		return Verdict{}, false
	}
	for _, num := range []int{1, 2} {
		if o, ok := stream(n, num); ok && x.outside(n, o) {
			return Verdict{Shape: Stdio, Node: *n, Peer: in.Peer, Port: in.Port, Accepted: in.Accepted, Path: []int{n.PID}}, true
		}
	}
	return Verdict{}, false
}

// relayed looks for outside → … → stdin and stdout or stderr → … → outside.
func (x graph) relayed(n *Node) (Verdict, bool) {
	in, ok := stream(n, 0)
	if !ok {
		return Verdict{}, false
	}
	source, inFD, inPath, ok := x.walk(n, in, true)
	if !ok {
		return Verdict{}, false
	}
	for _, num := range []int{1, 2} {
		o, ok := stream(n, num)
		if !ok {
			continue
		}
		sink, _, outPath, ok := x.walk(n, o, false)
		if !ok || x.ancestor(sink, n) && sink != source && !x.share(sink, source) {
			continue
		}
		tool := program.Class(source.Class) == program.Relay || program.Class(sink.Class) == program.Relay
		return Verdict{
			Shape: Via, Node: *n, Peer: inFD.Peer, Port: inFD.Port, Accepted: inFD.Accepted, RelayPID: source.PID,
			Tool: tool, Path: append(inPath, outPath...),
		}, true
	}
	return Verdict{}, false
}

// share reports whether two processes have one and the same way out: a relay
// that forked. Two that each have a connection of their own are no relay.
func (x graph) share(a, b *Node) bool {
	for _, f := range a.FDs {
		if f.ID == "" || !x.outside(a, f) {
			continue
		}
		for _, g := range b.FDs {
			if g.Kind == f.Kind && g.ID == f.ID && a.NetNS == b.NetNS {
				return true
			}
		}
	}
	return false
}

// walk follows one stream to a process with a way out.
func (x graph) walk(n *Node, fd FD, reading bool) (*Node, FD, []int, bool) {
	if x.outside(n, fd) {
		return n, fd, []int{n.PID}, true
	}
	type step struct {
		node *Node
		path []int
	}
	seen := map[*Node]bool{n: true}
	next := func(key string, path []int) []step {
		peers := x.writers[key]
		if !reading {
			peers = x.readers[key]
		}
		var out []step
		for _, p := range peers {
			if !seen[p] && !trusted(p) {
				seen[p] = true
				out = append(out, step{p, append(append([]int(nil), path...), p.PID)})
			}
		}
		return out
	}
	level := next(end(fd, reading), []int{n.PID})
	for range maxHops {
		var deeper []step
		for _, s := range level {
			for _, f := range s.node.FDs {
				if x.outside(s.node, f) {
					return s.node, f, s.path, true
				}
			}
			for _, f := range s.node.FDs {
				if reading && f.Read || !reading && f.Write || f.Kind == Unix || f.Kind == PTY || f.Kind == Master {
					deeper = append(deeper, next(end(f, reading), s.path)...)
				}
			}
		}
		level = deeper
	}
	return nil, FD{}, nil, false
}

// ancestor reports whether a is a parent, at any distance, of n.
func (x graph) ancestor(a, n *Node) bool {
	for i, p := 0, x.byPID[n.PPID]; p != nil && i < 64; i, p = i+1, x.byPID[p.PPID] {
		if p == a {
			return true
		}
	}
	return false
}

// heldMS is how long a shell must have held a connection before it counts.
const heldMS = 2000

func (x graph) held(n *Node) (Verdict, bool) {
	if program.Class(n.Class) != program.Shell {
		return Verdict{}, false
	}
	for _, fd := range n.FDs {
		if fd.N > 2 && x.outside(n, fd) && !fd.Accepted && fd.AgeMS > heldMS && fd.Received > 0 {
			return Verdict{Shape: Held, Node: *n, Peer: fd.Peer, Port: fd.Port, Path: []int{n.PID}}, true
		}
	}
	return Verdict{}, false
}
