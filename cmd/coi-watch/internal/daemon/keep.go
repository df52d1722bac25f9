package daemon

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/pkg/coi"
)

// sensor is a reader that the daemon keeps going.
type sensor struct {
	name   string
	unseen string // what is not seen while it is off
	read   func(ctx context.Context) error
	renew  func() error
}

// Pauses before a sensor that failed is begun again: they double.
const (
	firstPause = time.Second
	lastPause  = 30 * time.Second
)

// keep runs a sensor until the context ends. One failed read ends nothing for
// good: what is not seen is told, and the sensor begun again.
func (d *Daemon) keep(ctx context.Context, s sensor) {
	wait := firstPause
	for {
		began := time.Now()
		err := s.read(ctx)
		if ctx.Err() != nil {
			return
		}
		d.failed(ctx, s, err)
		if time.Since(began) > lastPause {
			wait = firstPause
		}
		for {
			if !pause(ctx, wait) {
				return
			}
			wait = min(2*wait, lastPause)
			if err = s.renew(); err == nil {
				break
			}
			d.logf("%s: %v", s.name, err)
		}
		d.again(ctx, s)
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// failed tells every container that a sensor is off.
func (d *Daemon) failed(ctx context.Context, s sensor, err error) {
	d.logf("%s: off: %v", s.name, err)
	d.mu.Lock()
	if d.off == nil {
		d.off = map[string]string{}
	}
	d.off[s.name] = fmt.Sprintf("sensor of %s is off, not seen meanwhile: %s (%v)", s.name, s.unseen, err)
	d.mu.Unlock()
	d.beat()
	d.each(func(c *container) {
		c.post(ctx, func(c *container) { c.sensorOff(s, err) })
	})
}

// again lets every container look at what it missed.
func (d *Daemon) again(ctx context.Context, s sensor) {
	d.logf("%s: on again", s.name)
	d.mu.Lock()
	delete(d.off, s.name)
	d.mu.Unlock()
	d.beat()
	d.each(func(c *container) { c.post(ctx, (*container).sensorAgain) })
}

// missing are the sensors and rights that are not there, for people.
func (d *Daemon) missing() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := append([]string{}, d.problems...)
	for _, name := range slices.Sorted(maps.Keys(d.off)) {
		out = append(out, d.off[name])
	}
	return out
}

// sensorOff records that something is not seen, and freezes if that is wanted.
func (c *container) sensorOff(s sensor, err error) {
	if c.judge == nil {
		return
	}
	f := detect.Finding{Rule: "sensor.off", Level: coi.Warning, Title: "sensor of " + s.name + " is off", Why: "not seen meanwhile: " + s.unseen + fmt.Sprintf(" (%v)", err)}
	if c.cfg.Settings.OnLoss == "pause" {
		f.Level = coi.High
	}
	ev := event.Event{Type: event.Counter}
	c.scene.Stamp(&ev, "sensor", 0)
	c.resp.found(f, ev)
	c.arm()
	c.report()
}

// sensorAgain sets marks anew and looks at everything that runs.
func (c *container) sensorAgain() {
	if c.judge == nil {
		return
	}
	if c.group != nil {
		c.survey()
		c.armFiles()
	}
	c.arm()
	c.report()
}
