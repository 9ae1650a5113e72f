package vault

import (
	"fmt"
	"slices"

	"github.com/av-project/av/vault/policy"
)

// checkSettings refuses what cannot be stored, and returns the rest in canonical form.
func checkSettings(settings []Setting) ([]Setting, error) {
	if len(settings) == 0 {
		return nil, &problem{"no credential was named", "av credential set KEY"}
	}
	seen := make(map[string]bool, len(settings))
	checked := make([]Setting, len(settings))
	for i, s := range settings {
		if err := CheckKey(s.Key); err != nil {
			return nil, err
		}
		if seen[s.Key] {
			return nil, &problem{"credential " + s.Key + " is set twice", "set each key once"}
		}
		seen[s.Key] = true
		var err error
		if checked[i], err = s.check(); err != nil {
			return nil, err
		}
	}
	return checked, nil
}

func (s Setting) check() (Setting, error) {
	var err error
	switch {
	case !s.Value.IsZero() && s.Reference != (Reference{}):
		err = &problem{"credential " + s.Key + " is given a value and a reference", "give it one of the two"}
	case !s.Value.IsZero():
		err = checkValue(s.Key, s.Value)
	case s.Reference != (Reference{}):
		err = s.Reference.check()
	case s.Hosts == nil && s.Versions == nil:
		err = emptyValue(s.Key)
	}
	if err != nil {
		return s, err
	}
	if s.Versions != nil && (*s.Versions < 0 || *s.Versions > maxVersions) {
		return s, &problem{fmt.Sprintf("cannot keep %d earlier values of %s", *s.Versions, s.Key), fmt.Sprintf("0 to %d can be kept", maxVersions)}
	}
	s.Hosts, err = checkHosts(s.Key, s.Hosts)
	return s, err
}

// checkHosts keeps the difference between no binding and none given.
func checkHosts(key string, hosts []string) ([]string, error) {
	if hosts == nil {
		return nil, nil
	}
	if len(hosts) > maxHosts {
		return nil, &problem{fmt.Sprintf("credential %s names %d hosts", key, len(hosts)), fmt.Sprintf("bind it to at most %d, or to a wildcard such as *.example.com", maxHosts)}
	}
	canonical := make([]string, len(hosts))
	for i, h := range hosts {
		host, err := policy.ParseHostPattern(h)
		if err != nil {
			return nil, fmt.Errorf("hosts of credential %s: %w", key, err)
		}
		canonical[i] = host
	}
	slices.Sort(canonical)
	return slices.Compact(canonical), nil
}

func checkValue(key string, val Value) error {
	plain := val.Open()
	defer clear(plain)
	if len(plain) == 0 {
		return emptyValue(key)
	}
	if len(plain) > maxValue {
		return &problem{fmt.Sprintf("the value of %s has more than %d KiB", key, maxValue>>10), "a credential is a token, not a file"}
	}
	return nil
}

func emptyValue(key string) error {
	return &problem{"the value of " + key + " is empty", "give it one; `av credential delete " + key + "` removes a credential"}
}
