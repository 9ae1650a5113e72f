package proxy

import (
	"context"
	"maps"
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

	mu   sync.Mutex
	held map[string]vault.Value
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
	return value, nil
}

// keys are those that were taken, sorted.
func (p *purse) keys() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(maps.Keys(p.held))
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
