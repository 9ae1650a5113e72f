package console

// maxTail is how much of what a run printed is kept, in bytes. It is for the last
// screenful, and no log.
const maxTail = 64 << 10

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
	for over := t.size - maxTail; over > 0; over = t.size - maxTail {
		oldest := &t.pieces[0]
		cut := min(over, len(oldest.Body))
		t.size -= cut
		// A copy, so that what was cut off does not stay in memory with the rest.
		if oldest.Body = append([]byte(nil), oldest.Body[cut:]...); len(oldest.Body) == 0 {
			t.pieces = append([]Frame(nil), t.pieces[1:]...)
		}
	}
}
