package probe

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/code-on-incus/coi/cmd/coi-health/internal/check"
)

// serverTime is how long a name server may take to answer.
const serverTime = 2 * time.Second

// askServers asks each name server for the servers of the root, which every one
// that can resolve anything knows. It answers in place of the check dns_upstream,
// which only repeats what the guard heard last.
func askServers(ctx context.Context, o Options) check.Result {
	servers := check.Servers(o.Facts)
	if len(servers) == 0 {
		return check.Named("dns_upstream").Run(o.Facts)
	}
	var silent []string
	for _, server := range servers {
		o.Outside("asking " + server + " for the name servers of the root")
		if err := askRoot(ctx, net.JoinHostPort(server, "53")); err != nil {
			silent = append(silent, server+": "+err.Error())
		}
	}
	if len(silent) == len(servers) {
		return check.Result{Status: check.Warning, Message: "none answers: " + strings.Join(silent, "; "), Hint: "set network.dns_servers, or mend /etc/resolv.conf"}
	}
	r := ok("%d of %d answered", len(servers)-len(silent), len(servers))
	if len(silent) > 0 {
		r.Details = map[string]any{"silent": silent}
	}
	return r
}

var errNotOurs = errors.New("the answer is to another question")

// askRoot asks one server, by UDP.
func askRoot(ctx context.Context, server string) error {
	ctx, cancel := context.WithTimeout(ctx, serverTime)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", server)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	// The port of the socket is the kernel's choice; nothing is done with the answer
	// but to say that it came.
	const id = 0x434f
	question := dnsmessage.Message{
		Header: dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{{
			Name: dnsmessage.MustNewName("."), Type: dnsmessage.TypeNS, Class: dnsmessage.ClassINET,
		}},
	}
	packet, err := question.Pack()
	if err != nil {
		return err
	}
	if _, err := conn.Write(packet); err != nil {
		return err
	}
	var buf [4096]byte
	n, err := conn.Read(buf[:])
	if err != nil {
		return err
	}
	var p dnsmessage.Parser
	h, err := p.Start(buf[:n])
	switch {
	case err != nil:
		return err
	case !h.Response || h.ID != id:
		return errNotOurs
	case h.RCode != dnsmessage.RCodeSuccess:
		return errors.New(strings.TrimPrefix(h.RCode.String(), "RCode"))
	}
	return nil
}
