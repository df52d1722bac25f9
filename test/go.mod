module github.com/code-on-incus/coi/test

go 1.26.0

replace github.com/code-on-incus/coi/pkg => ../pkg

require (
	github.com/code-on-incus/coi/pkg v0.0.0-00010101000000-000000000000
	github.com/miekg/dns v1.1.73
	github.com/santhosh-tekuri/jsonschema/v6 v6.0.2
	golang.org/x/sys v0.49.0
)

require (
	github.com/fsnotify/fsnotify v1.10.1 // indirect
	github.com/google/renameio/v2 v2.0.2 // indirect
	github.com/pelletier/go-toml/v2 v2.4.3 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)
