package link

import "encoding/binary"

// kind is what a frame says of a connection.
type kind uint8

const (
	opened  kind = 1 + iota // there is a new one; size is its purpose
	data                    // size bytes of it follow
	credit                  // size more bytes may be sent
	ended                   // nothing more comes; size tells whether that is its end or it broke
	stopped                 // nothing more is read
)

// broken is the size of an ended that comes before what was to be said was said.
const broken = 1

// headerSize is a frame without its data, in bytes.
const headerSize = 9

type header struct {
	kind kind
	id   uint32
	size uint32
}

func (h header) append(b []byte) []byte {
	b = append(b, byte(h.kind))
	b = binary.BigEndian.AppendUint32(b, h.id)
	return binary.BigEndian.AppendUint32(b, h.size)
}

func readHeader(b [headerSize]byte) header {
	return header{kind(b[0]), binary.BigEndian.Uint32(b[1:]), binary.BigEndian.Uint32(b[5:])}
}
