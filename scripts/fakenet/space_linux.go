package fakenet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const (
	hostLink   = "avfake0" // on this machine
	insideLink = "eth0"
)

// space is the network namespace and the link that leads there. The namespace has no name in the file system: only our
// descriptor holds it, so the kernel takes it and the link away when this process ends, by kill -9 too.
type space struct {
	lock *os.File
	ns   *os.File
	ipv6 bool
}

func newSpace(ctx context.Context) (_ *space, err error) {
	s := &space{}
	defer func() {
		if errors.Is(err, unix.EPERM) { // root in a container is seldom root of the network
			err = fmt.Errorf("%w: %w", ErrNeedsRoot, err)
		}
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if os.Geteuid() != 0 {
		return nil, ErrNeedsRoot
	}
	if s.lock, err = lock(ctx, filepath.Join(os.TempDir(), "av-fakenet.lock")); err != nil {
		return nil, err
	}
	if s.ns, err = newNamespace(); err != nil {
		return nil, fmt.Errorf("make a network namespace: %w", err)
	}
	_, noIPv6 := os.Stat("/proc/net/if_inet6")
	s.ipv6 = noIPv6 == nil
	if err := s.connect(); err != nil {
		return nil, err
	}
	return s, nil
}

// lock waits for the machine's one place for a fake internet. The kernel gives it back when its holder dies.
func lock(ctx context.Context, path string) (*os.File, error) {
	// Root opens a file in a folder where everybody may write: a link laid there must not be followed.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("wait for another fake internet to end: %w", context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func newNamespace() (ns *os.File, err error) {
	onThread(func() {
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			ns, err = os.Open("/proc/thread-self/ns/net")
		}
	})
	return ns, err
}

// onThread runs f on a thread of its own, which ends with it: a namespace is a property of the thread, and must not
// leak to other goroutines.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked
		f()
	}()
	<-done
}

// do runs f inside. Sockets that f opens stay inside, whoever uses them later.
func (s *space) do(f func() error) (err error) {
	onThread(func() {
		if err = unix.Setns(int(s.ns.Fd()), unix.CLONE_NEWNET); err == nil {
			err = f()
		}
	})
	return err
}

// connect lays the link and gives both ends their addresses.
func (s *space) connect() error {
	host, err := netlink.NewHandle()
	if err != nil {
		return err
	}
	defer host.Close()
	inside, err := netlink.NewHandleAt(netns.NsHandle(s.ns.Fd()))
	if err != nil {
		return err
	}
	defer inside.Close()

	// The kernel takes a dead owner's link away in its own time; we hold the lock, so what is there is nobody's.
	if left, err := host.LinkByName(hostLink); err == nil {
		host.LinkDel(left)
	}
	veth := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: hostLink},
		PeerName:      insideLink,
		PeerNamespace: netlink.NsFd(s.ns.Fd()),
	}
	if err := dropGuests(); err != nil {
		return fmt.Errorf("clear what a dead owner's guests left: %w", err)
	}
	if err := host.LinkAdd(veth); err != nil {
		return fmt.Errorf("make the link %s: %w", hostLink, err)
	}
	hosts := []netip.Addr{APIAddr, VendorAddr, DNSAddr, SinkAddr, SinkAddr6}
	if err := s.raise(host, hostLink, HostAddr, HostAddr6); err != nil {
		return err
	}
	// Each host by itself: the rest of the range may be somebody's on this machine's network, a package mirror's for
	// one, however much it is kept for examples.
	if err := s.onLink(host, hostLink, hosts...); err != nil {
		return err
	}
	return s.do(func() error {
		if err := s.raise(inside, "lo"); err != nil {
			return err
		}
		if err := s.raise(inside, insideLink, hosts...); err != nil {
			return err
		}
		if err := s.onLink(inside, insideLink, HostAddr, HostAddr6); err != nil {
			return err
		}
		return s.route(inside, HostAddr, HostAddr6)
	})
}

// onLink makes the link the way to single addresses.
func (s *space) onLink(h *netlink.Handle, name string, addrs ...netip.Addr) error {
	link, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	for _, a := range addrs {
		if a.Is6() && !s.ipv6 {
			continue
		}
		if err := h.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: single(a), Scope: netlink.SCOPE_LINK}); err != nil {
			return fmt.Errorf("route to %s: %w", a, err)
		}
	}
	return nil
}

// single is the network of one address.
func single(a netip.Addr) *net.IPNet { return network(netip.PrefixFrom(a, a.BitLen())) }

func network(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// raise gives a link its addresses and sets it up.
func (s *space) raise(h *netlink.Handle, name string, addrs ...netip.Addr) error {
	link, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	if s.ipv6 {
		if err := enableIPv6(name); err != nil {
			return err
		}
	}
	for _, a := range addrs {
		if a.Is6() && !s.ipv6 {
			continue
		}
		addr := &netlink.Addr{IPNet: single(a)}
		addr.Flags = unix.IFA_F_NODAD // nobody else is on this link; do not wait to find that out
		if err := h.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("give %s the address %s: %w", name, a, err)
		}
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("set up %s: %w", name, err)
	}
	return nil
}

// route sends what is not on the link back to this machine: a container's address, when nobody translates it.
func (s *space) route(h *netlink.Handle, gateways ...netip.Addr) error {
	link, err := h.LinkByName(insideLink)
	if err != nil {
		return err
	}
	for _, gw := range gateways {
		if gw.Is6() && !s.ipv6 {
			continue
		}
		if err := h.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: gw.AsSlice()}); err != nil {
			return fmt.Errorf("route by %s: %w", gw, err)
		}
	}
	return nil
}

// enableIPv6 undoes for this link alone what a machine may have set for all new ones.
func enableIPv6(link string) error {
	file := filepath.Join("/proc/sys/net/ipv6/conf", link, "disable_ipv6")
	value, err := os.ReadFile(file)
	if err != nil || bytes.HasPrefix(value, []byte("0")) {
		return err
	}
	return os.WriteFile(file, []byte("0"), 0o644)
}

// close takes the link away at once, though it would go with the namespace.
func (s *space) close() error {
	var errs []error
	if s.ns != nil {
		if link, err := netlink.LinkByName(hostLink); err == nil {
			errs = append(errs, netlink.LinkDel(link))
		}
		errs = append(errs, dropGuests(), s.ns.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}
