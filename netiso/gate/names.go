package gate

import (
	"net/netip"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// maxNames bounds the memory that a flood of look-ups can take: at 253 bytes a
// name, 16,384 of them stay under 10 MiB. What falls out is the least recently used.
const maxNames = 16384

// pool is where addresses for names come from: the benchmarking range of RFC 2544,
// which nothing routes.
var pool = netip.MustParsePrefix("198.18.0.0/15")

// poolSize is the number of addresses in the pool.
const poolSize = 1 << 17

// names remembers which address was given for which name. An address leads nowhere:
// it is how a connection tells the gate which name the agent meant.
type names struct {
	mu     sync.Mutex
	byName *simplelru.LRU[string, netip.Addr]
	byAddr map[netip.Addr]string
	next   uint32
}

func newNames(size int) *names {
	n := &names{byAddr: make(map[netip.Addr]string)}
	// The only error is a size of zero or less.
	n.byName, _ = simplelru.NewLRU(size, func(_ string, a netip.Addr) { delete(n.byAddr, a) })
	return n
}

// address gives the address that stands for name, a new one if it has none.
func (n *names) address(name string) netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	if a, ok := n.byName.Get(name); ok {
		return a
	}
	// Addresses go round the whole pool, which is larger than the memory, so that
	// an address a client still holds is not soon another name's.
	for {
		n.next = (n.next + 1) % poolSize
		a := addressAt(n.next)
		if _, taken := n.byAddr[a]; taken || n.next == 0 {
			continue
		}
		n.byAddr[a] = name
		n.byName.Add(name, a)
		return a
	}
}

// name gives the name that an address stands for.
func (n *names) name(a netip.Addr) (string, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	name, ok := n.byAddr[a]
	if ok {
		n.byName.Get(name) // a name in use stays
	}
	return name, ok
}

func addressAt(i uint32) netip.Addr {
	base := pool.Addr().As4()
	return netip.AddrFrom4([4]byte{base[0], base[1] + byte(i>>16), byte(i >> 8), byte(i)})
}
