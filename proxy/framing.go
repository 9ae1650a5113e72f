package proxy

import "bytes"

// framing follows the HTTP/1 requests on a connection, to refuse those whose end two
// programs could see in different places. net/http repairs some of them in silence
// (Content-Length beside Transfer-Encoding, a bare line feed, a folded line), and by
// the time a handler runs nobody can tell. Request smuggling lives on that.
//
// It keeps no bytes but the line it is in, and changes none.
type framing struct {
	state  state
	line   []byte // the part of the current line that came in earlier reads
	length int64  // bytes left of a body or a chunk
	head   head
	noise  int64 // bytes of a chunked body that are no data, beyond what small chunks need
	ended  int64 // requests
}

// request is the number of the one that the next byte belongs to, from 1.
func (f *framing) request() int64 { return f.ended + 1 }

type state uint8

const (
	inRequestLine state = iota
	inHeader
	inBody
	inChunkSize
	inChunk
	inChunkEnd
	inTrailer
	isOpaque // a tunnel: no longer ours to understand
)

// scan goes over the next bytes of the connection. With an error, only the first n of
// them may be passed on; they do not complete the request.
func (f *framing) scan(p []byte) (n int, err error) {
	for n < len(p) {
		switch f.state {
		case isOpaque:
			return len(p), nil
		case inBody, inChunk:
			taken := min(f.length, int64(len(p)-n))
			n += int(taken)
			f.length -= taken
			if f.length > 0 {
				continue
			}
			if f.state == inBody {
				f.begin()
			} else {
				f.state = inChunkEnd
			}
		default:
			end := bytes.IndexByte(p[n:], '\n')
			if end < 0 {
				return f.hoard(p, n)
			}
			if err := f.endLine(p[n : n+end]); err != nil {
				return n + end, err
			}
			n += end + 1
		}
	}
	return n, nil
}

// hoard keeps the beginning of a line until the rest of it comes.
func (f *framing) hoard(p []byte, n int) (int, error) {
	if f.tooLong(p[n:]) {
		return n, malform("a line is too long")
	}
	f.line = append(f.line, p[n:]...)
	return len(p), nil
}

func (f *framing) tooLong(tail []byte) bool {
	limit := maxLine
	switch f.state {
	case inChunkSize:
		limit = maxChunkLine
	case inTrailer:
		limit = maxTrailers
	}
	return len(f.line)+len(tail) > limit
}

// endLine takes the last part of a line, without its line feed.
func (f *framing) endLine(tail []byte) error {
	if f.tooLong(tail) {
		return malform("a line is too long")
	}
	line := tail
	if len(f.line) > 0 {
		line = append(f.line, tail...)
		f.line = line[:0]
	}
	line, ok := bytes.CutSuffix(line, []byte{'\r'})
	if !ok {
		return malform("a line ends without a carriage return")
	}
	if bytes.IndexByte(line, '\r') >= 0 {
		return malform("there is a carriage return inside a line")
	}
	switch f.state {
	case inRequestLine:
		return f.requestLine(line)
	case inHeader:
		if len(line) == 0 {
			return f.endHead()
		}
		return f.header(line)
	case inChunkSize:
		return f.chunkSize(line)
	case inChunkEnd:
		if len(line) != 0 {
			return malform("a chunk is longer than its size")
		}
		f.state = inChunkSize
	case inTrailer:
		if len(line) == 0 {
			f.begin()
			return nil
		}
		return f.trailer(line)
	}
	return nil
}

// trailer refuses what says where a request ends or goes, when it has ended and gone.
// Some servers take trailers for headers that came late.
func (f *framing) trailer(line []byte) error {
	if f.noise += int64(len(line)) + 2; f.noise > maxTrailers {
		return malform("the trailers are too long")
	}
	name, _, err := field(line)
	if err != nil {
		return err
	}
	for _, late := range []string{"Content-Length", "Transfer-Encoding", "Host"} {
		if equalFold(name, late) {
			return malform(late + " is a trailer")
		}
	}
	return nil
}

// begin waits for the next request.
func (f *framing) begin() {
	f.state, f.head, f.noise = inRequestLine, head{}, 0
	f.ended++
	if cap(f.line) > maxChunkLine {
		f.line = nil // thousands of idle connections need not remember their longest line
	}
}

func (f *framing) chunkSize(line []byte) error {
	size, _, _ := bytes.Cut(line, []byte{';'})
	n, ok := parseHex(size)
	if !ok {
		return malform("a chunk's size is not a hexadecimal number")
	}
	f.noise = max(0, f.noise+int64(len(line))+2-16-2*n)
	if f.noise > maxChunkNoise {
		return malform("the chunks have too much in them that is no data")
	}
	if n == 0 {
		f.state, f.noise = inTrailer, 0
		return nil
	}
	f.state, f.length = inChunk, n
	return nil
}
