package detect

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

// written is a change of a file of one class. Text is what is written, as far
// as known.
type written struct {
	s     *command.Simple
	path  string
	op    command.Op
	text  string
	known bool
}

// writing judges writes into one path class: by command, and by event with no
// known text. A nil verdict means nothing to say.
func writing(class paths.Class, verdict func(w written, v track.View) (coi.Level, string)) func(event.Event, track.View) []Finding {
	cmd := func(s *command.Simple, v track.View) *Finding {
		if packaged(s, v) || s.Class() == program.Package {
			return nil
		}
		var best *Finding
		for _, a := range s.Accesses() {
			if !changes(a.Op) || !paths.Any(classes(v, a), class) || a.Path2 == "/dev/null" {
				continue
			}
			w := written{s: s, path: a.Path, op: a.Op, text: a.Text, known: a.Known}
			if !w.known && a.Path2 != "" {
				w.text, w.known = madeText(v, a.Path2)
			}
			if !w.known && a.Path2 == "" {
				w.text, w.known = joinedText(s, v)
			}
			for _, c := range s.Code {
				w.text += "\n" + c.Text
			}
			level, title := verdict(w, v)
			if level != "" && (best == nil || level.Rank() > best.Level.Rank()) {
				best = say(s, level, title).at(a.Path, a.Op)
			}
		}
		return best
	}
	return either(cmd, func(ev event.Event, v track.View) []Finding {
		if ev.Type != event.Write && ev.Type != event.Rename && ev.Type != event.Create || !paths.Any(v.PathClasses(target(ev)), class) || inWorkspace(v, target(ev)) {
			return nil
		}
		if v.Under(program.Package) || v.Proc().Role != "" || v.Under(program.Init) {
			return nil
		}
		for _, n := range v.Names() {
			if oneOf(n, "crontab", "systemctl", "ssh-copy-id", "update-rc.d", "update-alternatives", "debconf") {
				return nil
			}
		}
		level, title := verdict(written{path: target(ev), op: command.Write}, v)
		if level == "" {
			return nil
		}
		return one(Finding{Level: level, Title: title, Path: target(ev), Op: string(ev.Type), PID: ev.PID})
	})
}

// joinedText is what a command puts out that is given files of this text.
func joinedText(s *command.Simple, v track.View) (string, bool) {
	if !s.Is("cat", "tac", "head", "tail", "tee", "sponge") {
		return "", false
	}
	var from []string
	if !s.Is("tee", "sponge") {
		from = append(from, s.Parsed().Rest...)
	}
	for _, r := range s.Redirs {
		if r.Op == "<" && r.FD == 0 {
			from = append(from, r.Path)
		}
	}
	all, known := "", len(from) > 0
	for _, p := range from {
		t, ok := madeText(v, s.Abs(p))
		all, known = all+t, known && ok
	}
	return all, known
}

// madeText is the constant content that this text wrote into a file before.
func madeText(v track.View, p string) (string, bool) {
	if v.Command() == nil {
		return "", false
	}
	t, ok := "", false
	for _, s := range v.Command().Simples {
		for _, a := range s.Accesses() {
			if a.Path == p && changes(a.Op) && a.Known {
				t, ok = t+"\n"+a.Text, true
			}
		}
	}
	return t, ok
}

// always is the verdict for classes that nothing but packages may write.
func always(title string) func(written, track.View) (coi.Level, string) {
	return func(written, track.View) (coi.Level, string) { return coi.High, title }
}
