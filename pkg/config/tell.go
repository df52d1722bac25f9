package config

// Teller prints for a command; cli.Context is one.
type Teller interface {
	Warn(text string, hints ...string)
	Note(text string, hints ...string)
}

// TellGeneral prints the warnings that every command that reads configuration
// gives: old layouts, unknown variables, broken profiles, a bad trust store.
func (c *Config) TellGeneral(to Teller) {
	for _, w := range c.Warnings {
		if !w.Gate {
			to.Warn(w.Text, w.Hints...)
		}
	}
}

// Tell prints every warning and note. Commands that start a session call it,
// and config show.
func (c *Config) Tell(to Teller) {
	for _, w := range c.Warnings {
		to.Warn(w.Text, w.Hints...)
	}
	for _, n := range c.Notes {
		to.Note(n.Text, n.Hints...)
	}
}
