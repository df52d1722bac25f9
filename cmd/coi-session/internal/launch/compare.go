package launch

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// verify reads the container back and compares it with what was asked for,
// before anything in it has run.
func (s *start) verify(ctx context.Context) error {
	inst, err := s.Door.Instance(ctx, s.spec.Record.Container)
	if err != nil {
		return fmt.Errorf("read back %s: %w", s.spec.Record.Container, err)
	}
	if err := Compare(inst, s.spec.Config, s.spec.Devices); err != nil {
		return fmt.Errorf("%s is not what was asked for: %w", inst.Name, err)
	}
	s.mark("read back")
	return nil
}

// raw are keys that reach past everything Incus checks.
var raw = []string{"raw.lxc", "raw.apparmor", "raw.seccomp"}

// own reports whether Incus writes a key by itself.
func own(key string) bool {
	return strings.HasPrefix(key, "volatile.") || strings.HasPrefix(key, "image.")
}

// Compare says what of a container differs from the wanted config and devices.
// Profiles and everything that Incus would add from elsewhere count.
func Compare(got incus.Instance, config map[string]string, devices map[string]incus.Device) error {
	if got.Away != "" {
		return fmt.Errorf("it is on the cluster member %s, and the guards that were asked are here", got.Away)
	}
	if len(got.Profiles) > 0 {
		return fmt.Errorf("Incus profile %s is attached", strings.Join(got.Profiles, ", "))
	}
	for _, key := range raw {
		if got.ExpandedConfig[key] != "" {
			return fmt.Errorf("%s is set", key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got.ExpandedConfig)) {
		if _, wanted := config[key]; !wanted && !own(key) {
			return fmt.Errorf("config %s was added", key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(config)) {
		if config[key] != "" && got.ExpandedConfig[key] != config[key] {
			return fmt.Errorf("config %s is %q, not %q", key, got.ExpandedConfig[key], config[key])
		}
	}
	return compareDevices(got.ExpandedDevices, devices)
}

func compareDevices(got, want map[string]incus.Device) error {
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			return fmt.Errorf("device %s was added", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if !maps.Equal(got[name], want[name]) {
			return fmt.Errorf("device %s is %v, not %v", name, got[name], want[name])
		}
	}
	return nil
}

// keepVolatile is the wanted config with what Incus itself keeps about the
// instance, which an update must send back.
func keepVolatile(want, old map[string]string) map[string]string {
	out := maps.Clone(want)
	for k, v := range old {
		if own(k) {
			out[k] = v
		}
	}
	return out
}

func lastLines(text string, n int) []string {
	lines := strings.Split(strings.TrimRight(strings.ReplaceAll(text, "\r", ""), "\n"), "\n")
	if len(lines) == 1 && lines[0] == "" {
		return nil
	}
	return lines[max(0, len(lines)-n):]
}

// removeWanted takes back the files of a start that got no supervisor.
func removeWanted(h home.Home, container string) {
	for _, p := range []string{record.Path(h, container), h.Run(container + run.NetFile), h.Run(container + run.WatchFile), record.LockPath(h, container)} {
		_ = os.Remove(p)
	}
}
