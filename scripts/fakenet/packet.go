package fakenet

import (
	"encoding/binary"
	"net/netip"
)

const (
	maxPacket = 1 << 16

	tcpSYN = 0x02
	tcpACK = 0x10

	protoHopByHop = 0
	protoICMP     = 1
	protoTCP      = 6
	protoUDP      = 17
	protoRouting  = 43
	protoFragment = 44
	protoICMPv6   = 58
	protoOptions  = 60
)

// capture notes every packet that comes in, on whatever port and of whatever protocol: what leaks need not be
// polite enough to go where somebody listens.
func (n *Net) capture() error {
	packets, err := n.space.packets()
	if err != nil {
		return err
	}
	n.until(packets)
	n.serving.Go(func() {
		buf := make([]byte, maxPacket)
		for {
			size, err := packets.Read(buf)
			if err != nil {
				return
			}
			if e, ok := parsePacket(buf[:size]); ok {
				n.sinks.add(e)
			}
		}
	})
	return nil
}

// parsePacket reads an IP packet. What it cannot take apart is still something that arrived, and comes out as kind IP;
// not noted are only the packets by which IPv6 neighbours find each other.
func parsePacket(b []byte) (Event, bool) {
	if len(b) == 0 {
		return Event{}, false
	}
	switch {
	case b[0]>>4 == 4 && len(b) >= 20:
		return parseIPv4(b)
	case b[0]>>4 == 6 && len(b) >= 40:
		return parseIPv6(b)
	}
	return Event{Kind: IP, Payload: clip(b)}, true
}

func parseIPv4(b []byte) (Event, bool) {
	from, to := netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	header := int(b[0]&0x0f) * 4
	later := binary.BigEndian.Uint16(b[6:])&0x1fff != 0 // a fragment with no transport header
	if header < 20 || header > len(b) || later {
		return raw(from, to, b[20:])
	}
	return parseTransport(from, to, b[9], b[header:])
}

func parseIPv6(b []byte) (Event, bool) {
	from, to := netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	proto, rest := b[6], b[40:]
	for proto == protoHopByHop || proto == protoRouting || proto == protoFragment || proto == protoOptions {
		if len(rest) < 8 {
			return raw(from, to, rest)
		}
		size := 8
		if proto != protoFragment {
			size += int(rest[1]) * 8
		} else if binary.BigEndian.Uint16(rest[2:])&0xfff8 != 0 {
			return raw(from, to, rest)
		}
		if size > len(rest) {
			return raw(from, to, rest)
		}
		proto, rest = rest[0], rest[size:]
	}
	return parseTransport(from, to, proto, rest)
}

func parseTransport(from, to netip.Addr, proto byte, b []byte) (Event, bool) {
	switch {
	case proto == protoTCP && len(b) >= 14:
		// Behind an IPv6 extension header the kernel's filter does not see the flags, so they are judged again.
		if b[13]&(tcpSYN|tcpACK) != tcpSYN {
			return Event{}, false
		}
		return ports(SYN, from, to, b, nil), true
	case proto == protoUDP && len(b) >= 8:
		return ports(UDP, from, to, b, b[8:]), true
	case proto == protoICMP && len(b) >= 8:
		return Event{Kind: ICMP, From: netip.AddrPortFrom(from, 0), To: netip.AddrPortFrom(to, 0), Payload: clip(b[8:])}, true
	case proto == protoICMPv6 && len(b) >= 8:
		if isNeighbourTalk(b[0]) {
			return Event{}, false
		}
		return Event{Kind: ICMP, From: netip.AddrPortFrom(from, 0), To: netip.AddrPortFrom(to, 0), Payload: clip(b[8:])}, true
	}
	return raw(from, to, b)
}

// isNeighbourTalk tells the ICMPv6 types by which every IPv6 link keeps itself going: MLD and neighbour discovery.
func isNeighbourTalk(icmpType byte) bool {
	return icmpType >= 130 && icmpType <= 137 || icmpType == 143
}

func ports(kind Kind, from, to netip.Addr, header, payload []byte) Event {
	return Event{
		Kind:    kind,
		From:    netip.AddrPortFrom(from, binary.BigEndian.Uint16(header)),
		To:      netip.AddrPortFrom(to, binary.BigEndian.Uint16(header[2:])),
		Payload: clip(payload),
	}
}

func raw(from, to netip.Addr, b []byte) (Event, bool) {
	return Event{Kind: IP, From: netip.AddrPortFrom(from, 0), To: netip.AddrPortFrom(to, 0), Payload: clip(b)}, true
}
