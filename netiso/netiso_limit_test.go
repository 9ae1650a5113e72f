package netiso

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/av-project/av/netiso/gate"
)

func TestReportOfTheGateIsReadUpToItsCeiling(t *testing.T) {
	report := func(size int) error {
		g := &Gate{log: &tailBuffer{max: 64}}
		out, in := io.Pipe()
		go func() {
			_, _ = io.WriteString(in, "{"+strings.Repeat(" ", size-3)+"}\n")
			in.Close()
		}()
		_, err := g.report(t.Context(), gate.Config{}, out)
		out.Close()
		g.output.Wait()
		return err
	}
	if err := report(maxReport); err != nil {
		t.Errorf("at the ceiling: %v", err)
	}
	if err := report(maxReport + 1); err == nil || !strings.Contains(err.Error(), "without a report") {
		t.Errorf("one byte more: %v", err)
	}
}

func TestGateThatDoesNotReportIsGivenUpInTime(t *testing.T) {
	for _, late := range []time.Duration{reportTimeout - time.Second, reportTimeout + time.Second} {
		synctest.Test(t, func(t *testing.T) {
			g := &Gate{log: &tailBuffer{max: 64}}
			out, in := io.Pipe()
			go func() {
				time.Sleep(late)
				_, _ = io.WriteString(in, "{}\n")
				in.Close()
			}()
			began := time.Now()
			_, err := g.report(t.Context(), gate.Config{}, out)
			if inTime := late < reportTimeout; inTime != (err == nil) ||
				!inTime && (!strings.Contains(err.Error(), "the gate does not report") || time.Since(began) != reportTimeout) {
				t.Errorf("a report after %v: %v after %v", late, err, time.Since(began))
			}
			time.Sleep(2 * time.Second) // the late one is written, and nobody reads it
			g.output.Wait()
		})
	}
}
