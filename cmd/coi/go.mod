module github.com/code-on-incus/coi/cmd/coi

go 1.26.0

require github.com/code-on-incus/coi/pkg v0.0.0

require github.com/google/go-cmp v0.7.0

replace github.com/code-on-incus/coi/pkg => ../../pkg
