package proxy

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"
)

const (
	// volume is what goes through the proxy, straight what goes past it for comparison: a
	// rate, which does not depend on the size.
	volume   = 10 << 30
	straight = 2 << 30
	// volumeMemory is what the proxy may take for it, in MiB.
	volumeMemory = 64
)

// BenchmarkDownload10GiB and BenchmarkUpload10GiB show that a body is never in memory as a
// whole, and what the proxy leaves of the rate of a connection.
func BenchmarkDownload10GiB(b *testing.B) {
	benchVolume(b, func(rw http.ResponseWriter, r *http.Request, size int64) {
		rw.Header().Set("Content-Length", fmt.Sprint(size))
		_, _ = io.Copy(rw, newPieces(size))
	}, func(c *http.Client, url string, size int64) error {
		res, err := c.Get(url)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		return verifyPieces(res.Body, size)
	})
}

func BenchmarkUpload10GiB(b *testing.B) {
	benchVolume(b, func(rw http.ResponseWriter, r *http.Request, size int64) {
		if err := verifyPieces(r.Body, size); err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(rw, "all of it")
	}, func(c *http.Client, url string, size int64) error {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, newPieces(size))
		if err != nil {
			return err
		}
		req.ContentLength = size
		res, err := c.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if said, err := io.ReadAll(res.Body); err != nil || string(said) != "all of it" {
			return fmt.Errorf("%s: %q, %v", res.Status, said, err)
		}
		return nil
	})
}

func benchVolume(b *testing.B, handle func(http.ResponseWriter, *http.Request, int64), transfer func(*http.Client, string, int64) error) {
	for _, h2 := range []bool{false, true} {
		b.Run(fmt.Sprintf("h2=%v", h2), func(b *testing.B) {
			up := startUpstream(b, func(rw http.ResponseWriter, r *http.Request) {
				var size int64
				fmt.Sscanf(r.URL.Path, "/%d", &size)
				// What goes past the proxy has no credential.
				if size == volume && r.Header.Get("Authorization") != "Bearer "+secret {
					http.Error(rw, "no credential", http.StatusUnauthorized)
					return
				}
				handle(rw, r, size)
			}, h2, apiHost)
			timed := func(c *http.Client, size int64) float64 {
				began := time.Now()
				if err := transfer(c, fmt.Sprintf("https://%s/%d", apiHost, size), size); err != nil {
					b.Fatal(err)
				}
				return float64(size) / (1 << 20) / time.Since(began).Seconds()
			}
			direct := up.direct(h2)
			defer direct.CloseIdleConnections()
			for b.Loop() {
				p := startProcess(b, up, 1)
				proxied := p.client(0, h2)
				// Half before and half after, so that a busy machine slows both.
				before := timed(direct, straight/2)
				through := timed(proxied, volume)
				past := 2 / (1/before + 1/timed(direct, straight/2))
				b.ReportMetric(through, "proxied-MiB/s")
				b.ReportMetric(past, "direct-MiB/s")
				b.ReportMetric(through/past, "ratio")
				p.heap(fmt.Sprintf("volume-h2=%v", h2))
				p.within(volumeMemory)
				proxied.CloseIdleConnections()
				p.stop()
			}
		})
	}
}

const pieceSize = 64 << 10

// pieces reads as size bytes in which every piece begins with its number, so that one that
// was lost, doubled or moved is seen.
type pieces struct {
	left   int64
	number uint64
	piece  []byte
	rest   []byte
}

// noise does not look alike in any two places of a piece.
var noise = func() (b [pieceSize]byte) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := 0; i < len(b); i += 8 {
		binary.BigEndian.PutUint64(b[i:], r.Uint64())
	}
	return b
}()

func newPieces(size int64) *pieces { return &pieces{left: size, piece: bytes.Clone(noise[:])} }

func (p *pieces) Read(to []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	if len(p.rest) == 0 {
		binary.BigEndian.PutUint64(p.piece, p.number)
		p.rest = p.piece
		p.number++
	}
	n := copy(to, p.rest)
	p.rest = p.rest[n:]
	p.left -= int64(n)
	return n, nil
}

// verifyPieces reads them all, looks at each number and at the whole of some.
func verifyPieces(r io.Reader, size int64) error {
	piece := make([]byte, pieceSize)
	for number := range uint64(size / pieceSize) {
		if _, err := io.ReadFull(r, piece); err != nil {
			return fmt.Errorf("piece %d: %w", number, err)
		}
		if got := binary.BigEndian.Uint64(piece); got != number {
			return fmt.Errorf("piece %d is there instead of %d", got, number)
		}
		if number%64 == 0 && !bytes.Equal(piece[8:], noise[8:]) {
			return fmt.Errorf("piece %d is not as it was sent", number)
		}
	}
	if n, err := io.Copy(io.Discard, r); n != 0 || err != nil {
		return errors.Join(err, fmt.Errorf("%d bytes too many", n))
	}
	return nil
}
