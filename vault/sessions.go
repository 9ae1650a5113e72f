package vault

import (
	"sync"

	"github.com/av-project/av/vault/policy"
	"github.com/av-project/av/vault/store"
)

// maxSessions bounds the sessions in memory. Above it the one that expires first is
// closed: its connections end, and its next one is looked up again.
const maxSessions = 1024

// sessions are those in memory, so that a busy proxy does not read the file for each
// connection. Nothing unknown is remembered: guesses cost memory nothing.
type sessions struct {
	mu       sync.Mutex
	byID     map[string]*Session
	byHandle map[handle]*Session
}

// handle is what a peer showed: the hash of a token or of a certificate. Which of
// the two is part of it, or a token sent as a certificate would be taken for one.
type handle struct {
	kind handleKind
	hash [32]byte
}

type handleKind bool

const (
	byToken       handleKind = false
	byCertificate handleKind = true
)

// get returns nil for a session that is not in memory or no longer alive.
func (l *sessions) get(h handle) *Session {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.byHandle[h]
	if s != nil && !s.Alive() {
		l.remove(s)
		return nil
	}
	return s
}

// add returns the session that stays: s, or the same one that somebody added first.
func (l *sessions) add(s *Session) *Session {
	l.mu.Lock()
	defer l.mu.Unlock()
	if there := l.byID[s.ID()]; there != nil && there.Alive() {
		s.close()
		return there
	}
	if l.byID == nil {
		l.byID, l.byHandle = map[string]*Session{}, map[handle]*Session{}
	}
	if len(l.byID) >= maxSessions {
		l.makeRoom()
	}
	l.byID[s.ID()] = s
	l.byHandle[handle{byToken, s.row.TokenHash}] = s
	l.byHandle[handle{byCertificate, s.row.CertificateHash}] = s
	return s
}

func (l *sessions) makeRoom() {
	var first *Session
	for _, s := range l.byID {
		if first == nil || s.Expires().Before(first.Expires()) {
			first = s
		}
	}
	l.remove(first)
}

// end closes those of the sessions that are in memory.
func (l *sessions) end(ids ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		if s := l.byID[id]; s != nil {
			l.remove(s)
		}
	}
}

func (l *sessions) remove(s *Session) {
	s.close()
	delete(l.byID, s.ID())
	delete(l.byHandle, handle{byToken, s.row.TokenHash})
	delete(l.byHandle, handle{byCertificate, s.row.CertificateHash})
}

// keep closes every session that is not among the open ones.
func (l *sessions) keep(open []store.Session) {
	there := make(map[string]bool, len(open))
	for _, row := range open {
		there[row.ID] = true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, s := range l.byID {
		if !there[id] {
			l.remove(s)
		}
	}
}

// recompile gives every session the policy that follows from services. One that
// cannot have it ends: an old policy is not a safe answer.
func (l *sessions) recompile(services []policy.Service) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.byID {
		if err := s.compile(services); err != nil {
			l.remove(s)
		}
	}
}

// closeAll is also what is done when nothing can be known about any of them.
func (l *sessions) closeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.byID {
		l.remove(s)
	}
}
