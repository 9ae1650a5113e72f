package inject

import (
	"bytes"
	"encoding/base64"
	"errors"
	"testing"

	"github.com/av-project/av/vault"
)

func encodeBase64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// The law: the pieces in which bytes come make no difference, and nothing passes after a
// close frame.
func FuzzFramesDoNotDependOnTheirPieces(f *testing.F) {
	f.Add([]byte("\x81\x85\x00\x00\x00\x00__k__"), uint8(1))
	f.Add([]byte("\x01\x83\x00\x00\x00\x00__k\x89\x80\x00\x00\x00\x00\x80\x82\x00\x00\x00\x00__"), uint8(3))
	f.Add([]byte("\x82\xfe\x00\x03\x01\x02\x03\x04abc\x88\x82\x00\x00\x00\x00\x03\xe8"), uint8(2))
	f.Add([]byte("\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00"), uint8(4))
	f.Add([]byte("\x01\x83\x00\x00\x00\x00__K\x80\x82\x00\x00\x00\x00__\x82\x80\x00\x00\x00\x00"), uint8(5))
	f.Add([]byte("\x81\x8c\x00\x00\x00\x00\"\\u005f_k__\""), uint8(6))
	f.Fuzz(func(t *testing.T, p []byte, piece uint8) {
		whole, err := messages(p, len(p))
		parts, err2 := messages(p, int(piece))
		if !bytes.Equal(whole, parts) || (err == nil) != (err2 == nil) {
			t.Fatalf("%q: whole %q (%v), in pieces of %d %q (%v)", p, whole, err, piece, parts, err2)
		}
	})
}

// messages feeds p and returns what comes out, without the masks, which are random.
func messages(p []byte, piece int) (out []byte, err error) {
	value := func() (vault.Value, error) { return vault.NewValue([]byte("value")), nil }
	f := &Frames{Marks: []Mark{{"__k__", "K", value}}, Watch: Watch{On: "message", Here: []string{"__k__"}}, Limit: 64}
	var wire []byte
	for len(p) > 0 && err == nil {
		n := min(max(piece, 1), len(p))
		var more []byte
		more, err = f.Feed(p[:n])
		wire, p = append(wire, more...), p[n:]
	}
	if again, _ := f.Feed([]byte("\x81\x80\x00\x00\x00\x00")); err != nil && len(again) > 0 {
		panic("something passes after the close")
	}
	for len(wire) > 0 {
		end := 0
		for end = range len(wire) + 1 {
			if ok, _ := headLength(wire[:end]); ok {
				break
			}
		}
		ok, length := headLength(wire[:end])
		if !ok {
			return append(out, wire...), err // a part of a head cannot leave
		}
		out = append(out, wire[0])
		mask := wire[end-4 : end]
		payload := wire[end:min(uint64(len(wire)), uint64(end)+length)]
		for i, c := range payload {
			out = append(out, c^mask[i%4])
		}
		wire = wire[end+len(payload):]
	}
	return out, err
}

func TestOtherSpellingClosesTheWebSocket(t *testing.T) {
	value := func() (vault.Value, error) { return vault.NewValue([]byte("value")), nil }
	for _, c := range []struct {
		message string
		refused bool
	}{
		{"__k__ and __init__", false}, {`{"k":"__k__"}`, false}, {`\u005f_k__`, false}, // not JSON, so no escape
		{"a __K__", true}, {`{"k":"\u005f_k__"}`, true}, {"__other__", false},
	} {
		f := &Frames{Marks: []Mark{{"__k__", "K", value}}, Watch: Watch{On: "message", Here: []string{"__k__"}, Elsewhere: []string{"__other__"}}, Limit: 64}
		out, err := f.Feed(appendFrame(nil, opText, []byte(c.message)))
		_, unknown := errors.AsType[*UnknownError](err)
		if unknown != c.refused || (err != nil) != c.refused {
			t.Errorf("%s: %v", c.message, err)
		}
		if c.refused && !bytes.Equal(plain(out), []byte("\x88\x82\x03\xf0")) { // 1008
			t.Errorf("%s: %q", c.message, plain(out))
		}
	}
}

// plain is one small frame without its mask.
func plain(frame []byte) []byte {
	out := append([]byte(nil), frame[:2]...)
	for i, c := range frame[6:] {
		out = append(out, c^frame[2+i%4])
	}
	return out
}
