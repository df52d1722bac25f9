package show

import (
	"bufio"

	"github.com/code-on-incus/coi/cmd/coi-audit/internal/ocsf"
	"github.com/code-on-incus/coi/pkg/audit"
)

// OCSF writes each record as an event of that schema, one object a line.
type OCSF struct {
	W   *bufio.Writer
	Raw bool   // with the stored line as raw_data
	Bad func() // told of a line that is no record of ours
}

// Line is Writer.
func (o *OCSF) Line(line []byte) error {
	r, err := audit.Decode(line)
	if err != nil || r.Type == "" || r.Level == "" {
		o.Bad()
		return nil
	}
	var raw []byte
	if o.Raw {
		raw = line
	}
	b, err := ocsf.Convert(r, raw)
	if err != nil {
		return err
	}
	_, _ = o.W.Write(b)
	return o.W.WriteByte('\n')
}

// Flush is Writer.
func (o *OCSF) Flush(bool) error { return o.W.Flush() }
