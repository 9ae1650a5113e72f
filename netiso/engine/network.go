package engine

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
)

// Network is a bridge network to create.
type Network struct {
	Name   string
	Bridge string // the interface's name on the host, 15 characters at most
	Subnet netip.Prefix
	// Gateway is the host's own address on the bridge.
	Gateway netip.Addr
	Labels  map[string]string
	// Internal: it leads to the host and nowhere else.
	Internal bool
}

// NetworkInfo is a network that exists.
type NetworkInfo struct {
	ID, Name string
	Bridge   string
	Subnets  []netip.Prefix
	Labels   map[string]string
	Made     time.Time
}

// CreateNetwork makes an IPv4 bridge network. ErrConflict says that the
// name or the subnet is taken, so that the caller can try another.
func (e *Engine) CreateNetwork(ctx context.Context, n Network) (id string, err error) {
	noIPv6 := false
	answer, err := e.api.NetworkCreate(ctx, n.Name, network.CreateOptions{
		Driver:     "bridge",
		Internal:   n.Internal,
		EnableIPv6: &noIPv6,
		IPAM:       &network.IPAM{Config: []network.IPAMConfig{{Subnet: n.Subnet.String(), Gateway: n.Gateway.String()}}},
		Options: map[string]string{
			"com.docker.network.bridge.name":                 n.Bridge,
			"com.docker.network.bridge.enable_icc":           "false",
			"com.docker.network.bridge.enable_ip_masquerade": strconv.FormatBool(!n.Internal),
		},
		Labels: n.Labels,
	})
	return answer.ID, wrap(err, "create network %s on %s", n.Name, n.Subnet)
}

// RemoveNetwork removes a network; one that is gone already is a success.
func (e *Engine) RemoveNetwork(ctx context.Context, id string) error {
	return wrap(gone(e.api.NetworkRemove(ctx, id)), "remove network %s", id)
}

// Disconnect takes a container off a network, running or not.
func (e *Engine) Disconnect(ctx context.Context, network, container string) error {
	return wrap(e.api.NetworkDisconnect(ctx, network, container, true), "disconnect from network %s", network)
}

// Networks lists the networks that carry every one of the labels; all of them
// where none is given.
func (e *Engine) Networks(ctx context.Context, labels map[string]string) ([]NetworkInfo, error) {
	list, err := e.api.NetworkList(ctx, network.ListOptions{Filters: labelFilter(labels)})
	if err != nil {
		return nil, wrap(err, "list networks")
	}
	var out []NetworkInfo
	for _, n := range list {
		info := NetworkInfo{ID: n.ID, Name: n.Name, Labels: n.Labels, Made: n.Created, Bridge: n.Options["com.docker.network.bridge.name"]}
		for _, c := range n.IPAM.Config {
			if p, err := netip.ParsePrefix(c.Subnet); err == nil {
				info.Subnets = append(info.Subnets, p)
			}
		}
		out = append(out, info)
	}
	return out, nil
}

func labelFilter(labels map[string]string) filters.Args {
	args := filters.NewArgs()
	for k, v := range labels {
		args.Add("label", fmt.Sprintf("%s=%s", k, v))
	}
	return args
}
