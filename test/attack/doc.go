// Package attack holds one attack per line of the threat register. Each runs
// inside a real guarded container, and each has a positive control: the same
// action succeeds where nothing forbids it. Built with the tag attack, run as
// root by `make attack`.
package attack
