package incus

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"strconv"

	client "github.com/lxc/incus/v6/client"
	"github.com/pkg/sftp"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/bundle"
)

// FileInfo is what Incus says about a file in an instance.
type FileInfo struct {
	Type     string // file, directory, symlink
	UID, GID int
	Mode     int
	Entries  []string // names in a directory
}

// PullFile opens a file of a running or stopped instance. content is nil for a
// directory; the caller closes it. The error wraps ErrNotFound if there is none.
func (c *Client) PullFile(ctx context.Context, name, file string) (content io.ReadCloser, info FileInfo, err error) {
	type answer struct {
		content io.ReadCloser
		info    *client.InstanceFileResponse
	}
	a, err := query(ctx, func() (answer, error) {
		content, info, err := c.c.GetInstanceFile(name, file)
		return answer{content, info}, err
	})
	if err != nil {
		return nil, FileInfo{}, err
	}
	return a.content, FileInfo{Type: a.info.Type, UID: int(a.info.UID), GID: int(a.info.GID), Mode: a.info.Mode, Entries: a.info.Entries}, nil
}

// PushFile writes a file, or makes a directory when info.Type says so, in a
// running or stopped instance. It streams: content is read once.
func (c *Client) PushFile(ctx context.Context, name, file string, info FileInfo, content io.Reader) error {
	hc, err := c.c.GetHTTPClient()
	if err != nil {
		return err
	}
	u := fmt.Sprintf("http://unix.socket/1.0/instances/%s/files?project=%s&path=%s",
		url.PathEscape(name), url.QueryEscape(c.Project), url.QueryEscape(file))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u, content)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	req.Header.Set("X-Incus-uid", strconv.Itoa(info.UID))
	req.Header.Set("X-Incus-gid", strconv.Itoa(info.GID))
	req.Header.Set("X-Incus-mode", fmt.Sprintf("%04o", info.Mode))
	req.Header.Set("X-Incus-type", info.Type)
	req.Header.Set("X-Incus-write", "overwrite")
	resp, err := hc.Do(req)
	if err != nil {
		return classify(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
	return fmt.Errorf("push %s: %s", file, errorText(text, resp.Status))
}

// Boot writes small files into a stopped instance over one SFTP session,
// making their directories. Existing files are replaced, links not followed:
// what is in a path's place is removed first.
func (c *Client) Boot(ctx context.Context, name string, files []bundle.File) error {
	_, err := call(ctx, func() (struct{}, error) {
		s, err := c.c.GetInstanceFileSFTP(name)
		if err != nil {
			return struct{}{}, err
		}
		defer func() { _ = s.Close() }()
		for _, f := range files {
			if err := bootOne(s, f); err != nil {
				return struct{}{}, fmt.Errorf("%s: %w", f.Path, err)
			}
		}
		return struct{}{}, nil
	})
	return err
}

func bootOne(s *sftp.Client, f bundle.File) error {
	if err := s.MkdirAll(path.Dir(f.Path)); err != nil {
		return err
	}
	_ = s.Remove(f.Path)
	w, err := s.OpenFile(f.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	if _, err := w.Write(f.Content); err != nil {
		_ = w.Close()
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := s.Chown(f.Path, f.UID, f.GID); err != nil {
		return err
	}
	return s.Chmod(f.Path, f.Mode)
}
