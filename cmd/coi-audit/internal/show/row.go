package show

import (
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/code-on-incus/coi/cmd/coi-audit/internal/scan"
	"github.com/code-on-incus/coi/pkg/plain"
)

// row is one line of the table.
type row struct {
	cells [columns]string
	key   string // container and seq, by which other records refer to it
}

const (
	colTime = iota
	colLevel
	colAction
	colRule
	colTitle
	colWho
	columns
)

var headings = [columns]string{"TIME", "LEVEL", "ACTION", "RULE", "TITLE", "WHO"}

// parsed is what the table takes from a record.
type parsed struct {
	row
	who   string // the process alone
	refs  []string
	isWho bool // the record only says which process a blocked attempt came from
}

// clock turns ts into local time; neighbours often share the second.
type clock struct{ ts, local string }

func (c *clock) local19(ts string) string {
	if len(ts) < 20 {
		return ts
	}
	if ts[:19] == c.ts && ts[len(ts)-1] == 'Z' {
		return c.local
	}
	t, err := time.Parse(time.RFC3339Nano, ts)
	if err != nil {
		return ts
	}
	c.ts, c.local = ts[:19], t.Local().Format("2006-01-02 15:04:05")
	return c.local
}

func (c *clock) parse(line []byte) parsed {
	var p parsed
	var container, seq, exe, comm, pid, count, peer, name, path string
	scan.Members(line, func(k, v []byte) {
		switch string(k) {
		case "ts":
			p.cells[colTime] = c.local19(scan.Text(v))
		case "container":
			container = scan.Text(v)
		case "seq":
			seq = string(v)
		case "level":
			p.cells[colLevel] = scan.Text(v)
		case "action":
			p.cells[colAction] = scan.Text(v)
		case "rule":
			p.cells[colRule] = scan.Text(v)
		case "title":
			p.cells[colTitle] = scan.Text(v)
		case "count":
			count = string(v)
		case "ref":
			for _, r := range gjson.ParseBytes(v).Array() {
				p.refs = append(p.refs, container+"/"+r.Raw)
			}
		case "exe":
			exe = scan.Text(v)
		case "comm":
			comm = scan.Text(v)
		case "pid":
			pid = string(v)
		case "peer":
			peer = scan.Text(v)
		case "name":
			name = scan.Text(v)
		case "path":
			path = scan.Text(v)
		}
	})
	p.key = container + "/" + seq
	p.isWho = p.cells[colRule] == "net.who"
	p.who = process(exe, comm, pid)
	p.cells[colWho] = first(p.who, name, peer, path)
	if count != "" && count != "0" && count != "1" {
		p.cells[colTitle] += " ×" + count
	}
	for i := range p.cells {
		p.cells[i] = plain.Escape(p.cells[i])
	}
	return p
}

// process is the program with its pid: curl[4012].
func process(exe, comm, pid string) string {
	name := comm
	if exe != "" {
		name = exe[strings.LastIndexByte(exe, '/')+1:]
	}
	if name != "" && pid != "" {
		if _, err := strconv.Atoi(pid); err == nil {
			return name + "[" + pid + "]"
		}
	}
	return name
}

func first(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}
