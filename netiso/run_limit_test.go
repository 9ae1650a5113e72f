package netiso

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestNoteIsReadUpToItsCeiling(t *testing.T) {
	for over := range 2 {
		file := filepath.Join(t.TempDir(), noteFile)
		text := `{"state":"running"`
		text += strings.Repeat(" ", maxNote-len(text)-1+over) + "}"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readNote(file); (err == nil) != (over == 0) {
			t.Errorf("%d bytes: %v", len(text), err)
		}
	}
}

func TestStartThatWaitsLongSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		home := t.TempDir()
		for range turns() {
			done, err := AwaitTurn(t.Context(), home, func() { t.Error("told to wait where there is room") })
			if err != nil {
				t.Fatal(err)
			}
			defer done()
		}
		began := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := AwaitTurn(ctx, home, func() {
			if waited := time.Since(began); waited < turnPatience || waited > turnPatience+2*turnPause {
				t.Errorf("told so after %v", waited)
			}
			cancel()
		}); err == nil {
			t.Error("there was room")
		}
	})
}
