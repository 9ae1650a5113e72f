package trust

import (
	"encoding/asn1"
	"errors"
	"unicode/utf16"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"
)

var (
	oidData        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidCertBag     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 3}
	oidX509        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 22, 1}
	oidFriendly    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 20}
	oidJavaTrusted = asn1.ObjectIdentifier{2, 16, 840, 1, 113894, 746875, 1, 1} // Java: "is trusted, for …"
	oidAnyUsage    = asn1.ObjectIdentifier{2, 5, 29, 37, 0}
)

// context0 is the tag of what PKCS 12 wraps its contents in.
var context0 = tag.Tag(0).ContextSpecific().Constructed()

// addToPKCS12 gives the store with one more trusted certificate (DER), in a part of its own and not encrypted, as Java
// 18 and later write all of it. The parts that were there are not read: whatever the image put there, no key is derived
// by its wish. Its checksum is left out, for it would need the password; Java looks at one only where it is.
func addToPKCS12(store []byte, alias string, certificate []byte) ([]byte, error) {
	var pfx, safe, wrapped, octets, parts cryptobyte.String
	var version int
	var kind asn1.ObjectIdentifier
	in := cryptobyte.String(store)
	if !in.ReadASN1(&pfx, tag.SEQUENCE) || !pfx.ReadASN1Integer(&version) || version != 3 ||
		!pfx.ReadASN1(&safe, tag.SEQUENCE) || !safe.ReadASN1ObjectIdentifier(&kind) || !kind.Equal(oidData) ||
		!safe.ReadASN1(&wrapped, context0) || !wrapped.ReadASN1(&octets, tag.OCTET_STRING) ||
		!octets.ReadASN1(&parts, tag.SEQUENCE) {
		return nil, errors.New("not a PKCS 12 store that Java writes")
	}
	var out cryptobyte.Builder
	out.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(3)
		addData(b, func(b *cryptobyte.Builder) {
			b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddBytes(parts)
				addData(b, func(b *cryptobyte.Builder) { addCertBag(b, alias, certificate) })
			})
		})
	})
	return out.Bytes()
}

// addData writes a ContentInfo of kind data.
func addData(b *cryptobyte.Builder, content cryptobyte.BuilderContinuation) {
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidData)
		b.AddASN1(context0, func(b *cryptobyte.Builder) { b.AddASN1(tag.OCTET_STRING, content) })
	})
}

// addCertBag writes SafeContents with one certificate.
func addCertBag(b *cryptobyte.Builder, alias string, certificate []byte) {
	attribute := func(kind asn1.ObjectIdentifier, value cryptobyte.BuilderContinuation) cryptobyte.BuilderContinuation {
		return func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(kind)
			b.AddASN1(tag.SET, value)
		}
	}
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oidCertBag)
			b.AddASN1(context0, func(b *cryptobyte.Builder) {
				b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(oidX509)
					b.AddASN1(context0, func(b *cryptobyte.Builder) { b.AddASN1OctetString(certificate) })
				})
			})
			b.AddASN1(tag.SET, func(b *cryptobyte.Builder) {
				b.AddASN1(tag.SEQUENCE, attribute(oidFriendly, func(b *cryptobyte.Builder) {
					b.AddASN1(tag.Tag(30), func(b *cryptobyte.Builder) { // BMPString
						for _, unit := range utf16.Encode([]rune(alias)) {
							b.AddUint16(unit)
						}
					})
				}))
				b.AddASN1(tag.SEQUENCE, attribute(oidJavaTrusted, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oidAnyUsage) }))
			})
		})
	})
}
