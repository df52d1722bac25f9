package wiring

import "testing"

func sock(n int, id string) FD {
	return FD{N: n, Kind: Inet, ID: id, Read: true, Write: true, Proto: "tcp", Peer: "198.51.100.7", Port: 4242, Connected: true}
}

func rd(n int, k Kind, id string) FD { return FD{N: n, Kind: k, ID: id, Read: true} }
func wr(n int, k Kind, id string) FD { return FD{N: n, Kind: k, ID: id, Write: true} }

// tool is a program that keeps a connection and has a shell on pipes.
func tool(argv ...string) []Node {
	return []Node{
		{PID: 2, Class: "interpreter", Argv: []string{"node", "x.js"}, FDs: []FD{wr(10, Pipe, "1"), rd(11, Pipe, "2"), sock(12, "s")}},
		{PID: 3, PPID: 2, Class: "shell", Argv: argv, FDs: []FD{rd(0, Pipe, "1"), wr(1, Pipe, "2")}},
	}
}

func TestJudge(t *testing.T) {
	local := sock(0, "9")
	local.Peer = "127.0.0.1"
	local1 := local
	local1.N = 1
	held := sock(5, "5")
	held.AgeMS, held.Received = 3000, 10
	for _, c := range []struct {
		name  string
		nodes []Node
		want  Shape
	}{
		{"dup2 shell", []Node{{PID: 2, Class: "shell", FDs: []FD{sock(0, "1"), sock(1, "1"), sock(2, "1")}}}, Stdio},
		{"loopback", []Node{{PID: 2, Class: "shell", FDs: []FD{local, local1}}}, ""},
		{"interpreter from stdin", []Node{{PID: 2, Class: "interpreter", Argv: []string{"python3", "-i"}, FDs: []FD{sock(0, "1"), sock(1, "1")}}}, Stdio},
		{"interpreter with a script", []Node{{PID: 2, Class: "interpreter", Argv: []string{"python3", "a.py"}, FDs: []FD{sock(0, "1"), sock(1, "1")}}}, ""},
		{"fifo and nc", []Node{
			{PID: 2, Class: "reader", FDs: []FD{rd(0, Null, ""), wr(1, Pipe, "1"), rd(3, FIFO, "f")}},
			{PID: 3, Class: "shell", FDs: []FD{rd(0, Pipe, "1"), wr(1, Pipe, "2"), wr(2, Pipe, "2")}},
			{PID: 4, Class: "relay", FDs: []FD{rd(0, Pipe, "2"), wr(1, FIFO, "f"), sock(3, "s")}},
		}, Via},
		{"node with pipes", []Node{
			{PID: 2, Class: "interpreter", Argv: []string{"node", "-e", "x"}, FDs: []FD{wr(10, Pipe, "1"), rd(11, Pipe, "2"), sock(12, "s")}},
			{PID: 3, PPID: 2, Class: "shell", FDs: []FD{rd(0, Pipe, "1"), wr(1, Pipe, "2")}},
		}, Via},
		{"tool with pipes and a text", tool("sh", "-c", "npm run build && echo done"), ""},
		{"tool with pipes and options before the text", tool("bash", "-euo", "pipefail", "-c", "make -j4"), ""},
		{"tool with pipes and a script", tool("bash", "./build.sh", "-i"), ""},
		{"text that starts a shell", tool("sh", "-c", "exec bash"), Via},
		{"text that reads", tool("sh", "-c", "while read l; do eval \"$l\"; done"), Via},
		{"text that is its input", tool("bash", "-c", ". /dev/stdin"), Via},
		{"script that is its input", tool("bash", "/dev/stdin"), Via},
		{"interactive with a file", tool("bash", "-i", "x"), Via},
		{"tool that asks an interactive shell", tool("zsh", "-ilc", "printenv PATH"), ""},
		{"options with a value only", tool("bash", "-euo", "pipefail"), Via},
		{"options only", tool("bash", "--norc", "-o", "pipefail"), Via},
		{"pty", []Node{
			{PID: 2, Class: "interpreter", Argv: []string{"python3", "-c", "x"}, FDs: []FD{{N: 5, Kind: Master, ID: "3", Read: true, Write: true}, sock(4, "s")}},
			{PID: 3, PPID: 2, Class: "shell", FDs: []FD{{N: 0, Kind: PTY, ID: "3"}, {N: 1, Kind: PTY, ID: "3"}, {N: 2, Kind: PTY, ID: "3"}}},
		}, Via},
		{"agent's own shell", []Node{
			{PID: 2, Role: Tool, Class: "interpreter", FDs: []FD{wr(10, Pipe, "1"), rd(11, Pipe, "2"), sock(12, "s")}},
			{PID: 3, PPID: 2, Class: "shell", FDs: []FD{rd(0, Pipe, "1"), wr(1, Pipe, "2")}},
		}, ""},
		{"installer piped into a shell under a networked parent", []Node{
			{PID: 2, Class: "interpreter", Argv: []string{"python3", "ci.py"}, FDs: []FD{rd(11, Pipe, "out"), sock(12, "s")}},
			{PID: 3, PPID: 2, Class: "downloader", FDs: []FD{wr(1, Pipe, "1"), sock(5, "d")}},
			{PID: 4, PPID: 2, Class: "shell", FDs: []FD{rd(0, Pipe, "1"), wr(1, Pipe, "out")}},
		}, ""},
		{"relay that forked", []Node{
			{PID: 2, Class: "interpreter", Argv: []string{"perl", "x.pl"}, FDs: []FD{rd(11, Pipe, "out"), sock(12, "s")}},
			{PID: 3, PPID: 2, Class: "interpreter", Argv: []string{"perl", "x.pl"}, FDs: []FD{wr(10, Pipe, "1"), sock(12, "s")}},
			{PID: 4, PPID: 2, Class: "shell", FDs: []FD{rd(0, Pipe, "1"), wr(1, Pipe, "out")}},
		}, Via},
		{"held", []Node{{PID: 2, Class: "shell", FDs: []FD{rd(0, Null, ""), held}}}, Held},
		{"probe", []Node{{PID: 2, Class: "shell", FDs: []FD{rd(0, Null, ""), sock(5, "5")}}}, ""},
		{"socket pair", []Node{
			{PID: 2, Class: "other", FDs: []FD{{N: 4, Kind: Unix, ID: "10", PeerID: "11"}, sock(6, "s")}},
			{PID: 3, PPID: 2, Class: "shell", FDs: []FD{{N: 0, Kind: Unix, ID: "11", PeerID: "10"}, {N: 1, Kind: Unix, ID: "11", PeerID: "10"}}},
		}, Via},
		{"two steps over loopback", []Node{
			{PID: 2, Class: "relay", FDs: []FD{{N: 3, Kind: Inet, Listen: true, Port: 9000}, sock(6, "s")}},
			{PID: 3, Class: "shell", FDs: []FD{
				{N: 0, Kind: Inet, Peer: "127.0.0.1", Port: 9000, Connected: true, Read: true, Write: true},
				{N: 1, Kind: Inet, Peer: "127.0.0.1", Port: 9000, Connected: true, Read: true, Write: true},
			}},
		}, Stdio},
	} {
		got := Judge(Graph{Nodes: c.nodes})
		switch {
		case c.want == "" && len(got) > 0:
			t.Errorf("%s: Judge = %+v; want nothing", c.name, got)
		case c.want != "" && (len(got) != 1 || got[0].Shape != c.want):
			t.Errorf("%s: Judge = %+v; want one %s", c.name, got, c.want)
		}
	}
}
