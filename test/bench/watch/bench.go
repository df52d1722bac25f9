package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// bench is one daemon and its containers.
type bench struct {
	ctx   context.Context
	dir   string // COI_HOME
	bin   string
	proc  *exec.Cmd
	names []string
	thaws map[string]int
	gen   map[string]int
}

// wanted is the part of <c>.watch.json that is set here.
type wanted struct {
	SchemaVersion int            `json:"schema_version"`
	Generation    int            `json:"generation"`
	Container     string         `json:"container"`
	Workspace     string         `json:"workspace"`
	Tool          []string       `json:"tool"`
	Settings      map[string]any `json:"settings"`
	Thaw          int            `json:"thaw"`
}

type status struct {
	Generation int    `json:"generation"`
	Armed      bool   `json:"armed"`
	Lost       int    `json:"lost"`
	Thaw       int    `json:"thaw"`
	Frozen     *any   `json:"frozen"`
	Error      string `json:"error"`
}

type view struct {
	Watcher struct {
		Lost  int   `json:"lost"`
		Execs int   `json:"execs"`
		P50us int64 `json:"p50_us"`
		P99us int64 `json:"p99_us"`
	} `json:"watcher"`
}

func start(ctx context.Context, bin string, containers int) (*bench, error) {
	dir, err := os.MkdirTemp("", "coi-watch-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{ctx: ctx, dir: dir, bin: bin, thaws: map[string]int{}, gen: map[string]int{}}
	if err := os.Mkdir(filepath.Join(dir, "run"), 0o700); err != nil {
		return nil, err
	}
	b.proc = exec.Command(bin, "run")
	b.proc.Env = append(os.Environ(), "COI_HOME="+dir, "HOME="+dir)
	b.proc.Stderr = os.Stderr
	if err := b.proc.Start(); err != nil {
		return nil, err
	}
	err = b.until(5*time.Second, "start of the watch", func() bool {
		_, err := os.Stat(filepath.Join(dir, "run", "watch.json"))
		return err == nil
	})
	if err != nil {
		b.stop()
		return nil, err
	}
	for i := range containers {
		if err := b.add(fmt.Sprintf("bench-%d", i+1)); err != nil {
			b.stop()
			return nil, err
		}
	}
	return b, nil
}

// groups are the control groups of a container, one a hierarchy.
func groups(name string) []string {
	var out []string
	for _, root := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup/freezer", "/sys/fs/cgroup"} {
		if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err == nil {
			out = append(out, filepath.Join(root, "lxc.payload."+name))
		}
	}
	return out
}

func (b *bench) add(name string) error {
	gs := groups(name)
	for _, g := range slices.Backward(gs) {
		if err := os.Mkdir(g, 0o755); err != nil {
			return err
		}
	}
	b.names = append(b.names, name)
	began := time.Now()
	if err := b.want(name); err != nil {
		return err
	}
	if len(b.names) == 2 {
		report("armed after watch.json", time.Since(began), 100*time.Millisecond)
	}
	return nil
}

// want writes the wanted file and waits for the answer.
func (b *bench) want(name string) error {
	b.gen[name]++
	w := wanted{
		SchemaVersion: 1, Generation: b.gen[name], Container: name, Workspace: "/workspace", Tool: []string{"agent"}, Thaw: b.thaws[name],
		Settings: map[string]any{"auto_pause_on_high": true, "auto_kill_on_critical": false, "poll_interval_sec": 2, "process_spawn_rate_threshold": -1, "process_count_threshold": -1},
	}
	data, err := json.Marshal(w)
	if err != nil {
		return err
	}
	tmp := filepath.Join(b.dir, "run", ".new")
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(b.dir, "run", name+".watch.json")); err != nil {
		return err
	}
	return b.until(5*time.Second, "answer of the watch", func() bool { s := b.status(name); return s.Generation >= b.gen[name] && s.Armed })
}

func (b *bench) status(name string) (s status) {
	data, err := os.ReadFile(filepath.Join(b.dir, "run", name+".watch.status.json"))
	if err == nil {
		_ = json.Unmarshal(data, &s) // half of an answer is no answer
	}
	return s
}

func (b *bench) view(name string) (v view) {
	data, err := os.ReadFile(filepath.Join(b.dir, "run", name+".watch.view.json"))
	if err == nil {
		_ = json.Unmarshal(data, &v)
	}
	return v
}

func (b *bench) until(limit time.Duration, what string, ok func() bool) error {
	t := time.NewTicker(time.Millisecond)
	defer t.Stop()
	end := time.After(limit)
	for !ok() {
		select {
		case <-b.ctx.Done():
			return b.ctx.Err()
		case <-end:
			return errors.New("timeout: " + what)
		case <-t.C:
		}
	}
	return nil
}

// inside starts a program as a process of the container.
func (b *bench) inside(name string, argv ...string) (*exec.Cmd, error) {
	var script strings.Builder
	for _, g := range groups(name) {
		script.WriteString("echo $$ > " + g + "/cgroup.procs; ")
	}
	cmd := exec.Command("sh", append([]string{"-c", script.String() + `exec "$@"`, "sh"}, argv...)...)
	cmd.Stderr = os.Stderr
	return cmd, cmd.Start()
}

func (b *bench) stop() {
	for _, n := range b.names {
		for _, g := range groups(n) {
			_ = os.WriteFile(g+"/freezer.state", []byte("THAWED"), 0)
			_ = os.WriteFile(g+"/cgroup.freeze", []byte("0"), 0)
			_ = os.WriteFile(g+"/cgroup.kill", []byte("1"), 0)
		}
	}
	_ = b.proc.Process.Signal(syscall.SIGTERM)
	_ = b.proc.Wait()
	for _, n := range b.names {
		for _, g := range groups(n) {
			_ = b.until(5*time.Second, "end of "+g, func() bool { err := os.Remove(g); return err == nil || errors.Is(err, os.ErrNotExist) })
		}
	}
	_ = os.RemoveAll(b.dir)
}

// cpu is the processor time of the daemon.
func (b *bench) cpu() time.Duration {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", b.proc.Process.Pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	u, _ := strconv.Atoi(f[11])
	s, _ := strconv.Atoi(f[12])
	return time.Duration(u+s) * 10 * time.Millisecond
}

// memory is the proportional share of the daemon in MB.
func (b *bench) memory() float64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", b.proc.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.SplitSeq(string(data), "\n") {
		if v, ok := strings.CutPrefix(line, "Pss:"); ok {
			kb, _ := strconv.Atoi(strings.Fields(v)[0])
			return float64(kb) / 1024
		}
	}
	return 0
}

func report(what string, got, bar time.Duration) {
	_, _ = fmt.Fprintf(os.Stdout, "%-46s %10s   bar %8s   %s\n", what, got.Round(10*time.Microsecond), bar, verdict(got < bar))
}

func number(what string, got, bar float64, unit string) {
	_, _ = fmt.Fprintf(os.Stdout, "%-46s %7.2f %-3s  bar %5.2f %-3s  %s\n", what, got, unit, bar, unit, verdict(got < bar || got == 0))
}

func verdict(ok bool) string {
	if ok {
		return "ok"
	}
	return "OVER"
}

func measureAll(ctx context.Context, bin string, rate int, length time.Duration, rounds int) error {
	b, err := start(ctx, bin, 12)
	if err != nil {
		return err
	}
	defer b.stop()
	before := b.cpu()
	time.Sleep(10 * time.Second) //nolint:forbidigo // the time over which idling is measured
	number("processor, idle, 12 containers", 100*(b.cpu()-before).Seconds()/10, 0.3, "%")
	number("memory, 12 containers (proportional)", b.memory(), 30, "MB")
	for _, r := range []int{2500 / 3, rate} { // a program is three events: fork, exec, exit
		if err := b.storm(r, length); err != nil {
			return err
		}
	}
	number("memory after the storm", b.memory(), 30, "MB")
	return b.freezes(rate, rounds)
}

// storm starts programs at a rate and reads what the watch says of them.
func (b *bench) storm(rate int, length time.Duration) error {
	name := b.names[0]
	program := filepath.Join(b.dir, "build-step")
	code, err := tiny()
	if err != nil {
		return err
	}
	if err := os.WriteFile(program, code, 0o700); err != nil {
		return err
	}
	tell := filepath.Join(b.dir, "started")
	seen, cpu := b.view(name).Watcher.Execs, b.cpu()
	cmd, err := b.inside(name, self(), "-storm", program, "-rate", strconv.Itoa(rate), "-seconds", strconv.Itoa(int(length.Seconds())), "-tell", tell)
	if err != nil {
		return err
	}
	if err := cmd.Wait(); err != nil {
		return err
	}
	used := (b.cpu() - cpu).Seconds() / length.Seconds()
	data, err := os.ReadFile(tell)
	if err != nil {
		return err
	}
	started, err := strconv.Atoi(string(data))
	if err != nil {
		return err
	}
	var v view
	err = b.until(10*time.Second, "all programs seen", func() bool { v = b.view(name); return v.Watcher.Execs-seen >= started })
	_, _ = fmt.Fprintf(os.Stdout, "storm of %d programs a second: %d started, %d seen, %d lost\n", int(float64(started)/length.Seconds()), started, v.Watcher.Execs-seen, v.Watcher.Lost)
	report("  exec to verdict, median", time.Duration(v.Watcher.P50us)*time.Microsecond, 10*time.Millisecond)
	report("  exec to verdict, p99", time.Duration(v.Watcher.P99us)*time.Microsecond, 10*time.Millisecond)
	if rate < 1000 {
		number("  processor at 2,500 events a second", 100*used, 3, "%")
	} else {
		_, _ = fmt.Fprintf(os.Stdout, "  processor: %.1f %%\n", 100*used)
	}
	return err
}

// freezes measures from the exec of a hostile command to the last instruction
// of a busy process beside it, while a storm goes on.
func (b *bench) freezes(rate, rounds int) error {
	name := b.names[1]
	program := filepath.Join(b.dir, "build-step")
	hostile := filepath.Join(b.dir, "nc")
	code, err := tiny()
	if err != nil {
		return err
	}
	if err := os.WriteFile(hostile, code, 0o700); err != nil {
		return err
	}
	file := filepath.Join(b.dir, "stamp")
	mem, err := stamp(file)
	if err != nil {
		return err
	}
	atFile := filepath.Join(b.dir, "at")
	at, err := stamp(atFile)
	if err != nil {
		return err
	}
	if _, err := b.inside(name, self(), "-spin", file); err != nil {
		return err
	}
	if _, err := b.inside(b.names[0], self(), "-storm", program, "-rate", strconv.Itoa(rate), "-seconds", "3600", "-tell", filepath.Join(b.dir, "x")); err != nil {
		return err
	}
	var frozen, thawed []time.Duration
	for range rounds {
		last := atomic.LoadInt64(mem)
		if err := b.until(5*time.Second, "the busy process runs", func() bool { return atomic.LoadInt64(mem) > last }); err != nil {
			return err
		}
		atomic.StoreInt64(at, 0)
		if _, err := b.inside(name, self(), "-hostile", hostile, "-tell", atFile); err != nil {
			return err
		}
		if err := b.until(5*time.Second, "frozen", func() bool { return b.status(name).Frozen != nil }); err != nil {
			return err
		}
		frozen = append(frozen, time.Duration(atomic.LoadInt64(mem)-atomic.LoadInt64(at)))
		b.thaws[name]++
		last, asked := atomic.LoadInt64(mem), time.Now()
		if err := b.want(name); err != nil {
			return err
		}
		if err := b.until(5*time.Second, "thawed", func() bool { return atomic.LoadInt64(mem) > last }); err != nil {
			return err
		}
		thawed = append(thawed, time.Since(asked))
	}
	slices.Sort(frozen)
	slices.Sort(thawed)
	_, _ = fmt.Fprintf(os.Stdout, "%d freezes beside a storm of %d programs a second\n", rounds, rate)
	report("  exec to frozen, median (with the exec itself)", frozen[len(frozen)/2], 20*time.Millisecond)
	report("  exec to frozen, p99", frozen[len(frozen)*99/100], 20*time.Millisecond)
	report("  thaw asked to running, p99", thawed[len(thawed)*99/100], 50*time.Millisecond)
	return nil
}

func self() string {
	p, err := os.Executable()
	if err != nil {
		return "/proc/self/exe"
	}
	return p
}
