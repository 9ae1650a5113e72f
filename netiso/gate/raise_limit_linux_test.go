package gate

import (
	"net"
	"strings"
	"testing"
	"time"
)

// A connection that nobody catches went past the gate: that is found soon, for a run
// waits for it.
func TestProbeOfTheWallsIsGivenUpInTime(t *testing.T) {
	listen := func() *net.TCPListener {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l.(*net.TCPListener)
	}
	canary, catch := listen(), listen()
	s := &server{catch: catch, probe: 50 * time.Millisecond}
	began := time.Now()
	_, err := s.tryAsOther(canary.Addr().(*net.TCPAddr).AddrPort())
	if err == nil || !strings.Contains(err.Error(), "went past the gate") || time.Since(began) < s.probe {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	// Control: where the canary's address leads to the gate, the connection is there.
	_, err = s.tryAsOther(catch.Addr().(*net.TCPAddr).AddrPort())
	if err != nil && strings.Contains(err.Error(), "went past the gate") {
		t.Errorf("control: %v", err)
	}
}
