package main

import (
	"bytes"
	"context"
	"sync"
)

// scanner looks for strings in what is written to it, however it is cut into
// writes, and keeps nothing else of it: a box's whole file system goes through here.
type scanner struct {
	mu      sync.Mutex
	words   []string
	longest int
	rest    []byte
	seen    map[string]chan struct{}
}

func newScanner(words ...string) *scanner {
	s := &scanner{words: words, seen: map[string]chan struct{}{}}
	for _, w := range words {
		s.longest = max(s.longest, len(w))
		s.seen[w] = make(chan struct{})
	}
	return s
}

func (s *scanner) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rest = append(s.rest, p...)
	for _, w := range s.words {
		if bytes.Contains(s.rest, []byte(w)) && !s.closed(w) {
			close(s.seen[w])
		}
	}
	if over := len(s.rest) - (s.longest - 1); over > 0 {
		s.rest = append(s.rest[:0], s.rest[over:]...)
	}
	return len(p), nil
}

func (s *scanner) closed(word string) bool {
	select {
	case <-s.seen[word]:
		return true
	default:
		return false
	}
}

func (s *scanner) found(word string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed(word)
}

// await returns when the word has come, or ctx ends.
func (s *scanner) await(ctx context.Context, word string) {
	select {
	case <-s.seen[word]:
	case <-ctx.Done():
	}
}
