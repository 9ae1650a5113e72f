package vault

import (
	"encoding/binary"
	"io"
)

// writeParts writes each part after its length, so that no two lists of parts are the same
// bytes. to is a hash, whose Write never fails.
func writeParts(to io.Writer, parts ...string) {
	for _, part := range parts {
		_, _ = to.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		_, _ = io.WriteString(to, part)
	}
}
