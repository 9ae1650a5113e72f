package proxy

import (
	"errors"
	"strings"

	"github.com/av-project/av/proxy/inject"
	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// errUnknownAuth: a newer services file than this proxy knows. Carrying its requests
// without their credential is not what it asks for.
var errUnknownAuth = errors.New("unknown auth type")

// fill gets what auth puts into a request ready.
func fill(auth policy.Auth, p *purse) ([]inject.Filling, error) {
	switch auth.Type {
	case policy.Passthrough:
		return nil, nil
	case policy.Bearer:
		return fillOne(inject.Bearer(), auth.Token, p)
	case policy.APIKey:
		return fillOne(inject.Slot{Header: auth.Header, Prefix: auth.Prefix}, auth.Key, p)
	case policy.Basic:
		return fillBasic(auth, p)
	case policy.Custom:
		return fillCustom(auth, p)
	}
	return nil, errUnknownAuth
}

func fillOne(slot inject.Slot, key string, p *purse) ([]inject.Filling, error) {
	value, err := p.take(key)
	if err != nil {
		return nil, err
	}
	filling, err := slot.Fill(value)
	if err != nil {
		return nil, &inject.KeyError{Key: key, Err: err}
	}
	return []inject.Filling{filling}, nil
}

func fillBasic(auth policy.Auth, p *purse) ([]inject.Filling, error) {
	username, err := p.take(auth.Username)
	if err != nil {
		return nil, err
	}
	var password vault.Value
	if auth.Password != "" {
		if password, err = p.take(auth.Password); err != nil {
			return nil, err
		}
	}
	pair, err := inject.Pair(username, password)
	if err != nil {
		return nil, &inject.KeyError{Key: listed(auth.Username, auth.Password), Err: err}
	}
	filling, err := inject.Basic().Fill(pair)
	if err != nil {
		return nil, err
	}
	return []inject.Filling{filling}, nil
}

func fillCustom(auth policy.Auth, p *purse) ([]inject.Filling, error) {
	var fillings []inject.Filling
	for _, header := range auth.Headers {
		template, err := policy.ParseTemplate(header.Value)
		if err != nil {
			return nil, err
		}
		value, err := template.Expand(func(key string) (string, error) {
			value, err := p.take(key)
			return string(value.Open()), err
		})
		if err != nil {
			return nil, err
		}
		filling, err := inject.Slot{Header: header.Name}.Fill(vault.NewValue([]byte(value)))
		if err != nil {
			return nil, &inject.KeyError{Key: listed(template.Keys()...), Err: err}
		}
		fillings = append(fillings, filling)
	}
	return fillings, nil
}

// listed joins the keys of which one is the bad one.
func listed(keys ...string) string {
	return strings.TrimSuffix(strings.Join(keys, " or "), " or ")
}
