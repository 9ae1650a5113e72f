package fakenet

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// serveDNS answers for the domain test, by UDP and TCP, and notes every question of every type for every name: a name
// is a message to whoever answers for its domain.
func (n *Net) serveDNS() error {
	at := netip.AddrPortFrom(DNSAddr, 53)
	err := n.answerUDP(at, n.resolve)
	if err != nil {
		return err
	}
	return n.acceptTCP(at, func(conn net.Conn) {
		for {
			var size [2]byte
			if _, err := io.ReadFull(conn, size[:]); err != nil {
				return
			}
			query := make([]byte, binary.BigEndian.Uint16(size[:]))
			if _, err := io.ReadFull(conn, query); err != nil {
				return
			}
			reply := n.resolve(query, addrPort(conn.RemoteAddr()), at)
			if reply == nil {
				return
			}
			if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
				return
			}
		}
	})
}

func (n *Net) resolve(query []byte, from, to netip.AddrPort) []byte {
	reply, questions := answerDNS(query, n.IPv6())
	for _, q := range questions {
		n.sinks.add(Event{Kind: DNS, From: from, To: to, Payload: clip(query),
			Name: strings.TrimPrefix(q.Type.String(), "Type") + " " + q.Name.String()})
	}
	return reply
}

// answerDNS makes the reply to a query; nil for what is none.
func answerDNS(query []byte, ipv6 bool) (reply []byte, questions []dnsmessage.Question) {
	var p dnsmessage.Parser
	header, err := p.Start(query)
	if err != nil || header.Response {
		return nil, nil
	}
	questions, err = p.AllQuestions()
	if err != nil || len(questions) == 0 {
		return nil, nil
	}
	m := dnsmessage.Message{
		Header: dnsmessage.Header{
			ID: header.ID, Response: true, Authoritative: true,
			RecursionDesired: header.RecursionDesired, RecursionAvailable: true,
		},
		Questions: questions,
	}
	for _, q := range questions {
		name := strings.ToLower(q.Name.String())
		if !strings.HasSuffix(name, ".test.") {
			m.RCode = dnsmessage.RCodeNameError
			continue
		}
		isAPI := name == APIName+"."
		resource := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 1}
		switch {
		case q.Type == dnsmessage.TypeA && isAPI:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: resource, Body: &dnsmessage.AResource{A: APIAddr.As4()}})
		case q.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: resource, Body: &dnsmessage.AResource{A: SinkAddr.As4()}})
		case q.Type == dnsmessage.TypeAAAA && ipv6 && !isAPI:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: resource, Body: &dnsmessage.AAAAResource{AAAA: SinkAddr6.As16()}})
		}
	}
	reply, err = m.Pack()
	if err != nil {
		return nil, questions
	}
	return reply, questions
}
