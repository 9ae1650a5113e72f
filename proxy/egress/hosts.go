package egress

import (
	"net/netip"
	"os"
	"strings"
)

// inHosts looks host up in a file like /etc/hosts. A resolver would, but not under the
// name with a dot at its end that keeps search lists out: there is no "localhost." in
// the file. What is found is judged like any other answer.
func inHosts(file, host string) (addrs []netip.Addr) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil // as a resolver does
	}
	host = strings.TrimSuffix(host, ".")
	for line := range strings.Lines(string(b)) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		addr, err := netip.ParseAddr(fields[0])
		if err != nil {
			continue
		}
		for _, name := range fields[1:] {
			if strings.EqualFold(strings.TrimSuffix(name, "."), host) {
				addrs = append(addrs, addr)
				break
			}
		}
	}
	return addrs
}
