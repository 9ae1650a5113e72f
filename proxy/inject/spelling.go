package inject

import "strings"

// anchor is the part of a placeholder that is written alike in any case and that few
// texts have, and where in it that stands. Policy sees to it that each has one.
func anchor(placeholder string) (text string, at int) {
	for _, text := range []string{"__", "~", ".", "-"} {
		if at := strings.Index(placeholder, text); at >= 0 {
			return text, at
		}
	}
	return placeholder, 0
}

// spelled tells whether placeholder stands in text, in capitals or not. With whole it
// has to be a word of its own.
func spelled(text, placeholder string, whole bool) bool {
	mark, offset := anchor(placeholder)
	for from := 0; ; {
		i := strings.Index(text[from:], mark)
		if i < 0 {
			return false
		}
		begin := from + i - offset
		end := begin + len(placeholder)
		from += i + 1
		switch {
		case begin < 0, end > len(text), whole && (isWordAt(text, begin-1) || isWordAt(text, end)):
		case strings.EqualFold(text[begin:end], placeholder):
			return true
		}
	}
}

// misspelled finds a word that has the shape of the placeholders that are written as
// __name__, or that is one of them but for a letter or two. The latter may be a part of
// a word: a Telegram token follows "bot".
func misspelled(text string, placeholders []string) string {
	var shaped []string
	for _, p := range placeholders {
		if hasShape(p) {
			shaped = append(shaped, p)
		}
	}
	if len(shaped) == 0 {
		return ""
	}
	for from := 0; ; {
		i := strings.Index(text[from:], "__")
		if i < 0 {
			return ""
		}
		begin, end := from+i, from+i
		for isWordAt(text, begin-1) {
			begin--
		}
		for isWordAt(text, end) {
			end++
		}
		word := text[begin:end]
		if hasShape(word) || isNear(word, shaped) {
			return word
		}
		for _, part := range shapedParts(word) {
			if isNear(part, shaped) {
				return part
			}
		}
		from = end
	}
}

// hasShape tells whether s is written as __name__: two underscores, no two within.
func hasShape(s string) bool {
	name, ok := strings.CutPrefix(s, "__")
	if !ok {
		return false
	}
	if name, ok = strings.CutSuffix(name, "__"); !ok || name == "" || name[0] == '_' || name[len(name)-1] == '_' || strings.Contains(name, "__") {
		return false
	}
	for i := range len(name) {
		if !isWordAt(name, i) {
			return false
		}
	}
	return true
}

// shapedParts are the parts of a word that have the shape: __b__ in a__b__c.
func shapedParts(word string) (parts []string) {
	names := strings.Split(word, "__")
	for i := 1; i < len(names)-1; i++ {
		if part := "__" + names[i] + "__"; hasShape(part) {
			parts = append(parts, part)
		}
	}
	return parts
}

// isNear tells whether word is one of placeholders but for a slip. A short name has no
// slips: it would be another word.
func isNear(word string, placeholders []string) bool {
	for _, p := range placeholders {
		if slips := min(2, (len(p)-len("____"))/5); slips > 0 && within(word, p, slips) {
			return true
		}
	}
	return false
}

// within tells whether a becomes b by so many slips: a letter too few or too many,
// another one, or two in the wrong order.
func within(a, b string, slips int) bool {
	for a != "" && b != "" && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	switch {
	case a == "" || b == "":
		return len(a)+len(b) <= slips
	case slips == 0, len(a) > len(b)+slips, len(b) > len(a)+slips:
		return false
	}
	return within(a[1:], b[1:], slips-1) || within(a[1:], b, slips-1) || within(a, b[1:], slips-1) ||
		len(a) > 1 && len(b) > 1 && a[0] == b[1] && a[1] == b[0] && within(a[2:], b[2:], slips-1)
}

// nearest is the placeholder that most likely was meant: the one that begins and ends
// most alike.
func nearest(token string, placeholders []string) string {
	best, most := "", -1
	for _, p := range placeholders {
		begin, end, short := 0, 0, min(len(p), len(token))
		for begin < short && p[begin] == token[begin] {
			begin++
		}
		for end < short-begin && p[len(p)-1-end] == token[len(token)-1-end] {
			end++
		}
		if begin+end > most {
			best, most = p, begin+end
		}
	}
	return best
}

func isWordAt(text string, i int) bool {
	if i < 0 || i >= len(text) {
		return false
	}
	c := text[i]
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
}

// percentDecoded decodes what is encoded, and leaves what is not.
func percentDecoded(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if hi, lo := digit(s[i+1]), digit(s[i+2]); hi >= 0 && lo >= 0 {
				out = append(out, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}

// jsonDecoded decodes the \u of ASCII. No placeholder has another character.
func jsonDecoded(s string) string {
	if !strings.Contains(s, `\u00`) {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		out = append(out, s[i])
		if s[i] != '\\' || i+1 == len(s) {
			continue
		}
		if i+5 < len(s) && s[i+1:i+4] == "u00" {
			if hi, lo := digit(s[i+4]), digit(s[i+5]); hi >= 0 && hi < 8 && lo >= 0 {
				out[len(out)-1] = byte(hi<<4 | lo)
				i += 5
				continue
			}
		}
		i++ // a backslash that is escaped begins nothing
		out = append(out, s[i])
	}
	return string(out)
}

// digit is the value of a hexadecimal one, -1 for another character.
func digit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
