// Package replay judges recordings and command lines as if they happened now:
// the same tracker, detectors and rule files, and no action.
package replay

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/engine"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/pkg/coi"
)

// Row is one line of a labelled corpus. Expect is "must", "should" or
// "context"; a row with neither Expect nor Hard is benign and easy.
type Row struct {
	Cmd      string   `json:"cmd"`
	Expect   string   `json:"expect,omitempty"`
	Category string   `json:"category,omitempty"`
	Hard     []string `json:"hard_negative,omitempty"`
	Plain    bool     `json:"-"` // a command line without labels
}

// Verdict is what one row or event line means.
type Verdict struct {
	Line     int              `json:"line"`
	Text     string           `json:"text"`
	Level    coi.Level        `json:"level,omitempty"` // highest, empty when nothing was found
	Findings []detect.Finding `json:"findings"`
	Row      Row              `json:"-"`
}

// Judge reads one file of events, plain command lines, or JSON lines with cmd.
// Each command line is judged alone; events share one state. A command line of
// a recording that cannot be decoded is an error that names its line.
func Judge(r io.Reader, cfg engine.Config, each func(Verdict) error) error {
	in := bufio.NewReaderSize(r, 64<<10)
	var recording *engine.Engine
	for n := 1; ; n++ {
		line, err := readLine(in)
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("line %d: %w", n, err)
		}
		text := strings.TrimRight(string(line), "\r\n")
		if strings.TrimSpace(text) == "" {
			if errors.Is(err, io.EOF) {
				return nil
			}
			continue
		}
		v, jerr := one(text, cfg, &recording)
		if jerr != nil {
			return fmt.Errorf("line %d: %w", n, jerr)
		}
		v.Line = n
		if jerr := each(v); jerr != nil {
			return jerr
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
	}
}

// readLine reads one line of at most event.MaxLine bytes.
func readLine(r *bufio.Reader) ([]byte, error) {
	var out []byte
	for {
		part, err := r.ReadSlice('\n')
		out = append(out, part...)
		if len(out) > event.MaxLine {
			return nil, event.ErrTooLong
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		return out, err
	}
}

func one(text string, cfg engine.Config, recording **engine.Engine) (Verdict, error) {
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		var probe struct {
			Type *string `json:"type"`
			Cmd  *string `json:"cmd"`
		}
		if json.Unmarshal([]byte(text), &probe) == nil {
			switch {
			case probe.Cmd != nil:
				var row Row
				if err := json.Unmarshal([]byte(text), &row); err != nil {
					return Verdict{}, err
				}
				return Line(row, cfg), nil
			case probe.Type != nil:
				ev, err := event.Unmarshal(bytes.TrimSpace([]byte(text)))
				if err != nil {
					return Verdict{}, err
				}
				if *recording == nil {
					*recording = engine.New(cfg)
				}
				v := Verdict{Text: describe(ev), Findings: (*recording).Process(ev)}
				return graded(v), nil
			}
		}
	}
	return Line(Row{Cmd: text, Plain: true}, cfg), nil
}

func describe(ev event.Event) string {
	if len(ev.Argv) > 0 {
		return string(ev.Type) + " " + strings.Join(ev.Argv, " ")
	}
	return string(ev.Type) + " " + ev.Path + ev.Peer
}

// Line judges one command line as the agent would run it: a new shell in the
// workspace, as the code user.
func Line(row Row, cfg engine.Config) Verdict {
	uid := 1000
	if cfg.Resolve == nil && cfg.Read == nil {
		l := &local{}
		cfg.Resolve, cfg.Read = l.Resolve, l.Read
	}
	e := engine.New(cfg)
	ev := event.Event{
		V: event.Version, Seq: 1, Mono: 1, Type: event.Exec, PID: 2, PPID: 1, Start: 1, UID: &uid,
		Exe: "/usr/bin/bash", Argv: []string{"bash", "-c", row.Cmd}, CWD: "/workspace",
	}
	return graded(Verdict{Text: row.Cmd, Row: row, Findings: e.Process(ev)})
}

func graded(v Verdict) Verdict {
	for _, f := range v.Findings {
		if f.Level.Rank() > v.Level.Rank() {
			v.Level = f.Level
		}
	}
	if v.Findings == nil {
		v.Findings = []detect.Finding{}
	}
	return v
}
