package gate

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sync/semaphore"
)

const (
	// answerTTL, in seconds, is short so that a client asks again rather than use an
	// address that has become another name's.
	answerTTL = 60
	// maxQuery is the largest query that is read, in bytes.
	maxQuery = 1232
	// maxDNSConns and dnsIdle bound what queries over TCP can hold.
	maxDNSConns = 64
	dnsIdle     = 10 * time.Second
)

// answer makes the reply to one query, or nil where there is nothing to reply to.
// Every name has an A record, an address of ours; every other type is empty. No
// query is ever passed on, so there is no channel in names to speak through.
func (n *names) answer(query []byte) []byte {
	var p dnsmessage.Parser
	header, err := p.Start(query)
	if err != nil || header.Response {
		return nil
	}
	reply := dnsmessage.Header{ID: header.ID, Response: true, OpCode: header.OpCode,
		RecursionDesired: header.RecursionDesired, RecursionAvailable: true}
	question, err := p.Question()
	switch {
	case header.OpCode != 0:
		reply.RCode = dnsmessage.RCodeNotImplemented
	case err != nil:
		reply.RCode = dnsmessage.RCodeFormatError
	case !plausible(question.Name.String()):
		reply.RCode = dnsmessage.RCodeNameError
	}
	b := dnsmessage.NewBuilder(nil, reply)
	b.EnableCompression()
	if err == nil {
		if b.StartQuestions() != nil || b.Question(question) != nil {
			return nil
		}
	}
	if reply.RCode == dnsmessage.RCodeSuccess && question.Type == dnsmessage.TypeA && question.Class == dnsmessage.ClassINET {
		name := strings.ToLower(strings.TrimSuffix(question.Name.String(), "."))
		address := n.address(name)
		if name == "localhost" || strings.HasSuffix(name, ".localhost") {
			address = netip127 // RFC 6761 section 6.3
		}
		resource := dnsmessage.AResource{A: address.As4()}
		if b.StartAnswers() != nil || b.AResource(dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: answerTTL}, resource) != nil {
			return nil
		}
	}
	message, err := b.Finish()
	if err != nil {
		return nil
	}
	return message
}

// plausible tells whether a name could be a host's. What it lets through is written
// into a CONNECT line, so that line breaks and blanks have no place in it.
func plausible(name string) bool {
	name = strings.TrimSuffix(name, ".")
	if name == "" || len(name) > 253 {
		return false
	}
	for _, label := range strings.Split(name, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for _, c := range []byte(label) {
			switch {
			case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
			default:
				return false
			}
		}
	}
	return true
}

// serveUDP answers queries until the socket closes.
func (n *names) serveUDP(socket net.PacketConn) error {
	buffer := make([]byte, maxQuery)
	for {
		size, from, err := socket.ReadFrom(buffer)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			continue // an ICMP error for an earlier answer; the socket is sound
		}
		if reply := n.answer(buffer[:size]); reply != nil {
			// A client that has gone away misses its answer; there is no more to do.
			_, _ = socket.WriteTo(reply, from)
		}
	}
}

// serveTCP answers queries over TCP (RFC 7766) until the listener closes.
func (n *names) serveTCP(listener net.Listener) error {
	places := semaphore.NewWeighted(maxDNSConns)
	return acceptLoop(listener, func(conn net.Conn) {
		if !places.TryAcquire(1) {
			conn.Close()
			return
		}
		go func() {
			defer places.Release(1)
			defer conn.Close()
			for n.answerOne(conn) == nil {
			}
		}()
	})
}

func (n *names) answerOne(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(dnsIdle)); err != nil {
		return err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return err
	}
	length := binary.BigEndian.Uint16(size[:])
	if length > maxQuery {
		return errors.New("query too long")
	}
	query := make([]byte, length)
	if _, err := io.ReadFull(conn, query); err != nil {
		return err
	}
	reply := n.answer(query)
	if reply == nil {
		return errors.New("not a query")
	}
	_, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
	return err
}
