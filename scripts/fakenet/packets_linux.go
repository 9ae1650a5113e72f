package fakenet

import (
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// packets returns the packets that come in by the link, one for each Read, beginning with their IP header. Of TCP only
// the first packet of each connection is among them: a long download would crowd out the rest.
func (s *space) packets() (io.ReadCloser, error) {
	program, err := bpf.Assemble(worthNoting)
	if err != nil {
		return nil, err
	}
	filter := make([]unix.SockFilter, len(program))
	for i, p := range program {
		filter[i] = unix.SockFilter{Code: p.Op, Jt: p.Jt, Jf: p.Jf, K: p.K}
	}
	var fd int
	err = s.do(func() error {
		link, err := net.InterfaceByName(insideLink)
		if err != nil {
			return err
		}
		// Protocol 0 takes nothing yet; the filter is there before the first packet.
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
			&unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20)
		}
		if err == nil {
			err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: link.Index})
		}
		if err != nil {
			unix.Close(fd)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen for packets: %w", err)
	}
	return os.NewFile(uintptr(fd), "packets"), nil
}

func networkOrder(v uint16) uint16 { return v<<8 | v>>8 }

// worthNoting passes incoming IP packets, and of TCP those alone that open a connection: SYN without ACK.
// Jumps count instructions; the two last ones are keep and drop.
var worthNoting = []bpf.Instruction{
	/* 0 */ bpf.LoadExtension{Num: bpf.ExtType},
	/* 1 */ bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PACKET_OUTGOING, SkipTrue: 17}, // drop
	/* 2 */ bpf.LoadExtension{Num: bpf.ExtProto},
	/* 3 */ bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_IPV6, SkipTrue: 8}, // 12
	/* 4 */ bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.ETH_P_IP, SkipTrue: 14}, // drop
	// IPv4
	/* 5 */ bpf.LoadAbsolute{Off: 9, Size: 1},
	/* 6 */ bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_TCP, SkipTrue: 11}, // keep
	/* 7 */ bpf.LoadAbsolute{Off: 6, Size: 2},
	/* 8 */ bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x1fff, SkipTrue: 9}, // a later fragment: keep
	/* 9 */ bpf.LoadMemShift{Off: 0},
	/* 10 */ bpf.LoadIndirect{Off: 13, Size: 1},
	/* 11 */ bpf.Jump{Skip: 3}, // 15
	// IPv6
	/* 12 */ bpf.LoadAbsolute{Off: 6, Size: 1},
	/* 13 */ bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_TCP, SkipTrue: 4}, // keep
	/* 14 */ bpf.LoadAbsolute{Off: 53, Size: 1},
	// the TCP flags
	/* 15 */ bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: tcpSYN | tcpACK},
	/* 16 */ bpf.JumpIf{Cond: bpf.JumpEqual, Val: tcpSYN, SkipTrue: 1}, // keep
	/* 17 */ bpf.Jump{Skip: 1}, // drop
	/* 18 */ bpf.RetConstant{Val: maxPacket},
	/* 19 */ bpf.RetConstant{Val: 0},
}
