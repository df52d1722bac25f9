module github.com/code-on-incus/coi/tools

go 1.26.0

require github.com/code-on-incus/coi/pkg v0.0.0

replace github.com/code-on-incus/coi/pkg => ../pkg
