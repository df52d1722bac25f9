package resolve

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// StoreName is the name of the sockets in the service manager's store.
const StoreName = "dns"

// Files gives copies of the sockets, to be kept while the guard restarts:
// questions then wait in the kernel instead of failing.
func (s *Sockets) Files() ([]*os.File, error) {
	var out []*os.File
	add := func(f *os.File, err error) error {
		if err == nil {
			out = append(out, f)
		}
		return err
	}
	var errs []error
	for _, c := range s.udp {
		errs = append(errs, add(c.File()))
	}
	for _, l := range s.tcp {
		if f, ok := l.(interface{ File() (*os.File, error) }); ok {
			errs = append(errs, add(f.File()))
		}
	}
	return out, errors.Join(errs...)
}

// Adopt makes sockets from files that Files gave. It fails when they are not
// UDP and TCP of one port.
func Adopt(files []*os.File) (*Sockets, error) {
	s := &Sockets{}
	for _, f := range files {
		err := s.adopt(f)
		_ = f.Close()
		if err != nil {
			s.Close()
			return nil, err
		}
	}
	if len(s.udp) == 0 || len(s.udp) != len(s.tcp) {
		s.Close()
		return nil, fmt.Errorf("%d UDP and %d TCP sockets were handed over", len(s.udp), len(s.tcp))
	}
	return s, nil
}

func (s *Sockets) adopt(f *os.File) error {
	// Not f.Fd: it would make the socket blocking for everybody who shares it.
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var typ int
	var gerr error
	if err := raw.Control(func(fd uintptr) { typ, gerr = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TYPE) }); err != nil || gerr != nil {
		return errors.Join(err, gerr)
	}
	port := 0
	if typ == unix.SOCK_DGRAM {
		c, err := net.FilePacketConn(f)
		if err != nil {
			return err
		}
		u, ok := c.(*net.UDPConn)
		if !ok {
			_ = c.Close()
			return errors.New("a datagram socket that is not UDP was handed over")
		}
		s.udp = append(s.udp, u)
		port = u.LocalAddr().(*net.UDPAddr).Port
	} else {
		l, err := net.FileListener(f)
		if err != nil {
			return err
		}
		s.tcp = append(s.tcp, l)
		if a, ok := l.Addr().(*net.TCPAddr); ok {
			port = a.Port
		}
	}
	if s.Port != 0 && int(s.Port) != port || port == 0 {
		return fmt.Errorf("sockets of ports %d and %d were handed over", s.Port, port)
	}
	s.Port = uint16(port)
	return nil
}
