// Package program knows what kinds of program there are: the class of a name.
// Detectors ask for a class or a canonical name and never compare file names,
// so that a renamed or copied program keeps its meaning.
package program
