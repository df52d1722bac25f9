// Package arch keeps the rules of the house: who may import whom, which modules
// each binary links, one version of each dependency, and what must not stand in
// any file.
package arch
