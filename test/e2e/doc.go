// Package e2e holds the stories that need everything: Incus, containers, guards,
// packets, and a real agent. They are built with the tag e2e and run as root by
// `make e2e`.
package e2e
