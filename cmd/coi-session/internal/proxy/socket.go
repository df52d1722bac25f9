package proxy

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
)

// AgentInside is where the ssh agent is found inside.
const AgentInside = "/tmp/ssh-agent.sock"

// Owner are the ids of the user on the host and of the code user inside.
type Owner struct{ HostUID, HostGID, UID int }

// Socket is the proxy device that lends a Unix socket of the host: inside it
// belongs to the code user alone, outside the proxy connects as the user.
func Socket(host, inside string, o Owner) incus.Device {
	return incus.Device{
		"type": "proxy", "bind": "container", "listen": "unix:" + inside, "connect": "unix:" + host,
		"uid": strconv.Itoa(o.UID), "gid": strconv.Itoa(o.UID), "mode": "0600",
		"security.uid": strconv.Itoa(o.HostUID), "security.gid": strconv.Itoa(o.HostGID),
	}
}

// CheckSocket says why a path cannot be forwarded, nil if it can.
func CheckSocket(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if st.Mode()&os.ModeSocket == 0 {
		return errors.New("not a socket")
	}
	return nil
}

// PointAgent makes link a symbolic link to the agent's socket, replacing an
// older one, so that a session goes on with the agent of a later login.
func PointAgent(link, socket string) error {
	if socket == "" {
		return errors.New("SSH_AUTH_SOCK is not set")
	}
	if err := CheckSocket(socket); err != nil {
		return fmt.Errorf("SSH_AUTH_SOCK: %w", err)
	}
	tmp := link + ".new"
	_ = os.Remove(tmp)
	if err := os.Symlink(socket, tmp); err != nil {
		return err
	}
	return os.Rename(tmp, link)
}
