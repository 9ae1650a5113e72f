package policy

import "strings"

const hexDigits = "0123456789ABCDEF"

// wire is path with its escapes in upper case, and one for every byte that needs one.
func wire(path string) string {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if c, ok := unhex(path, i); ok {
			escape(&b, c)
			i += 2
			continue
		}
		if path[i] == '%' {
			b.WriteByte('%') // no escape: decoding will find it
			continue
		}
		writeWire(&b, path[i])
	}
	return b.String()
}

// writeWire writes one byte of a path as it stands on the wire.
func writeWire(b *strings.Builder, c byte) {
	if c == '/' || isPchar(c) {
		b.WriteByte(c)
		return
	}
	escape(b, c)
}

func escape(b *strings.Builder, c byte) {
	b.WriteByte('%')
	b.WriteByte(hexDigits[c>>4])
	b.WriteByte(hexDigits[c&15])
}

// decode decodes path once; keepSlash leaves encoded slashes. It is not good if a %
// begins no escape; that one stays.
func decode(path string, keepSlash bool) (out string, good bool) {
	if !strings.Contains(path, "%") {
		return path, true
	}
	good = true
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		c, ok := unhex(path, i)
		switch {
		case ok && c == '/' && keepSlash:
			b.WriteString("%2F")
			i += 2
		case ok:
			b.WriteByte(c)
			i += 2
		default:
			good = good && path[i] != '%'
			b.WriteByte(path[i])
		}
	}
	return b.String(), good
}

// encoded tells whether path has an escape.
func encoded(path string) bool {
	for i := range len(path) {
		if _, ok := unhex(path, i); ok {
			return true
		}
	}
	return false
}

// unhex is the byte of the escape at s[i], if one is there.
func unhex(s string, i int) (byte, bool) {
	if s[i] != '%' || i+2 >= len(s) {
		return 0, false
	}
	high, ok1 := nibble(s[i+1])
	low, ok2 := nibble(s[i+2])
	return high<<4 | low, ok1 && ok2
}

func nibble(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// isUnreserved and isPchar are RFC 3986's.
func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

func isPchar(c byte) bool { return isUnreserved(c) || strings.IndexByte("!$&'()*+,;=:@", c) >= 0 }
