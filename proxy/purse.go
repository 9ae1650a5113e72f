package proxy

import (
	"context"
	"slices"
	"sync"

	"github.com/av-project/av/proxy/inject"
	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// purse fetches the credentials of one exchange, each once and when it is needed, and
// so knows which were. A WebSocket goes on asking while the answer streams.
type purse struct {
	ctx     context.Context
	session *vault.Session
	meter   *meter
	host    string

	mu   sync.Mutex // held while a value is fetched, which may take its time
	held map[string]vault.Value

	naming sync.Mutex
	names  []string // of those that were taken
}

func (p *purse) take(key string) (vault.Value, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if value, ok := p.held[key]; ok {
		return value, nil
	}
	err := p.meter.credential(p.ctx, key)
	if err != nil {
		return vault.Value{}, &inject.KeyError{Key: key, Err: err}
	}
	value, err := p.session.Credential(p.ctx, key, p.host)
	if err != nil {
		return vault.Value{}, &inject.KeyError{Key: key, Err: err}
	}
	if p.held == nil {
		p.held = map[string]vault.Value{}
	}
	p.held[key] = value
	p.naming.Lock()
	p.names = append(p.names, key)
	p.naming.Unlock()
	return value, nil
}

// keys are those that were taken, sorted. It does not wait for one that is being fetched.
func (p *purse) keys() []string {
	p.naming.Lock()
	defer p.naming.Unlock()
	return slices.Sorted(slices.Values(p.names))
}

// recheck tells why one that was taken may no longer be had.
func (p *purse) recheck() error {
	for _, key := range p.keys() {
		if err := p.session.MayUse(p.ctx, key, p.host); err != nil {
			return &inject.KeyError{Key: key, Err: err}
		}
	}
	return nil
}

// marks are the placeholders that service has on a surface.
func (p *purse) marks(service *policy.Service, on policy.Surface) []inject.Mark {
	var marks []inject.Mark
	for _, sub := range service.Substitutions {
		if slices.Contains(sub.In, on) {
			marks = append(marks, inject.Mark{
				Placeholder: sub.Placeholder, Key: sub.Key,
				Value: func() (vault.Value, error) { return p.take(sub.Key) },
			})
		}
	}
	return marks
}
