package merge

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/code-on-incus/coi/pkg/logs"
)

// halfLine is how long the start of a line is held for its end.
const halfLine = time.Second

const keyLen = len(logs.TimeForm)

// stream is one log read as a whole. A line is given in pieces when it is
// longer than the buffer, so memory stays the same whatever the lines.
type stream struct {
	files []part
	first int   // index of the file to start with
	from  int64 // and the offset in it

	in     *bufio.Reader
	at     int // index of the file being read
	piece  []byte
	begins bool // piece starts a line
	ends   bool // piece ends a line
	done   bool
	key    [keyLen]byte // time of the line, or of the last one that had a time
}

func itoa(n int) string { return strconv.Itoa(n) }

// start reads the first line.
func (s *stream) start() error {
	s.in = bufio.NewReaderSize(nil, 64<<10)
	s.at = s.first
	if s.at < len(s.files) {
		s.in.Reset(s.files[s.at].reader(s.from))
	}
	s.ends = true
	return s.next()
}

// next reads the next piece. Where a file ends without a newline the line ends
// with the file.
func (s *stream) next() error {
	s.begins = s.ends
	for s.at < len(s.files) {
		b, err := s.in.ReadSlice('\n')
		if len(b) > 0 {
			s.piece = b
			s.ends = !errors.Is(err, bufio.ErrBufferFull)
			if s.begins && dated(b) {
				copy(s.key[:], b)
			}
			if err != nil && err != io.EOF && s.ends {
				return err
			}
			return nil
		}
		if err != io.EOF {
			return err
		}
		s.at++
		if s.at < len(s.files) {
			s.in.Reset(s.files[s.at].reader(0))
		}
		if !s.begins {
			s.piece, s.ends = nil, true // the long line ended with its file
			return nil
		}
	}
	s.done = true
	return nil
}

// dated reports whether a line begins with the time of a log line.
func dated(b []byte) bool {
	return len(b) > keyLen && b[4] == '/' && b[7] == '/' && b[10] == ' ' && b[13] == ':' && b[16] == ':' && b[keyLen] == ' ' && b[0] >= '0' && b[0] <= '9'
}

// rewind sets the start so that n wanted lines follow it, or all. It counts
// back from the end and returns how many wanted lines there are from there.
// The start is a line with a time, so that the lines after it have their place.
func (s *stream) rewind(n int, f Filter) (lines int, err error) {
	if f.active() {
		return s.count(f)
	}
	for i := len(s.files) - 1; i >= 0; i-- {
		p := s.files[i]
		got, at, err := p.back(n - lines)
		if err != nil {
			return 0, err
		}
		lines += got
		s.first, s.from = i, at
		if lines >= n {
			break
		}
	}
	return lines, nil
}

// count reads the whole stream: with a filter the lines that count cannot be
// told from the end.
func (s *stream) count(f Filter) (lines int, err error) {
	pr := &Printer{Filter: f}
	if err := s.start(); err != nil {
		return 0, err
	}
	for !s.done {
		if s.begins && pr.wants(s) {
			lines++
		}
		if err := s.next(); err != nil {
			return 0, err
		}
	}
	s.done = false
	return lines, nil
}

const block = 64 << 10

// back counts lines from the end of a part until it has n and stands at one
// with a time. It returns how many and the offset.
func (p part) back(n int) (lines int, at int64, err error) {
	end := p.info.Size()
	if end == 0 {
		return 0, 0, nil
	}
	buf := make([]byte, block+keyLen+1)
	lineEnd := end // offset after the newline that ends the line we look for
	for from := end; from > 0; {
		size := min(int64(block), from)
		from -= size
		got, err := p.f.ReadAt(buf[:min(size+int64(keyLen)+1, end-from)], from)
		if err != nil && err != io.EOF {
			return 0, 0, err
		}
		b := buf[:got]
		for i := int(size) - 1; i >= 0; {
			i = bytes.LastIndexByte(b[:i+1], '\n')
			if i < 0 {
				break
			}
			start := from + int64(i) + 1
			if start < lineEnd {
				lines++
				if lines >= n && (dated(b[i+1:]) || lines > n+1000) {
					return lines, start, nil
				}
				lineEnd = start
			}
			i--
		}
	}
	return lines + 1, 0, nil
}
