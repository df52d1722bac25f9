package config

const (
	nameWords   = "A-Z a-z 0-9 . _ -, starting with a letter or digit, at most 64"
	namePattern = `^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`
	envPattern  = `^[A-Za-z_][A-Za-z0-9_]*$`
	userPattern = `^[a-z_][a-z0-9_-]{0,31}$`
	wordPattern = `^[A-Za-z0-9._:/@-]{1,128}$`
)

var (
	webURL    = Rule{Words: "an http or https URL", Check: checkURL("http", "https")}
	fileURL   = Rule{Words: "an https or file URL", Check: checkURL("https", "file")}
	aliasRule = Rule{Words: "an image alias: letters, digits and . _ - : / +", Pattern: `^[A-Za-z0-9][A-Za-z0-9._:/+-]{0,127}$`}
)

var defaultsRows = []Row{
	{
		Key: "defaults.profile", Kind: Text, Default: "", Rule: Rule{Words: "a profile name", Check: checkProfileName}, Scope: Refuse, Merge: Last, MainOnly: true,
		Doc: "Profile when none is chosen.",
	},
	{
		Key: "defaults.forward_env", Kind: List, Default: []string{}, Rule: Rule{Words: "names of variables", Pattern: envPattern}, Scope: Gate, Merge: Union,
		Doc: "Variables taken from the caller's environment at start; one that is not set gives a warning.",
	},
	{
		Key: "defaults.environment", Kind: Map, Rule: Rule{Words: "names of variables with values up to 32 KiB", Check: checkEnvValue}, Scope: Free, Merge: PerKey,
		Doc: "Fixed variables. From a project, names that redirect traffic or code (*_BASE_URL, *_PROXY, LD_*, GIT_*, PATH and the like) wait for coi trust.",
	},
	{
		Key: "defaults.env_commands", Kind: Map, Rule: Rule{Words: "names of variables with shell commands"}, Scope: Refuse, Merge: PerKey,
		Doc: "Commands run on the host with sh -c at session start, in name order; the trimmed output is the value.",
	},
	{
		Key: "defaults.env_command_timeout", Kind: Duration, Default: "30s", Rule: Rule{Words: "1s-10m", Check: checkDuration("1s", "10m")}, Scope: Refuse, Merge: Last,
		Doc: "Time limit of each of env_commands.",
	},
	{
		Key: "workspaces", Kind: Rules, Rule: Rule{Words: "a directory, absolute or ~, with a profile"}, Scope: Refuse, Merge: PerKey, MainOnly: true,
		Doc: "Profile for one workspace: [workspaces.\"DIR\"] profile = NAME.",
	},
	{
		Key: "prompts", Kind: Texts, Rule: Rule{Words: "a text or { file = PATH }, up to 1 MiB"}, Scope: Refuse, Merge: PerKey,
		Doc: "Prompts for run --prompt-name.",
	},
}

var containerRows = []Row{
	{
		Key: "container.image", Kind: Text, Default: "coi-default", Rule: aliasRule, Scope: Free, Merge: Last,
		Doc: "Local image alias; a missing one is offered to be built, never fetched unasked.",
	},
	{Key: "container.persistent", Kind: Bool, Scope: Free, Merge: Last, Doc: "Keep the container after the session. Unset is false."},
	{Key: "container.shutdown_timeout", Kind: Int, Default: int64(60), Rule: between(1, 3600), Scope: Free, Merge: Last, Doc: "Seconds for a graceful stop."},
	{Key: "container.ready_timeout", Kind: Int, Default: int64(30), Rule: between(5, 600), Scope: Free, Merge: Last, Doc: "Seconds until a started container must be ready."},
	{
		Key: "container.storage_pool", Kind: Text, Default: "", Rule: Rule{Words: "an Incus pool name", Pattern: `^$|^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`}, Scope: Free, Merge: Last,
		Doc: "Incus storage pool; empty is Incus' default.",
	},
	{
		Key: "container.alias", Kind: Text, Default: "", Rule: Rule{Words: "a letter, then letters, digits, _ and -, at most 64; not verify or summary", Check: checkAlias}, Scope: Free, Merge: Last,
		Doc: "Short name for this workspace's containers.",
	},
	{
		Key: "container.session_name", Kind: Text, Rule: Rule{Words: nameWords, Pattern: namePattern}, Scope: Refuse, Merge: Last,
		Doc: "Takes the place of the path in the workspace's identity.",
	},
	{Key: "container.stale_base_check", Kind: Text, Default: "warn", Rule: oneOf("warn", "error", "off"), Scope: Free, Merge: Last, Doc: "What to do when the image is older than its base."},
	{Key: "container.docker", Kind: Bool, Default: true, Scope: Tighten, Tighter: isFalse, Merge: Last, Doc: "Nesting and system call interception for Docker inside."},
	{
		Key: "container.build.base", Kind: Text, Default: "", Rule: Rule{Words: "a local alias, ubuntu:V, debian:V or REMOTE:ALIAS", Pattern: `^$|` + aliasRule.Pattern}, Scope: Free, Merge: Last,
		Doc: "What the image is built on; empty is ubuntu:24.04 for coi-default, else coi-default.",
	},
	{Key: "container.build.mirror", Kind: Text, Default: "", Rule: webURL, Scope: Refuse, Merge: Last, Doc: "Package mirror; empty is the distribution's own."},
	{Key: "container.build.npm_registry", Kind: Text, Default: "", Rule: webURL, Scope: Refuse, Merge: Last, Doc: "Registry the agents come from; empty is npm's own."},
	{
		Key: "container.build.script", Kind: Path, Default: "", Rule: Rule{Words: "a path beside the file"}, Scope: Free, Merge: Last,
		Doc: "Build script, wins over commands; a project's must lie in its .coi/.",
	},
	{Key: "container.build.commands", Kind: List, Default: []string{}, Scope: Free, Merge: LastList, Doc: "Build commands, run with bash -e."},
	{Key: "container.build.compression", Kind: Text, Default: "", Rule: oneOf("", "none", "gzip", "xz", "zstd", "lz4"), Scope: Free, Merge: Last, Doc: "Compression of the image; empty is Incus' default."},
	{
		Key: "container.build.agents", Kind: List, Default: []string{"claude", "opencode", "pi"}, Rule: Rule{Enum: agents, Words: words(agents)}, Scope: Free, Merge: LastList,
		Doc: "Agents put into the image; at least one.",
	},
	{Key: "container.build.cloud_init", Kind: Bool, Default: false, Scope: Free, Merge: Last, Doc: "Keep cloud-init on."},
}

var hostRows = []Row{
	{Key: "paths.sessions_dir", Kind: Path, Default: "~/.coi/sessions", Scope: Refuse, Merge: Last, Doc: "Saved sessions go to <value>-<tool>/."},
	{Key: "paths.storage_dir", Kind: Path, Default: "~/.coi/storage", Scope: Refuse, Merge: Last, Doc: "Quarantine and forensic data."},
	{Key: "paths.logs_dir", Kind: Path, Default: "~/.coi/logs", Scope: Refuse, Merge: Last, Doc: "Session logs."},
	{Key: "paths.preserve_workspace_path", Kind: Bool, Default: false, Scope: Refuse, Merge: Last, Doc: "Mount the workspace at its host path instead of /workspace."},
	{Key: "incus.project", Kind: Text, Default: "default", Rule: Rule{Words: "an Incus project", Pattern: namePattern}, Scope: Refuse, Merge: Last, Doc: "Incus project."},
	{Key: "incus.remote", Kind: Text, Default: "", Rule: Rule{Words: "a remote of your Incus client", Pattern: `^$|` + namePattern}, Scope: Refuse, Merge: Last, Doc: "Incus remote; empty is the local socket."},
	{Key: "incus.member", Kind: Text, Default: "", Rule: Rule{Words: "a cluster member", Pattern: `^$|` + namePattern}, Scope: Refuse, Merge: Last, Doc: "Cluster member that this machine must be; empty is whichever it is."},
	{Key: "incus.group", Kind: Text, Default: "incus-admin", Rule: Rule{Words: "a group name", Pattern: userPattern}, Scope: Refuse, Merge: Last, Doc: "Group that is named in hints."},
	{Key: "incus.code_uid", Kind: Int, Default: int64(1000), Rule: between(1, 60000), Scope: Refuse, Merge: Last, Doc: "uid of the code user inside."},
	{Key: "incus.code_user", Kind: Text, Default: "code", Rule: Rule{Words: "a user name", Pattern: userPattern}, Scope: Refuse, Merge: Last, Doc: "Name of the code user inside."},
	{Key: "incus.disable_shift", Kind: Bool, Default: false, Scope: Refuse, Merge: Last, Doc: "Use raw.idmap instead of shifted mounts."},
	{Key: "shell.use_tmux", Kind: Bool, Default: true, Scope: Free, Merge: Last, Doc: "Run the tool in tmux."},
	{Key: "timezone.mode", Kind: Text, Default: "host", Rule: oneOf("host", "fixed", "utc"), Scope: Free, Merge: Last, Doc: "Time zone inside."},
	{Key: "timezone.name", Kind: Text, Default: "", Rule: Rule{Words: "an IANA zone such as Europe/Rome", Check: checkZone}, Scope: Free, Merge: Last, Doc: "Zone when mode is fixed."},
	{Key: "ssh.forward_agent", Kind: Bool, Default: false, Scope: Gate, Tighter: isFalse, Merge: Last, Doc: "Forward the SSH agent; from a project true waits for coi trust."},
	{Key: "update.source", Kind: Text, Default: "", Rule: fileURL, Scope: Refuse, Merge: Last, MainOnly: true, Doc: "Where coi update core looks; empty is the packager's choice."},
}
