package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

func TestStreamEndsWhenItsCredentialIsTakenAway(t *testing.T) {
	ctx, owner := context.Background(), vault.Owner()
	for _, c := range []struct {
		name string
		do   func(*vault.Vault) error
		ends bool
	}{
		{"removed", func(v *vault.Vault) error { return v.DeleteCredential(ctx, owner, "VENDOR_TOKEN", true) }, true},
		{"control: another value", func(v *vault.Vault) error {
			return v.SetCredential(ctx, owner, "VENDOR_TOKEN", vault.NewValue([]byte("another")))
		}, false},
		{"control: bound to where it goes", func(v *vault.Vault) error {
			return v.Set(ctx, owner, vault.Setting{Key: "VENDOR_TOKEN", Hosts: []string{apiHost}})
		}, false},
	} {
		for _, elsewhere := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, by another process %v", c.name, elsewhere), func(t *testing.T) {
				t.Parallel()
				more := map[string]chan string{apiHost: make(chan string), "other.test": make(chan string)}
				up := newUpstream(t, func(rw http.ResponseWriter, r *http.Request) {
					for line := "first"; ; {
						fmt.Fprintln(rw, line)
						_ = http.NewResponseController(rw).Flush()
						select {
						case line = <-more[r.Host]:
						case <-r.Context().Done():
							return
						}
					}
				}, apiHost, "other.test")
				other := up.bearer("other.test")
				other.Name, other.Auth = "other", policy.Auth{Type: policy.APIKey, Key: "VENDOR_KEY", Header: "X-Api-Key"}
				w := newWorld(t, setup{services: services(up.bearer(apiHost), other)})
				open := func(host string) *bufio.Reader {
					res := try(w.client(byCertificate).Get("https://" + host + "/"))(t)
					t.Cleanup(func() { res.Body.Close() })
					lines := bufio.NewReader(res.Body)
					try(lines.ReadString('\n'))(t)
					return lines
				}
				stream, beside := open(apiHost), open("other.test")
				v := w.vault
				if elsewhere {
					v = try(vault.Open(ctx, vault.Options{Home: w.home}))(t)
					defer v.Close()
				}
				must(t, c.do(v))
				ends := stream
				if !c.ends {
					// So that it has been looked.
					must(t, v.DeleteCredential(ctx, owner, "VENDOR_KEY", true))
					ends = beside
				}
				if _, err := ends.ReadByte(); err == nil || err == io.EOF {
					t.Errorf("the stream goes on, or ends well: %v", err)
				}
				if e := w.ledger.wait(t, 1); e.Reason != reasonRevoked || (e.Host == apiHost) != c.ends {
					t.Errorf("record %+v", e)
				}
				goesOn := apiHost
				if c.ends {
					stream, goesOn = beside, "other.test"
				}
				select {
				case more[goesOn] <- "still here":
				case <-time.After(patience):
					t.Fatal("the other one has ended, too")
				}
				if line := try(stream.ReadString('\n'))(t); line != "still here\n" {
					t.Errorf("read %q", line)
				}
			})
		}
	}
}

func TestWebSocketEndsWhenItsCredentialIsTakenAway(t *testing.T) {
	w, _ := vendorH1(t, answering(t, switching("Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Accept: "+socketAnswer)))
	conn := try(w.tls(byToken, apiHost+":443", apiHost, "http/1.1"))(t)
	if res := raw(t, conn, handshake); res.StatusCode != 101 {
		t.Fatal(res.Status)
	}
	must(t, w.vault.DeleteCredential(t.Context(), vault.Owner(), "VENDOR_TOKEN", true))
	ended(t, conn)
	if e := w.ledger.wait(t, 1); e.Reason != reasonRevoked {
		t.Errorf("record %+v", e)
	}
}
