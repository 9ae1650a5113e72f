package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/runner"
)

// publishFlags are the ports of the box that a run opens to this machine.
type publishFlags struct{ ports []string }

func (f *publishFlags) add(c *cobra.Command) {
	c.Flags().StringArrayVarP(&f.ports, "publish", "p", nil, "reach `PORT[:HOSTPORT]` of the box on 127.0.0.1 of this machine; HOSTPORT 0 takes a free one")
}

// check makes sense of them.
func (f publishFlags) check(isolation string) (list []runner.Publish, err error) {
	if len(f.ports) > 0 && isolation == "host" {
		return nil, withHint(errors.New("--publish needs a container"), "add --isolation=container; on the host the command's ports are there as they are")
	}
	taken := map[uint16]bool{}
	for _, text := range f.ports {
		p, err := parsePublish(text)
		if err != nil {
			return nil, err
		}
		if p.Host != 0 && taken[p.Host] {
			return nil, withHint(fmt.Errorf("--publish names port %d of this machine twice", p.Host), fmt.Sprintf("name another for one of them, such as --publish %d:0", p.Port))
		}
		taken[p.Host] = true
		list = append(list, p)
	}
	return list, nil
}

// parsePublish reads PORT[:HOSTPORT]. Others write the host's port first, with an address
// and a protocol: who is used to that is told.
func parsePublish(text string) (p runner.Publish, err error) {
	bad := func(why string) (runner.Publish, error) {
		return p, withHint(fmt.Errorf("--publish %q: %s", text, why), "use --publish PORT, or --publish PORT:HOSTPORT with the box's port first, such as --publish 3000:8080")
	}
	if name, protocol, ok := strings.Cut(text, "/"); ok {
		if protocol != "tcp" {
			return bad("only TCP is carried")
		}
		text = name
	}
	parts := strings.Split(text, ":")
	switch {
	case len(parts) > 2:
		return bad("there is no address to name: a port is published on 127.0.0.1 alone")
	case strings.Contains(text, "-"):
		return bad("a range is not taken; name each port")
	}
	number := func(what, s string, least int) (n uint64) {
		if n, err = strconv.ParseUint(s, 10, 16); err != nil || n < uint64(least) {
			_, err = bad(fmt.Sprintf("%q is no port of %s", s, what))
		}
		return n
	}
	box := number("the box", parts[0], 1)
	if err != nil {
		return p, err
	}
	host := box
	if len(parts) == 2 {
		if host = number("this machine", parts[1], 0); err != nil {
			return p, err
		}
	}
	if netiso.Reserved(uint16(box)) {
		return bad(fmt.Sprintf("port %d of the box is av's own", box))
	}
	return runner.Publish{Port: uint16(box), Host: uint16(host)}, nil
}

// publishedPort is a published port as the receipt has it.
type publishedPort struct {
	Port        uint16 `json:"port"`
	HostPort    uint16 `json:"host_port"`
	Connections int    `json:"connections"`
	BytesIn     int64  `json:"bytes_in"`  // into the box
	BytesOut    int64  `json:"bytes_out"` // out of it
}

func (r *receipt) publish(all []runner.Published) {
	for _, p := range all {
		r.Published = append(r.Published, publishedPort{p.Port, p.Host, p.Connections, p.BytesIn, p.BytesOut})
	}
}
