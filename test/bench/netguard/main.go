// Command netguard measures the network guard against its bars: in a network
// namespace of its own, with the real program, real rules and real packets. It
// needs root, ip and nft. Paths that are compared are measured in turn.
//
//	go run ./test/bench/netguard [policy|dns|speed|names|idle|fifty]...
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == "as" {
		role(os.Args[2:])
		return
	}
	if os.Getenv("BENCH_INSIDE") == "" {
		self, err := os.Executable()
		check(err)
		cmd := exec.Command(self, os.Args[1:]...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.Env = append(os.Environ(), "BENCH_INSIDE=1")
		// A mount namespace too, so that named network namespaces stay our own.
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
		check(cmd.Run())
		return
	}
	// What is started here ends with this thread, also when a check fails.
	runtime.LockOSThread()
	dir, err := os.MkdirTemp("", "coi-bench-")
	check(err)
	defer func() { _ = os.RemoveAll(dir) }()
	l := newLab(dir)
	defer l.close()
	l.measure(os.Args[1:])
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args ...string) {
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		check(fmt.Errorf("%v: %w: %s", args, err, out))
	}
}

func row(what, got, bar string) {
	_, _ = fmt.Fprintf(os.Stdout, "%-58s %-28s bar %s\n", what, got, bar)
}

// parts are measured in this order; words on the command line choose among them.
var parts = []struct {
	name string
	run  func(*lab)
}{{"policy", (*lab).policy}, {"dns", (*lab).dns}, {"speed", (*lab).speed}, {"names", (*lab).names}, {"idle", (*lab).idle}, {"fifty", (*lab).fifty}}

func (l *lab) measure(only []string) {
	l.start()
	for i := range 12 {
		l.container(i)
	}
	for _, p := range parts {
		if len(only) == 0 || slices.Contains(only, p.name) {
			p.run(l)
		}
	}
}

func (l *lab) policy() {
	var applied []time.Duration
	for range 40 {
		applied = append(applied, l.put("coi-bench-0", "restricted"), l.put("coi-bench-0", "allowlist"))
	}
	row("spec written to enforcing, 12 containers", stats(applied), "p95 < 50 ms")
	var allow []time.Duration
	for i := range 30 {
		begin := time.Now()
		l.client("allow", "coi-bench-0", fmt.Sprintf("203.0.113.%d:443", i))
		allow = append(allow, time.Since(begin))
	}
	row("allow typed to in force (whole command)", stats(allow), "p95 < 20 ms")
	var explain []time.Duration
	for range 20 {
		begin := time.Now()
		_ = exec.Command(l.bin, "explain", "coi-bench-0", "198.51.100.10:80").Run()
		explain = append(explain, time.Since(begin))
	}
	row("explain (whole command)", stats(explain), "< 10 ms")
}

func (l *lab) idle() {
	row("memory, 12 containers, 10,000 addresses", fmt.Sprintf("%.1f MB resident", l.rss()), "< 25 MB")
	before := l.cpu()
	<-time.After(10 * time.Second)
	row("idle CPU over 10 s", fmt.Sprintf("%.2f %% of a core", float64(l.cpu()-before)/10/float64(ticks)*100), "< 0.2 %")
}

// fifty starts a guard with 50 specs and no rule in the kernel.
func (l *lab) fifty() {
	for i := 12; i < 50; i++ {
		l.write(fmt.Sprintf("coi-bench-%d", i), "allowlist", 1)
	}
	var all []time.Duration
	for range 7 {
		l.stop()
		run("nft", "flush", "ruleset")
		files, err := filepath.Glob(filepath.Join(l.home, "run", "*.net.status.json"))
		check(err)
		for _, f := range files {
			check(os.Remove(f))
		}
		begin := time.Now()
		l.spawn()
		l.until(func() bool {
			files, err := filepath.Glob(filepath.Join(l.home, "run", "*.net.status.json"))
			return err == nil && len(files) == 50
		})
		all = append(all, time.Since(begin))
	}
	row("50 policies from nothing, program start included", stats(all), "p95 < 50 ms (without start)")
}
