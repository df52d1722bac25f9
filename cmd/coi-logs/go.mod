module github.com/code-on-incus/coi/cmd/coi-logs

go 1.26.0

require (
	github.com/code-on-incus/coi/pkg v0.0.0
	github.com/rogpeppe/go-internal v1.16.0
)

require (
	github.com/alecthomas/kong v1.17.0 // indirect
	github.com/clipperhouse/uax29/v2 v2.7.0 // indirect
	github.com/fsnotify/fsnotify v1.10.1 // indirect
	github.com/google/renameio/v2 v2.0.2 // indirect
	github.com/mattn/go-runewidth v0.0.31 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/term v0.47.0 // indirect
	golang.org/x/tools v0.51.0 // indirect
)

replace github.com/code-on-incus/coi/pkg => ../../pkg
