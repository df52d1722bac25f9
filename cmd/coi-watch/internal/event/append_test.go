package event

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"testing/quick"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/wiring"
)

// plain is the form of an event that encoding/json gives.
func plain(t *testing.T, e Event) []byte {
	t.Helper()
	e.V = Version
	e.Limit()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// TestAppendIsJSON fills every field, and with it every one that will be added,
// with hostile values.
func TestAppendIsJSON(t *testing.T) {
	src := rand.New(rand.NewPCG(1, 2))
	words := []string{"", "a", "/usr/bin/x", "\x00\x01\x1b[2J", "q\"\\b\f\n\r\t/", "<&>", "\xff\xfe", "\u2028\u2029\u202e", "日本\U0001f600", "\u007f\u0080"}
	numbers := []float64{0, 1, -1, 0.1, 1e20, 1e21, 1e-6, 9e-7, -1e300, math.MaxFloat64, math.SmallestNonzeroFloat64, 123456789.25}
	var fill func(v reflect.Value)
	fill = func(v reflect.Value) {
		if src.IntN(4) == 0 {
			return
		}
		switch x := v.Addr().Interface().(type) {
		case *time.Time:
			*x = time.Unix(src.Int64N(1e10), src.Int64N(1e9)).UTC()
			return
		case **wiring.Graph:
			*x = &wiring.Graph{Nodes: []wiring.Node{{PID: 1, Exe: "<a>"}}}
			return
		}
		switch v.Kind() {
		case reflect.String:
			v.SetString(words[src.IntN(len(words))])
		case reflect.Int, reflect.Int64:
			v.SetInt(int64(src.Uint32()) - 1<<31)
		case reflect.Uint64, reflect.Uint32:
			v.SetUint(uint64(src.Uint32()))
		case reflect.Float64:
			v.SetFloat(numbers[src.IntN(len(numbers))])
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Pointer:
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem())
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 3, 3))
			for i := range 3 {
				fill(v.Index(i))
			}
		case reflect.Map:
			v.Set(reflect.MakeMap(v.Type()))
			for _, w := range words {
				e := reflect.New(v.Type().Elem()).Elem()
				fill(e)
				v.SetMapIndex(reflect.ValueOf(w), e)
			}
		case reflect.Struct:
			for i := range v.NumField() {
				fill(v.Field(i))
			}
		default:
			t.Fatalf("no values for a %s", v.Type())
		}
	}
	for range 2000 {
		var e Event
		fill(reflect.ValueOf(&e).Elem())
		got, err := Append([]byte("before"), e)
		if want := append([]byte("before"), plain(t, e)...); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("Append = %s, %v; want %s", got, err, want)
		}
	}
	same := func(s string) bool {
		got, err := Append(nil, Event{Type: Exec, Text: s})
		return err == nil && bytes.Equal(got, plain(t, Event{Type: Exec, Text: s}))
	}
	if err := quick.Check(same, nil); err != nil {
		t.Error(err)
	}
	if b, err := Append([]byte("x"), Event{N: map[string]float64{"a": math.NaN()}}); err == nil || string(b) != "x" {
		t.Errorf("Append of no number = %q, %v; want an error and nothing added", b, err)
	}
}
