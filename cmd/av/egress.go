package main

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/av-project/av/proxy/egress"
)

// The variables that say how av's proxy gets out. av does not look at HTTP_PROXY and its
// like: in a terminal under av they name av itself.
const (
	upstreamProxy   = "AV_UPSTREAM_PROXY"
	upstreamNoProxy = "AV_UPSTREAM_NO_PROXY"
	upstreamCA      = "AV_UPSTREAM_CA"
	egressAllow     = "AV_EGRESS_ALLOW"
)

// wayOut is how the proxy reaches upstreams, and whose certificates it takes there.
type wayOut struct {
	guard *egress.Guard
	roots *x509.CertPool // nil: the system's
}

// wayOut reads the variables. A value that cannot be used ends the run before it begins.
func (e *env) wayOut() (w wayOut, err error) {
	var options []egress.Option
	if list := e.getenv(egressAllow); list != "" {
		ranges, err := egress.ParseRanges(list)
		if err != nil {
			return w, unusable(egressAllow, err)
		}
		options = append(options, egress.Allow(ranges))
	}
	if file := e.getenv(upstreamCA); file != "" {
		if w.roots, err = systemAnd(file); err != nil {
			return w, elseHint(unusable(upstreamCA, err), "name a file of certificates in PEM form")
		}
	}
	rules := e.getenv(upstreamNoProxy)
	if rules != "" {
		// NO_PROXY is other programs' too, and may hold what only they can read.
		if err := egress.CheckRules(rules); err != nil {
			return w, unusable(upstreamNoProxy, err)
		}
	}
	if address := e.getenv(upstreamProxy); address != "" {
		rules = cmp.Or(rules, e.getenv("no_proxy"), e.getenv("NO_PROXY"))
		proxy, err := egress.NewProxy(strings.TrimSpace(address), rules, w.roots)
		if err != nil {
			return w, unusable(upstreamProxy, err)
		}
		options = append(options, egress.Through(proxy))
	}
	w.guard = egress.New(net.DefaultResolver, &net.Dialer{}, options...)
	return w, nil
}

func unusable(variable string, err error) error {
	return fmt.Errorf("cannot use %s: %w", variable, err)
}

// systemAnd are the system's authorities and those of a file.
func systemAnd(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("read the system's authorities: %w", err)
	}
	if err := egress.AddAuthorities(pool, text); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return pool, nil
}
