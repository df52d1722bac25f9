// Package netguard attacks the network guard program in network namespaces of
// its own, where rules may be flushed and guards killed without touching the
// host. Built with the tag attack; needs root, ip, nft, curl, python3 and node.
package netguard
