package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/av-project/av/vault/policy"
)

// pinTimeout bounds the look-up of a name that --host-service has.
const pinTimeout = 10 * time.Second

// localhost is this machine's, whatever the name is taken for in a box.
const localhost = "localhost"

// resolver turns a name into addresses, as *net.Resolver does.
type resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

func hostServiceFlag(c *cobra.Command, list *[]string) {
	c.Flags().StringArrayVar(list, "host-service", nil,
		"let one TCP endpoint of this machine, or of its network, be reached as NAME.host: `NAME=HOST:PORT`, such as pg=127.0.0.1:5432")
}

// wanted is one --host-service as it was written.
type wanted struct {
	name string
	at   policy.Target
}

// readHostServices reads the flags, and asks nobody.
func readHostServices(flags []string) (list []wanted, err error) {
	for _, flag := range flags {
		name, at, err := policy.ParseHostService(flag)
		if err != nil {
			return nil, elseHint(fmt.Errorf("--host-service: %w", err), "write NAME=HOST:PORT, such as pg=127.0.0.1:5432")
		}
		for _, other := range list {
			if other.name == name && other.at.Port == at.Port {
				return nil, withHint(fmt.Errorf("--host-service: %s.host:%d is named twice", name, at.Port), "give each a name of its own")
			}
		}
		list = append(list, wanted{name, at})
	}
	return list, nil
}

// pinHostServices finds the one address that each is to have, for as long as the session
// lasts: a name that changes its answer later does not move what was granted.
func pinHostServices(ctx context.Context, list []wanted, r resolver) (services []policy.HostService, err error) {
	for _, a := range list {
		addr, err := pin(ctx, a.at, r)
		if err != nil {
			return nil, fmt.Errorf("--host-service %s=%s: %w", a.name, a.at, err)
		}
		services = append(services, policy.HostService{Name: a.name, Address: netip.AddrPortFrom(addr, a.at.Port)})
	}
	return services, nil
}

// pin judges all addresses of a name, and takes the first.
func pin(ctx context.Context, at policy.Target, r resolver) (first netip.Addr, err error) {
	addrs := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	if literal, err := netip.ParseAddr(at.Host); err == nil {
		addrs[0] = literal
	} else if at.Host != localhost {
		ctx, cancel := context.WithTimeout(ctx, pinTimeout)
		defer cancel()
		if addrs, err = r.LookupNetIP(ctx, "ip", at.Host); err != nil || len(addrs) == 0 {
			return first, withHint(fmt.Errorf("%s cannot be resolved", at.Host), "name the address itself")
		}
	}
	for _, addr := range addrs {
		service := policy.HostService{Name: "x", Address: netip.AddrPortFrom(addr.Unmap(), at.Port)}
		if err := service.CheckAddress(); err != nil {
			return first, err
		}
	}
	return addrs[0].Unmap(), nil
}

// hostServices reads the flags, pins what they name, and says what a name leads to.
func hostServices(ctx context.Context, flags []string, say func(string)) ([]policy.HostService, error) {
	list, err := readHostServices(flags)
	if err != nil {
		return nil, err
	}
	services, err := pinHostServices(ctx, list, net.DefaultResolver)
	for i, s := range services {
		if named := list[i].at; s.Address.String() != named.String() && named.Host != localhost {
			say(fmt.Sprintf("%s, where %s leads now", s, named.Host))
		}
	}
	return services, err
}

// describeHostServices is what the last line of a run says of what it was given.
func describeHostServices(list []policy.HostService) string {
	if len(list) == 0 {
		return ""
	}
	var names []string
	for _, s := range list {
		names = append(names, s.String())
	}
	return "; host services: " + strings.Join(names[:min(len(names), maxListed)], ", ")
}
