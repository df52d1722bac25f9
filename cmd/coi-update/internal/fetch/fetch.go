// Package fetch reads a release index, an archive or a rule collection from an
// https URL, a file URL or a directory path, with a cap on its size. Nothing
// else in coi-update touches the network.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Limits in bytes.
const (
	MaxIndex   = 1 << 20
	MaxArchive = 512 << 20
)

// Timeout is how long one download may take in all.
const Timeout = 10 * time.Minute

// Join appends a file name to a source, which is a URL or a directory. The
// name may not leave the source.
func Join(source, name string) (string, error) {
	if name == "" || name != filepath.Base(name) || strings.HasPrefix(name, ".") {
		return "", fmt.Errorf("%q is not a plain file name", name)
	}
	return strings.TrimSuffix(source, "/") + "/" + name, nil
}

// Get copies what is at a place to w, at most limit bytes; more is an error.
func Get(ctx context.Context, place string, limit int64, w io.Writer) error {
	r, err := open(ctx, place)
	if err != nil {
		return fmt.Errorf("get %s: %w", place, err)
	}
	defer func() { _ = r.Close() }()
	n, err := io.Copy(w, io.LimitReader(r, limit+1))
	if err != nil {
		return fmt.Errorf("get %s: %w", place, err)
	}
	if n > limit {
		return fmt.Errorf("get %s: over %d bytes", place, limit)
	}
	return nil
}

func open(ctx context.Context, place string) (io.ReadCloser, error) {
	u, err := url.Parse(place)
	if err != nil {
		return nil, err
	}
	switch u.Scheme {
	case "", "file":
		return os.Open(u.Path)
	case "https":
		return get(ctx, place)
	}
	return nil, fmt.Errorf("scheme %q is not https or file", u.Scheme)
}

func get(ctx context.Context, place string) (io.ReadCloser, error) {
	client := &http.Client{Timeout: Timeout, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if r.URL.Scheme != "https" || len(via) > 5 {
			return errors.New("redirected away from https")
		}
		return nil
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, place, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return nil, errors.New(resp.Status)
	}
	return resp.Body, nil
}
