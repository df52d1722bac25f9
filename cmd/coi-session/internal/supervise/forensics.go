package supervise

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/study"
	"github.com/code-on-incus/coi/pkg/home"
)

const (
	copies   = 3 // of one name are kept
	copyTime = 10 * time.Minute
)

// forensics keeps a stopped copy of a container that the monitor killed, where
// the user wants that. It has no network, no mounts and nothing that makes it
// one of coi's: no command starts it or joins it. It goes when there are newer
// ones, when it is older than the audit trail may be, and by coi clean.
func (s *Supervisor) forensics(ctx context.Context, name string, next ending) error {
	if next.Reason != "monitor" || !s.file.Get().Plan.Forensics {
		return nil
	}
	ctx, stop := context.WithTimeout(ctx, copyTime)
	defer stop()
	// The time is that of the end, so an end that was interrupted makes no second one.
	to := name + study.Mark + strconv.FormatInt(next.At.Unix(), 10)
	got, err := s.door.Instance(ctx, to)
	if errors.Is(err, incus.ErrNotFound) {
		got, err = s.copied(ctx, name, to)
	}
	if err != nil {
		return fmt.Errorf("copy for study: %w", err)
	}
	if config, devices := inert(got, name, s.Home); !maps.Equal(config, got.Config) || len(devices) != len(got.Devices) {
		if err := s.door.Update(ctx, got, config, devices); err != nil {
			return fmt.Errorf("copy for study: %w", err)
		}
	}
	s.Log.Info("session", "a stopped copy is kept: %s", to)
	s.report(Report{Op: OpNote, Text: "a stopped copy is kept: " + to})
	if err := s.prune(ctx, name); err != nil {
		s.Log.Error("session", "older copies for study: %s", err.Error())
	}
	return nil
}

// copied copies a stopped container. Incus takes over every device and key that
// the request does not name, so those that must not work are named as nothing.
func (s *Supervisor) copied(ctx context.Context, name, to string) (incus.Instance, error) {
	inst, err := s.door.Instance(ctx, name)
	if err != nil {
		return inst, err
	}
	config, devices := inert(inst, name, s.Home)
	for n := range inst.Devices {
		if _, keeps := devices[n]; !keeps {
			devices[n] = incus.Device{"type": "none"}
		}
	}
	for k := range inst.Config {
		if _, keeps := config[k]; !keeps && strings.HasPrefix(k, "user.") {
			config[k] = ""
		}
	}
	if err := s.door.Create(ctx, incus.Request{Name: to, Source: incus.Source{Instance: name}, Config: config, Devices: devices}); err != nil {
		return inst, err
	}
	return s.door.Instance(ctx, to)
}

// inert is what of a container its copy has: its limits and its disk.
func inert(inst incus.Instance, of string, h home.Home) (map[string]string, map[string]incus.Device) {
	config, devices := map[string]string{}, map[string]incus.Device{}
	for k, v := range inst.Config {
		if !strings.HasPrefix(k, "user.") {
			config[k] = v
		}
	}
	config["boot.autostart"] = "false"
	maps.Copy(config, study.Keys(of, h))
	for n, d := range inst.Devices {
		if d["type"] == "disk" && d["path"] == "/" {
			devices[n] = d
		}
	}
	return config, devices
}

// prune deletes all but the newest copies of a container.
func (s *Supervisor) prune(ctx context.Context, name string) error {
	all, err := s.door.Names(ctx, name+study.Mark)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(n string) bool { of, _, ok := study.Parse(n); return !ok || of != name })
	slices.SortFunc(all, func(a, b string) int { return made(b).Compare(made(a)) })
	var failed error
	for _, n := range all[min(copies, len(all)):] {
		failed = errors.Join(failed, s.door.Delete(ctx, n))
	}
	return failed
}

func made(name string) time.Time {
	_, at, _ := study.Parse(name)
	return at
}

// expire deletes this user's copies of any container that are older than the
// audit trail of one that is gone may be. What goes wrong is written down: the
// next end of a session tries again.
func (s *Supervisor) expire(ctx context.Context) {
	days := s.file.Get().Plan.KeepDays
	if days <= 0 {
		return // a record from before copies expired
	}
	all, err := s.door.Names(ctx, "")
	for _, n := range all {
		if _, at, ok := study.Parse(n); !ok || time.Since(at) < time.Duration(days)*24*time.Hour {
			continue
		}
		inst, ierr := s.door.Instance(ctx, n)
		if ierr == nil && inst.Away == "" && study.Mine(inst.Config, s.Home) && !inst.Running() {
			s.Log.Info("session", "a copy for study is older than %d days and goes: %s", days, n)
			ierr = s.door.Delete(ctx, n)
		}
		if ierr != nil && !errors.Is(ierr, incus.ErrNotFound) {
			err = errors.Join(err, ierr)
		}
	}
	if err != nil {
		s.Log.Error("session", "old copies for study: %s", err.Error())
	}
}
