package egress

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLookUpIsGivenUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		_, err := New(slow{}, &wires{}).Dial(t.Context(), "slow.test", 443, netip.AddrPort{})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != resolveTimeout {
			t.Errorf("gave up after %s with %v", time.Since(began), err)
		}
	})
}

// The head is counted to its last byte. What comes after it is not the proxy's.
func TestHeadOfAProxysAnswerIsBounded(t *testing.T) {
	head := func(size int) string {
		const begin, end = "HTTP/1.1 200 OK\r\nX: ", "\r\n\r\n"
		return begin + strings.Repeat("x", size-len(begin)-len(end)) + end
	}
	if got, err := readHead(strings.NewReader(head(maxProxyHead) + "more")); err != nil || len(got) != maxProxyHead {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if got, err := readHead(strings.NewReader(head(maxProxyHead + 1))); !errors.Is(err, errNotHTTP) {
		t.Errorf("one more: %d bytes, %v", len(got), err)
	}
}
