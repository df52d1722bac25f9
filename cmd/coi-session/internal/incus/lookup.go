package incus

import (
	"context"
	"encoding/json"

	"github.com/lxc/incus/v6/shared/api"
)

// Image is a local image behind an alias.
type Image struct {
	Fingerprint string
	Alias       string
	Size        int64 // bytes, packed
	Properties  map[string]string
}

// Image looks up a local alias. The error wraps ErrNotFound if there is none.
func (c *Client) Image(ctx context.Context, alias string) (Image, error) {
	return query(ctx, func() (Image, error) {
		a, _, err := c.c.GetImageAlias(alias)
		if err != nil {
			return Image{}, err
		}
		i, _, err := c.c.GetImage(a.Target)
		if err != nil {
			return Image{}, err
		}
		return Image{Fingerprint: i.Fingerprint, Alias: alias, Size: i.Size, Properties: i.Properties}, nil
	})
}

// Pool is a storage pool.
type Pool struct{ Name, Driver string }

// Pool looks up a storage pool. The error wraps ErrNotFound if there is none.
func (c *Client) Pool(ctx context.Context, name string) (Pool, error) {
	return query(ctx, func() (Pool, error) {
		p, _, err := c.c.GetStoragePool(name)
		if err != nil {
			return Pool{}, err
		}
		return Pool{Name: p.Name, Driver: p.Driver}, nil
	})
}

// Pools lists the storage pools.
func (c *Client) Pools(ctx context.Context) ([]Pool, error) {
	all, err := query(ctx, func() ([]api.StoragePool, error) { return c.c.GetStoragePools() })
	out := make([]Pool, 0, len(all))
	for _, p := range all {
		out = append(out, Pool{Name: p.Name, Driver: p.Driver})
	}
	return out, err
}

// DefaultDevices are the devices of the default Incus profile: its root disk
// names the default pool, its nic the default network.
func (c *Client) DefaultDevices(ctx context.Context) (map[string]Device, error) {
	return query(ctx, func() (map[string]Device, error) {
		p, _, err := c.c.GetProfile("default")
		if err != nil {
			return nil, err
		}
		return p.Devices, nil
	})
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
