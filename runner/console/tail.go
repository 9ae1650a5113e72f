package console

// maxTail is how much of what a run printed is kept, in bytes. It is for the last
// screenful, and no log.
const maxTail = 64 << 10

// maxPieces is in how many pieces it is kept. A command that prints a byte to one stream and
// a byte to the other, again and again, would have each of its bytes cost as much as all.
const maxPieces = 1024

// tail keeps the end of what was printed, in the order of printing and with the stream
// that each piece went to.
type tail struct {
	pieces []Frame
	size   int
}

// add keeps body, and forgets as much of the oldest.
func (t *tail) add(kind Kind, body []byte) {
	if len(body) > maxTail {
		body = body[len(body)-maxTail:]
	}
	if last := len(t.pieces) - 1; last >= 0 && t.pieces[last].Kind == kind && len(t.pieces[last].Body) < maxFrame {
		t.pieces[last].Body = append(t.pieces[last].Body, body...)
	} else {
		t.pieces = append(t.pieces, Frame{kind, append([]byte(nil), body...)})
	}
	t.size += len(body)
	if len(t.pieces) > maxPieces {
		t.forget(len(t.pieces[0].Body))
	}
	for t.size > maxTail {
		t.forget(t.size - maxTail)
	}
}

// forget drops so much of the oldest piece, or all of it.
func (t *tail) forget(n int) {
	oldest := &t.pieces[0]
	n = min(n, len(oldest.Body))
	t.size -= n
	// A copy, so that what was cut off does not stay in memory with the rest.
	if oldest.Body = append([]byte(nil), oldest.Body[n:]...); len(oldest.Body) == 0 {
		t.pieces = append([]Frame(nil), t.pieces[1:]...)
	}
}
