package cli

import "strings"

// takers are the verbs that take each of the options which may stand before or
// after a verb.
var takers = map[string]string{
	"--profile": "shell run attach build monitor snapshot info config health tool",
	"--slot":    "shell run attach info logs audit monitor snapshot freeze unfreeze",
	"--resume":  "shell", "--continue": "shell", "--tmux": "shell", "--no-tmux": "shell",
	"--persistent": "shell run", "--image": "shell run",
	"--tool":    "shell run info list tool",
	"--network": "shell run build",
}

// takersHint names the verbs that take an option which the verb in use does not.
func takersHint(err error) (string, bool) {
	name, ok := strings.CutPrefix(err.Error(), "unknown flag ")
	if !ok {
		return "", false
	}
	name, _, _ = strings.Cut(name, ",") // "did you mean" may follow
	verbs, ok := takers[name]
	return name + " is an option of coi " + strings.ReplaceAll(verbs, " ", ", coi "), ok
}
