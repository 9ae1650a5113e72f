package runner

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"
)

// One connection more than there is room for waits until another ends.
func TestConnectionsToPublishedPortsAreBounded(t *testing.T) {
	p, err := listenPublished([]Publish{{Port: 3000}, {Port: 4000}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	arrived, end := make(chan uint16, 2*maxPublished), make(chan struct{})
	carry := func(ctx context.Context, client *net.TCPConn, port uint16) (in, out int64) {
		defer client.Close()
		arrived <- port
		select {
		case <-end:
		case <-ctx.Done():
		}
		return 1, 2
	}
	for i := range p.ports {
		p.accepting.Go(func() { p.accept(ctx, &p.ports[i], carry) })
	}
	next := func(patience time.Duration) bool {
		select {
		case <-arrived:
			return true
		case <-time.After(patience):
			return false
		}
	}
	for i := range maxPublished + 1 {
		conn, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", p.ports[i%2].Host))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if i < maxPublished && !next(30*time.Second) {
			t.Fatalf("connection %d is not carried", i+1)
		}
	}
	if next(200 * time.Millisecond) {
		t.Error("one more is carried beside them")
	}
	end <- struct{}{}
	if !next(30 * time.Second) {
		t.Error("it is not carried when there is room")
	}
	cancel()
	all := p.stop()
	if n := all[0].Connections + all[1].Connections; n != maxPublished+1 || all[0].BytesOut != 2*int64(all[0].Connections) {
		t.Errorf("counted %+v", all)
	}
}
