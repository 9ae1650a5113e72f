package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/av-project/av/proxy/ca"
	"github.com/av-project/av/proxy/egress"
	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

const (
	// serveEnv makes the test binary a proxy. Upstreams and clients are much of the memory of
	// a process that holds all three.
	serveEnv = "AV_BENCH_SERVE"
	// heapEnv names a folder for heap profiles of that proxy, taken when it holds the most.
	heapEnv = "AV_BENCH_HEAP"
	// impatience is for what many do at once.
	impatience = 2 * time.Minute
)

// Between the benchmark and its proxy go these, as JSON on the proxy's standard input and output.
type (
	order struct {
		Home     string
		Upstream netip.AddrPort
		CA       string
		Sessions int
	}
	served struct {
		Address  string
		CA       []byte
		Sessions []keyPair
	}
	keyPair struct{ Token, Certificate, Key []byte }
)

// servesBench tells whether this process is such a proxy, and was it until its standard input
// was closed: it does not outlive its benchmark, however that ends.
func servesBench() bool {
	if os.Getenv(serveEnv) == "" {
		return false
	}
	if err := serveBench(context.Background(), json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)); err != nil {
		panic(err)
	}
	return true
}

func serveBench(ctx context.Context, in *json.Decoder, out *json.Encoder) (err error) {
	var o order
	if err := in.Decode(&o); err != nil {
		return err
	}
	v, err := benchVault(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	said := served{}
	// One session may have 1000 requests a second by default. These are not about that.
	grant := vault.Grant{Limits: unhurried}
	for range o.Sessions {
		opened, err := v.OpenSession(ctx, vault.Owner(), grant)
		if err != nil {
			return err
		}
		said.Sessions = append(said.Sessions, keyPair{opened.Token.Open(), opened.CertPEM, opened.KeyPEM.Open()})
	}
	var key vault.Value
	if said.CA, key, err = v.Authority(ctx, vault.Owner()); err != nil {
		return err
	}
	authority, err := ca.New(said.CA, key.Open(), time.Now)
	if err != nil {
		return err
	}
	resolver := &names{}
	p, err := New(Config{
		Authority: authority, Sessions: v, Recorder: v, Guard: egress.New(resolver, resolver),
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- p.Serve(ctx, ln) }()
	said.Address = ln.Addr().String()
	err = out.Encode(said)
	for err == nil {
		var heap string
		if err = in.Decode(&heap); err == nil {
			err = errors.Join(writeHeap(heap), out.Encode(heap))
		}
	}
	cancel()
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(err, <-done)
}

func benchVault(ctx context.Context, o order) (*vault.Vault, error) {
	opts := vault.Options{Home: o.Home}
	if err := vault.Init(ctx, opts, nil); err != nil {
		return nil, err
	}
	v, err := vault.Open(ctx, opts)
	if err != nil {
		return nil, err
	}
	service := policy.Service{
		Name: "vendor", Host: apiHost, Auth: policy.Auth{Type: policy.Bearer, Token: "VENDOR_TOKEN"},
		Upstream: policy.Upstream{Address: o.Upstream, CA: o.CA},
	}
	return v, errors.Join(
		v.SetCredential(ctx, vault.Owner(), "VENDOR_TOKEN", vault.NewValue([]byte(secret))),
		v.SetServices(ctx, vault.Owner(), []policy.Service{service}))
}

func writeHeap(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	runtime.GC() // the profile is of the last one
	return errors.Join(pprof.Lookup("heap").WriteTo(file, 0), file.Close())
}

// process is a proxy in a process of its own, whose memory is the proxy's alone.
type process struct {
	b    *testing.B
	pid  int
	in   *json.Encoder
	out  *json.Decoder
	at   served
	stop func()
}

// startProcess starts a proxy with a bearer service for up.
func startProcess(b *testing.B, up *server, sessions int) *process {
	b.Helper()
	if runtime.GOOS != "linux" {
		b.Skip("the memory of another process is read from /proc, which is Linux")
	}
	cmd := exec.Command(try(os.Executable())(b))
	cmd.Env = append(os.Environ(), serveEnv+"=1")
	cmd.Stderr = os.Stderr
	in := try(cmd.StdinPipe())(b)
	out := try(cmd.StdoutPipe())(b)
	home := b.TempDir() + "/av" // before the stop below, so that it is removed after it
	must(b, cmd.Start())
	p := &process{b: b, pid: cmd.Process.Pid, in: json.NewEncoder(in), out: json.NewDecoder(out)}
	p.stop = sync.OnceFunc(func() {
		_ = in.Close()
		late := time.AfterFunc(impatience, func() { _ = cmd.Process.Kill() })
		defer late.Stop()
		if err := cmd.Wait(); err != nil {
			b.Error("the proxy's process:", err)
		}
	})
	b.Cleanup(p.stop)
	must(b, p.in.Encode(order{home, up.address(), up.ca, sessions}))
	must(b, p.out.Decode(&p.at))
	return p
}

// client goes through tunnels of a session's own. They are opened as runs open theirs: the
// connection to the proxy is TLS too.
func (p *process) client(session int, h2 bool) *http.Client {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(p.at.CA)
	pair := p.at.Sessions[session]
	cert := try(tls.X509KeyPair(pair.Certificate, pair.Key))(p.b)
	outer := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: ServerName, Certificates: []tls.Certificate{cert}}}
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, target string) (net.Conn, error) {
			conn, err := outer.DialContext(ctx, "tcp", p.at.Address)
			if err != nil {
				return nil, err
			}
			if err := askTunnel(conn, target); err != nil {
				return nil, errors.Join(err, conn.Close())
			}
			return conn, nil
		},
		TLSClientConfig:     &tls.Config{RootCAs: roots},
		ForceAttemptHTTP2:   h2,
		MaxIdleConnsPerHost: 1,
	}}
}

func askTunnel(conn net.Conn, target string) error {
	if _, err := fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", target); err != nil {
		return err
	}
	// By the byte: what follows the answer is not for it.
	res, err := http.ReadResponse(bufio.NewReaderSize(iotest.OneByteReader(conn), 16), &http.Request{Method: http.MethodConnect})
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return errors.New("CONNECT: " + res.Status)
	}
	return nil
}

// memory is a process's, in KiB: what it has, and the most it ever had.
type memory struct{ now, peak float64 }

func (p *process) memory() (m memory) {
	p.b.Helper()
	for line := range strings.Lines(string(try(os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid)))(p.b))) {
		fields := strings.Fields(line)
		switch fields[0] {
		case "VmRSS:":
			m.now = try(strconv.ParseFloat(fields[1], 64))(p.b)
		case "VmHWM:":
			m.peak = try(strconv.ParseFloat(fields[1], 64))(p.b)
		}
	}
	if m.now == 0 || m.peak == 0 {
		p.b.Fatal("the kernel does not tell the proxy's memory")
	}
	return m
}

// within reports the most memory that the proxy ever had, and fails over limit, in MiB.
func (p *process) within(limit float64) {
	p.b.Helper()
	peak := p.memory().peak / (1 << 10)
	p.b.ReportMetric(peak, "peak-RSS-MiB")
	if peak > limit {
		p.b.Fatalf("the proxy took %.0f MiB, more than %.0f", peak, limit)
	}
}

// connections is how many descriptors the proxy has open: nearly all are connections.
func (p *process) connections() int {
	p.b.Helper()
	return len(try(os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid)))(p.b))
}

// heap takes a profile, if somebody asked for one.
func (p *process) heap(name string) {
	p.b.Helper()
	if dir := os.Getenv(heapEnv); dir != "" {
		must(p.b, p.in.Encode(filepath.Join(try(filepath.Abs(dir))(p.b), name+".pb.gz")))
		must(p.b, p.out.Decode(&name))
	}
}
