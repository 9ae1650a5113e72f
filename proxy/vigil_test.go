package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

func TestByteInTimeKeepsARequestAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &exchange{ResponseWriter: httptest.NewRecorder(), began: time.Now()}
		ctx, rest := x.watch(t.Context(), time.Minute, time.Hour)
		defer rest()
		for range 10 {
			time.Sleep(time.Minute - time.Second)
			x.touch()
		}
		synctest.Wait()
		if ctx.Err() != nil {
			t.Fatalf("cut off: %+v", x.cut.Load())
		}
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		if !errors.Is(context.Cause(ctx), errCutOff) || x.cut.Load() == nil || x.cut.Load().code != "idle" {
			t.Errorf("a minute of silence: %v, %+v", context.Cause(ctx), x.cut.Load())
		}
	})
}

func TestNoByteKeepsARequestAliveForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &exchange{ResponseWriter: httptest.NewRecorder(), began: time.Now()}
		ctx, rest := x.watch(t.Context(), time.Minute, 10*time.Minute)
		defer rest()
		for range 19 {
			time.Sleep(30 * time.Second)
			x.touch()
		}
		synctest.Wait()
		if ctx.Err() != nil {
			t.Fatalf("cut off before its time: %+v", x.cut.Load())
		}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if cut := x.cut.Load(); ctx.Err() == nil || cut == nil || cut.code != "too_long" {
			t.Errorf("after ten minutes: %v, %+v", ctx.Err(), cut)
		}
	})
}

func TestRequestThatIsOverIsNotCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &exchange{ResponseWriter: httptest.NewRecorder(), began: time.Now()}
		_, rest := x.watch(t.Context(), time.Minute, time.Hour)
		rest()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if cut := x.cut.Load(); cut != nil {
			t.Errorf("%+v", cut)
		}
	})
}

// A second is the least that a session's limits may say.
var aSecond = vault.Limits{Idle: time.Second}

func TestIdleRequestIsCutOff(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("the upstream says nothing, HTTP/2 %v", h2), func(t *testing.T) {
			t.Parallel()
			w, arrived, _ := limited(t, aSecond)
			res := try(w.clientOf(byToken, h2).Get("https://" + apiHost + "/hold"))(t)
			if e := reason(t, res); res.StatusCode != 504 || e.Code != "idle" || !strings.Contains(e.Hint, "--limit idle") {
				t.Errorf("%s %+v", res.Status, e)
			}
			<-arrived
			if e := w.ledger.wait(t, 1); e.Status != 504 || !strings.Contains(e.Reason, "no byte went either way for 1s") {
				t.Errorf("record %+v", e)
			}
		})
		t.Run(fmt.Sprintf("the client sends half, HTTP/2 %v", h2), func(t *testing.T) {
			t.Parallel()
			broken := make(chan error, 1)
			up := newUpstream(t, func(_ http.ResponseWriter, r *http.Request) {
				_, err := io.Copy(io.Discard, r.Body)
				broken <- err
			}, apiHost)
			w := newWorld(t, setup{services: services(up.bearer(apiHost)), limits: aSecond})
			half, rest := io.Pipe()
			go func() { _, _ = io.WriteString(rest, "half") }()
			defer rest.Close()
			res := try(w.clientOf(byToken, h2).Post("https://"+apiHost+"/", "", half))(t)
			if e := reason(t, res); res.StatusCode != 504 || e.Code != "idle" {
				t.Errorf("%s %+v", res.Status, e)
			}
			if err := <-broken; err == nil {
				t.Error("the upstream takes the half for the whole")
			}
		})
		t.Run(fmt.Sprintf("the client does not read, HTTP/2 %v", h2), func(t *testing.T) {
			t.Parallel()
			up := newUpstream(t, func(rw http.ResponseWriter, r *http.Request) {
				for r.Context().Err() == nil {
					if _, err := rw.Write(make([]byte, copyBuffer)); err != nil {
						return
					}
				}
			}, apiHost)
			w := newWorld(t, setup{services: services(up.bearer(apiHost)), limits: aSecond})
			res := try(w.clientOf(byToken, h2).Get("https://" + apiHost + "/"))(t)
			defer res.Body.Close()
			if e := w.ledger.wait(t, 1); e.Status != 200 || !strings.Contains(e.Reason, "no byte went either way") {
				t.Errorf("record %+v", e)
			}
			if _, err := io.Copy(io.Discard, res.Body); err == nil {
				t.Error("the answer that was cut off ends well")
			}
		})
	}
}

func TestIdleUnreadTunnelIsCutOff(t *testing.T) {
	w := rawWorld(t, rawServer(t, greeter), setup{})
	w.opened = try(w.vault.OpenSession(t.Context(), vault.Owner(), vault.Grant{
		Raw: []policy.Target{{Host: dbHost, Port: 5432}}, Limits: aSecond,
	}))(t)
	conn := w.tunnel(byToken, dbAt)
	try(io.ReadFull(conn, make([]byte, len(greeting))))(t)
	ended(t, conn)
	if e := w.ledger.wait(t, 1); !strings.Contains(e.Reason, "no byte went either way") || e.BytesIn != int64(len(greeting)) {
		t.Errorf("record %+v", e)
	}
}

func TestRequestThatTakesTooLongIsCutOff(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", h2), func(t *testing.T) {
			up := newUpstream(t, func(rw http.ResponseWriter, r *http.Request) {
				ticks := time.NewTicker(10 * time.Millisecond)
				defer ticks.Stop()
				for r.Context().Err() == nil {
					fmt.Fprintln(rw, "event")
					_ = http.NewResponseController(rw).Flush()
					<-ticks.C
				}
			}, apiHost)
			w := newWorld(t, setup{services: services(up.bearer(apiHost)), limits: vault.Limits{Total: time.Second}})
			res := try(w.clientOf(byToken, h2).Get("https://" + apiHost + "/"))(t)
			defer res.Body.Close()
			if _, err := io.Copy(io.Discard, res.Body); err == nil {
				t.Error("the answer that was cut off ends well")
			} else if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
				t.Error("it is not cut off")
			}
			if e := w.ledger.wait(t, 1); e.Allowed || e.Status != 200 || !strings.Contains(e.Reason, "longer than the 1s") {
				t.Errorf("record %+v", e)
			}
		})
	}
}
