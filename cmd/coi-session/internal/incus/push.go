package incus

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// FileInfo says what a pushed file is to be.
type FileInfo struct {
	Type     string // file, directory
	UID, GID int
	Mode     int
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

// errorText is the message in an answer of Incus, or the status line.
func errorText(body []byte, status string) string {
	var answer struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &answer) == nil && answer.Error != "" {
		return answer.Error
	}
	return status
}
