package fakenet

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Kind is what arrived.
type Kind string

const (
	SYN  Kind = "syn"  // the first packet of a TCP connection, to any port, answered or not
	TCP  Kind = "tcp"  // a connection to a port that listens, with what it sent
	UDP  Kind = "udp"  // a datagram, to any port
	ICMP Kind = "icmp" // a ping or another message, v4 and v6
	DNS  Kind = "dns"  // a query to the name server
	HTTP Kind = "http" // a request to the API
	IP   Kind = "ip"   // a packet of any other protocol, and what cannot be read
)

// maxPayload is how much is kept of what one event brought.
const maxPayload = 64 << 10

// Event is one thing that arrived in the fake internet.
type Event struct {
	Time     time.Time
	Kind     Kind
	From, To netip.AddrPort // without ports where the protocol has none
	Name     string         // DNS: the type and the name; HTTP: the method and the URL
	Payload  []byte         // the first 64 KiB
}

// carries tells whether the event has the marker in its name or payload, or was sent to the address that the
// marker is. Names are compared without case: resolvers mix it at will.
func (e Event) carries(marker string) bool {
	return bytes.Contains(e.Payload, []byte(marker)) ||
		strings.Contains(strings.ToLower(e.Name), strings.ToLower(marker)) ||
		e.To.String() == marker
}

// Sinks is the record of everything that arrived. Tests put a marker of their own into what they send and ask for it, so
// that they do not disturb each other.
type Sinks struct {
	mu      sync.Mutex
	events  []Event
	changed chan struct{} // closed, and replaced, whenever events change
}

func newSinks() *Sinks { return &Sinks{changed: make(chan struct{})} }

// Seen returns the events, of the given kinds or of any, that carry the marker: in the payload or the name, or as the
// address "203.0.113.66:25" that they were sent to.
func (s *Sinks) Seen(marker string, kinds ...Kind) []Event {
	events, _ := s.since(0)
	return slices.DeleteFunc(events, func(e Event) bool {
		return !e.carries(marker) || len(kinds) > 0 && !slices.Contains(kinds, e.Kind)
	})
}

// Wait returns the first event that Seen would return, as soon as there is one.
func (s *Sinks) Wait(ctx context.Context, marker string, kinds ...Kind) (Event, error) {
	for {
		_, changed := s.since(0) // before the look, so that nothing falls between
		if seen := s.Seen(marker, kinds...); len(seen) > 0 {
			return seen[0], nil
		}
		select {
		case <-ctx.Done():
			return Event{}, fmt.Errorf("wait for %q %v to arrive: %w", marker, kinds, context.Cause(ctx))
		case <-changed:
		}
	}
}

// Follow yields every event from the first on, each as soon as it is there, until ctx ends. A TCP connection comes
// when it is made, before it has sent anything.
func (s *Sinks) Follow(ctx context.Context) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		for next := 0; ; {
			events, changed := s.since(next)
			for _, e := range events {
				if !yield(e) {
					return
				}
			}
			next += len(events)
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
		}
	}
}

func (s *Sinks) since(first int) ([]Event, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events[first:]), s.changed
}

// add notes an event and returns its number, for grow.
func (s *Sinks) add(e Event) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.Time = time.Now()
	s.events = append(s.events, e)
	s.wake()
	return len(s.events) - 1
}

// grow adds to the payload of an event.
func (s *Sinks) grow(number int, more []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := &s.events[number]
	e.Payload = append(e.Payload, more[:min(len(more), maxPayload-len(e.Payload))]...)
	s.wake()
}

func (s *Sinks) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// clip copies what is kept of a payload.
func clip(b []byte) []byte { return bytes.Clone(b[:min(len(b), maxPayload)]) }
