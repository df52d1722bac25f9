// Package verbs is the one table of verbs. Help, links, completion, man pages
// and a test read it; nothing else names a verb twice.
package verbs

// Group is a heading in the help of the dispatcher.
type Group string

// Groups in the order the help prints them.
const (
	Sessions      Group = "Sessions"
	Containers    Group = "Containers and files"
	Images        Group = "Images"
	Configuration Group = "Configuration"
	Security      Group = "Security"
	Maintenance   Group = "Maintenance"
)

// Groups lists all groups in order.
var Groups = []Group{Sessions, Containers, Images, Configuration, Security, Maintenance}

// Verb is one word a user can type after coi.
type Verb struct {
	Name    string
	Program string // binary that does it; "coi" for the verbs built into the dispatcher
	Group   Group
	Summary string
}

// Link reports whether the verb is a link to a binary of another name.
func (v Verb) Link() bool { return v.Program != "coi" && v.Program != "coi-"+v.Name }

// All is the table.
var All = []Verb{
	{"shell", "coi-session", Sessions, "start or resume an agent in a container of its own"},
	{"run", "coi-session", Sessions, "run one command or prompt in the same sandbox"},
	{"attach", "coi-session", Sessions, "connect to a running session"},
	{"list", "coi-session", Sessions, "show containers and what became of earlier ones"},
	{"info", "coi-session", Sessions, "show one session in detail"},
	{"top", "coi-session", Sessions, "show what containers use, live"},
	{"shutdown", "coi-session", Sessions, "save and stop sessions gracefully"},
	{"close", "coi-session", Sessions, "same as shutdown"},
	{"kill", "coi-session", Sessions, "stop and delete sessions at once"},
	{"freeze", "coi-session", Sessions, "pause every process of a container"},
	{"unfreeze", "coi-session", Sessions, "let a frozen container go on"},
	{"persist", "coi-session", Sessions, "keep a container after its session"},
	{"clean", "coi-session", Sessions, "remove what ended sessions left behind"},
	{"logs", "coi-logs", Sessions, "print or follow session logs"},
	{"tmux", "coi-session", Containers, "type into and read a session's screen"},
	{"snapshot", "coi-session", Containers, "make, restore and delete snapshots"},
	{"file", "coi-session", Containers, "copy files into and out of a container"},
	{"container", "coi-session", Containers, "plumbing: launch, exec, mount, delete"},
	{"tool", "coi-session", Containers, "list the agents coi knows"},
	{"build", "coi-session", Images, "build the image sessions start from"},
	{"image", "coi-session", Images, "list, publish and prune images"},
	{"config", "coi-config", Configuration, "show where every setting comes from"},
	{"profile", "coi-config", Configuration, "list, show, create and edit profiles"},
	{"schema", "coi-config", Configuration, "print the JSON Schema of a file format"},
	{"validate", "coi-config", Configuration, "check configuration files"},
	{"trust", "coi-trust", Security, "approve what a project asks for"},
	{"untrust", "coi-trust", Security, "revoke an approval"},
	{"audit", "coi-audit", Security, "print, filter and verify the audit trail"},
	{"netguard", "coi-netguard", Security, "the firewall: status, explain, allow, deny"},
	{"hosts", "coi-netguard", Security, "fixed names and their holes in the firewall"},
	{"watch", "coi-watch", Security, "the monitor: status, events, rules, replay"},
	{"monitor", "coi-watch", Security, "watch one container live"},
	{"health", "coi-health", Maintenance, "check the machine and mend it"},
	{"why", "coi-health", Maintenance, "say why the last thing failed or stopped"},
	{"update", "coi-update", Maintenance, "update coi and its detection rules"},
	{"help", "coi", Maintenance, "show help for coi or a verb"},
	{"version", "coi", Maintenance, "show the version"},
	{"completion", "coi", Maintenance, "print a completion script for a shell"},
}

// Find returns the verb of that name.
func Find(name string) (Verb, bool) {
	for _, v := range All {
		if v.Name == name {
			return v, true
		}
	}
	return Verb{}, false
}
