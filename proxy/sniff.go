package proxy

// speech is what the first bytes of a connection say that it is.
type speech int

const (
	undecided speech = iota // more bytes are needed
	speaksTLS
	speaksHTTP
	speaksOther
)

// sniff looks at a connection's first bytes. It decides within maxSniff of them, and
// more bytes never change a decision.
func sniff(b []byte) speech {
	if len(b) == 0 {
		return undecided
	}
	if b[0] == tlsHandshake {
		switch {
		case len(b) < 2:
			return undecided
		case b[1] == 3: // the record version of SSL 3 and every TLS since
			return speaksTLS
		}
		return speaksOther
	}
	for i, c := range b {
		switch {
		case i == maxSniff-2:
			return speaksOther // no method is that long
		case 'A' <= c && c <= 'Z', c == '-' && i > 0:
		case c == ' ' && i > 0:
			return sniffTarget(b[i+1:])
		default:
			// SSH says "SSH-2.0", whose digit is in no method.
			return speaksOther
		}
	}
	return undecided
}

// sniffTarget looks at what follows a method: a path, an asterisk or a URL.
func sniffTarget(b []byte) speech {
	if len(b) == 0 {
		return undecided
	}
	switch b[0] {
	case '/', '*', 'h', 'H':
		return speaksHTTP
	}
	return speaksOther
}

const tlsHandshake = 0x16
