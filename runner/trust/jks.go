package trust

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unicode/utf16"
)

// The Java key store of Java 1.2 to 8, which every Java reads: a head (magic number, version, count), the entries, and a
// digest of all that with a password. Where the authorities lie the password is public, and no Java asks for it there.
const (
	jksMagic    = 0xFEEDFEED
	jksHead     = 12
	jksTrusted  = 2 // the kind of an entry that is a trusted certificate
	jksPassword = "changeit"
)

func isJKS(store []byte) bool {
	return len(store) >= jksHead+sha1.Size && binary.BigEndian.Uint32(store) == jksMagic && binary.BigEndian.Uint32(store[4:]) == 2
}

// newJKS is a store with nothing in it.
func newJKS() []byte {
	head := binary.BigEndian.AppendUint32(nil, jksMagic)
	head = binary.BigEndian.AppendUint32(head, 2)
	return append(binary.BigEndian.AppendUint32(head, 0), make([]byte, sha1.Size)...)
}

// addToJKS gives the store with more trusted certificates (DER). The entries that were there are not read.
func addToJKS(store []byte, alias string, made time.Time, certificates ...[]byte) ([]byte, error) {
	if !isJKS(store) {
		return nil, errors.New("not a Java key store")
	}
	out := bytes.Clone(store[:8])
	out = binary.BigEndian.AppendUint32(out, binary.BigEndian.Uint32(store[8:])+uint32(len(certificates)))
	for i, certificate := range certificates {
		out = binary.BigEndian.AppendUint32(out, jksTrusted)
		out = appendJavaText(out, fmt.Sprint(alias, "-", i))
		out = binary.BigEndian.AppendUint64(out, uint64(made.UnixMilli()))
		out = appendJavaText(out, "X.509")
		out = binary.BigEndian.AppendUint32(out, uint32(len(certificate)))
		out = append(out, certificate...)
	}
	out = append(out, store[jksHead:len(store)-sha1.Size]...)
	digest := sha1.New()
	for _, unit := range utf16.Encode([]rune(jksPassword)) {
		digest.Write(binary.BigEndian.AppendUint16(nil, unit))
	}
	digest.Write([]byte("Mighty Aphrodite")) // part of the format
	digest.Write(out)
	return digest.Sum(out), nil
}

// appendJavaText adds an ASCII text as Java's DataOutput writes it.
func appendJavaText(out []byte, text string) []byte {
	return append(binary.BigEndian.AppendUint16(out, uint16(len(text))), text...)
}
