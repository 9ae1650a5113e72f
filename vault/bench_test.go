package vault_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/av-project/av/vault"
)

// BenchmarkResolve is what a credential costs each request: from memory, and from the
// file a second later.
func BenchmarkResolve(b *testing.B) {
	c := newClock()
	v, _ := newVault(b, c)
	set(b, v, "A", "ghp_0123456789abcdef0123456789abcdef0123")
	session := use(b, v, "A")
	for name, age := range map[string]time.Duration{"cached": 0, "cold": 2 * time.Second} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				c.advance(age)
				if _, err := session.Credential(b.Context(), "A", "a.test"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDatabaseSize is how large the file is that holds 10,000 credentials, and how
// long it takes to store them at once.
func BenchmarkDatabaseSize(b *testing.B) {
	const n = 10_000
	settings := make([]vault.Setting, n)
	for i := range settings {
		settings[i] = vault.Setting{Key: fmt.Sprintf("SERVICE_%d_TOKEN", i), Value: vault.NewValue(fmt.Appendf(nil, "ghp_%036d", i)), Hosts: []string{"api.example.com"}}
	}
	for b.Loop() {
		b.StopTimer()
		o := vault.Options{Home: filepath.Join(b.TempDir(), "home"), Now: newClock().Now}
		if err := vault.Init(b.Context(), o, nil); err != nil {
			b.Fatal(err)
		}
		empty := size(b, o)
		v, err := vault.Open(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := v.Set(b.Context(), owner, settings...); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := v.Close(); err != nil { // which writes all of it into the one file
			b.Fatal(err)
		}
		full := size(b, o)
		b.ReportMetric(float64(full-empty)/n, "bytes/credential")
		b.ReportMetric(float64(full)/(1<<20), "MiB")
		b.StartTimer()
	}
}

func size(b *testing.B, o vault.Options) int64 {
	b.Helper()
	info, err := os.Stat(filepath.Join(o.Home, "vault.db"))
	if err != nil {
		b.Fatal(err)
	}
	return info.Size()
}
