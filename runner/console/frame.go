// Package console is the terminal of a run that has none: it keeps the last of what a
// detached run printed, and lends the run to whoever attaches to it, over a socket in
// the run's folder. It knows bytes, sizes and signals, and nothing of boxes or secrets.
package console

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// Kind says what a frame is.
type Kind byte

// What is said on a console's socket, and what a background process reports while it
// starts. A kind that is not known ends the connection.
const (
	// From the one who attaches.
	Hello  Kind = 'h' // a Request, first of all
	Input  Kind = 'i' // what was typed
	Resize Kind = 'w' // a Size
	// From the run.
	Welcome Kind = 'k' // an Answer
	Stdout  Kind = 'o'
	Stderr  Kind = 'e'
	Said    Kind = 't' // av's own words
	Started Kind = 'a' // the run's id: its command runs
	Ended   Kind = 'x' // its exit code, when all is taken down
)

// maxFrame bounds what one frame may carry; what is longer is said in several.
const maxFrame = 32 << 10

// Frame is one thing that is said.
type Frame struct {
	Kind Kind
	Body []byte
}

// Send writes one frame, or several where the body is too long for one.
func Send(w io.Writer, kind Kind, body []byte) error {
	for first := true; first || len(body) > 0; first = false {
		part := body[:min(len(body), maxFrame)]
		body = body[len(part):]
		head := make([]byte, 5, 5+len(part))
		head[0] = byte(kind)
		binary.BigEndian.PutUint32(head[1:], uint32(len(part)))
		if _, err := w.Write(append(head, part...)); err != nil {
			return err
		}
	}
	return nil
}

// SendJSON writes one frame whose body is v.
func SendJSON(w io.Writer, kind Kind, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return Send(w, kind, body)
}

// Receive reads one frame. io.EOF says that the other side has gone between two.
func Receive(r io.Reader) (Frame, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Frame{}, err
	}
	// Before anything is made of that size: whoever is at the other end chose it.
	size := binary.BigEndian.Uint32(head[1:])
	if size > maxFrame {
		return Frame{}, fmt.Errorf("a frame of %d bytes, and %d are the most", size, maxFrame)
	}
	f := Frame{Kind: Kind(head[0]), Body: make([]byte, size)}
	if _, err := io.ReadFull(r, f.Body); err != nil {
		return Frame{}, fmt.Errorf("a frame that breaks off: %w", err)
	}
	return f, nil
}

// Size is a terminal's, in characters.
type Size struct {
	Width  uint16 `json:"width"`
	Height uint16 `json:"height"`
}

// Request is what a client wants of a run.
type Request struct {
	Want Want `json:"want"`
	// Take takes the place of whoever is attached.
	Take bool `json:"take,omitempty"`
	Size Size `json:"size,omitzero"`
	// Kill is for Stop: not to ask, but to end it.
	Kill bool `json:"kill,omitempty"`
}

// Want is one of the things that a client may want.
type Want string

// What there is to want.
const (
	Attach Want = "attach"
	Tail   Want = "tail" // only what was printed last
	Stop   Want = "stop"
)

// Answer is what the run says to it.
type Answer struct {
	TTY bool `json:"tty,omitempty"`
	// Refused is why not.
	Refused string `json:"refused,omitempty"`
	Hint    string `json:"hint,omitempty"`
}
