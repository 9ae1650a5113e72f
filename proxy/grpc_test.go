package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/av-project/av/vault/policy"
)

type note = wrapperspb.StringValue

func say(s string) *note { return &note{Value: s} }

// grpcVendor is a gRPC server that wants the vault's credential with every call.
type grpcVendor struct {
	t     *testing.T
	ended chan error // why each call to Hold ended
}

// method makes the description of a streaming call. All kinds of call are the same on
// the wire: one side or the other just says one thing.
func method(name string, serve func(*grpcVendor, grpc.ServerStream) error) grpc.StreamDesc {
	return grpc.StreamDesc{StreamName: name, ServerStreams: true, ClientStreams: true,
		Handler: func(v any, stream grpc.ServerStream) error {
			v.(*grpcVendor).check(stream.Context())
			return serve(v.(*grpcVendor), stream)
		}}
}

var grpcMethods = grpc.ServiceDesc{
	ServiceName: "av.test.Vendor", HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Echo", Handler: func(v any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		v.(*grpcVendor).check(ctx)
		in := new(note)
		if err := decode(in); err != nil {
			return nil, err
		}
		must(v.(*grpcVendor).t, grpc.SetHeader(ctx, metadata.Pairs("x-head", "h")))
		must(v.(*grpcVendor).t, grpc.SetTrailer(ctx, metadata.Pairs("x-tail", "t", "x-bytes-bin", "\x00\xff")))
		return in, nil
	}}},
	Streams: []grpc.StreamDesc{
		method("Fail", (*grpcVendor).fail),
		method("Count", (*grpcVendor).count),
		method("Join", (*grpcVendor).join),
		method("Chat", (*grpcVendor).chat),
		method("Take", (*grpcVendor).take),
		method("Hold", (*grpcVendor).hold),
	},
}

func (v *grpcVendor) check(ctx context.Context) {
	md, _ := metadata.FromIncomingContext(ctx)
	if got := fmt.Sprint(md["authorization"]); got != "[Bearer "+secret+"]" {
		v.t.Errorf("the call came with authorization %s", got)
	}
	if got := fmt.Sprint(md["x-mine"]); got != "[1 2]" {
		v.t.Errorf("the call came with x-mine %s", got)
	}
}

// fail ends at once, with a status and no message: headers and trailers are one frame.
func (v *grpcVendor) fail(stream grpc.ServerStream) error {
	stream.SetTrailer(metadata.Pairs("x-tail", "t"))
	with, err := status.New(codes.ResourceExhausted, "no more: 100 % ü").WithDetails(say("detail"))
	must(v.t, err)
	return with.Err()
}

func (v *grpcVendor) count(stream grpc.ServerStream) error {
	if err := stream.RecvMsg(new(note)); err != nil {
		return err
	}
	for i := range 100 {
		if err := stream.SendMsg(say(fmt.Sprint(i))); err != nil {
			return err
		}
	}
	stream.SetTrailer(metadata.Pairs("x-tail", "t"))
	return nil
}

func (v *grpcVendor) join(stream grpc.ServerStream) error {
	var all strings.Builder
	for {
		in := new(note)
		err := stream.RecvMsg(in)
		if err == io.EOF {
			return stream.SendMsg(say(all.String()))
		}
		if err != nil {
			return err
		}
		all.WriteString(in.Value)
	}
}

// chat answers each message before it reads the next.
func (v *grpcVendor) chat(stream grpc.ServerStream) error {
	for {
		in := new(note)
		err := stream.RecvMsg(in)
		if err == io.EOF {
			stream.SetTrailer(metadata.Pairs("x-tail", "t"))
			return status.Error(codes.Aborted, "enough")
		}
		if err != nil {
			return err
		}
		if err := stream.SendMsg(say("re: " + in.Value)); err != nil {
			return err
		}
	}
}

// take ends its call while the client still sends.
func (v *grpcVendor) take(stream grpc.ServerStream) error {
	if err := stream.RecvMsg(new(note)); err != nil {
		return err
	}
	return status.Error(codes.FailedPrecondition, "not like that")
}

// hold waits until its client no longer does.
func (v *grpcVendor) hold(stream grpc.ServerStream) error {
	must(v.t, stream.SendMsg(say("holding")))
	<-stream.Context().Done()
	v.ended <- stream.Context().Err()
	return stream.Context().Err()
}

const bigMessage = 24 << 20 // many times every window of flow control

// newGRPC is a world with the vendor, and a client of it that goes through the proxy.
func newGRPC(t *testing.T, by way, change func(*policy.Service)) (*world, *grpcVendor, *grpc.ClientConn) {
	t.Helper()
	cert, ca := selfSigned(t, apiHost)
	v := &grpcVendor{t: t, ended: make(chan error, 8)}
	server := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&cert)), grpc.MaxRecvMsgSize(2*bigMessage))
	server.RegisterService(&grpcMethods, v)
	ln := try(net.Listen("tcp", "127.0.0.1:0"))(t)
	done := make(chan error, 1)
	go func() { done <- server.Serve(ln) }()
	t.Cleanup(func() { server.Stop(); must(t, <-done) })
	service := policy.Service{
		Name: "vendor", Host: apiHost, Auth: policy.Auth{Type: policy.Bearer, Token: "VENDOR_TOKEN"},
		Upstream: policy.Upstream{Address: netip.MustParseAddrPort(ln.Addr().String()), CA: ca},
	}
	if change != nil {
		change(&service)
	}
	w := newWorld(t, setup{services: services(service)})
	client := try(grpc.NewClient("passthrough:///"+apiHost+":443",
		grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(w.roots(), "")),
		grpc.WithContextDialer(func(_ context.Context, addr string) (net.Conn, error) {
			conn, res := w.connect(by, addr)
			if conn == nil {
				return nil, errors.New(res.Status)
			}
			return conn, conn.SetDeadline(time.Time{})
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(2*bigMessage))))(t)
	t.Cleanup(func() { client.Close() })
	return w, v, client
}

// patient is the context of a call. What the client sends in the credential's place is
// replaced.
func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer mine", "x-mine", "1", "x-mine", "2")
}

func call(t *testing.T, ctx context.Context, client *grpc.ClientConn, name string) grpc.ClientStream {
	t.Helper()
	return try(client.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/av.test.Vendor/"+name))(t)
}

// drained reads a call to its end.
func drained(stream grpc.ClientStream) (got []string, err error) {
	for {
		in := new(note)
		switch err := stream.RecvMsg(in); {
		case err == io.EOF:
			return got, nil
		case err != nil:
			return got, err
		}
		got = append(got, in.Value)
	}
}

func isCode(t *testing.T, err error, code codes.Code, message string) {
	t.Helper()
	if s := status.Convert(err); s.Code() != code || s.Message() != message {
		t.Errorf("%v %q, want %v %q", s.Code(), s.Message(), code, message)
	}
}

func hasTail(t *testing.T, tail metadata.MD) {
	t.Helper()
	if got := fmt.Sprint(tail["x-tail"]); got != "[t]" {
		t.Errorf("the trailer x-tail is %s", got)
	}
}

func TestUnaryGRPCGetsItsCredential(t *testing.T) {
	for _, by := range ways {
		t.Run(string(by), func(t *testing.T) {
			w, _, client := newGRPC(t, by, nil)
			var head, tail metadata.MD
			out := new(note)
			must(t, client.Invoke(patient(t), "/av.test.Vendor/Echo", say("hello"), out, grpc.Header(&head), grpc.Trailer(&tail)))
			if out.Value != "hello" || fmt.Sprint(head["x-head"]) != "[h]" || tail["x-bytes-bin"][0] != "\x00\xff" {
				t.Errorf("%q, %v, %v", out.Value, head, tail)
			}
			hasTail(t, tail)
			isCode(t, client.Invoke(patient(t), "/av.test.Vendor/Missing", say(""), out), codes.Unimplemented, "unknown method Missing for service av.test.Vendor")
			w.ledger.wait(t, 2)
			client.Close()
			e := w.records()[0]
			if e.Proto != "HTTP/2.0" || e.Path != "/av.test.Vendor/Echo" || e.Method != "POST" || e.Status != 200 || e.Reason != "" ||
				fmt.Sprint(e.Keys) != "[VENDOR_TOKEN]" || e.BytesIn != e.BytesOut || e.BytesIn == 0 {
				t.Errorf("record %+v", e)
			}
		})
	}
}

func TestGRPCStreamsPassWithStatusAndTrailers(t *testing.T) {
	_, _, client := newGRPC(t, byCertificate, nil)

	t.Run("a status alone", func(t *testing.T) {
		// Often: whether the status arrived in a head that ends its stream was once a race.
		for range 20 {
			stream := call(t, patient(t), client, "Fail")
			_, err := drained(stream)
			isCode(t, err, codes.ResourceExhausted, "no more: 100 % ü")
			if details := status.Convert(err).Details(); len(details) != 1 || details[0].(*note).Value != "detail" {
				t.Errorf("details %v", details)
			}
			hasTail(t, stream.Trailer())
		}
	})
	t.Run("the server streams", func(t *testing.T) {
		stream := call(t, patient(t), client, "Count")
		must(t, stream.SendMsg(say("")))
		must(t, stream.CloseSend())
		got, err := drained(stream)
		if err != nil || len(got) != 100 || got[99] != "99" {
			t.Errorf("%d messages, %v", len(got), err)
		}
		hasTail(t, stream.Trailer())
	})
	t.Run("the client streams", func(t *testing.T) {
		stream := call(t, patient(t), client, "Join")
		for range 100 {
			must(t, stream.SendMsg(say("ab")))
		}
		must(t, stream.CloseSend())
		if got, err := drained(stream); err != nil || len(got) != 1 || got[0] != strings.Repeat("ab", 100) {
			t.Errorf("%q, %v", got, err)
		}
	})
	t.Run("both stream, each in answer to the other", func(t *testing.T) {
		stream := call(t, patient(t), client, "Chat")
		for i := range 100 {
			must(t, stream.SendMsg(say(fmt.Sprint(i))))
			in := new(note)
			must(t, stream.RecvMsg(in))
			if in.Value != fmt.Sprint("re: ", i) {
				t.Fatalf("%q after %d", in.Value, i)
			}
		}
		must(t, stream.CloseSend())
		_, err := drained(stream)
		isCode(t, err, codes.Aborted, "enough")
		hasTail(t, stream.Trailer())
	})
	t.Run("the server ends it while the client sends", func(t *testing.T) {
		stream := call(t, patient(t), client, "Take")
		var err error
		for err == nil {
			err = stream.SendMsg(say(strings.Repeat("x", 1<<16)))
		}
		_, err = drained(stream)
		isCode(t, err, codes.FailedPrecondition, "not like that")
	})
}

func TestGRPCMessagesMayBeBig(t *testing.T) {
	_, _, client := newGRPC(t, byToken, nil)
	big := strings.Repeat("0123456789abcdef", bigMessage/16)
	out := new(note)
	must(t, client.Invoke(patient(t), "/av.test.Vendor/Echo", say(big), out))
	if !bytes.Equal([]byte(out.Value), []byte(big)) {
		t.Errorf("%d bytes came back", len(out.Value))
	}
}

func TestGRPCDeadlineAndCancellationReachTheServer(t *testing.T) {
	_, v, client := newGRPC(t, byCertificate, nil)
	for name, c := range map[string]struct {
		how  func(context.Context) (context.Context, func())
		code codes.Code
	}{
		"deadline": {func(ctx context.Context) (context.Context, func()) {
			ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
			t.Cleanup(cancel)
			return ctx, func() {}
		}, codes.DeadlineExceeded},
		"cancellation": {func(ctx context.Context) (context.Context, func()) {
			return context.WithCancel(ctx)
		}, codes.Canceled},
	} {
		ctx, end := c.how(patient(t))
		stream := call(t, ctx, client, "Hold")
		must(t, stream.RecvMsg(new(note)))
		end()
		if _, err := drained(stream); status.Code(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
		select {
		case <-v.ended:
		case <-time.After(patience):
			t.Errorf("%s: the server still holds the call", name)
		}
	}
	// Control: the connection has not ended with its calls.
	must(t, client.Invoke(patient(t), "/av.test.Vendor/Echo", say(""), new(note)))
}

// A call that policy denies ends with a code that a client has a meaning for.
func TestDeniedGRPCIsPermissionDenied(t *testing.T) {
	w, _, client := newGRPC(t, byToken, func(s *policy.Service) { s.Path = "/av.test.Vendor/Echo" })
	_, err := drained(call(t, patient(t), client, "Count"))
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("%v", err)
	}
	must(t, client.Invoke(patient(t), "/av.test.Vendor/Echo", say(""), new(note)))
	if e := w.ledger.wait(t, 1); e.Allowed || e.Path != "/av.test.Vendor/Count" {
		t.Errorf("record %+v", e)
	}
}

// A call that is open when its service goes is cut off, and not ended as if all had come.
func TestOpenGRPCStreamEndsWithItsGrant(t *testing.T) {
	w, v, client := newGRPC(t, byCertificate, nil)
	stream := call(t, patient(t), client, "Hold")
	must(t, stream.RecvMsg(new(note)))
	w.replace()
	if got, err := drained(stream); err == nil {
		t.Errorf("it ended well, with %q", got)
	}
	select {
	case <-v.ended:
	case <-time.After(patience):
		t.Error("the server still holds the call")
	}
	if e := w.ledger.wait(t, 1); e.Reason != reasonRegranted {
		t.Errorf("record %+v", e)
	}
}
