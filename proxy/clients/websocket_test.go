package clients_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/scripts/require"
	"github.com/av-project/av/vault/policy"
)

const (
	placeholder = "__socket_token__"
	socketURL   = "wss://" + host + "/socket"
	// socketPatience is how long either end waits for what should come at once.
	socketPatience = 20 * time.Second
)

// goSocket is a client in Go: a message in one frame, one in several, a binary one, a
// ping, and a close of its own, or the server's. It offers compression, as browsers do.
func goSocket(address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), socketPatience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, address, &websocket.DialOptions{CompressionMode: websocket.CompressionContextTakeover})
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	if err := conn.Write(ctx, websocket.MessageText, []byte(`{"token":"`+placeholder+`"}`)); err != nil {
		return err
	}
	pieces, err := conn.Writer(ctx, websocket.MessageText)
	if err != nil {
		return err
	}
	for _, piece := range []string{"token __soc", "ket_tok", "en__ and more"} {
		if _, err := pieces.Write([]byte(piece)); err != nil {
			return err
		}
	}
	if err := pieces.Close(); err != nil {
		return err
	}
	if err := conn.Write(ctx, websocket.MessageBinary, []byte("\x00"+placeholder)); err != nil {
		return err
	}
	pinged := make(chan error, 1)
	go func() {
		err := conn.Ping(ctx)
		if err == nil {
			err = conn.Write(ctx, websocket.MessageText, []byte("pinged"))
		}
		pinged <- err
	}()
	var heard []string
	for range 2 { // and the two pings' frames on the way
		_, text, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		heard = append(heard, string(text))
	}
	slices.Sort(heard)
	fmt.Println("got", strings.Join(heard, ", "))
	if err := <-pinged; err != nil {
		return err
	}
	if !strings.HasSuffix(address, "?you") {
		return conn.Close(4001, "enough")
	}
	if err := conn.Write(ctx, websocket.MessageText, []byte("close me")); err != nil {
		return err
	}
	_, _, err = conn.Read(ctx)
	closed, ok := errors.AsType[websocket.CloseError](err)
	if !ok {
		return fmt.Errorf("not a close: %w", err)
	}
	fmt.Printf("closed %d %s\n", closed.Code, closed.Reason)
	return nil
}

// pythonSocket is the same in Python. The library of this age is handed its connection
// where there is a proxy.
const pythonSocket = `
import asyncio, base64, http.client, os, ssl, sys, urllib.parse, websockets

def tunnel(host):
    proxy = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])
    login = base64.b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
    c = http.client.HTTPConnection(proxy.hostname, proxy.port)
    c.set_tunnel(host, 443, headers={"Proxy-Authorization": "Basic " + login})
    c.connect()
    return c.sock

async def main(address):
    host = urllib.parse.urlsplit(address).hostname
    async with websockets.connect(address, sock=tunnel(host), ssl=ssl.create_default_context(), server_hostname=host) as ws:
        await ws.send('{"token":"__socket_token__"}')
        await ws.send(["token __soc", "ket_tok", "en__ and more"])
        await ws.send(b"\0__socket_token__")
        await asyncio.wait_for(await ws.ping(), 20)
        await ws.send("pinged")
        heard = [await asyncio.wait_for(ws.recv(), 20) for _ in range(2)]
        print("got", ", ".join(sorted(heard)))
        if address.endswith("?you"):
            await ws.send("close me")
            try:
                await asyncio.wait_for(ws.recv(), 20)
            except websockets.ConnectionClosed as e:
                print("closed", e.rcvd.code, e.rcvd.reason)
        else:
            await ws.close(4001, "enough")

asyncio.run(main(sys.argv[1]))
`

// socketServer notes what a client says, in its handshake and after it.
type socketServer struct {
	t    testing.TB
	mu   sync.Mutex
	seen []string
	done chan struct{} // closed when the connection has ended
}

func (s *socketServer) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, fmt.Sprintf(format, args...))
}

func (s *socketServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer close(s.done)
	ctx, cancel := context.WithTimeout(context.Background(), socketPatience)
	defer cancel()
	s.note("authorization %s", r.Header["Authorization"])
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionContextTakeover})
	if err != nil {
		s.t.Error(err)
		return
	}
	defer conn.CloseNow()
	say := func(text string) {
		if err := conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
			s.t.Errorf("the server's side: %v", err)
		}
	}
	var pinging sync.WaitGroup
	defer pinging.Wait()
	for messages := 1; ; messages++ {
		kind, message, err := conn.Read(ctx)
		if closed, ok := errors.AsType[websocket.CloseError](err); ok {
			s.note("closed %d %s", closed.Code, closed.Reason)
			return
		}
		switch {
		case err != nil:
			s.t.Errorf("the server's side: %v", err)
			return
		case string(message) == "pinged":
			say("so I see")
		case string(message) == "close me":
			// It succeeds if the client repeats the code.
			if err := conn.Close(4002, "go away"); err != nil {
				s.t.Errorf("the server's side: %v", err)
				return
			}
			s.note("closed 4002 go away")
			return
		default:
			s.note("%s %q", kind, message)
		}
		if messages == 3 {
			pinging.Go(func() {
				if err := conn.Ping(ctx); err != nil {
					s.t.Errorf("the server's side: %v", err)
					return
				}
				say("all three")
			})
		}
	}
}

func TestWebSocketClientsGetTheirCredential(t *testing.T) {
	messages := []string{
		"authorization [" + bearer + "]",
		`MessageText "{\"token\":\"` + token + `\"}"`,
		`MessageText "token ` + token + ` and more"`,
		`MessageBinary "\x00` + placeholder + `"`, // whose placeholder is nobody's
	}
	for name, c := range map[string]func(testing.TB, string) (env, command []string){
		"Go's coder/websocket": func(t testing.TB, address string) ([]string, []string) {
			path, err := os.Executable()
			must(t, err)
			return []string{goClient + "=" + address}, []string{path}
		},
		"Python's websockets": func(t testing.TB, address string) ([]string, []string) {
			return nil, []string{require.Client(t, "python3", "-c", "import websockets"), "-c", pythonSocket, address}
		},
	} {
		for _, end := range []struct{ address, client, server string }{
			{socketURL, "got all three, so I see\n", "closed 4001 enough"},
			{socketURL + "?you", "got all three, so I see\nclosed 4002 go away\n", "closed 4002 go away"},
		} {
			t.Run(name+" to "+end.address, func(t *testing.T) {
				env, command := c(t, end.address)
				s := &socketServer{t: t, done: make(chan struct{})}
				service := upstream(t, s.ServeHTTP)
				service.Substitutions = []policy.Substitution{{Key: "TOKEN", Placeholder: placeholder, In: []policy.Surface{policy.InWebSocket}}}
				w := newWorld(t, service)
				if out := w.run(t.TempDir(), env, command...); out != end.client {
					t.Errorf("the client says %q, want %q", out, end.client)
				}
				<-s.done
				if diff := cmp.Diff(append(messages[:len(messages):len(messages)], end.server), s.seen); diff != "" {
					t.Error(diff)
				}
				w.recordedAs(http.StatusSwitchingProtocols, "HTTP/1.1", 1)
			})
			t.Run(name+" without its service to "+end.address, func(t *testing.T) {
				env, command := c(t, end.address)
				service := upstream(t, func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") })
				service.Disabled = true
				w := newWorld(t, service)
				if out, complaints, code := w.try(t.TempDir(), env, command...); code == 0 || !strings.Contains(complaints, "Forbidden") {
					t.Errorf("exit code %d: %s%s", code, out, complaints)
				}
			})
		}
	}
}
