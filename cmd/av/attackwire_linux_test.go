package main

import (
	"bytes"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// wire notes the names that this machine asks for, of whatever server, on every link that is not a run's own. The
// engine asks for its containers, and it asks the machine's real resolver, which no sink of ours is.
type wire struct {
	mu  sync.Mutex
	got [][]byte
}

// tapped is more than any query has that the attacks send.
const tapped = 2048

func tapWire(t *testing.T) *wire {
	t.Helper()
	const all = unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8&0xff // in network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, all&0xffff)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20); err != nil {
		t.Fatal(err)
	}
	w := &wire{}
	file := os.NewFile(uintptr(fd), "wire") // its descriptor is polled, so that Close ends what reads
	raw, err := file.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		links := map[int]string{}
		buf := make([]byte, tapped)
		_ = raw.Read(func(fd uintptr) bool {
			for {
				n, from, err := unix.Recvfrom(int(fd), buf, 0)
				if err == unix.EAGAIN {
					return false
				}
				if at, ok := from.(*unix.SockaddrLinklayer); err == nil && ok && at.Pkttype == unix.PACKET_OUTGOING && isQuery(buf[:n]) && !isRuns(links, at.Ifindex) {
					w.mu.Lock()
					w.got = append(w.got, bytes.Clone(buf[:n]))
					w.mu.Unlock()
				}
			}
		})
	}()
	t.Cleanup(func() { file.Close(); <-done })
	return w
}

// isRuns tells a run's bridge, and what is plugged into some bridge: what is only there has not gone anywhere yet.
func isRuns(links map[int]string, index int) bool {
	name, known := links[index]
	if !known {
		if link, err := net.InterfaceByIndex(index); err == nil {
			name = link.Name
		}
		links[index] = name
	}
	return strings.HasPrefix(name, "av-") || strings.HasPrefix(name, "veth")
}

// isQuery tells whether an IPv4 packet is UDP or TCP to port 53.
func isQuery(b []byte) bool {
	if len(b) < 24 || b[0]>>4 != 4 || b[9] != unix.IPPROTO_UDP && b[9] != unix.IPPROTO_TCP {
		return false
	}
	header := int(b[0]&0x0f) * 4
	return len(b) >= header+4 && b[header+2] == 0 && b[header+3] == 53
}

// seen tells whether somebody was asked for a name with the marker in it.
func (w *wire) seen(marker string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, packet := range w.got {
		if bytes.Contains(bytes.ToLower(packet), []byte(marker)) {
			return "a name server was asked: " + net.IP(packet[16:20]).String()
		}
	}
	return ""
}
