package config

var limitRows = []Row{
	{Key: "limits.cpu.count", Kind: TextOrInt, Default: "", Rule: Rule{Words: "2, 0-3 or 0,1,3", Check: checkCPUs}, Scope: Tighten, Tighter: fewerCPUs, Merge: Last, Doc: "Number or set of CPUs."},
	{Key: "limits.cpu.allowance", Kind: Text, Default: "", Rule: Rule{Words: "50% or 25ms/100ms", Check: checkAllowance}, Scope: Tighten, Tighter: lowerAllowance, Merge: Last, Doc: "Share of CPU time."},
	{Key: "limits.cpu.priority", Kind: Int, Default: int64(0), Rule: between(0, 10), Scope: Tighten, Tighter: lower, Merge: Last, Doc: "Priority under load."},
	{Key: "limits.memory.limit", Kind: Text, Default: "", Rule: Rule{Words: "a size such as 4GiB, or 50%", Check: checkMemory}, Scope: Tighten, Tighter: lowerMemory, Merge: Last, Doc: "Memory."},
	{Key: "limits.memory.enforce", Kind: Text, Default: "soft", Rule: oneOf("soft", "hard"), Scope: Tighten, Tighter: order("soft", "hard"), Merge: Last, Doc: "Whether the limit is exceeded when memory is free."},
	{Key: "limits.memory.swap", Kind: TextOrBool, Default: "true", Rule: Rule{Words: "true, false or a size", Check: checkSwap}, Scope: Tighten, Tighter: lowerSwap, Merge: Last, Doc: "Swap."},
	{Key: "limits.disk.size", Kind: Text, Default: "", Rule: sizeRule, Scope: Tighten, Tighter: lowerSize, Merge: Last, Doc: "Quota of the root file system."},
	{
		Key: "limits.disk.max", Kind: Text, Default: "", Rule: Rule{Words: "a size such as 20GiB, or a rate such as 50MB/s or 500iops", Check: checkDiskMax}, Scope: Tighten, Tighter: lowerDiskMax, Merge: Last,
		Doc: "A size is the same as disk.size; a rate caps reads and writes together.",
	},
	{Key: "limits.disk.read", Kind: Text, Default: "", Rule: rateRule, Scope: Tighten, Tighter: lowerRate, Merge: Last, Doc: "Cap on reads."},
	{Key: "limits.disk.write", Kind: Text, Default: "", Rule: rateRule, Scope: Tighten, Tighter: lowerRate, Merge: Last, Doc: "Cap on writes."},
	{Key: "limits.disk.priority", Kind: Int, Default: int64(0), Rule: between(0, 10), Scope: Tighten, Tighter: lower, Merge: Last, Doc: "Priority under load."},
	{Key: "limits.disk.tmpfs_size", Kind: Text, Default: "", Rule: sizeRule, Scope: Tighten, Tighter: lowerSize, Merge: Last, Doc: "Size of a /tmp in memory."},
	{Key: "limits.runtime.max_duration", Kind: Duration, Default: "", Rule: Rule{Words: "1m or longer", Check: checkDuration("1m", "")}, Scope: Tighten, Tighter: lowerDuration, Merge: Last, Doc: "Longest session; empty is no limit."},
	{Key: "limits.runtime.warn_before", Kind: Duration, Default: "10m", Rule: Rule{Words: "0 or longer", Check: checkDuration("0s", "")}, Scope: Tighten, Tighter: lowerDuration, Merge: Last, Doc: "First warning before the end; a second comes at one minute."},
	{Key: "limits.runtime.max_processes", Kind: Int, Default: int64(0), Rule: between(0, 1000000), Scope: Tighten, Tighter: lowerNotZero, Merge: Last, Doc: "Processes; 0 is no limit."},
	{Key: "limits.runtime.auto_stop", Kind: Bool, Default: true, Scope: Tighten, Tighter: isTrue, Merge: Last, Doc: "Stop at the end of max_duration, else only say so."},
	{Key: "limits.runtime.stop_graceful", Kind: Bool, Default: true, Scope: Free, Merge: Last, Doc: "Stop gracefully at the end of max_duration."},
}

var (
	sizeRule = Rule{Words: "a size such as 20GiB", Check: checkSize}
	rateRule = Rule{Words: "a rate such as 50MB/s or 500iops", Check: checkRate}
)

var gitRows = []Row{
	{Key: "git.name", Kind: Text, Default: "", Rule: Rule{Words: "a name; email too", Check: checkLine}, Scope: Refuse, Merge: Last, Doc: "Author of commits inside."},
	{Key: "git.email", Kind: Text, Default: "", Rule: Rule{Words: "an address; name too", Check: checkLine}, Scope: Refuse, Merge: Last, Doc: "Address of the author."},
	{Key: "git.seed_host_identity", Kind: Bool, Default: true, Scope: Tighten, Tighter: isFalse, Merge: Last, Doc: "Use the host's global identity when none is given."},
	{Key: "git.readonly", Kind: Bool, Default: false, Scope: Tighten, Tighter: isTrue, Merge: Last, Doc: "The identity cannot be changed inside."},
	{Key: "git.strip_attribution", Kind: Bool, Default: true, Scope: Refuse, Merge: Last, Doc: "Drop lines that credit a tool from commit messages."},
	{Key: "git.strip_attribution_patterns", Kind: List, Default: attributionPatterns, Rule: Rule{Words: "extended regular expressions", Check: checkERE}, Scope: Refuse, Merge: LastList, Doc: "Lines that are dropped."},
	{Key: "git.protected_branches", Kind: List, Default: []string{}, Rule: Rule{Words: "branch names and globs", Check: checkBranch}, Scope: Tighten, Tighter: superset, Merge: LastList, Doc: "Branches that cannot be committed, merged or pushed to inside."},
	{Key: "git.writable_hooks", Kind: Bool, Default: false, Scope: Tighten, Tighter: isFalse, Merge: Last, Doc: "Leave .git/hooks writable."},
}

var attributionPatterns = []string{
	`^[[:space:]]*Co-[Aa]uthored-[Bb]y:.*(noreply@anthropic\.com|Claude|Codex|Copilot|Gemini|opencode|aider)`,
	`Generated with .*(Claude Code|Codex|Gemini|opencode|aider)`,
}

var securityRows = []Row{
	{Key: "security.protected_paths", Kind: List, Default: protectedPaths, Rule: relRule, Scope: Refuse, Merge: LastList, Doc: "Read-only inside."},
	{Key: "security.additional_protected_paths", Kind: List, Default: []string{}, Rule: relRule, Scope: Free, Merge: UnionAll, Doc: "Read-only as well; absent ones are covered too."},
	{Key: "security.writable_paths", Kind: List, Default: []string{}, Rule: relRule, Scope: Refuse, Merge: UnionAll, Doc: "Taken out of both lists."},
	{Key: "security.watched_paths", Kind: List, Default: watchedPaths, Rule: relRule, Scope: Refuse, Merge: LastList, Doc: "Writable; a change is reported at the end."},
	{Key: "security.additional_watched_paths", Kind: List, Default: []string{}, Rule: relRule, Scope: Free, Merge: UnionAll, Doc: "Watched as well."},
	{Key: "security.disable_protection", Kind: Bool, Default: false, Scope: Tighten, Tighter: isFalse, Merge: Last, Doc: "No protected paths at all."},
	{Key: "security.host_immutable", Kind: Bool, Default: true, Scope: Tighten, Tighter: isTrue, Merge: Last, Doc: "Immutable flag on protected paths while a session runs."},
	{Key: "security.strict_protection", Kind: Bool, Default: false, Scope: Tighten, Tighter: isTrue, Merge: Last, Doc: "Do not start when a protected path can only be verified at the end."},
	{Key: "security.secret_paths", Kind: List, Default: []string{}, Rule: Rule{Words: "globs; without / at any depth; dir/** is a whole directory", Check: checkGlob}, Scope: Free, Merge: UnionAll, Doc: "Hidden inside."},
	{Key: "security.reduce_kernel_surface", Kind: Bool, Default: false, Scope: Tighten, Tighter: isTrue, Merge: Last, Doc: "Deny io_uring_*, bpf, userfaultfd, keyctl, add_key, request_key."},
	{Key: "security.reduce_kernel_surface_strict", Kind: Bool, Default: false, Scope: Tighten, Tighter: isTrue, Merge: Last, Doc: "Deny perf_event_open too."},
}

var relRule = Rule{Words: "paths relative to the workspace", Check: checkRel}

var protectedPaths = []string{
	".git/hooks", ".git/config", ".git/config.worktree", ".git/info/attributes", ".husky", ".vscode", ".coi", ".idea", ".devcontainer", ".envrc", ".mcp.json",
	".cursor", ".gemini", ".opencode", "opencode.json", ".claude/settings.json", ".claude/settings.local.json", ".claude/hooks", ".claude/commands", ".claude/agents",
	".codex", ".github/hooks",
}

var watchedPaths = []string{
	".pre-commit-config.yaml", "lefthook.yml", "lefthook-local.yml", ".lefthook.yml", "mise.toml", ".mise.toml", "mise.local.toml", ".mise", ".tool-versions", ".gitmodules",
	".gitattributes", ".github/workflows", ".gitlab-ci.yml", ".claude/skills", "CLAUDE.md", "AGENTS.md", "GEMINI.md",
}

var monitoringRows = []Row{
	{Key: "monitoring.enabled", Kind: Bool, Scope: Tighten, Tighter: isTrueOrUnset, Merge: Last, Doc: "Unset is on where the watcher can run; true written by you refuses to start without it."},
	{Key: "monitoring.auto_pause_on_high", Kind: Bool, Default: true, Scope: Tighten, Tighter: isTrue, Merge: Last, Doc: "Freeze the container on a high finding."},
	{Key: "monitoring.auto_kill_on_critical", Kind: Bool, Default: true, Scope: Tighten, Tighter: isTrue, Merge: Last, Doc: "End the session on a critical finding."},
	{Key: "monitoring.poll_interval_sec", Kind: Int, Default: int64(2), Rule: between(1, 60), Scope: Tighten, Tighter: lower, Merge: Last, Doc: "Interval of sampled sources; events are immediate."},
	{Key: "monitoring.file_read_threshold_mb", Kind: Float, Default: 50.0, Rule: between(0.1, 1e6), Scope: Tighten, Tighter: lower, Merge: Last, Doc: "MB read or written within one interval."},
	{Key: "monitoring.file_read_rate_mb_per_sec", Kind: Float, Default: 10.0, Rule: between(0.1, 1e6), Scope: Tighten, Tighter: lower, Merge: Last, Doc: "MB a second over three intervals."},
	{Key: "monitoring.process_count_threshold", Kind: Int, Default: int64(1000), Rule: zeroOr(10, 1000000), Scope: Tighten, Tighter: lowerNotZero, Merge: Last, Doc: "Processes; 0 is off."},
	{Key: "monitoring.process_spawn_rate_threshold", Kind: Int, Default: int64(300), Rule: zeroOr(10, 1000000), Scope: Tighten, Tighter: lowerNotZero, Merge: Last, Doc: "Net growth within one interval; 0 is off."},
	{Key: "monitoring.upload_warn_mb", Kind: Int, Default: int64(100), Rule: between(1, 1000000), Scope: Tighten, Tighter: lower, Merge: Last, Doc: "MB out to one name in 10 minutes."},
	{Key: "monitoring.upload_high_mb", Kind: Int, Default: int64(1024), Rule: between(1, 1000000), Scope: Tighten, Tighter: lower, Merge: Last, Doc: "MB out to one name in an hour."},
	{Key: "monitoring.on_loss", Kind: Text, Default: "warn", Rule: oneOf("warn", "pause"), Scope: Tighten, Tighter: order("warn", "pause"), Merge: Last, Doc: "When events are lost without a storm."},
	{Key: "monitoring.file_events", Kind: Text, Default: "classes", Rule: oneOf("classes", "all"), Scope: Refuse, Merge: Last, Doc: "Which file events are taken."},
	{Key: "monitoring.notify", Kind: List, Default: []string{}, Rule: Rule{Words: "tmux, bell or file:PATH", Check: checkNotify}, Scope: Refuse, Merge: LastList, Doc: "Further places for messages."},
	{Key: "monitoring.levels", Kind: Map, Rule: Rule{Enum: []string{"info", "warning", "high"}, Words: "rule ids with info, warning or high"}, Scope: Refuse, Merge: PerKey, Doc: "Levels of single rules."},
	{Key: "monitoring.reverse_shell_one_liners", Kind: Text, Default: "critical", Rule: oneOf("critical", "warn", "off"), Scope: Tighten, Tighter: order("off", "warn", "critical"), Merge: Last, Doc: "Level of ambiguous interpreter one-liners."},
	{Key: "monitoring.audit_log_retention_days", Kind: Int, Default: int64(30), Rule: between(1, 3650), Scope: Tighten, Tighter: higher, Merge: Last, Doc: "Days that rotated parts and files of gone containers stay."},
	{Key: "monitoring.audit_max_size_mb", Kind: Int, Default: int64(64), Rule: between(1, 4096), Scope: Refuse, Merge: Last, Doc: "Size at which an audit file is rotated."},
	{Key: "monitoring.forensics_on_kill", Kind: Bool, Default: false, Scope: Tighten, Tighter: isTrue, Merge: Last, Doc: "Keep a stopped copy of a killed container: the newest three, for audit_log_retention_days."},
	{Key: "monitoring.nft.enabled", Kind: Bool, Default: true, Scope: Tighten, Tighter: isTrue, Merge: Last, Doc: "Events from the network guard."},
	{Key: "monitoring.nft.rate_limit_per_second", Kind: Int, Default: int64(100), Rule: between(1, 10000), Scope: Tighten, Tighter: higher, Merge: Last, Doc: "Events of one container; the rest is counted."},
	{Key: "monitoring.nft.dns_query_threshold", Kind: Int, Default: int64(100), Rule: between(1, 100000), Scope: Tighten, Tighter: lower, Merge: Last, Doc: "Questions a minute that give a warning."},
	{Key: "monitoring.nft.log_dns_queries", Kind: Bool, Default: true, Scope: Tighten, Tighter: isTrue, Merge: Last, Doc: "DNS record, as network.logging.dns."},
}

var detectionRows = []Row{
	{Key: "detection.sigma_source", Kind: Text, Default: "", Rule: fileURL, Scope: Refuse, Merge: Last, MainOnly: true, Doc: "Where update patterns takes Sigma rules from; empty is the public collection at a pinned commit."},
	{Key: "detection.gtfobins_source", Kind: Text, Default: "", Rule: fileURL, Scope: Refuse, Merge: Last, MainOnly: true, Doc: "The same for the collection of living-off-the-land programs."},
	{Key: "detection.sigma_dir", Kind: Path, Default: "~/.coi/sigma", Scope: Refuse, Merge: Last, MainOnly: true, Doc: "Loaded at run time."},
	{Key: "detection.gtfobins_dir", Kind: Path, Default: "~/.coi/gtfobins", Scope: Refuse, Merge: Last, MainOnly: true, Doc: "Loaded at run time."},
	{Key: "detection.patterns_dir", Kind: Path, Default: "~/.coi/patterns", Scope: Refuse, Merge: Last, MainOnly: true, Doc: "Your own rules, loaded at run time."},
}
