// Package suffix knows the public suffixes: the names below which strangers
// register names. It is golang.org/x/net/publicsuffix without its hook for
// cookies, which makes every program that reads configuration link and start
// an HTTP client and TLS: a third of the time that coi config show takes.
package suffix

//go:generate go run ./gen
