package config

var networkRows = []Row{
	{
		Key: "network.mode", Kind: Text, Default: "restricted", Rule: oneOf("restricted", "allowlist", "open"), Scope: Tighten, Tighter: order("open", "restricted", "allowlist"), Merge: Last,
		Doc: "restricted: the internet without internal networks; allowlist: named destinations only; open: no egress filter.",
	},
	{Key: "network.block_private_networks", Kind: Bool, Default: true, Scope: Tighten, Tighter: isTrue, Merge: Last, Doc: "Close private ranges in restricted mode."},
	{Key: "network.block_metadata_endpoint", Kind: Bool, Default: true, Scope: Tighten, Tighter: isTrue, Merge: Last, Doc: "Close cloud metadata addresses in restricted mode; allowlist always does."},
	{
		Key: "network.allow_local_network_access", Kind: Bool, Default: false, Scope: Tighten, Tighter: isFalse, Merge: Last,
		Doc: "Let private and on-link ranges pass; the host's services, other containers and metadata stay closed.",
	},
	{
		Key: "network.allowed_domains", Kind: List, Default: []string{}, Rule: Rule{Words: "destinations such as api.example.com, *.example.com:443, 192.0.2.7:443", Check: checkDest, Note: noteDest}, Scope: Gate, Tighter: subset, Merge: LastList,
		Doc: "Destinations of allowlist mode. A project's list narrows yours; names that yours lacks wait for coi trust.",
	},
	{Key: "network.allow_tool_domains", Kind: Bool, Default: true, Scope: Tighten, Tighter: isFalse, Merge: Last, Doc: "Add the names the tool needs to the allowlist."},
	{Key: "network.allow_host_registries", Kind: Bool, Default: true, Scope: Tighten, Tighter: isFalse, Merge: Last, Doc: "Add the package registries that the host's own clients are set to use."},
	{
		Key: "network.refresh_interval_minutes", Kind: Int, Default: int64(30), Rule: between(0, 1440), Scope: Tighten, Tighter: lower, Merge: Last,
		Doc: "Longest life of a resolved address after the last answer that named it; 0 is its TTL only.",
	},
	{Key: "network.ipv6", Kind: Bool, Default: false, Scope: Tighten, Tighter: isFalse, Merge: Last, Doc: "Give the container IPv6 under the same policy; false drops all of it on the host."},
	{Key: "network.pool", Kind: Text, Default: "10.213.0.0/16", Rule: Rule{Words: "a private IPv4 prefix", Check: checkPool(false)}, Scope: Refuse, Merge: Last, Doc: "Addresses of containers."},
	{Key: "network.pool6", Kind: Text, Default: "fd63:6f69::/64", Rule: Rule{Words: "a private IPv6 prefix", Check: checkPool(true)}, Scope: Refuse, Merge: Last, Doc: "IPv6 addresses of containers."},
	{Key: "network.dns_servers", Kind: List, Default: []string{}, Rule: Rule{Words: "addresses", Check: checkAddr}, Scope: Refuse, Merge: LastList, Doc: "Upstream servers of the guard; empty is the host's."},
	{Key: "network.dns_queries_per_second", Kind: Int, Default: int64(50), Rule: between(1, 1000), Scope: Tighten, Tighter: lower, Merge: Last, Doc: "Questions of one container; four times as many in a burst."},
	{Key: "network.connections", Kind: Int, Default: int64(8192), Rule: between(64, 1000000), Scope: Tighten, Tighter: lower, Merge: Last, Doc: "Open flows of one container."},
	{
		Key: "network.allowed_ports", Kind: PortList, Default: []string{}, Rule: Rule{Words: `numbers 1-65535 and ranges "a-b"`, Check: checkPort}, Scope: Tighten, Tighter: portSubset, Merge: LastList,
		Doc: "Cap on destination ports, TCP and UDP; empty is all.",
	},
	{Key: "network.hosts", Kind: Tables, Scope: Refuse, Merge: Append, Doc: "Fixed names answered by the guard, each with exactly that hole.", Fields: []Field{
		{Name: "ip", Kind: Text, Required: true, Rule: Rule{Words: "an address, or host for the host itself", Check: checkHostIP}, Doc: "address, or host"},
		{Name: "hostnames", Kind: List, Required: true, Rule: Rule{Words: "domain names", Check: checkHostname}, Doc: "one name or more"},
		{Name: "ports", Kind: PortList, Rule: Rule{Words: `numbers 1-65535 and ranges "a-b"`, Check: checkPort}, Doc: "ports; required when ip is host"},
	}},
	{Key: "network.uplinks", Kind: WordOrList, Default: []string{"auto"}, Rule: Rule{Words: "auto or interface names", Pattern: `^[A-Za-z0-9._@-]{1,15}$`}, Scope: Refuse, Merge: LastList, Doc: "Interfaces that lead to the internet."},
	{Key: "network.mark", Kind: Int, Default: int64(0x02000000), Rule: Rule{Min: 1, Max: 1 << 31, Words: "one bit of 32"}, Scope: Refuse, Merge: Last, Doc: "Packet mark of what the guard has seen."},
	{Key: "network.veth_tag", Kind: Text, Default: "", Rule: Rule{Words: "three of a-z 2-7", Pattern: `^$|^[a-z2-7]{3}$`}, Scope: Refuse, Merge: Last, Doc: "Tag in interface names, when two users' tags collide."},
	{Key: "network.manage_foreign", Kind: Bool, Default: true, Scope: Refuse, Merge: Last, Doc: "Let the guard add the two rules that other firewalls need."},
	{Key: "network.sni", Kind: Text, Default: "off", Rule: oneOf("off", "log", "enforce"), Scope: Refuse, Merge: Last, Doc: "In allowlist mode: whether the name that a TLS client asks for on port 443 is one that led to the address; log tells, enforce refuses."},
	{Key: "network.logging.enabled", Kind: Bool, Default: true, Scope: Refuse, Merge: Last, Doc: "The guard's own service log."},
	{Key: "network.logging.dns", Kind: Bool, Default: true, Scope: Refuse, Merge: Last, Doc: "DNS record of each container."},
	{Key: "network.logging.flows", Kind: Bool, Default: false, Scope: Refuse, Merge: Last, Doc: "Each new flow in the service log too."},
	{Key: "network.logging.path", Kind: Path, Default: "~/.coi/logs/network.log", Scope: Refuse, Merge: Last, Doc: "File of the service log."},
	{Key: "network.use_sudo", Kind: Bool, Default: true, Scope: Refuse, Merge: Last, Doc: "No effect: nothing uses sudo."},
}

var toolRows = []Row{
	{Key: "tool.name", Kind: Text, Default: "claude", Rule: oneOf(tools...), Scope: Free, Merge: Last, Doc: "The agent."},
	{Key: "tool.binary", Kind: Text, Default: "", Rule: Rule{Words: "letters, digits and . _ / -", Pattern: `^$|^[A-Za-z0-9._/-]+$`}, Scope: Refuse, Merge: Last, Doc: "Program to start; empty is the tool's own."},
	{Key: "tool.permission_mode", Kind: Text, Default: "bypass", Rule: oneOf("bypass", "interactive"), Scope: Tighten, Tighter: order("bypass", "interactive"), Merge: Last, Doc: "Whether the agent asks before it acts."},
	{Key: "tool.context_file", Kind: Path, Default: "", Rule: Rule{Words: "a readable text up to 1 MiB"}, Scope: Refuse, Merge: Last, Doc: "Takes the place of the generated SANDBOX_CONTEXT.md."},
	{Key: "tool.auto_context", Kind: Bool, Default: true, Scope: Free, Merge: Last, Doc: "Link the context into the tool's own."},
	{Key: "tool.context_json", Kind: Bool, Default: true, Scope: Free, Merge: Last, Doc: "Write SANDBOX_CONTEXT.json."},
	{Key: "tool.context_json_file", Kind: Path, Default: "", Rule: Rule{Words: "a file of valid JSON"}, Scope: Refuse, Merge: Last, Doc: "Takes the place of the generated JSON."},
	{Key: "tool.pre_launch", Kind: List, Default: []string{}, Scope: Refuse, Merge: LastList, Doc: "Commands run inside before the tool."},
	{Key: "tool.claude.model", Kind: Text, Rule: modelRule, Scope: Free, Merge: Last, Doc: "Model."},
	{Key: "tool.claude.effort_level", Kind: Text, Rule: oneOf("low", "medium", "high", "xhigh", "max", "auto"), Scope: Free, Merge: Last, Doc: "Effort."},
	{Key: "tool.codex.model", Kind: Text, Rule: modelRule, Scope: Free, Merge: Last, Doc: "Model."},
	{Key: "tool.codex.reasoning_effort", Kind: Text, Rule: oneOf("minimal", "low", "medium", "high"), Scope: Free, Merge: Last, Doc: "Effort."},
	{Key: "tool.gemini.model", Kind: Text, Rule: modelRule, Scope: Free, Merge: Last, Doc: "Model."},
	{Key: "tool.aider.model", Kind: Text, Rule: modelRule, Scope: Free, Merge: Last, Doc: "Model."},
	{Key: "tool.custom.command", Kind: List, Scope: Refuse, Merge: LastList, Doc: "Command line of tool custom."},
	{Key: "tool.custom.resume_command", Kind: List, Scope: Refuse, Merge: LastList, Doc: "Command line that resumes {id}."},
	{Key: "tool.custom.prompt_command", Kind: List, Scope: Refuse, Merge: LastList, Doc: "Command line that runs {prompt_file}."},
	{Key: "tool.custom.config_dir", Kind: Text, Rule: homeRel, Scope: Refuse, Merge: Last, Doc: "Directory copied from the host's home."},
	{Key: "tool.custom.files", Kind: List, Rule: homeRel, Scope: Refuse, Merge: LastList, Doc: "Files copied from the host's home."},
	{Key: "tool.custom.save", Kind: List, Rule: homeRel, Scope: Refuse, Merge: LastList, Doc: "Saved and restored; unset is config_dir."},
	{Key: "tool.custom.domains", Kind: List, Default: []string{}, Rule: Rule{Words: "destinations", Check: checkDest, Note: noteDest}, Scope: Refuse, Merge: LastList, Doc: "Names the tool needs in allowlist mode."},
}

var (
	modelRule = Rule{Words: "letters, digits and . _ : / @ -, at most 128", Pattern: wordPattern}
	homeRel   = Rule{Words: "a path under the home directory", Check: checkHomePath}
)

var deviceRows = []Row{
	{Key: "mounts", Kind: Tables, Scope: Gate, Merge: Append, Doc: "Host paths inside. From a project, a path that resolves outside the workspace waits for coi trust.", Fields: []Field{
		{Name: "host", Kind: Path, Required: true, Rule: Rule{Words: "a host path", Check: checkText}, Doc: "missing and writable: created; missing and read-only: skipped"},
		{Name: "container", Kind: Text, Required: true, Rule: containerPath, Doc: "absolute path inside"},
		{Name: "readonly", Kind: Bool, Default: false, Doc: "no writing from inside"},
		{Name: "shift", Kind: Bool, Doc: "shifted mount; ignored with raw.idmap"},
	}},
	{Key: "sockets", Kind: Tables, Scope: Gate, Merge: Append, Doc: "Host Unix sockets inside.", Fields: []Field{
		{Name: "host", Kind: Path, Required: true, Rule: Rule{Words: "a Unix socket", Check: checkText}, Doc: "missing: skipped"},
		{Name: "container", Kind: Text, Required: true, Rule: containerPath, Doc: "absolute path inside"},
		{Name: "env", Kind: Text, Rule: Rule{Words: "a variable name", Pattern: envPattern}, Doc: "variable that holds the path inside"},
	}},
	{Key: "credentials", Kind: Tables, Scope: Gate, Merge: Append, Doc: "A tool's credential files, or one file. From a project the bundle of the tool in use is free.", Fields: []Field{
		{Name: "bundle", Kind: Text, Rule: oneOf(agents...), Doc: "tool whose credential files are meant"},
		{Name: "host", Kind: Path, Rule: Rule{Words: "a host file", Check: checkText}, Doc: "one file; missing: warning"},
		{Name: "container", Kind: Text, Rule: containerPath, Doc: "absolute path inside"},
		{Name: "mode", Kind: Text, Default: "0600", Rule: Rule{Words: "octal permissions such as 0600", Check: checkMode}, Doc: "permissions inside"},
	}},
	{Key: "ports.pool", Kind: Int, Default: int64(0), Rule: between(0, 10), Scope: Gate, Merge: Last, Doc: "Ports with the same number inside and outside."},
	{Key: "ports.map", Kind: Tables, Scope: Gate, Merge: ByName, Doc: "Ports of the container on the host.", Fields: []Field{
		{Name: "name", Kind: Text, Required: true, Rule: Rule{Words: "a-z, then a-z 0-9 -, at most 32", Pattern: `^[a-z][a-z0-9-]{0,31}$`}, Doc: "unique"},
		{Name: "container", Kind: Int, Required: true, Rule: between(1, 65535), Doc: "port inside"},
		{Name: "host", Kind: Int, Default: int64(0), Rule: between(0, 65535), Doc: "port outside, 0 is any free one"},
		{Name: "listen", Kind: Text, Default: "127.0.0.1", Rule: Rule{Words: "an address", Check: checkAddr}, Doc: "address outside"},
	}},
}

var containerPath = Rule{Words: "an absolute path, not /, /proc, /sys, /dev or /run/coi", Check: checkContainerPath}
