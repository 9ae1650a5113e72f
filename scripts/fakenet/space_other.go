//go:build !linux

package fakenet

import (
	"context"
	"errors"
	"io"
	"net/netip"
)

type space struct{ ipv6 bool }

func newSpace(context.Context) (*space, error) {
	return nil, errors.New("network namespaces are Linux's")
}

func (*space) do(func() error) error                  { return errors.ErrUnsupported }
func (*space) packets() (io.ReadCloser, error)        { return nil, errors.ErrUnsupported }
func (*space) guest(netip.Addr, []netip.Prefix) error { return errors.ErrUnsupported }
func (*space) close() error                           { return nil }
