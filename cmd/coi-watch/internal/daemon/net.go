package daemon

import (
	"slices"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/netrec"
	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/coi"
)

// How far apart the record of the guard and the connection of the process may
// be, in either order: all that are near are candidates; where none is, as on a
// loaded host, the nearest that is not too far.
const (
	joinNear   = time.Second
	joinWindow = 5 * time.Second
)

// maxCandidates bounds the processes that are named for one refused attempt.
const maxCandidates = 8

// maxConnects bounds what is remembered for joining.
const maxConnects = 512

// netState joins the firewall's view with the processes.
type netState struct {
	follow   *netrec.Follower
	uploads  netrec.Uploads
	connects []event.Event
	open     []netrec.Record // records whose process is not known yet
}

// remember keeps a connection for records of the guard that come later, and
// answers those that came before.
func (n *netState) remember(c *container, ev event.Event) {
	n.connects = append(n.connects, ev)
	if len(n.connects) > maxConnects {
		n.connects = append(n.connects[:0:0], n.connects[len(n.connects)-maxConnects/2:]...)
	}
	var rest []netrec.Record
	for _, r := range n.open {
		switch {
		case concerns(r, ev):
			c.who(r, ev)
		case time.Since(r.TS) < joinWindow:
			rest = append(rest, r)
		}
	}
	n.open = rest
}

// readGuard has the new records of the firewall judged.
func (c *container) readGuard() {
	if c.net.follow == nil || c.judge == nil {
		return
	}
	records, err := c.net.follow.Next()
	if err != nil {
		c.d.logf("%s: guard's records: %v", c.name, err)
	}
	for _, r := range records {
		c.takeGuard(r)
	}
}

func (c *container) takeGuard(r netrec.Record) {
	ev := event.Event{Type: event.Net, Op: r.Rule, Proto: r.Proto, Local: r.Local, Peer: r.Peer, Port: r.Port, Name: r.Name, Dir: "out", Text: r.Title}
	if r.DNS != nil {
		ev.Type, ev.Name = event.DNS, r.DNS.Name
	}
	c.scene.Stamp(&ev, "net", 0)
	c.judgeEvent(ev)
	// One responder for both: what the guard finds high is answered like a
	// finding of our own. It is not written down again as a finding of its level
	// unless something is done.
	if r.Level.Rank() >= coi.High.Rank() {
		c.resp.found(detect.Finding{Rule: r.Rule, Level: r.Level, Title: r.Title, Why: r.Why, Peer: r.Peer, Port: r.Port, Host: ev.Name}, ev)
	}
	if r.Peer == "" || r.Port == 0 {
		return
	}
	found := candidates(c.net.connects, r)
	for _, e := range found {
		c.who(r, e)
	}
	if len(found) == 0 && len(c.net.open) < maxConnects {
		c.net.open = append(c.net.open, r)
	}
}

// concerns reports whether a connection can be what a record of the guard is about.
func concerns(r netrec.Record, e event.Event) bool {
	return e.Peer == r.Peer && e.Port == r.Port && (e.Proto == r.Proto || e.Proto == "" || r.Proto == "")
}

// candidates are the connections, one a process, newest first, that a record of
// the guard can be about. Which of several it was nobody knows, so all are named.
func candidates(connects []event.Event, r netrec.Record) (near []event.Event) {
	seen := map[int]bool{}
	var far event.Event
	least := joinWindow
	for _, e := range slices.Backward(connects) {
		if seen[e.PID] || !concerns(r, e) {
			continue
		}
		switch apart := r.TS.Sub(e.TS).Abs(); {
		case apart < joinNear && len(near) < maxCandidates:
			near, seen[e.PID] = append(near, e), true
		case apart < least:
			far, least = e, apart
		}
	}
	if len(near) == 0 && least < joinWindow {
		near = append(near, far)
	}
	return near
}

// who writes down which process a record of the guard was about.
func (c *container) who(r netrec.Record, ev event.Event) {
	p := c.scene.Table.Get(ev.PID)
	if p == nil {
		return
	}
	uid := p.UID
	rec := audit.Record{
		TS: time.Now().UTC(), Type: audit.TypeNet, Level: coi.Info, Category: audit.CategoryNetwork, Title: "who: " + ev.Exe, Rule: "net.who", Action: audit.Logged,
		Ref: []int{r.Seq}, PID: ev.PID, PPID: p.PPID, NSPID: p.NSPID, Exe: p.Exe, Argv: p.Argv, Proto: r.Proto, Peer: r.Peer, Port: r.Port,
	}
	if uid >= 0 {
		rec.UID = &uid
	}
	c.d.Trail.Put(c.name, rec)
}

// readNetView takes in who was talked to and how much was sent.
func (c *container) readNetView() {
	grew, flows := c.net.uploads.Add(netrec.ReadView(c.d.Home, c.name), time.Now())
	for _, f := range flows {
		ev := event.Event{Type: event.Net, Op: "flow", Proto: f.Proto, Peer: f.Peer, Port: f.Port, Name: f.Name, Dir: "out"}
		c.scene.Stamp(&ev, "net", 0)
		c.judgeEvent(ev)
	}
	for _, s := range grew {
		ev := event.Event{Type: event.Counter, Op: "upload", Name: s.Name, Peer: s.Addr, N: map[string]float64{"out_10m": s.Short, "out_1h": s.Long}}
		c.scene.Stamp(&ev, "net", 0)
		c.judgeEvent(ev)
	}
}
