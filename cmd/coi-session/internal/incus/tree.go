package incus

import (
	"context"
	"io"
	"io/fs"

	"github.com/pkg/sftp"
)

// Tree is the file system of an instance, running or stopped, over SFTP. Paths
// are resolved inside the instance, so links there lead nowhere else.
type Tree struct{ c *sftp.Client }

// Tree opens the file system of an instance. The caller closes it.
func (c *Client) Tree(ctx context.Context, name string) (*Tree, error) {
	s, err := query(ctx, func() (*sftp.Client, error) { return c.c.GetInstanceFileSFTP(name) })
	if err != nil {
		return nil, err
	}
	return &Tree{s}, nil
}

// ReadDir describes what a directory holds, links not followed.
func (t *Tree) ReadDir(path string) ([]fs.FileInfo, error) { return t.c.ReadDir(path) }

// Lstat describes one file, a link not followed.
func (t *Tree) Lstat(path string) (fs.FileInfo, error) { return t.c.Lstat(path) }

// Open opens a file for reading.
func (t *Tree) Open(path string) (io.ReadCloser, error) { return t.c.Open(path) }

// Close ends the connection.
func (t *Tree) Close() error { return t.c.Close() }
