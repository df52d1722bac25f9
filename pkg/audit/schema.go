package audit

import (
	"bytes"
	_ "embed" // for the schema
)

//go:embed record.schema.json
var schema []byte

// Schema is the JSON Schema (2020-12) of one line of a trail.
func Schema() []byte { return bytes.Clone(schema) }
