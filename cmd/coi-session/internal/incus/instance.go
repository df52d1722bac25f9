package incus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	client "github.com/lxc/incus/v6/client"
	"github.com/lxc/incus/v6/shared/api"
)

// Device is one device of an instance: its keys and values.
type Device = map[string]string

// Instance is what Incus says about a container.
type Instance struct {
	Name         string
	Status       string // Running, Stopped, Frozen, Error …
	Location     string // member of the cluster, "none" without one
	Away         string // that member when it is another machine than this one, else empty
	Project      string
	Architecture string
	Ephemeral    bool
	Profiles     []string
	Created      time.Time
	Config       map[string]string
	Devices      map[string]Device
	// Expanded are config and devices with those of profiles added.
	ExpandedConfig  map[string]string
	ExpandedDevices map[string]Device
	// Tag names this version of config and devices, for Update.
	Tag string
}

// Running reports whether its processes exist, frozen or not.
func (i Instance) Running() bool { return i.Status != "Stopped" && i.Status != "Error" }

// Source says what a new instance is made of: an image or another instance.
type Source struct {
	Alias, Fingerprint string
	Instance           string // name of an instance, or NAME/SNAPSHOT
}

// Request is the whole of a new instance. It gets no Incus profile.
type Request struct {
	Name    string
	Source  Source
	Config  map[string]string
	Devices map[string]Device
}

func fromAPI(i api.Instance, tag string) Instance {
	out := Instance{
		Name: i.Name, Status: i.Status, Location: i.Location, Project: i.Project, Architecture: i.Architecture,
		Ephemeral: i.Ephemeral, Profiles: i.Profiles, Created: i.CreatedAt, Config: i.Config, Devices: map[string]Device{},
		ExpandedConfig: i.ExpandedConfig, ExpandedDevices: map[string]Device{}, Tag: tag,
	}
	maps.Copy(out.Devices, i.Devices)
	maps.Copy(out.ExpandedDevices, i.ExpandedDevices)
	return out
}

// Names lists the instances of the project whose name starts with prefix.
func (c *Client) Names(ctx context.Context, prefix string) ([]string, error) {
	all, err := query(ctx, func() ([]string, error) { return c.c.GetInstanceNames(api.InstanceTypeContainer) })
	var out []string
	for _, n := range all {
		if strings.HasPrefix(n, prefix) {
			out = append(out, n)
		}
	}
	return out, err
}

// Instances lists all containers of the project with config and status.
func (c *Client) Instances(ctx context.Context) ([]Instance, error) {
	all, err := query(ctx, func() ([]api.Instance, error) { return c.c.GetInstances(api.InstanceTypeContainer) })
	out := make([]Instance, 0, len(all))
	for _, i := range all {
		inst := fromAPI(i, "")
		if err == nil {
			inst.Away, err = c.away(ctx, inst.Location)
		}
		out = append(out, inst)
	}
	return out, err
}

// Instance reads one container. The error wraps ErrNotFound if there is none.
func (c *Client) Instance(ctx context.Context, name string) (Instance, error) {
	inst, err := query(ctx, func() (Instance, error) {
		i, tag, err := c.c.GetInstance(name)
		if err != nil {
			return Instance{}, err
		}
		return fromAPI(*i, tag), nil
	})
	if err == nil {
		inst.Away, err = c.away(ctx, inst.Location)
	}
	return inst, err
}

// Create makes a stopped instance from one request, without Incus profiles. In a
// cluster it is made on this machine, whatever the scheduler would choose: the
// guards that were asked for it are here.
func (c *Client) Create(ctx context.Context, r Request) error {
	member, err := c.Member(ctx)
	if err != nil {
		return err
	}
	server := c.c
	if member != "" {
		server = c.c.UseTarget(member)
	}
	put := api.InstancePut{Config: r.Config, Devices: r.Devices, Profiles: []string{}}
	if r.Source.Instance != "" {
		req := api.InstancesPost{
			Name: r.Name, Type: api.InstanceTypeContainer, InstancePut: put,
			Source: api.InstanceSource{Type: "copy", Source: r.Source.Instance, InstanceOnly: true},
		}
		return operate(ctx, func() (client.Operation, error) { return server.CreateInstance(req) })
	}
	req := api.InstancesPost{
		Name: r.Name, Type: api.InstanceTypeContainer, InstancePut: put,
		Source: api.InstanceSource{Type: "image", Alias: r.Source.Alias, Fingerprint: r.Source.Fingerprint},
	}
	return operate(ctx, func() (client.Operation, error) { return server.CreateInstance(req) })
}

// Update replaces config and devices of an instance if its tag is still the one
// given; else the error wraps ErrChanged.
func (c *Client) Update(ctx context.Context, i Instance, config map[string]string, devices map[string]Device) error {
	put := api.InstancePut{Architecture: i.Architecture, Config: config, Devices: devices, Profiles: []string{}}
	return operate(ctx, func() (client.Operation, error) { return c.c.UpdateInstance(i.Name, put, i.Tag) })
}

// Start starts a stopped instance.
func (c *Client) Start(ctx context.Context, name string) error {
	return c.state(ctx, name, "start", false, -1)
}

// Stop ends an instance: by force, or gracefully within timeout. A stopped
// instance is no error.
func (c *Client) Stop(ctx context.Context, name string, force bool, timeout time.Duration) error {
	seconds := -1
	if timeout > 0 {
		seconds = int(max(timeout.Seconds(), 1))
	}
	err := c.state(ctx, name, "stop", force, seconds)
	// The second is liblxc's word for one that went down while it was asked.
	if err != nil && (strings.Contains(err.Error(), "already stopped") || strings.Contains(err.Error(), "container is not running")) {
		return nil
	}
	return err
}

// Freeze and Thaw pause an instance and let it go on.
func (c *Client) Freeze(ctx context.Context, name string) error {
	return c.state(ctx, name, "freeze", false, -1)
}

// Thaw lets a frozen instance go on.
func (c *Client) Thaw(ctx context.Context, name string) error {
	return c.state(ctx, name, "unfreeze", false, -1)
}

func (c *Client) state(ctx context.Context, name, action string, force bool, timeout int) error {
	put := api.InstanceStatePut{Action: action, Force: force, Timeout: timeout}
	return operate(ctx, func() (client.Operation, error) { return c.c.UpdateInstanceState(name, put, "") })
}

// Delete removes a stopped instance; one that is gone already is no error.
func (c *Client) Delete(ctx context.Context, name string) error {
	err := operate(ctx, func() (client.Operation, error) { return c.c.DeleteInstance(name) })
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// Settle waits until no operation on an instance runs any more, one that is
// still creating it included: somebody may have asked and gone.
func (c *Client) Settle(ctx context.Context, name string) error {
	for {
		busy, err := c.busy(ctx, name)
		if err != nil || !busy {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w: %w", name, ErrBusy, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (c *Client) busy(ctx context.Context, name string) (bool, error) {
	ops, err := query(ctx, func() ([]api.Operation, error) { return c.c.GetOperations() })
	for _, op := range ops {
		for _, kind := range []string{"instances", "containers"} {
			for _, path := range op.Resources[kind] {
				path, _, _ = strings.Cut(path, "?")
				// A command that runs in the instance is no change of it.
				if !op.StatusCode.IsFinal() && op.Class != "websocket" && strings.HasSuffix(path, "/"+name) {
					return true, nil
				}
			}
		}
	}
	return false, err
}

// State is what a running instance uses.
type State struct {
	Status    string
	PID       int // host's pid of its init, 0 when stopped
	Processes int
	Memory    int64 // bytes
	CPU       int64 // nanoseconds since the start
	Disk      int64 // bytes of the root disk in use
}

// State reads the state of an instance.
func (c *Client) State(ctx context.Context, name string) (State, error) {
	return query(ctx, func() (State, error) {
		s, _, err := c.c.GetInstanceState(name)
		if err != nil {
			return State{}, err
		}
		return State{
			Status: s.Status, PID: int(s.Pid), Processes: int(s.Processes), Memory: s.Memory.Usage,
			CPU: s.CPU.Usage, Disk: s.Disk["root"].Usage,
		}, nil
	})
}

// logCap bounds what is read of a log of Incus, in bytes.
const logCap = 64 << 10

// StartLog is the end of the log of the last start, empty when there is none.
func (c *Client) StartLog(ctx context.Context, name string) string {
	return c.log(ctx, func() (io.ReadCloser, error) { return c.c.GetInstanceLogfile(name, "lxc.log") })
}

// ConsoleLog is what the instance wrote to its console, empty when there is none.
func (c *Client) ConsoleLog(ctx context.Context, name string) string {
	return c.log(ctx, func() (io.ReadCloser, error) { return c.c.GetInstanceConsoleLog(name, nil) })
}

func (c *Client) log(ctx context.Context, open func() (io.ReadCloser, error)) string {
	text, err := query(ctx, func() (string, error) {
		r, err := open()
		if err != nil {
			return "", err
		}
		defer func() { _ = r.Close() }()
		b, err := io.ReadAll(io.LimitReader(r, logCap))
		return string(b), err
	})
	if err != nil {
		return ""
	}
	return text
}
