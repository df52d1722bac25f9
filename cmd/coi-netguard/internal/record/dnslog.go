package record

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/redact"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/resolve"
)

// dnsLog writes <container>.dns.jsonl: one line a minute for each name, type and
// result, with their number.
type dnsLog struct {
	dir string
	red *redact.Redactor

	mu    sync.Mutex
	lines map[string]map[dnsKey]*dnsLine
	stop  chan struct{}
	ended chan struct{}
}

type dnsKey struct {
	name   string
	typ    uint16
	result string
}

type dnsLine struct {
	TS      time.Time `json:"ts"`
	Name    string    `json:"name"`
	Type    string    `json:"qtype"`
	Result  string    `json:"result"`
	Rule    string    `json:"rule,omitempty"`
	Count   int       `json:"count"`
	Cached  int       `json:"cached"`
	Answers []string  `json:"answers,omitempty"`
}

const (
	dnsEvery    = time.Minute
	maxDNSLines = 5000 // a minute and container; more are counted on one line
	maxDNSLog   = 10 << 20
	keptDNSLogs = 3
)

func newDNSLog(dir string, red *redact.Redactor) *dnsLog {
	l := &dnsLog{dir: dir, red: red, lines: map[string]map[dnsKey]*dnsLine{}, stop: make(chan struct{}), ended: make(chan struct{})}
	go l.run()
	return l
}

func (l *dnsLog) run() {
	defer close(l.ended)
	tick := time.NewTicker(dnsEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			l.write()
			return
		case <-tick.C:
			l.write()
		}
	}
}

func (l *dnsLog) close() {
	close(l.stop)
	<-l.ended
}

func (l *dnsLog) add(q resolve.Query, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	of := l.lines[q.Container]
	if of == nil {
		of = map[dnsKey]*dnsLine{}
		l.lines[q.Container] = of
	}
	k := dnsKey{q.Name, q.Type, q.Result}
	if _, ok := of[k]; !ok && len(of) >= maxDNSLines {
		k = dnsKey{name: "*", result: q.Result}
	}
	x := of[k]
	if x == nil {
		x = &dnsLine{TS: now.UTC(), Name: l.red.Text(k.name), Type: typeName(k.typ), Result: q.Result, Rule: q.Rule}
		for _, a := range q.Answers[:min(8, len(q.Answers))] {
			x.Answers = append(x.Answers, a.String())
		}
		of[k] = x
	}
	x.Count++
	if q.Cached {
		x.Cached++
	}
}

func typeName(t uint16) string {
	if s, ok := dns.TypeToString[t]; ok {
		return s
	}
	return fmt.Sprintf("TYPE%d", t)
}

// write appends the minute that has passed. What a full disk refuses is lost:
// the log must not hold up answers.
func (l *dnsLog) write() {
	l.mu.Lock()
	lines := l.lines
	l.lines = map[string]map[dnsKey]*dnsLine{}
	l.mu.Unlock()
	for container, of := range lines {
		var out []byte
		for _, x := range of {
			if b, err := json.Marshal(x); err == nil {
				out = append(append(out, b...), '\n')
			}
		}
		_ = appendRotated(filepath.Join(l.dir, container+".dns.jsonl"), out)
	}
}

func appendRotated(path string, data []byte) error {
	f, err := home.OpenAppend(path)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err == nil && st.Size()+int64(len(data)) > maxDNSLog && st.Size() > 0 {
		_ = f.Close()
		for i := keptDNSLogs - 1; i > 0; i-- {
			_ = os.Rename(fmt.Sprintf("%s.%d", path, i), fmt.Sprintf("%s.%d", path, i+1))
		}
		if err := os.Rename(path, path+".1"); err != nil {
			return err
		}
		if f, err = home.OpenAppend(path); err != nil {
			return err
		}
	}
	_, err = f.Write(data)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}
