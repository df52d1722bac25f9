package incus

import (
	"context"
	"time"

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
type Pool struct {
	Name, Driver string
	Thick        bool // LVM without a thin pool
}

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
		// The driver's default is a thin pool.
		thick := p.Driver == "lvm" && p.Config["lvm.use_thinpool"] == "false"
		out = append(out, Pool{Name: p.Name, Driver: p.Driver, Thick: thick})
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

// PoolSpace is a storage pool and how full it is, in bytes.
type PoolSpace struct {
	Name   string `json:"name"`
	Driver string `json:"driver"`
	Total  uint64 `json:"total"`
	Used   uint64 `json:"used"`
	Thick  bool   `json:"thick"` // LVM without a thin pool: each container is a full copy
}

// PoolSpaces lists the pools with their space; a pool that does not say has zeros.
func (c *Client) PoolSpaces(ctx context.Context) ([]PoolSpace, error) {
	pools, err := c.Pools(ctx)
	out := make([]PoolSpace, 0, len(pools))
	for _, p := range pools {
		s := PoolSpace{Name: p.Name, Driver: p.Driver, Thick: p.Thick}
		res, err := query(ctx, func() (*api.ResourcesStoragePool, error) { return c.c.GetStoragePoolResources(p.Name) })
		if err == nil {
			s.Total, s.Used = res.Space.Total, res.Space.Used
		}
		out = append(out, s)
	}
	return out, err
}

// ImageFact is a local image under one of its aliases.
type ImageFact struct {
	Alias       string    `json:"alias"`
	Fingerprint string    `json:"fingerprint"`
	Created     time.Time `json:"created_at"`
	Size        int64     `json:"size"`
}

// ImageFacts lists the aliases of local images.
func (c *Client) ImageFacts(ctx context.Context) ([]ImageFact, error) {
	all, err := query(ctx, func() ([]api.Image, error) { return c.c.GetImages() })
	out := []ImageFact{}
	for _, i := range all {
		for _, a := range i.Aliases {
			out = append(out, ImageFact{a.Name, i.Fingerprint, i.CreatedAt, i.Size})
		}
	}
	return out, err
}
