package vault

import (
	"bytes"
	"fmt"
	"log/slog"
)

const redacted = "[secret]"

// Value is a secret in memory. It prints as [secret] through fmt, slog and JSON,
// and opens in one place, [Value.Open].
//
// The bytes sit behind a closure, because fmt prints the fields of a struct in an
// unexported field without asking its methods: there it finds the word and the
// address of a function.
type Value struct {
	shown  string
	reveal func() []byte
}

// NewValue keeps a copy of b, so that the caller may clear b.
func NewValue(b []byte) Value {
	kept := bytes.Clone(b)
	return Value{shown: redacted, reveal: func() []byte { return kept }}
}

// Open returns a copy of the secret, nil for the zero Value.
func (v Value) Open() []byte {
	if v.reveal == nil {
		return nil
	}
	return bytes.Clone(v.reveal())
}

// IsZero tells whether there is nothing in v, not even an empty secret.
func (v Value) IsZero() bool { return v.reveal == nil }

// Format answers every verb and flag of fmt.
func (v Value) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(redacted)) }

func (v Value) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (v Value) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (v Value) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
