package proxy

import (
	"container/list"
	"net"
	"sync"
)

// strangers are the connections of one listener that have not said whose they are. Where
// there are too many, the one that has been silent longest is closed: who has something
// to say says it at once, and who only holds the door makes room.
type strangers struct {
	mu    sync.Mutex
	queue list.List // of net.Conn, oldest first
}

// add returns what is called when c is no stranger any more; it may be called again.
func (s *strangers) add(c net.Conn) (known func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queue.Len() >= maxStrangers {
		oldest := s.queue.Front()
		s.queue.Remove(oldest)
		_ = oldest.Value.(net.Conn).Close()
	}
	place := s.queue.PushBack(c)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.queue.Remove(place) // which does nothing where it is not in the list
	}
}
