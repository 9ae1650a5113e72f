package inject

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"
)

// What is wrong with a client's frames. All of them close the WebSocket.
var (
	ErrMessage = errors.New("a text message is too large")
	ErrFrame   = errors.New("a frame is not as RFC 6455 has it")
)

// Frames replaces the placeholders in the text messages of a WebSocket's client. A
// message is held until its last fragment is there, since a placeholder may stand
// across two, and goes on as one frame. All else passes as it comes.
//
// No extension may be agreed on, or a text would not be the text.
type Frames struct {
	Marks []Mark
	// Watch refuses other spellings of them.
	Watch Watch
	// Limit bounds a message.
	Limit int

	head    []byte // of the frame that is being read, until it is whole
	left    uint64 // bytes of its payload to come
	kept    bool   // they belong to the message, and do not pass
	last    bool   // the message ends with them
	mask    [4]byte
	masked  int    // bytes of the payload that were unmasked
	open    byte   // what continuation frames continue: text, binary, 0 for nothing
	message []byte // the text so far
	closed  bool
}

const (
	opText, opBinary, opClose = 1, 2, 8

	closeProtocol, closePolicy, closeTooBig, closeInternal = 1002, 1008, 1009, 1011
)

// Feed takes the next bytes from the client and gives those for the upstream. An error
// comes with a close frame; after it nothing passes any more.
func (f *Frames) Feed(p []byte) (out []byte, err error) {
	for len(p) > 0 && !f.closed {
		if f.left == 0 {
			p = f.readHead(p)
			whole, length := headLength(f.head)
			if !whole {
				break
			}
			if code, err := f.begin(length); err != nil {
				return f.close(out, code), err
			}
			if !f.kept {
				out = append(out, f.head...)
			}
			f.head = f.head[:0]
		}
		n := int(min(f.left, uint64(len(p))))
		if f.kept {
			f.unmask(p[:n])
		} else {
			out = append(out, p[:n]...)
		}
		p, f.left = p[n:], f.left-uint64(n)
		if f.left == 0 && f.kept && f.last {
			f.kept = false
			var code uint16
			if out, code, err = f.send(out); err != nil {
				return f.close(out, code), err
			}
		}
	}
	return out, nil
}

// readHead moves bytes from p until the frame's head is whole.
func (f *Frames) readHead(p []byte) []byte {
	for len(p) > 0 {
		f.head, p = append(f.head, p[0]), p[1:]
		if whole, _ := headLength(f.head); whole {
			break
		}
	}
	return p
}

// headLength tells whether head is a whole one, and how long its payload is.
func headLength(head []byte) (whole bool, payload uint64) {
	if len(head) < 2 {
		return false, 0
	}
	end := 2
	switch short := head[1] & 0x7f; {
	case short == 126 && len(head) >= 4:
		end, payload = 4, uint64(binary.BigEndian.Uint16(head[2:]))
	case short == 127 && len(head) >= 10:
		end, payload = 10, binary.BigEndian.Uint64(head[2:])
	case short >= 126:
		return false, 0
	default:
		payload = uint64(short)
	}
	if head[1]&0x80 != 0 {
		end += 4
	}
	return len(head) == end, payload
}

// begin judges the frame whose head is read.
func (f *Frames) begin(length uint64) (closeCode uint16, err error) {
	fin, op := f.head[0]&0x80 != 0, f.head[0]&0x0f
	control := op >= opClose
	switch {
	case f.head[0]&0x70 != 0, f.head[1]&0x80 == 0, length > 1<<62, // an extension's bits, no mask, a sign
		control && (!fin || length > 125),
		!control && op > opBinary,
		!control && (op == 0) != (f.open != 0):
		return closeProtocol, ErrFrame
	case control:
		f.kept, f.left = false, length
		return 0, nil
	}
	if op != 0 {
		f.open = op
	}
	f.kept, f.left, f.last, f.masked = f.open == opText, length, fin, 0
	copy(f.mask[:], f.head[len(f.head)-4:])
	if fin {
		f.open = 0
	}
	if f.kept && length > uint64(f.Limit-len(f.message)) {
		return closeTooBig, ErrMessage
	}
	return 0, nil
}

func (f *Frames) unmask(p []byte) {
	for _, c := range p {
		f.message = append(f.message, c^f.mask[f.masked%4])
		f.masked++
	}
}

// send appends the message, which is whole, as one frame.
func (f *Frames) send(out []byte) (sent []byte, closeCode uint16, err error) {
	text := string(f.message)
	f.message = nil
	// No header says what the message is, so it says so itself, where it matters.
	form := Form{Encode: textOnly}
	if (strings.Contains(text, formJSON.escape) || occurs(text, f.Marks)) && json.Valid([]byte(text)) {
		form = formJSON
	}
	if err := f.Watch.Text(text, form); err != nil {
		return out, closePolicy, err
	}
	swapped, err := Swap(text, f.Marks, form.Encode)
	if errors.Is(err, ErrGrown) {
		return out, closeTooBig, err
	}
	if err != nil {
		return out, closeInternal, err
	}
	return appendFrame(out, opText, []byte(swapped)), 0, nil
}

func (f *Frames) close(out []byte, code uint16) []byte {
	f.closed, f.message = true, nil
	return appendFrame(out, opClose, binary.BigEndian.AppendUint16(nil, code))
}

// appendFrame appends a whole message in one masked frame.
func appendFrame(out []byte, op byte, payload []byte) []byte {
	out = append(out, 0x80|op)
	switch n := len(payload); {
	case n < 126:
		out = append(out, 0x80|byte(n))
	case n < 1<<16:
		out = binary.BigEndian.AppendUint16(append(out, 0x80|126), uint16(n))
	default:
		out = binary.BigEndian.AppendUint64(append(out, 0x80|127), uint64(n))
	}
	var mask [4]byte
	_, _ = rand.Read(mask[:]) // it never fails
	out = append(out, mask[:]...)
	for i, c := range payload {
		out = append(out, c^mask[i%4])
	}
	return out
}
