package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

type attempt struct {
	conn net.Conn
	err  error
}

// dialFirst connects to the targets in order, giving each a short head start before
// the next is tried beside it, so that a family without a route costs little. The
// first connection wins; the others are closed.
func (g *Guard) dialFirst(ctx context.Context, targets []netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	results := make(chan attempt)
	started, pending := 0, 0
	start := func() {
		target := targets[started].String()
		started++
		pending++
		go func() {
			conn, err := g.dialer.DialContext(ctx, "tcp", target)
			results <- attempt{conn, err}
		}()
	}
	start()
	next := time.NewTimer(headStart)
	defer next.Stop()

	var failed []error
	for pending > 0 {
		var elapsed <-chan time.Time
		if started < len(targets) {
			elapsed = next.C
		}
		select {
		case <-elapsed:
			start()
			next.Reset(headStart)
		case r := <-results:
			pending--
			if r.err == nil {
				cancel()
				closeLate(results, pending)
				return r.conn, nil
			}
			failed = append(failed, r.err)
			if started < len(targets) && ctx.Err() == nil {
				start()
				next.Reset(headStart)
			}
		}
	}
	return nil, errors.Join(failed...)
}

// closeLate takes in what the cancelled attempts still bring.
func closeLate(results <-chan attempt, pending int) {
	for range pending {
		if r := <-results; r.conn != nil {
			_ = r.conn.Close()
		}
	}
}
