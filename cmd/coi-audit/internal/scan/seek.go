package scan

import (
	"bytes"
	"errors"
	"io"
)

// Narrow leaves out, by bisection, what lies before Since and from Until on.
// Only trails of ours are sorted; others stay as they are.
func (f *Filter) Narrow(inputs []*Input) []*Input {
	if f.since == "" && f.until == "" {
		return inputs
	}
	var out []*Input
	for _, in := range inputs {
		if in.own {
			if f.since != "" {
				in.from = in.seek(f.since, in.from)
			}
			if f.until != "" {
				in.to = in.seek(f.until, in.to)
			}
		}
		if !in.own || in.from < in.to {
			out = append(out, in)
		}
	}
	return out
}

// seek is the offset of the first line whose time is not before t. Where a
// line has no time of ours it gives up and returns otherwise.
func (in *Input) seek(t string, otherwise int64) int64 {
	lo, hi := in.from, in.to // every line that starts before lo is earlier
	buf := make([]byte, 8<<10)
	for lo < hi {
		mid := lo + (hi-lo)/2
		at, ts, ok := in.lineAt(buf, mid, lo, hi)
		if !ok {
			return otherwise
		}
		if at >= hi {
			// No line starts between mid and hi: look at the one at lo.
			if at, ts, ok = in.lineAt(buf, lo, lo, hi); !ok {
				return otherwise
			}
			if at >= hi || ts >= t {
				return lo
			}
			next, found := in.newline(buf, lo)
			if !found {
				return hi
			}
			lo = next
			continue
		}
		if ts < t {
			next, found := in.newline(buf, at)
			if !found {
				return hi
			}
			lo = next
		} else {
			hi = at
		}
	}
	return lo
}

// lineAt finds the first line that starts at or after mid and its time.
func (in *Input) lineAt(buf []byte, mid, lo, hi int64) (at int64, ts string, ok bool) {
	at = mid
	if mid > lo {
		next, found := in.newline(buf, mid-1)
		if !found {
			return hi, "", true
		}
		at = next
	}
	if at >= hi {
		return hi, "", true
	}
	n, err := in.file.ReadAt(buf[:min(int64(len(buf)), in.to-at)], at)
	if err != nil && err != io.EOF {
		return 0, "", false
	}
	var h head
	if !h.parse(buf[:n]) {
		return 0, "", false
	}
	return at, string(h.ts), true
}

// newline is the offset behind the first newline at or after from.
func (in *Input) newline(buf []byte, from int64) (int64, bool) {
	for from < in.to {
		n, err := in.file.ReadAt(buf[:min(int64(len(buf)), in.to-from)], from)
		if i := bytes.IndexByte(buf[:n], '\n'); i >= 0 {
			return from + int64(i) + 1, true
		}
		if err != nil || n == 0 {
			return in.to, false
		}
		from += int64(n)
	}
	return in.to, false
}

// Last makes inputs begin so late that few more than n wanted lines follow. It
// returns the inputs that are left and how many wanted lines there are.
func (f *Filter) Last(inputs []*Input, n int) (rest []*Input, lines int, err error) {
	var none Bad
	buf := make([]byte, 64<<10)
	for i := len(inputs) - 1; i >= 0; i-- {
		in := inputs[i]
		for to := in.to; to > in.from && lines < n; {
			from, err := in.blockBefore(to)
			if err != nil {
				return nil, 0, err
			}
			block := *in
			block.from, block.to = from, to
			c := &Cursor{inputs: []*Input{&block}, filter: f, bad: &none, buf: buf}
			c.begin()
			for {
				if _, err := c.Next(); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					return nil, 0, err
				}
				lines++
			}
			to = from
			if lines >= n {
				in.from = from
			}
		}
		if lines >= n {
			return inputs[i:], lines, nil
		}
	}
	return inputs, lines, nil
}

const lastBlock = 256 << 10

// blockBefore is the start of a line some way before to.
func (in *Input) blockBefore(to int64) (int64, error) {
	step := int64(16 << 10)
	if in.to-to > 0 {
		step = lastBlock
	}
	if at := to - step; at > in.from {
		start, err := lastNewline(io.NewSectionReader(in.file, 0, at), at)
		if err != nil {
			return 0, err
		}
		if start > in.from {
			return start, nil
		}
	}
	return in.from, nil
}
