package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/bpf"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/cgroup"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/marks"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/netrec"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/scene"
	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/run"
)

// container is one watched container. Everything but inbox and mail belongs to
// the goroutine of run.
type container struct {
	d       *Daemon
	name    string
	slot    uint32
	payload string // name of its cgroup
	inbox   *inbox
	record  bpf.Record // the one that is being understood
	mail    chan func(*container)
	done    chan struct{}

	cfg     run.Watch
	judge   Judge
	scene   *scene.Scene
	group   *cgroup.Group
	unwatch func()
	status  run.WatchStatus
	written run.WatchStatus // as in the file
	resp    responder
	delay   latency
	losses  losses
	wire    wire
	marks   *marks.Set
	view    views
	stream  stream
	heard   int // things that sensors told
	usage   usage
	load    load
	auth    auth
	users   users
	net     netState
	mounts  map[string]int       // mounts on locked paths when the container began
	missing map[string]time.Time // since when one of them is away, unseen
	armedAt time.Time
	ended   bool
}

func newContainer(d *Daemon, w run.Watch, slot uint32) *container {
	c := &container{
		d: d, name: w.Container, slot: slot, payload: cgroup.PayloadName(w.Project, w.Container),
		inbox: newInbox(), mail: make(chan func(*container), 64), done: make(chan struct{}),
	}
	c.status = run.WatchStatus{SchemaVersion: run.Schema, Container: w.Container, Mounts: "unknown", Immutable: "off: not asked for"}
	c.resp.c, c.wire, c.load = c, newWire(), newLoad()
	c.stream.path = d.Home.Run(w.Container + run.WatchEventsFile)
	return c
}

// post hands work to the container's goroutine.
func (c *container) post(ctx context.Context, f func(*container)) {
	select {
	case c.mail <- f:
	case <-c.done:
	case <-ctx.Done():
	}
}

// do is post that waits for the work to be done.
func (c *container) do(ctx context.Context, f func(*container)) {
	ran := make(chan struct{})
	c.post(ctx, func(c *container) { f(c); close(ran) })
	select {
	case <-ran:
	case <-c.done:
	case <-ctx.Done():
	}
}

func (c *container) run(ctx context.Context) {
	defer close(c.done)
	defer c.letGo()
	tick := time.NewTimer(untilTick())
	defer tick.Stop()
	var spare batch
	last := time.Now().Add(time.Duration(c.slot%2) * time.Second) // half of them at one second, half at the next
	write := time.NewTimer(streamFlush)
	defer write.Stop()
	waits := true // for write
	catchUp := func() {
		got := c.inbox.take(spare)
		if c.inbox.nudged() {
			c.heard++
			c.readGuard()
		}
		c.takeAll(got)
		spare = got.worth()
		c.flush(time.Now(), false)
		if !waits && len(c.stream.buf) > 0 {
			waits = true
			write.Reset(streamFlush)
		}
	}
	for !c.ended {
		select {
		case <-ctx.Done():
			return
		case f := <-c.mail:
			f(c)
		case <-c.inbox.wake:
			catchUp()
		case <-c.wire.timer.C:
			c.d.source.settle() // forks and exits, for which nobody is woken
			catchUp()
			c.look()
		case now := <-write.C:
			waits = false
			c.flush(now, true)
		case now := <-tick.C:
			tick.Reset(untilTick())
			c.resp.retry(ctx)
			c.flush(now, true)
			if now.Sub(last) >= c.interval()-tickSlack {
				last = now
				c.d.source.settle()
				catchUp()
				c.poll()
			}
		}
	}
}

// untilTick is the time to the next whole second. All containers tick together:
// waking up costs more than what most of them have to do.
func untilTick() time.Duration {
	return time.Second - time.Duration(time.Now().UnixNano())%time.Second
}

// tickSlack is what a tick may come early.
const tickSlack = 100 * time.Millisecond

func (c *container) interval() time.Duration {
	if n := c.cfg.Settings.PollIntervalSec; n > 0 {
		return time.Duration(n) * time.Second
	}
	return 2 * time.Second
}

// want applies the wanted state. Applying the same twice changes nothing.
func (c *container) want(w run.Watch) {
	first := c.judge == nil
	old := c.cfg
	if !first && old.Generation == w.Generation && c.status.Generation == w.Generation {
		return
	}
	c.cfg = w
	c.d.Trail.Watch(w)
	if first {
		c.restore()
		c.armedAt = time.Now()
		c.net.follow = netrec.NewFollower(c.d.Home, c.name)
		if _, err := c.net.follow.Next(); err != nil { // finds the end of the trail
			c.d.logf("%s: guard's records: %v", c.name, err)
		}
		c.scene = scene.New(w.Container, w.Tool, c.d.Names)
		c.scene.CountFrom(c.stream.last())
		c.judge = c.d.NewJudge(c.settings())
	} else if !sameJudgement(old, w) {
		c.judge = c.d.NewJudge(c.settings())
		c.armFiles()
	}
	c.setFlags(old, first)
	c.lookForGroup()
	c.arm()
	c.verifyMounts()
	if w.Thaw > c.status.Thaw {
		c.resp.thaw(w.Thaw)
	}
	if w.Endcheck && !old.Endcheck {
		c.endCheck(w)
	} else if !w.Endcheck {
		c.status.Endcheck = ""
	}
	c.status.Generation, c.status.Error = w.Generation, ""
	c.report()
}

// arm sets everything that needs no running container, so that the container
// is judged from its first process on.
func (c *container) arm() {
	c.status.Armed = true
	c.status.Sources = c.d.names()
	c.status.Weak = c.d.weak
	c.status.Problems = append(c.d.missing(), c.judge.Problems()...)
	if c.group != nil {
		if p := c.group.Problem(); p != "" {
			c.status.Problems = append(c.status.Problems, p)
		}
	}
	if c.resp.pending {
		c.status.Problems = append(c.status.Problems, notYet)
	}
	if c.marks != nil {
		if p := c.marks.Problem(); p != "" {
			c.status.Problems = append(c.status.Problems, p)
		}
	}
	if c.scene.Root != nil && c.scene.Root.Slow() {
		c.status.Problems = append(c.status.Problems, "reading files stopped: too many reads hang")
	}
}

// notYet is the problem of a container that was told to freeze and did not yet.
const notYet = "not every process stands still yet: the freezer is told again"

// lookForGroup notices that the container started, ended or started anew.
func (c *container) lookForGroup() {
	if c.judge == nil {
		return
	}
	if c.group != nil && c.group.Gone() {
		c.letGo()
		c.report()
	}
	if c.group != nil {
		return
	}
	g, err := c.d.layout.Open(c.payload)
	if err != nil {
		if !os.IsNotExist(err) {
			c.complain(err)
		}
		return
	}
	unwatch, err := c.d.source.watch(g, c.slot)
	if err != nil {
		c.complain(err)
	}
	if unwatch == nil {
		g.Close()
		return
	}
	c.group, c.unwatch = g, unwatch
	c.scene.Table = scene.NewTable()
	c.arm()
	c.resp.born()
	c.survey()
	c.resp.note("life.watched", coi.Info, audit.Logged, "container is watched", "")
	c.report()
}

// survey takes in what runs already.
func (c *container) survey() {
	pids, err := c.group.PIDs()
	if err != nil {
		c.complain(err)
		return
	}
	c.findInit(pids)
	for _, ev := range c.scene.Rebuild(pids) {
		c.judgeEvent(ev)
	}
}

func (c *container) findInit(pids []int) {
	if c.scene.Root != nil && c.scene.Proc.Is(c.scene.Init, c.scene.InitStart) {
		return
	}
	init := c.scene.FindInit(pids)
	if init == 0 {
		return
	}
	if err := c.scene.SetInit(init); err != nil {
		if !errors.Is(err, scene.ErrNotInside) {
			c.complain(err)
		}
		return
	}
	// The launch waits for the verdict about the mounts: what it says, and the
	// marks, are in place when the tool starts.
	c.armFiles()
	c.arm()
	c.verifyMounts()
	c.report()
	c.learnPrograms()
	if passwd, _, err := c.scene.Root.Read("/etc/passwd", 0, maxLog); err == nil {
		c.users = parseUsers(passwd)
	}
}

// learnPrograms reads the programs of the image beside the judging: it takes
// longer than a verdict may.
func (c *container) learnPrograms() {
	root, err := c.scene.Root.Clone()
	if err != nil {
		c.complain(err)
		return
	}
	owner, init := c.scene.HostUID(0), c.scene.Init
	var made time.Time
	if c.cfg.MadeAt != nil {
		made = *c.cfg.MadeAt
	}
	go func() {
		defer root.Close()
		images := scene.NewImages(c.d.Names)
		images.Fill(root, owner, &c.d.sums, made)
		c.post(context.Background(), func(c *container) {
			if c.scene.Init == init {
				c.scene.Images.Adopt(images)
			}
		})
	}()
}

// letGo ends the watch of a group; the container may come back.
func (c *container) letGo() {
	if c.unwatch != nil {
		c.unwatch()
		c.unwatch = nil
	}
	if c.group != nil {
		c.group.Close()
		c.group = nil
		c.clearFlags()
		c.status.Mounts = "unknown"
		c.mounts = nil
		c.usage = usage{} // what the next run counts begins at zero
	}
	c.d.files.release(c)
	c.marks = nil
	c.wire.reader.Close()
	c.load.reader.Close()
	if c.scene != nil {
		c.scene.Close()
	}
	c.resp.gone()
}

// unwanted ends everything once the container itself is gone: a wanted file
// that was lost must not end a watch.
func (c *container) unwanted() {
	c.lookForGroup()
	if c.group != nil {
		return
	}
	for _, suffix := range []string{run.WatchStatusFile, run.WatchViewFile, run.WatchStateFile, run.WatchEventsFile} {
		_ = os.Remove(c.d.Home.Run(c.name + suffix))
	}
	c.resp.note("life.unwatched", coi.Info, audit.Logged, "container is gone", "")
	c.d.Trail.Drop(c.name)
	c.d.drop(c)
	c.ended = true
}

func (c *container) complain(err error) {
	c.d.logf("%s: %v", c.name, err)
	if c.status.Error = err.Error(); c.status.Generation != 0 {
		c.report()
	}
}

func (c *container) reload() {
	if c.judge == nil {
		return
	}
	if err := c.judge.Reload(); err != nil {
		c.complain(fmt.Errorf("reload rules: %w", err))
	}
	c.arm()
	c.report()
}

// report writes the status file when something in it changed.
func (c *container) report() {
	if sameStatus(c.status, c.written) {
		return
	}
	if err := run.Write(c.d.Home.Run(c.name+run.WatchStatusFile), c.status); err != nil {
		c.d.logf("%s: %v", c.name, err)
		return
	}
	c.written = c.status
}
