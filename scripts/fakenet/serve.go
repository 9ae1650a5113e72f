package fakenet

import (
	"net"
	"net/netip"
)

// The ports where the attacker listens: those that data is known to leave by.
var (
	tcpPorts = []uint16{22, 25, 53, 80, 443, 853, 3000, 5432, 6379, 8080}
	udpPorts = []uint16{53, 123, 443, 853, HighPort}
)

// serveTCP takes connections on the sink's ports, and on those of the API's host where the API does not listen: that
// a host is allowed says nothing about its other ports.
func (n *Net) serveTCP() error {
	for _, addr := range n.present(SinkAddr, SinkAddr6, APIAddr) {
		for _, port := range tcpPorts {
			if addr == APIAddr && (port == 80 || port == 443) {
				continue
			}
			if err := n.acceptTCP(netip.AddrPortFrom(addr, port), n.drain); err != nil {
				return err
			}
		}
	}
	return nil
}

// acceptTCP hands every connection to a handler, which need not close it.
func (n *Net) acceptTCP(addr netip.AddrPort, handle func(net.Conn)) error {
	ln, err := n.Listen(addr)
	if err != nil {
		return err
	}
	n.until(ln)
	n.serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			n.serving.Go(func() {
				defer conn.Close()
				defer n.until(conn)()
				handle(conn)
			})
		}
	})
	return nil
}

// drain notes what a connection sends, and says nothing.
func (n *Net) drain(conn net.Conn) {
	number := n.sinks.add(Event{Kind: TCP, From: addrPort(conn.RemoteAddr()), To: addrPort(conn.LocalAddr())})
	buf := make([]byte, 32<<10)
	for {
		size, err := conn.Read(buf)
		if size > 0 {
			n.sinks.grow(number, buf[:size])
		}
		if err != nil {
			return
		}
	}
}

// serveUDP sends every datagram back, so that a test sees both directions. What arrives is noted by capture, on
// these ports and all others; the ICMP error too, with which a sender that has gone may answer and quote our reply.
func (n *Net) serveUDP() error {
	for _, addr := range n.present(SinkAddr, SinkAddr6) {
		for _, port := range udpPorts {
			if err := n.answerUDP(netip.AddrPortFrom(addr, port), func(b []byte, _, _ netip.AddrPort) []byte { return b }); err != nil {
				return err
			}
		}
	}
	return nil
}

// answerUDP answers every datagram with what answer makes of it; nil is no answer.
func (n *Net) answerUDP(addr netip.AddrPort, answer func(b []byte, from, to netip.AddrPort) []byte) error {
	var conn *net.UDPConn
	err := n.space.do(func() (err error) {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
		return err
	})
	if err != nil {
		return err
	}
	n.until(conn)
	n.serving.Go(func() {
		buf := make([]byte, maxPacket)
		for n.ctx.Err() == nil {
			// A port-unreachable message from a sender that has gone is an error here too, and no reason to stop.
			size, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				continue
			}
			if reply := answer(buf[:size], from, addr); reply != nil {
				conn.WriteToUDPAddrPort(reply, from)
			}
		}
	})
	return nil
}

// present leaves out the addresses that this fake internet does not have.
func (n *Net) present(addrs ...netip.Addr) []netip.Addr {
	var there []netip.Addr
	for _, a := range addrs {
		if a.Is4() || n.IPv6() {
			there = append(there, a)
		}
	}
	return there
}

func addrPort(a net.Addr) netip.AddrPort {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{} // not an IP socket
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
