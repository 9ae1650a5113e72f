package gate

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// originalTarget asks the kernel where a caught connection was going before the
// redirect (SO_ORIGINAL_DST, linux/netfilter_ipv4.h).
func originalTarget(conn *net.TCPConn) (netip.AddrPort, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return netip.AddrPort{}, err
	}
	var target netip.AddrPort
	var failed error
	err = raw.Control(func(fd uintptr) {
		// The answer is a sockaddr_in of 16 bytes; the group request structure is the
		// one in the library that returns that many untouched.
		answer, err := unix.GetsockoptIPv6Mreq(int(fd), unix.SOL_IP, unix.SO_ORIGINAL_DST)
		if err != nil {
			failed = err
			return
		}
		a := answer.Multiaddr
		target = netip.AddrPortFrom(netip.AddrFrom4([4]byte(a[4:8])), binary.BigEndian.Uint16(a[2:4]))
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("ask for the original target: %w", err)
	}
	return target, nil
}
