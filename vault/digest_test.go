package vault_test

import (
	"testing"
	"time"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/store"
)

// What was sealed yesterday has to open tomorrow: a digest of another shape would shut out
// every session and every service of a vault that is there.
func TestDigestsOfWhatIsSealedStayAsTheyAre(t *testing.T) {
	rows := []store.Service{{Name: "a", Body: `{"name":"a"}`}, {Name: "", Body: ""}, {Name: "b", Body: "ü"}}
	if got, want := vault.ServicesDigest(rows), "3 sha256:718150cb5aef310d8b04a349344036f4cbc9a1ed285b998f7ebe895354d788bf"; got != want {
		t.Errorf("services: got %s, want %s", got, want)
	}
	if got, want := vault.ServicesDigest(nil), "0 sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"; got != want {
		t.Errorf("no services: got %s, want %s", got, want)
	}
	s := store.Session{ID: "0123", Run: "r", TokenHash: [32]byte{1, 2}, CertificateHash: [32]byte{31: 3}, Policy: `{"unmatched":"deny"}`,
		Created: time.Unix(1700000000, 5), Expires: time.Unix(1700086400, 7)}
	if got, want := vault.SessionDigest(s), "sha256:b82ba7b8cc7db419c11029fd86d7e3408eb392fedca037d58e39f38a51b96042"; got != want {
		t.Errorf("session: got %s, want %s", got, want)
	}
	// What ends where is part of it.
	moved := s
	moved.ID, moved.Run = "012", "3r"
	if vault.SessionDigest(moved) == vault.SessionDigest(s) {
		t.Error("two sessions have one digest")
	}
	if vault.ServicesDigest([]store.Service{{Name: "ab"}}) == vault.ServicesDigest([]store.Service{{Name: "a", Body: "b"}}) {
		t.Error("two lists have one digest")
	}
}
