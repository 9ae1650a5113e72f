package trust

import (
	"crypto/sha1"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"
)

// SubjectHash is the name under which OpenSSL looks for an authority in a folder, of its subject in DER: what
// `openssl x509 -subject_hash` prints. It is a way to find a file and no proof of anything, so that SHA-1 does no harm.
func SubjectHash(subject []byte) string {
	sum := sha1.Sum(canonicalName(subject))
	return fmt.Sprintf("%08x", binary.LittleEndian.Uint32(sum[:4]))
}

// canonicalName is a name as OpenSSL compares it: the sets one after the other, texts in UTF-8 and lower case with
// single blanks. A name that cannot be read gives nothing; a certificate with one has not been parsed.
func canonicalName(subject []byte) []byte {
	var sets cryptobyte.String
	in := cryptobyte.String(subject)
	if !in.ReadASN1(&sets, tag.SEQUENCE) {
		return nil
	}
	var out cryptobyte.Builder
	for !sets.Empty() {
		var set cryptobyte.String
		if !sets.ReadASN1(&set, tag.SET) {
			return nil
		}
		out.AddASN1(tag.SET, func(b *cryptobyte.Builder) {
			for !set.Empty() {
				var pair, value cryptobyte.String
				var kind asn1.ObjectIdentifier
				var is tag.Tag
				if !set.ReadASN1(&pair, tag.SEQUENCE) || !pair.ReadASN1ObjectIdentifier(&kind) || !pair.ReadAnyASN1(&value, &is) {
					b.SetError(asn1.SyntaxError{Msg: "not a name"})
					return
				}
				b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(kind)
					if text, ok := nameText(is, value); ok {
						is, value = tag.UTF8String, []byte(plainText(text))
					}
					b.AddASN1(is, func(b *cryptobyte.Builder) { b.AddBytes(value) })
				})
			}
		})
	}
	name, err := out.Bytes()
	if err != nil {
		return nil
	}
	return name
}

// nameText is the text in a value of a name, if it is of a kind that OpenSSL takes for text.
func nameText(is tag.Tag, value []byte) (string, bool) {
	const visibleString, universalString, bmpString = tag.Tag(26), tag.Tag(28), tag.Tag(30)
	var runes []rune
	switch is {
	case tag.UTF8String:
		return string(value), utf8.Valid(value)
	case tag.PrintableString, tag.IA5String, tag.T61String, visibleString: // Latin 1 to OpenSSL
		for _, b := range value {
			runes = append(runes, rune(b))
		}
	case bmpString:
		var units []uint16
		for ; len(value) >= 2; value = value[2:] {
			units = append(units, binary.BigEndian.Uint16(value))
		}
		runes = utf16.Decode(units)
	case universalString:
		for ; len(value) >= 4; value = value[4:] {
			runes = append(runes, rune(binary.BigEndian.Uint32(value)))
		}
	default:
		return "", false
	}
	return string(runes), true
}

// plainText is a text in lower case, as far as it is ASCII, with single blanks between its words.
func plainText(text string) string {
	blank := func(r rune) bool { return strings.ContainsRune(" \t\n\v\f\r", r) }
	lower := func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}
	return strings.Map(lower, strings.Join(strings.FieldsFunc(text, blank), " "))
}
