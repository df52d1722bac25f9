package tool

import "slices"

// table is a function so that no caller can change a row for the others.
func table() []Tool {
	return []Tool{
		claude(), codex(), opencode(), piLike("pi", "@mariozechner/pi-coding-agent", ".pi/agent", ".pi/agent/sessions"),
		piLike("omp", "@oh-my-pi/pi-coding-agent", ".omp", ".omp"), gemini(), aider(),
	}
}

func claude() Tool {
	return Tool{
		Name: "claude", Binary: "claude", Package: "@anthropic-ai/claude-code",
		Seeds: slices.Concat(seeds(Credential, ".claude/.credentials.json"), seeds(Settings, ".claude/settings.json", ".claude.json"),
			seeds(Context, ".claude/CLAUDE.md"), seeds(Plain, ".claude/config.yml")),
		Save: []string{".claude"}, Domains: []string{"api.anthropic.com", "platform.claude.com"},
		Login:  "run claude on the host and log in, or set ANTHROPIC_API_KEY with [defaults] forward_env",
		Bypass: []string{"--permission-mode", "bypassPermissions"}, ModelEnv: "ANTHROPIC_MODEL", EffortEnv: "CLAUDE_CODE_EFFORT_LEVEL",
		SystemFlag: "--append-system-prompt-file",
		Checks:     []Check{{[]string{"--help"}, []string{"--session-id", "--resume", "--continue", "--print", "--permission-mode"}}},
		forms: forms{
			fresh: []string{"--session-id", "{id}"}, freshID: true, resume: []string{"--resume", "{id}"}, latest: []string{"--continue"},
			headless: []string{"-p", "--session-id", "{id}"}, headResume: []string{"-p", "--resume", "{id}"}, headLatest: []string{"-p", "--continue"},
			canResumeID: true, canLatest: true, canHeadless: true,
		},
	}
}

func codex() Tool {
	return Tool{
		Name: "codex", Binary: "codex", Package: "@openai/codex",
		Seeds: slices.Concat(seeds(Credential, ".codex/auth.json"), seeds(Plain, ".codex/config.toml"), seeds(Context, ".codex/AGENTS.md")),
		Save:  []string{".codex"}, Domains: []string{"api.openai.com", "auth.openai.com", "chatgpt.com"},
		Login:     "run codex login on the host",
		Bypass:    []string{"--dangerously-bypass-approvals-and-sandbox"},
		Ask:       []string{"-s", "workspace-write", "-a", "on-request"},
		ModelFlag: "-m", EffortFlag: []string{"-c", "model_reasoning_effort="},
		Checks: []Check{
			{[]string{"--help"}, []string{"--dangerously-bypass-approvals-and-sandbox", "--sandbox", "--ask-for-approval", "--model", "--config", "resume", "exec"}},
			{[]string{"resume", "--help"}, []string{"--last"}},
			{[]string{"exec", "--help"}, []string{"--skip-git-repo-check", "resume"}},
		},
		forms: forms{
			fresh: []string{}, resume: []string{"resume", "{id}"}, latest: []string{"resume", "--last"},
			headless: []string{"exec", "--skip-git-repo-check"}, headResume: []string{"exec", "--skip-git-repo-check", "resume", "{id}", "-"},
			headLatest:  []string{"exec", "--skip-git-repo-check", "resume", "--last", "-"},
			canResumeID: true, canLatest: true, canHeadless: true,
		},
	}
}

func opencode() Tool {
	return Tool{
		Name: "opencode", Binary: "opencode", Package: "opencode-ai",
		Seeds: slices.Concat(seeds(Credential, ".local/share/opencode/auth.json"), seeds(Settings, ".config/opencode/opencode.json"),
			seeds(Plain, ".config/opencode/tui.json")),
		Save:      []string{".local/share/opencode", ".local/state/opencode"},
		Login:     "run opencode auth login on the host",
		Project:   Project{Dir: ".opencode", Wants: ".gitignore", Off: "OPENCODE_DISABLE_PROJECT_CONFIG"},
		ModelFlag: "--model",
		Checks:    []Check{{[]string{"--help"}, []string{"--session", "--continue", "run"}}},
		forms: forms{
			fresh: []string{}, resume: []string{"--session", "{id}"}, latest: []string{"--continue"},
			headless: []string{"run"}, headResume: []string{"run", "--session", "{id}"}, headLatest: []string{"run", "--continue"},
			canResumeID: true, canLatest: true, canHeadless: true,
		},
	}
}

// piLike is pi and its descendant omp, which share their command line.
func piLike(name, pkg, dir, save string) Tool {
	return Tool{
		Name: name, Binary: name, Package: pkg,
		Seeds: slices.Concat(seeds(Credential, dir+"/auth.json"), seeds(Plain, dir+"/settings.json", dir+"/models.json", dir+"/AGENTS.md")),
		Save:  []string{save}, Login: "log in with " + name + " on the host, or forward the key of your provider",
		Link: dir + "/APPEND_SYSTEM.md", ModelFlag: "--model", SystemFlag: "--append-system-prompt",
		Checks: []Check{{[]string{"--help"}, []string{"--continue", "--print"}}},
		forms: forms{
			fresh: []string{}, latest: []string{"--continue"}, headless: []string{"-p"}, headLatest: []string{"-p", "--continue"},
			canLatest: true, canHeadless: true,
		},
	}
}

func gemini() Tool {
	return Tool{
		Name: "gemini", Binary: "gemini", Package: "@google/gemini-cli",
		Seeds: slices.Concat(seeds(Credential, ".gemini/oauth_creds.json", ".gemini/google_accounts.json"), seeds(Settings, ".gemini/settings.json"),
			seeds(Context, ".gemini/GEMINI.md")),
		Save: []string{".gemini"}, Domains: []string{"generativelanguage.googleapis.com", "cloudcode-pa.googleapis.com", "oauth2.googleapis.com"},
		Login: "run gemini on the host and log in, or forward GEMINI_API_KEY",
		// Without it the folder question comes first and --yolo is ignored.
		Env:    map[string]string{"GEMINI_CLI_TRUST_WORKSPACE": "true"},
		Bypass: []string{"--yolo"}, ModelFlag: "--model", ModelEnv: "GEMINI_MODEL",
		Checks: []Check{{[]string{"--help"}, []string{"--yolo", "--resume", "--prompt", "--model"}}},
		forms: forms{
			fresh: []string{}, latest: []string{"--resume", "latest"}, resume: []string{"--resume", "{id}"},
			// An empty prompt: the text comes by standard input and is put before it.
			headless: []string{"-p", ""}, headResume: []string{"-p", "", "--resume", "{id}"}, headLatest: []string{"-p", "", "--resume", "latest"},
			canResumeID: true, canLatest: true, canHeadless: true,
		},
	}
}

func aider() Tool {
	return Tool{
		Name: "aider", Binary: "aider", PyPI: "aider-chat",
		Seeds: seeds(Plain, ".aider.conf.yml"), Save: []string{".aider"},
		Login: "forward the key of your provider with [defaults] forward_env",
		Env: map[string]string{
			"AIDER_INPUT_HISTORY_FILE": "{home}/.aider/input.history", "AIDER_CHAT_HISTORY_FILE": "{home}/.aider/chat.history.md",
			"AIDER_LLM_HISTORY_FILE": "{home}/.aider/llm.history", "AIDER_GITIGNORE": "false", "AIDER_CHECK_UPDATE": "false",
		},
		Bypass: []string{"--yes-always"}, ModelFlag: "--model", ModelEnv: "AIDER_MODEL", ReadFlag: "--read",
		Checks: []Check{{[]string{"--help"}, []string{"--yes-always", "--restore-chat-history", "--message-file", "--read", "--model"}}},
		forms: forms{
			fresh: []string{}, latest: []string{"--restore-chat-history"}, headless: []string{"--message-file", "{prompt_file}"},
			headLatest:   []string{"--restore-chat-history", "--message-file", "{prompt_file}"},
			promptByFile: true, canLatest: true, canHeadless: true,
		},
	}
}
