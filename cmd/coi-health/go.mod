module github.com/code-on-incus/coi/cmd/coi-health

go 1.26.0

require github.com/code-on-incus/coi/pkg v0.0.0

require golang.org/x/sys v0.49.0 // indirect

replace github.com/code-on-incus/coi/pkg => ../../pkg
