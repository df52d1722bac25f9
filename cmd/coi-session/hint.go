package main

import "strings"

// configKeys are flags that people expect and that are configuration keys here.
var configKeys = map[string]string{
	"--mount": "[[mounts.default]]", "--env": "defaults.environment", "--ssh-agent": "ssh.forward_agent",
	"--compression": "container.build.compression", "--limit-cpu": "limits.cpu.count", "--limit-memory": "limits.memory.limit",
	"--limit-disk": "limits.disk.size", "--limit-processes": "limits.runtime.max_processes", "--limit-duration": "limits.runtime.max_duration",
}

// configKeyHint names the key behind a flag that does not exist.
func configKeyHint(args []string, _ error) string {
	for _, a := range args {
		flag, _, _ := strings.Cut(a, "=")
		if key, ok := configKeys[flag]; ok {
			return "set " + key + " in ~/.coi/config.toml"
		}
		if strings.HasPrefix(flag, "--limit-") {
			return "set limits.* in ~/.coi/config.toml"
		}
	}
	return ""
}
