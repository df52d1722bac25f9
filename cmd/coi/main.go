// Command coi finds the program behind a verb and becomes it.
package main

import "os"

func main() { os.Exit(run(os.Args, host())) }
