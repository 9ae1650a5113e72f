package firewall

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A plan is some hundred bytes, and what reads it may change the host's rules.
func TestPlanThatIsTooLongIsNotRead(t *testing.T) {
	opened := errors.New("opened")
	open := func() (Host, error) { return Host{}, opened }
	for _, over := range []int{0, 1} {
		line := `{"Run":"12345678"` + strings.Repeat(" ", maxPlan-len(`{"Run":"12345678"}`)-1+over) + "}\n"
		err := Serve(t.Context(), open, strings.NewReader(line), io.Discard)
		if errors.Is(err, opened) != (over == 0) {
			t.Errorf("%d bytes: %v", len(line), err)
		}
	}
}

func TestBridgeThatStaysIsNotWaitedForForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		awaitBridge(context.Background(), "lo")
		if took := time.Since(began); took != bridgePatience {
			t.Errorf("waited %v", took)
		}
		began = time.Now()
		awaitBridge(context.Background(), "av-none")
		if took := time.Since(began); took != (bridgeMisses-1)*bridgeWait {
			t.Errorf("for one that is gone: %v", took)
		}
	})
}
