package incus

import (
	"context"
	"time"

	client "github.com/lxc/incus/v6/client"
	"github.com/lxc/incus/v6/shared/api"
)

// Snapshot is a snapshot of an instance.
type Snapshot struct {
	Name     string
	Created  time.Time
	Stateful bool
}

// Snapshots lists the snapshots of an instance, oldest first.
func (c *Client) Snapshots(ctx context.Context, name string) ([]Snapshot, error) {
	all, err := query(ctx, func() ([]api.InstanceSnapshot, error) { return c.c.GetInstanceSnapshots(name) })
	out := make([]Snapshot, 0, len(all))
	for _, s := range all {
		out = append(out, Snapshot{Name: s.Name, Created: s.CreatedAt, Stateful: s.Stateful})
	}
	return out, err
}

// CreateSnapshot makes a snapshot; stateful ones need CRIU on the host.
func (c *Client) CreateSnapshot(ctx context.Context, name, snapshot string, stateful bool) error {
	req := api.InstanceSnapshotsPost{Name: snapshot, Stateful: stateful}
	return operate(ctx, func() (client.Operation, error) { return c.c.CreateInstanceSnapshot(name, req) })
}

// RestoreSnapshot puts a stopped instance back to a snapshot.
func (c *Client) RestoreSnapshot(ctx context.Context, name, snapshot string, stateful bool) error {
	put := api.InstancePut{Restore: snapshot, Stateful: stateful}
	return operate(ctx, func() (client.Operation, error) { return c.c.UpdateInstance(name, put, "") })
}

// DeleteSnapshot deletes a snapshot.
func (c *Client) DeleteSnapshot(ctx context.Context, name, snapshot string) error {
	return operate(ctx, func() (client.Operation, error) { return c.c.DeleteInstanceSnapshot(name, snapshot) })
}
