package proxy

import (
	"net/http"
	"testing"
	"time"

	"github.com/av-project/av/vault/policy"
)

// minted waits until so many leaves are there. One too many is seen here or by the next.
func (w *world) minted(want int64) {
	w.t.Helper()
	for began := time.Now(); w.authority.Minted() < want; time.Sleep(time.Millisecond) {
		if time.Since(began) > patience {
			w.t.Fatalf("%d leaves minted, want %d", w.authority.Minted(), want)
		}
	}
	if n := w.authority.Minted(); n != want {
		w.t.Errorf("%d leaves minted, want %d", n, want)
	}
}

func TestLeavesAreReadyForTheHostsOfASessionsPolicy(t *testing.T) {
	up := newUpstream(t, func(http.ResponseWriter, *http.Request) {}, apiHost)
	off, wild, pinned := up.passthrough("off", "off.test"), up.passthrough("wild", "*.wild.test"), up.passthrough("pinned", "pinned.test")
	off.Disabled = true
	pinned.TLS, pinned.Upstream.CA = policy.TLSPassthrough, ""
	w := newWorld(t, setup{services: services(up.bearer(apiHost), off, wild, pinned, up.passthrough("b", "b.test")), allow: []string{"c.test"}})
	if _, res := w.connect(byToken, "denied.test:443"); res.StatusCode != 403 {
		t.Error(res.Status)
	}
	w.minted(3) // of api, b and c; whatever the first request was for
	read(t, try(w.client(byToken).Get("https://"+apiHost+"/"))(t))
	w.minted(3)

	// A new policy's are made ready too, without a request, and those that are there stay.
	w.replace(up.bearer(apiHost), up.passthrough("d", "d.test"))
	w.minted(4)
	for _, host := range []string{apiHost, "c.test", "d.test"} {
		if _, err := w.tls(byToken, host+":443", host, "http/1.1"); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	w.minted(4)
	if _, res := w.connect(byToken, "denied.test:443"); res.StatusCode != 403 {
		t.Error(res.Status)
	}
	w.stop()
	w.minted(4)
}
