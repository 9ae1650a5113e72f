package proxy

import (
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// budget is how many bytes may go out. What does not fit is not sent at all.
type budget struct {
	limit int64
	of    string // what it is for, as a refusal says it
	raise string // the setting that changes it
	spent atomic.Int64
}

func (b *budget) spend(n int64) bool {
	if b.spent.Add(n) > b.limit {
		b.spent.Add(-n)
		return false
	}
	return true
}

// budgets are those of one session.
type budgets struct {
	session *budget
	hosts   map[string]*budget

	mu       sync.Mutex
	services map[string]*budget // by name: a service that was changed has spent what it had
}

func newBudgets(l vault.Limits) *budgets {
	b := &budgets{hosts: map[string]*budget{}, services: map[string]*budget{}}
	if l.MaxBytesOut > 0 {
		b.session = &budget{limit: l.MaxBytesOut, of: "this session", raise: "--limit max_bytes_out"}
	}
	for host, limit := range l.HostMaxBytesOut {
		b.hosts[host] = &budget{limit: limit, of: "this session to " + host, raise: "--limit max_bytes_out@" + host}
	}
	return b
}

// account is all the budgets that a request, or an unread tunnel, draws on.
type account []*budget

// account never grows with what a client says: hosts and services are those that someone
// gave a budget.
func (b *budgets) account(host string, service *policy.Service) (a account) {
	if b.session != nil {
		a = append(a, b.session)
	}
	if of := b.hosts[host]; of != nil {
		a = append(a, of)
	}
	if service == nil || service.MaxBytesOut == 0 {
		return a
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	of := b.services[service.Name]
	if of == nil || of.limit != service.MaxBytesOut {
		now := &budget{limit: service.MaxBytesOut, of: "this session to service " + service.Name, raise: "max_bytes_out of the service"}
		if of != nil {
			now.spent.Store(of.spent.Load())
		}
		of = now
		b.services[service.Name] = of
	}
	return append(a, of)
}

// spend takes n bytes out of all of them, or out of none and names the one that has no
// more.
func (a account) spend(n int64) (short *budget) {
	for i, b := range a {
		if !b.spend(n) {
			for _, taken := range a[:i] {
				taken.spent.Add(-n)
			}
			return b
		}
	}
	return nil
}

// fits tells which budget could not carry n more bytes, without taking them.
func (a account) fits(n int64) (short *budget) {
	for _, b := range a {
		if n > b.limit-b.spent.Load() {
			return b
		}
	}
	return nil
}

// draw spends n bytes that x's client has sent, and cuts x off where they do not fit.
func (x *exchange) draw(a account, n int) error {
	if short := a.spend(int64(n)); short != nil {
		return x.cutOff(budgetSpent(short))
	}
	return nil
}

// headSize is about what a request's head weighs. Data leaves in a path, a query or a
// header as well as in a body.
func headSize(r *http.Request) int64 {
	n := len(r.Method) + len(r.RequestURI) + len(r.Host)
	for name, values := range r.Header {
		for _, v := range values {
			n += len(name) + len(v)
		}
	}
	for name := range r.Trailer {
		n += len(name) // what is announced leaves with the head
	}
	return int64(n)
}
