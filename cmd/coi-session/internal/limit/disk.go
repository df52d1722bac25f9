package limit

import (
	"strings"

	"github.com/code-on-incus/coi/pkg/cli"
)

const unitHint = "write 20GiB for a size or 20MB/s for a rate"

// Rate reads a rate such as 50MB/s or 500iops and gives Incus' form of it,
// which has no "/s".
func Rate(s string) (string, bool) {
	if iopsRE.MatchString(s) {
		return s, true
	}
	size, ok := strings.CutSuffix(s, "/s")
	if !ok {
		return "", false
	}
	n, err := Size(size)
	return bytes(n), err == nil
}

func (p *parser) disk(l Limits) {
	p.quota("disk.size", l.DiskSize)
	if rate, ok := Rate(l.DiskMax); ok {
		if l.DiskRead != "" || l.DiskWrite != "" {
			p.bad("disk.max", "%s is a rate for reads and writes together: disk.read and disk.write may not be set with it", l.DiskMax)
		}
		p.Root["limits.max"] = rate
		p.need("disk.max", needIO)
	} else {
		p.quota("disk.max", l.DiskMax)
	}
	p.rate("disk.read", l.DiskRead, "limits.read")
	p.rate("disk.write", l.DiskWrite, "limits.write")
	p.number("disk.priority", l.DiskPriority, 10, "limits.disk.priority", needIO)
	if l.Tmpfs != "" {
		n, err := Size(l.Tmpfs)
		if err != nil {
			p.badUnit("disk.tmpfs_size", l.Tmpfs, err.Error())
		}
		p.Tmpfs = n
	}
}

func (p *parser) quota(key, s string) {
	if s == "" {
		return
	}
	n, err := Size(s)
	if err != nil {
		p.badUnit(key, s, err.Error())
		return
	}
	if p.size != 0 && p.size != n {
		p.bad(key, "%s is a size and differs from disk.size = %s", s, p.from.DiskSize)
		return
	}
	p.size = n
	p.Root["size"] = bytes(n)
	p.need(key, needQuota)
}

func (p *parser) rate(key, s, incus string) {
	if s == "" {
		return
	}
	rate, ok := Rate(s)
	if !ok {
		p.badUnit(key, s, `"`+cli.Escape(s)+`" is no rate (50MB/s, 500iops)`)
		return
	}
	p.Root[incus] = rate
	p.need(key, needIO)
}

// badUnit adds the advice for a number without a unit, which Incus would take for bytes.
func (p *parser) badUnit(key, s, why string) {
	p.bad(key, "%s", why)
	if numberRE.MatchString(s) {
		p.hint = unitHint
	}
}
