// Package readme follows the README on clean machines.
package readme
