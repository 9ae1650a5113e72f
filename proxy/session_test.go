package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/av-project/av/vault"
)

func TestEndedSessionRefusesTheNextRequest(t *testing.T) {
	for _, by := range ways {
		t.Run(string(by), func(t *testing.T) {
			w, _ := vendor(t, func(http.ResponseWriter, *http.Request) {})
			// Opened before the end, and used after it.
			early := w.dial(by)
			defer early.Close()
			read(t, try(w.client(by).Get("https://"+apiHost+"/"))(t))
			must(t, w.vault.EndSession(t.Context(), vault.Owner(), w.opened.ID))
			for range 2 {
				if _, res := w.connect(by, apiHost+":443"); res.StatusCode != 407 {
					t.Errorf("a new connection: %s", res.Status)
				}
			}
			head := "CONNECT " + apiHost + ":443 HTTP/1.1\r\nHost: x\r\n"
			if by == byToken {
				head += "Proxy-Authorization: " + w.basic() + "\r\n"
			}
			if res := raw(t, early, head+"\r\n"); res.StatusCode != 407 {
				t.Errorf("an old connection: %s", res.Status)
			}
		})
	}
}

func TestEndedSessionClosesItsTunnels(t *testing.T) {
	for _, by := range ways {
		t.Run(string(by), func(t *testing.T) {
			w, _ := vendorH1(t, answering(t, switching("Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Accept: "+socketAnswer)))
			// One that has said nothing, one idle after its handshake, one WebSocket.
			silent := w.tunnel(by, apiHost+":443")
			idle := try(w.tls(by, apiHost+":443", apiHost, "h2"))(t)
			socket := try(w.tls(by, apiHost+":443", apiHost, "http/1.1"))(t)
			if res := raw(t, socket, handshake); res.StatusCode != 101 {
				t.Fatal(res.Status)
			}
			must(t, w.vault.EndSession(t.Context(), vault.Owner(), w.opened.ID))
			ended(t, silent)
			ended(t, idle)
			ended(t, socket)
			if n := len(w.records()); n != 3 {
				t.Errorf("%d records", n)
			}
		})
	}
}

func TestEndedSessionCutsStreamsOff(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", h2), func(t *testing.T) {
			gone := make(chan struct{})
			w, _ := vendor(t, func(rw http.ResponseWriter, r *http.Request) {
				fmt.Fprintln(rw, "first")
				must(t, http.NewResponseController(rw).Flush())
				<-r.Context().Done()
				close(gone)
			})
			res := try(w.clientOf(byCertificate, h2).Get("https://" + apiHost + "/"))(t)
			defer res.Body.Close()
			lines := bufio.NewReader(res.Body)
			try(lines.ReadString('\n'))(t)
			must(t, w.vault.EndSession(t.Context(), vault.Owner(), w.opened.ID))
			if _, err := lines.ReadByte(); err == nil || err == io.EOF {
				t.Errorf("the stream goes on, or ends well: %v", err)
			}
			select {
			case <-gone:
			case <-time.After(patience):
				t.Fatal("the upstream's connection stays open")
			}
			if e := w.ledger.wait(t, 1); e.Reason != reasonEnded {
				t.Errorf("record %+v", e)
			}
		})
	}
}

func TestExpiredSessionIsRefused(t *testing.T) {
	now := &clock{now: time.Now()}
	up := newUpstream(t, func(http.ResponseWriter, *http.Request) {}, apiHost)
	w := newWorld(t, setup{services: services(up.bearer(apiHost)), now: now.get})
	conn := try(w.tls(byToken, apiHost+":443", apiHost, "http/1.1"))(t)
	if res := raw(t, conn, "GET / HTTP/1.1\r\nHost: "+apiHost+"\r\n\r\n"); res.StatusCode != 200 {
		t.Fatal(res.Status)
	}
	now.add(25 * time.Hour)
	if _, res := w.connect(byToken, apiHost+":443"); res.StatusCode != 407 {
		t.Errorf("%s", res.Status)
	}
	ended(t, conn)
}

func TestRunsDoNotEndEachOther(t *testing.T) {
	w, _ := vendor(t, func(http.ResponseWriter, *http.Request) {})
	first := w.opened
	w.opened = w.session(setup{})
	read(t, try(w.client(byToken).Get("https://"+apiHost+"/"))(t))
	must(t, w.vault.EndSession(t.Context(), vault.Owner(), first.ID))
	read(t, try(w.client(byToken).Get("https://"+apiHost+"/"))(t))
	for _, e := range w.records() {
		if e.Session != w.opened.ID || e.Status != 200 {
			t.Errorf("record %+v", e)
		}
	}
}
