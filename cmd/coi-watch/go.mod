module github.com/code-on-incus/coi/cmd/coi-watch

go 1.26.0

require (
	github.com/cilium/ebpf v0.22.0
	github.com/code-on-incus/coi/pkg v0.0.0
	github.com/fsnotify/fsnotify v1.10.1
	github.com/google/go-cmp v0.7.0
	github.com/mattn/go-runewidth v0.0.31
	github.com/pelletier/go-toml/v2 v2.4.3
	golang.org/x/sys v0.49.0
	golang.org/x/term v0.47.0
	gopkg.in/yaml.v3 v3.0.1
	mvdan.cc/sh/v3 v3.14.1
)

require (
	github.com/alecthomas/kong v1.17.0 // indirect
	github.com/clipperhouse/uax29/v2 v2.7.0 // indirect
	github.com/google/renameio/v2 v2.0.2 // indirect
)

replace github.com/code-on-incus/coi/pkg => ../../pkg
