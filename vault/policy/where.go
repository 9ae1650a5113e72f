package policy

import (
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// where reads `host`, a pattern that may have a port and a path in it, and the two when
// they stand for themselves.
func (m mapping) where(s *Service) error {
	host, err := m.need("host")
	if err != nil {
		return err
	}
	if strings.Contains(host, "://") {
		return m.errorf(m.at("host"), "leave out the scheme", "host %s is a URL, want a host name", short(host))
	}
	if len(host) > maxTarget+maxPath {
		return m.errorf(m.at("host"), "", "host is %d bytes: longer than any name and path", len(host))
	}
	host, path, inline := strings.Cut(host, "/")
	t, err := readPattern(host, DefaultPort)
	if err == nil {
		err = foreign(strings.TrimPrefix(t.Host, wildcard))
	}
	if err != nil {
		return m.refuse("host", err, "host: refusing %s: %v", short(host), err)
	}
	s.Host, s.Port = t.Host, t.Port
	if m.fields["port"] != nil {
		if other, _ := readPattern(host, DefaultPort+1); other.Port == t.Port {
			return m.errorf(m.at("port"), "keep one of them", "the host has a port already")
		}
		if s.Port, err = m.port(); err != nil {
			return err
		}
	}
	if s.Port == DefaultPort {
		s.Port = 0
	}
	if m.fields["path"] == nil {
		if inline {
			return m.path(s, "host", "/"+path)
		}
		return nil
	}
	if inline {
		return m.errorf(m.at("path"), "keep one of them", "the host has a path already")
	}
	path, err = m.need("path")
	if err != nil {
		return err
	}
	return m.path(s, "path", path)
}

func (m mapping) path(s *Service, field, path string) (err error) {
	if s.Path, err = parsePath(path); err != nil {
		return m.refuse(field, err, "path: refusing %s: %v", short(path), err)
	}
	return nil
}

func (m mapping) port() (uint16, error) {
	n, ok := m.fields["port"].(*ast.IntegerNode)
	if !ok {
		return 0, m.errorf(m.fields["port"], "", "port is %s, want a number", kind(m.fields["port"]))
	}
	port, err := parsePort(n.GetToken().Value)
	if err != nil {
		return 0, m.errorf(n, "", "%v", err)
	}
	return port, nil
}
