package main

import (
	"fmt"

	"github.com/alecthomas/kong"
)

// optional is a flag whose value is optional and only taken after "=".
type optional struct {
	Set   bool
	Value string
}

// Decode reads the value if there is one.
func (o *optional) Decode(ctx *kong.DecodeContext) error {
	o.Set = true
	if ctx.Scan.Peek().Type != kong.FlagValueToken {
		return nil
	}
	v, ok := ctx.Scan.Pop().Value.(string)
	if !ok {
		return fmt.Errorf("a text is expected")
	}
	o.Value = v
	return nil
}

// IsBool keeps the parser from taking the next word for the value.
func (o *optional) IsBool() bool { return true }
