package score

import (
	"fmt"
	"io"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/engine"
)

const pageHead = `# What coi-watch detects, and how well

This page is written by ` + "`make detection-docs CORPUS=DIR`" + `. Do not edit it by hand.

## Score

Static replay: each of the %d labelled command lines is judged alone, as if the agent had typed it in its workspace (` + "`bash -c LINE`" + ` as the
code user), by the same tracker and detectors that run live. Nothing is executed. One setting for all lines. The corpus was in
view while the detectors were written; they hold no text of it, but a score on lines nobody had seen is lower: of the must lines of seventeen batches of our own, 88,
92, 96, 92, 93, 97, 93, 91, 90, 97, 96, 85, 88, 98, 93, 99 and 90 %% were found at first sight; of the hard honest lines of the last eleven 2.8, 2.2, 0.6, 1.4, 2.6, 0,
2.4, 2.9, 0.8, 3.1 and 1.6 %% paused, most of them for what a rule promises (a memory dump, a module from a file, the shadow file). The tests keep the same bars on lines
of their own, and at least 90 %% of the hostile ones under each mechanical change (copied, linked, loader, ${IFS}, quotes, base64, script).
"must" is what a sandbox has no good reason to see, counted at high or above; "should" is strongly suspicious, counted at warning or above. "Easy" and
"hard" are lines that developers really run; the hard ones look like attacks to a matcher of words.

`

const pageMutated = `
### Written differently

The lines labelled must, and the benign ones, after each mechanical change; the bar is 90 %. Text from a decoder that goes into a shell is a finding
whatever it says, so benign lines are no test of it. "renamed before" is a program renamed somewhere else: the text does not tell what runs, and the bar
is not promised there; live, the content of the file tells. A line of half a millisecond is a matter of the sensors and is measured live.

| written as | must rows | found | benign paused |
|---|---|---|---|
`

const pageLive = `
## Live

` + "`make score-live`" + ` runs the attacks as real processes in a real container and reads the trail. On 2026-11-28, on two processors
(Linux 6.18 in a virtual machine, Incus 6.0.4): 26 of 26 attacks at high or above; from the start of the shell that runs the attack to the verdict
on disk 2 ms in the median (bar 100 ms), 19 ms at worst; on a machine five times slower 15 and 334 ms, and at load 17 there 104 and 781 ms. Of the shells driven from outside in twelve languages (pipe, fifo, terminal, unix pair, relay,
UDP) all 35 were found by their descriptors; on a loaded machine at least 90 %, the others by their words, none missed, and no honest program was taken for one.
`

const pageLimits = `
## Limits, plainly

- A line is judged by what its text can be folded to: quotes, variables and files that the same text sets, substitutions of constants, base64, hex, rot13,
  here-documents. What only becomes known while it runs (a key from the network, arithmetic over strings, a decoder nobody knows) is not folded. Live, the
  execs, opened files, connections and the wiring of descriptors decide then; none of that is in the table above.
- Program text of interpreters is judged by features (opens a connection, hands over a shell, decodes, fetches, reads secrets), not understood. A large
  program from a file is judged by the strong features only, else every web server would be a suspect.
- A renamed program is known by its content live, by copies and links made in the same text, and by the shape of its words otherwise. With unremarkable
  words, in the folders of the system, or called without a folder, it keeps its false name in a static replay.
- Commands inside ` + "`ssh host '…'`" + ` happen elsewhere and are warnings at most; those inside nested containers count fully.
- Rule files only add findings. The second column shows why they are not part of the promise: public rules are written for servers, where nobody develops.
- Asking for secrets of the project itself (workspace files, ` + "`.env`" + `) is not a credential finding; sending them away is.
- Reads through a descriptor that was opened before the mark was set, and data that leaves inside allowed protocols to allowed hosts, are seen only as volume.
`

// Page writes the manual page: the score without and with rule files, its
// conditions, the catalogue, and the limits.
func Page(w io.Writer, plain, ruled Result, rows int, rules []engine.RuleInfo, changed []Mutated) error {
	var b strings.Builder
	fmt.Fprintf(&b, pageHead, rows)
	b.WriteString("| measure | bar | built in | with rule files |\n|---|---|---|---|\n")
	with := ruled.Bars()
	for i, bar := range plain.Bars() {
		sign := "≤"
		if bar.Least {
			sign = "≥"
		}
		fmt.Fprintf(&b, "| %s | %s %.0f %% | %.1f %% | %.1f %% |\n", bar.Name, sign, 100*bar.Limit, 100*bar.Value, 100*with[i].Value)
	}
	loaded, files, common := 0, 0, 0
	for _, r := range rules {
		if strings.HasPrefix(r.ID, "sigma:") {
			files++
			if r.Loaded {
				loaded++
			}
			if r.Common != "" {
				common++
			}
		}
	}
	fmt.Fprintf(&b, "\nRule files of the second column: %d Sigma rules, %d loaded, %d named as unsupported with their reason (`coi watch rules list --unsupported`). %d of the loaded ones fire on ordinary work and are at level info.\n", files, loaded, files-loaded, common)
	b.WriteString(pageMutated)
	for _, m := range changed {
		pause := fmt.Sprintf("%.1f %%", 100*m.Pause)
		if m.Decodes {
			pause = "–"
		}
		fmt.Fprintf(&b, "| `%s` | %d | %.1f %% | %s |\n", strings.NewReplacer("|", "\\|", "`", "'").Replace(m.Name), m.Rows, 100*m.Must, pause)
	}
	b.WriteString(pageLive + pageLimits)
	b.WriteString("\n## Catalogue\n\nThe level is the highest a rule gives. Every rule has samples that must fire and samples that must not: `coi watch rules test`.\n\n| rule | level | finds | why it matters |\n|---|---|---|---|\n")
	for _, d := range detect.All {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", d.ID, d.Level, d.Title, d.Why)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
