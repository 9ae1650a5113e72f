package seal

import (
	"encoding/base64"
	"fmt"
	"testing"
)

// The parameters stand in a file that somebody may have doctored: one more of anything
// than the ceiling is not worked with, and the ceiling itself is read.
func TestKeyDerivationAsksForNoMoreThanItsCeilings(t *testing.T) {
	text := func(memory, passes, lanes, salt int) string {
		return fmt.Sprintf("argon2id$v=19$m=%d,t=%d,p=%d$%s", memory, passes, lanes, base64.RawStdEncoding.EncodeToString(make([]byte, salt)))
	}
	p, err := parseParameters(text(maxMemory, maxPasses, maxLanes, maxSalt))
	if err != nil || p.memory != maxMemory || p.passes != maxPasses || p.lanes != maxLanes || len(p.salt) != maxSalt {
		t.Errorf("at all ceilings: %+v, %v", p, err)
	}
	for what, s := range map[string]string{
		"memory": text(maxMemory+1, maxPasses, maxLanes, maxSalt), "passes": text(maxMemory, maxPasses+1, maxLanes, maxSalt),
		"lanes": text(maxMemory, maxPasses, maxLanes+1, maxSalt), "salt": text(maxMemory, maxPasses, maxLanes, maxSalt+1),
	} {
		if p, err := parseParameters(s); err == nil {
			t.Errorf("one more of %s: %+v", what, p)
		}
	}
}
