package main

import (
	"net"
	"os"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/resolve"
)

// stored are the sockets that the service manager kept for us, nil if none.
func stored() *resolve.Sockets {
	files := activation.Files(true)
	if len(files) == 0 {
		return nil
	}
	s, err := resolve.Adopt(files)
	if err != nil {
		return nil // new ones are opened; the old ones are closed by now
	}
	return s
}

// store hands the sockets to the service manager (sd_notify FDSTORE). Without
// one nothing happens.
func store(s *resolve.Sockets) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	files, err := s.Files()
	if err != nil {
		return err
	}
	var fds []int
	for _, f := range files {
		defer func() { _ = f.Close() }()
		raw, err := f.SyscallConn()
		if err != nil {
			return err
		}
		// Not f.Fd: it would make the socket blocking, which we share.
		if err := raw.Control(func(fd uintptr) { fds = append(fds, int(fd)) }); err != nil {
			return err
		}
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_, _, err = conn.WriteMsgUnix([]byte("FDSTORE=1\nFDNAME="+resolve.StoreName), unix.UnixRights(fds...), nil)
	return err
}
