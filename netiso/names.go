package netiso

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/av-project/av/netiso/engine"
)

// NameFiles writes into the run's folder what tells programs where names are asked for,
// in a box without a link. An engine that is to give a container no network gives it none
// of these files either, and an image's own may name servers of wherever it was built.
func NameFiles(run Run, dir string) ([]engine.Bind, error) {
	var binds []engine.Bind
	for name, content := range map[string]string{
		"resolv.conf": "nameserver " + engineDNS + "\noptions ndots:0\n",
		"hosts":       "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.0.1 " + run.Hostname() + "\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o444); err != nil {
			return nil, fmt.Errorf("write the box's %s: %w", name, err)
		}
		binds = append(binds, engine.Bind{Source: path, Target: "/etc/" + name, ReadOnly: true})
	}
	return binds, nil
}
