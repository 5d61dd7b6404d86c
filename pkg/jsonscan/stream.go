package jsonscan

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Items reads a JSON object from a stream, as it comes: item gets each element of the list
// under a key, other the values of all other keys. The bytes may be used until the function
// returns; where values end is looked for, and nothing else: whoever reads them checks them.
// It is an error if there is no such list, or if the stream ends before the object does.
func Items(src io.Reader, key string, item func(raw []byte) error, other func(key string, raw []byte) error) error {
	s := stream{src: src, buf: *buffers.Get().(*[]byte)}
	defer s.release()
	found, err := s.items(key, item, other)
	if err == nil && !found {
		err = fmt.Errorf("there is no list of %s", key)
	}
	return err
}

// room is how much is read at once; a value that is longer makes more room.
const room, mostRoom = 64 << 10, 1 << 20

var buffers = sync.Pool{New: func() any { b := make([]byte, room); return &b }}

type stream struct {
	src io.Reader
	buf []byte
	// start of the value that is being read, where to go on, and the end of what there is.
	start, pos, end int
}

func (s *stream) release() {
	if len(s.buf) <= mostRoom {
		buffers.Put(&s.buf)
	}
}

func (s *stream) items(key string, item func([]byte) error, other func(string, []byte) error) (found bool, err error) {
	err = s.members('{', '}', func() error {
		text, err := s.value()
		if err != nil {
			return err
		}
		if len(text) < 2 || text[0] != '"' {
			return s.unexpected()
		}
		name := string(text[1 : len(text)-1])
		if err := s.take(':'); err != nil {
			return err
		}
		first, err := s.next()
		if err != nil {
			return err
		}
		if name == key && first == '[' {
			found = true
			return s.members('[', ']', func() error {
				raw, err := s.value()
				if err != nil {
					return err
				}
				return item(raw)
			})
		}
		raw, err := s.value()
		if err != nil {
			return err
		}
		found = found || (name == key && string(raw) == "null")
		return other(name, raw)
	})
	if err != nil {
		return found, err
	}
	if _, err := s.next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		if err == nil {
			err = s.unexpected()
		}
		return found, err
	}
	return found, nil
}

// members reads what stands between two brackets, separated by commas.
func (s *stream) members(from, to byte, member func() error) error {
	if err := s.take(from); err != nil {
		return err
	}
	for n := 0; ; n++ {
		c, err := s.next()
		if err != nil {
			return err
		}
		if c == to && n == 0 {
			return s.take(to)
		}
		if err := member(); err != nil {
			return err
		}
		if c, err = s.next(); err != nil {
			return err
		}
		if c == to {
			return s.take(to)
		}
		if err := s.take(','); err != nil {
			return err
		}
	}
}

// more reads on, and keeps what stands from start on. The end of the stream is an error.
func (s *stream) more() error {
	if s.start > 0 {
		copy(s.buf, s.buf[s.start:s.end])
		s.pos, s.end, s.start = s.pos-s.start, s.end-s.start, 0
	}
	if s.end == len(s.buf) {
		s.buf = append(s.buf, make([]byte, len(s.buf))...)
	}
	for range 100 {
		n, err := s.src.Read(s.buf[s.end:])
		s.end += n
		switch {
		case n > 0:
			return nil
		case err == io.EOF:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
	}
	return io.ErrNoProgress
}

// next is the byte that the next value begins with. Nothing before it is needed any more.
func (s *stream) next() (byte, error) {
	for {
		for ; s.pos < s.end; s.pos++ {
			switch c := s.buf[s.pos]; c {
			case ' ', '\n', '\t', '\r':
			default:
				s.start = s.pos
				return c, nil
			}
		}
		s.start = s.pos
		if err := s.more(); err != nil {
			return 0, err
		}
	}
}

func (s *stream) take(c byte) error {
	found, err := s.next()
	if err != nil {
		return err
	}
	if found != c {
		return s.unexpected()
	}
	s.pos++
	return nil
}

func (s *stream) unexpected() error {
	return fmt.Errorf("unexpected %q in JSON", s.buf[s.start:min(s.start+1, s.end)])
}

// value passes over any value and gives its bytes.
func (s *stream) value() ([]byte, error) {
	if _, err := s.next(); err != nil {
		return nil, err
	}
	for depth := 0; ; {
		if s.pos == s.end {
			if err := s.more(); err != nil {
				return nil, err
			}
		}
		switch s.buf[s.pos] {
		case '"':
			if err := s.text(); err != nil {
				return nil, err
			}
		case '{', '[':
			depth++
			s.pos++
		case '}', ']':
			if depth--; depth < 0 {
				return nil, s.unexpected()
			}
			s.pos++
		default:
			if depth == 0 {
				return s.scalar()
			}
			s.pos++
		}
		if depth == 0 {
			return s.buf[s.start:s.pos:s.pos], nil
		}
	}
}

// text passes over a string.
func (s *stream) text() error {
	s.pos++
	for {
		i := bytes.IndexByte(s.buf[s.pos:s.end], '"')
		if i < 0 {
			s.pos = s.end
			if err := s.more(); err != nil {
				return err
			}
			continue
		}
		s.pos += i + 1
		// An even number of backslashes before it escape each other.
		escapes := 0
		for s.buf[s.pos-2-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return nil
		}
	}
}

// scalar passes over a number or a word.
func (s *stream) scalar() ([]byte, error) {
	for {
		for ; s.pos < s.end; s.pos++ {
			switch s.buf[s.pos] {
			case ',', ':', '}', ']', '{', '[', '"', ' ', '\n', '\t', '\r':
				if s.pos == s.start {
					return nil, s.unexpected()
				}
				return s.buf[s.start:s.pos:s.pos], nil
			}
		}
		if err := s.more(); err != nil {
			return nil, err
		}
	}
}
