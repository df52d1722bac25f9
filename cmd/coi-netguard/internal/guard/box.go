package guard

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/run"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/nft"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/policy"
)

// box is one container.
type box struct {
	name   string
	spec   *run.Net
	status run.NetStatus
	index  int // of its veth; 0: not there

	mu         sync.Mutex // of what the name server shares
	policy     *policy.Policy
	part       *policy.Part // as last wanted
	names      *names
	inSet      bool   // its chains and sets are in the table
	entry      string // what the port map says: "", "drop" or its chain
	counts     counts
	failing    failing
	vethName   string // for other goroutines; set before its index is known
	made       time.Time
	flowsLost  bool              // the kernel's notes of its flows are not complete
	letThrough uint64            // sum of the counters of passing rules, as last read
	kernel     map[string]uint64 // counters as last read

	recent    []Flow
	flowSeq   uint64
	viewDue   bool
	viewAt    time.Time
	rules     string      // as last read back
	timer     *time.Timer // of the next live entry that ends
	tls       tlsFlows
	unchanged bool // its files are those that an earlier guard has answered
}

func (b *box) veth() string {
	if b.spec == nil {
		return ""
	}
	return b.spec.Veth
}

// reconcile makes one container what its files want it to be.
func (g *Guard) reconcile(name string) {
	spec, missing, err := g.readSpec(name)
	b := g.boxes[name]
	if missing {
		if b != nil {
			g.gone(b)
		}
		return
	}
	if b == nil {
		b = g.newBox(name)
		g.boxes[name] = b
		if len(g.boxes) == 1 {
			g.neighbours()
		}
	}
	if err == nil {
		err = g.accept(b, spec)
	}
	if err != nil {
		g.refuse(b, spec, err)
		return
	}
	if spec.Phase == run.NetHold && (b.spec == nil || b.spec.Generation != spec.Generation) {
		g.clearWay(b, spec.Veth)
	}
	b.spec, b.vethName = spec, spec.Veth
	wanted, gens, err := g.wanted(b, spec)
	if err != nil {
		g.refuse(b, spec, err)
		return
	}
	g.enforce(b, wanted, gens)
}

// clearWay takes away an interface that an earlier container of this name has
// left: with it Incus could not start the next one. Whoever asks for a hold
// waits for the answer before the container is made.
func (g *Guard) clearWay(b *box, veth string) {
	switch removed, err := g.net.RemoveStray(veth); {
	case err != nil:
		g.o.Recorder.Log(b.name, true, err.Error())
	case removed:
		g.o.Recorder.Log(b.name, false, "interface "+veth+" of an earlier container was left and is removed")
	}
}

// newBox is a container as found; the counts of an earlier guard go on.
func (g *Guard) newBox(name string) *box {
	b := &box{name: name, made: time.Now(), names: newNames(), kernel: map[string]uint64{}, status: run.NetStatus{SchemaVersion: run.Schema, Container: name, State: run.NetPending, Denied: map[string]int{}, Problems: []string{}}}
	var old run.NetStatus
	if run.Read(g.path(name, run.NetStatusFile), &old) == nil && old.Container == name {
		b.status.Dropped, b.status.Passed = old.Dropped, old.Passed
		b.counts.queries, b.counts.refused = old.DNSQueries, old.DNSRefused
		if old.Denied != nil {
			b.status.Denied = old.Denied
		}
	}
	var view View
	if run.Read(g.path(name, run.NetViewFile), &view) == nil && view.Container == name {
		b.names.restore(view.Names, time.Now())
	}
	return b
}

// prepare makes the boxes of all specs on disk without touching the kernel, so
// that the first transaction can hold them all. What is wrong with a spec is
// found again, and told, by the first scan.
func (g *Guard) prepare() error {
	names, err := run.Names(g.o.Dir, run.NetFile)
	if err != nil {
		return err
	}
	for _, name := range names {
		spec, missing, err := g.readSpec(name)
		if missing || err != nil {
			continue
		}
		b := g.newBox(name)
		if g.accept(b, spec) != nil {
			continue
		}
		g.boxes[name] = b
		b.flowsLost = true // it may have had flows before we came
		b.spec, b.vethName = spec, spec.Veth
		p, gens, err := g.wanted(b, spec)
		if err != nil {
			continue
		}
		var old run.NetStatus
		b.unchanged = run.Read(g.path(name, run.NetStatusFile), &old) == nil && old.Generation == gens.spec && old.LocalGeneration == gens.local && old.InForce
		b.status.IPv4 = p.V4.String()
		b.names.revalue(p)
		b.names.drop()
		b.policy, b.part = p, policy.Build(p, &g.env, b.names.classesFor(p))
	}
	return nil
}

// accept refuses a spec that is not this guard's to obey.
func (g *Guard) accept(b *box, spec *run.Net) error {
	if !strings.HasPrefix(spec.Veth, g.env.Prefix) || len(spec.Veth) <= len(g.env.Prefix) {
		return &policy.Error{Key: "veth", Problem: fmt.Sprintf("%q does not start with %s, as the interfaces of this guard do", spec.Veth, g.env.Prefix)}
	}
	for _, other := range g.boxes {
		if other != b && other.veth() == spec.Veth {
			return &policy.Error{Key: "veth", Problem: fmt.Sprintf("%q belongs to %s", spec.Veth, other.name)}
		}
	}
	if b.spec != nil && b.spec.Veth != spec.Veth {
		return &policy.Error{Key: "veth", Problem: fmt.Sprintf("was %q and cannot change", b.spec.Veth)}
	}
	return nil
}

// refuse keeps the last good state and says what is wrong with the new one.
func (g *Guard) refuse(b *box, spec *run.Net, err error) {
	if spec != nil {
		b.status.Generation = spec.Generation
		b.status.Phase = spec.Phase
		b.status.Veth = spec.Veth
	}
	text := g.path(b.name, run.NetFile) + ": " + err.Error()
	if b.status.Error != text {
		g.o.Recorder.Log(b.name, true, text)
	}
	b.status.State, b.status.Error, b.status.InForce = run.NetFailed, text, false
	g.writeStatus(b)
}

type generations struct{ spec, local, hold, drill int }

// wanted reads the other files of the container and makes its policy.
func (g *Guard) wanted(b *box, spec *run.Net) (*policy.Policy, generations, error) {
	gens := generations{spec: spec.Generation}
	p, err := policy.FromSpec(spec)
	if err != nil {
		return nil, gens, err
	}
	if err := policy.CheckFacts(spec, g.facts); err != nil {
		return nil, gens, err
	}
	var local Local
	var hold run.Hold
	if err := readOptional(g.path(b.name, run.NetLocalFile), &local); err != nil {
		return nil, gens, err
	}
	if err := readOptional(g.path(b.name, run.NetHoldFile), &hold); err != nil {
		// A hold that cannot be read is a hold.
		hold.Hold = true
		g.o.Recorder.Log(b.name, true, "hold file: "+err.Error())
	}
	gens.local, gens.hold, gens.drill = local.Generation, hold.Generation, local.Drill
	if err := g.live(b, p, &local); err != nil {
		return nil, gens, err
	}
	p.Hold, p.N = hold.Hold, g.state.number(b.name)
	l, err := g.pool.Get(b.name, p.IPv6, g.taken)
	if err != nil {
		return nil, gens, err
	}
	p.V4 = l.V4
	if p.IPv6 {
		p.V6 = l.V6
	}
	return p, gens, nil
}

// enforce puts the policy into force, reads it back, and answers.
func (g *Guard) enforce(b *box, p *policy.Policy, gens generations) {
	b.mu.Lock()
	old := b.policy
	classes := b.names.classesFor(p)
	part := policy.Build(p, &g.env, classes)
	same := b.part != nil && b.policy != nil && b.inSet && b.entry == part.Out && b.status.State != run.NetFailed && equalPart(b.part, part)
	var err error
	if !same {
		err = g.install(b, p, part)
		if errors.Is(err, unix.ENOENT) {
			// Somebody took the table away: all get theirs back, then this one its new rules.
			b.mu.Unlock()
			err = g.writeTable(nil)
			b.mu.Lock()
			if err == nil {
				err = g.install(b, p, part)
			}
		}
	}
	if err == nil {
		b.policy, b.part = p, part
		b.names.revalue(p)
	}
	b.mu.Unlock()
	if err == nil {
		err = g.repoint(b)
	}
	if err == nil {
		err = g.latch(b, same)
	}
	if err == nil && p.IPv6 {
		err = g.net.Forward6(g.facts.Uplinks)
	}
	if err == nil {
		g.dress(b)
		g.publish()
		g.tighten(b, old, p)
	}
	s := &b.status
	s.Generation, s.HoldGeneration = gens.spec, gens.hold
	s.Phase, s.Mode, s.Veth, s.IPv4, s.IPv6 = p.Phase, p.Mode, p.Veth, p.V4.String(), ""
	if p.V6.IsValid() {
		s.IPv6 = p.V6.String()
	}
	if err != nil {
		s.State, s.Error, s.InForce = run.NetFailed, err.Error(), false
		g.o.Recorder.Log(b.name, true, "rules were not applied: "+err.Error())
	} else {
		s.State, s.Error, s.InForce = run.NetEnforcing, "", true
		s.Ruleset = hashPart(part)
		if !same {
			s.AppliedAt = time.Now().UTC()
			g.o.Recorder.Log(b.name, false, fmt.Sprintf("phase %s, mode %s in force (generation %d, %d entries)", p.Phase, p.Mode, gens.spec, len(p.Allow)))
		}
		s.CheckedAt = time.Now().UTC()
	}
	asked := same && gens.local > s.LocalGeneration
	s.LocalGeneration = gens.local
	b.touch()
	g.writeStatus(b)
	g.stateChanged()
	if asked && !g.drill(b, gens.drill) {
		g.verify("asked for")
	}
}

func equalPart(a, b *policy.Part) bool {
	return hashPart(a) == hashPart(b)
}

func hashPart(p *policy.Part) string {
	t := nft.Table{Name: "part", Chains: p.Chains, Sets: p.Sets}
	sum := sha256.Sum256([]byte(t.Text(false)))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// dress finds the veth and gives it its settings, once for each device.
func (g *Guard) dress(b *box) {
	links, err := g.net.Links(b.spec.Veth)
	if err != nil {
		g.o.Recorder.Log(b.name, true, err.Error())
		return
	}
	index := links[b.spec.Veth]
	b.status.VethSeen = index != 0
	same := index == b.index
	b.index = index
	if !same {
		g.indexed()
	}
	if index == 0 || same {
		return
	}
	if err := g.net.Dress(b.spec.Veth, b.name, b.spec.Policy.IPv6); err != nil {
		// It may be gone again; its next coming finds it.
		g.o.Recorder.Log(b.name, true, fmt.Sprintf("settings of %s: %v", b.spec.Veth, err))
		b.index = 0
	}
}

// gone lets go of a container whose spec is no more. While its veth is there its
// last good state stays.
func (g *Guard) gone(b *box) {
	if veth := b.veth(); veth != "" {
		g.clearWay(b, veth)
		links, err := g.net.Links(veth)
		if err != nil || links[veth] != 0 {
			text := "the spec is gone but the interface is still there; the last rules stay"
			if b.status.Error != text {
				g.o.Recorder.Log(b.name, true, text)
			}
			b.status.Error, b.status.State = text, run.NetDegraded
			g.writeStatus(b)
			return
		}
	}
	if err := g.release(b); err != nil {
		text := "could not be removed: " + err.Error()
		if b.status.Error != text {
			g.o.Recorder.Log(b.name, true, text)
		}
		b.status.Error, b.status.State = text, run.NetFailed
		g.writeStatus(b)
		return
	}
	delete(g.boxes, b.name)
	g.indexed()
	g.books.mu.Lock()
	if book := g.books.byName[b.name]; book != nil {
		book.Flush(time.Now())
		delete(g.books.byName, b.name)
	}
	g.books.mu.Unlock()
	if len(g.boxes) == 0 {
		g.neighbours()
	}
	g.publish()
	g.stateChanged()
}

// release takes out everything of the container, address last: a step that did
// not happen is an error, and all is tried again later.
func (g *Guard) release(b *box) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := g.uninstall(b); err != nil {
		return err
	}
	if veth := b.veth(); veth != "" {
		if err := g.uncount(veth); err != nil && !errors.Is(err, unix.ENOENT) {
			return err // ENOENT: the table is gone, and its counters with it
		}
		if err := g.net.Unlatch(veth, g.env.Mark); err != nil {
			return err
		}
	}
	b.tls.cut(func(*tlsFlow) bool { return false })
	if err := g.cutAll(b); err != nil {
		return err
	}
	if err := g.pool.Free(b.name); err != nil {
		return err
	}
	delete(g.state.Numbers, b.name)
	for _, suffix := range []string{run.NetStatusFile, run.NetViewFile, run.NetLocalFile, run.NetHoldFile} {
		if err := os.Remove(g.path(b.name, suffix)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// sweep lets go of what belongs to no container that has a spec: leases, numbers
// and policy rules an earlier guard left behind.
func (g *Guard) sweep() {
	var errs []error
	for name := range g.pool.Leases {
		if g.boxes[name] == nil && !exists(g.path(name, run.NetFile)) {
			errs = append(errs, g.pool.Free(name))
		}
	}
	for name := range g.state.Numbers {
		if g.boxes[name] == nil {
			delete(g.state.Numbers, name)
		}
	}
	veths := map[string]bool{}
	for _, b := range g.boxes {
		veths[b.veth()] = true
	}
	latched, err := g.net.Latched(g.env.Mark)
	links, lerr := g.net.Links(g.env.Prefix)
	errs = append(errs, err, lerr)
	for veth := range latched {
		// A device of ours without a policy is dropped by the base rule; its latch may stay.
		if strings.HasPrefix(veth, g.env.Prefix) && !veths[veth] && links[veth] == 0 && lerr == nil {
			errs = append(errs, g.net.Unlatch(veth, g.env.Mark))
		}
	}
	if err := errors.Join(errs...); err != nil {
		g.problem("sweep", "leftovers could not be removed: "+err.Error())
		return
	}
	g.solve("sweep")
}
