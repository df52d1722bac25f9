// Package version is the version of the whole house. It is a package of its own
// so that the dispatcher can name it without linking the command frame.
package version

import "runtime/debug"

// URL is where the project lives.
const URL = "https://github.com/code-on-incus/coi"

// Number is the released version; the linker of a release may replace it.
var Number = "0.9.0"

// Commit is set by the build; without it the module's own build record is asked.
var Commit = ""

// Revision is the commit the program was built from, or "unknown".
func Revision() string {
	if Commit != "" {
		return Commit
	}
	if bi, ok := debug.ReadBuildInfo(); ok {
		for _, s := range bi.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}
