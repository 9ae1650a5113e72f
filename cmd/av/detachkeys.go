package main

import "bytes"

// keyWatch finds keys among what is typed, in whichever pieces that comes.
type keyWatch struct {
	keys []byte
	held int // of the keys, that were typed last and may be the beginning
}

// pass gives what of a piece goes on to the command, and whether the keys were typed: what
// was typed behind them goes nowhere.
func (w *keyWatch) pass(piece []byte) (on []byte, left bool) {
	for _, key := range piece {
		typed := append(bytes.Clone(w.keys[:w.held]), key)
		w.held = len(typed)
		// ctrl-p ctrl-p ctrl-q: the first is the command's, and the second may begin again.
		for !bytes.HasPrefix(w.keys, typed[len(typed)-w.held:]) {
			w.held--
		}
		on = append(on, typed[:len(typed)-w.held]...)
		if w.held == len(w.keys) {
			return on, true
		}
	}
	return on, false
}
