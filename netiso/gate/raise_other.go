//go:build !linux

package gate

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

var errLinuxOnly = errors.New("the gate runs in a Linux network namespace")

func raise(context.Context, Config, *server) (Report, error) { return Report{}, errLinuxOnly }

func originalTarget(*net.TCPConn) (netip.AddrPort, error) { return netip.AddrPort{}, errLinuxOnly }
