module github.com/code-on-incus/coi/test

go 1.26.0

replace github.com/code-on-incus/coi/pkg => ../pkg
