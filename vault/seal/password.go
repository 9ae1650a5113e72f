package seal

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// What a new vault's password goes through, as DESIGN has it: a tenth of a second
// and 64 MiB for each guess.
const (
	passes   = 3
	memory   = 64 << 10 // KiB
	lanes    = 4
	saltSize = 16
)

// What a stored vault may ask of us. The parameters stand in a file that somebody
// may have doctored, and are used before anything can be verified: without a
// ceiling a changed digit would have av allocate a terabyte.
const (
	maxPasses = 64
	maxMemory = 1 << 20 // KiB: 1 GiB
	maxLanes  = 64
	maxSalt   = 64
)

// parameters are Argon2id's, stored beside what they protect.
type parameters struct {
	passes, memory uint32
	lanes          uint8
	salt           []byte
}

func newParameters() parameters {
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails: the program ends instead
	return parameters{passes, memory, lanes, salt}
}

// raised is p for another password: with a fresh salt, and nowhere weaker than what a
// new vault gets, nor than p was.
func (p parameters) raised() parameters {
	now := newParameters()
	now.passes = max(now.passes, p.passes)
	now.memory = max(now.memory, p.memory)
	return now
}

func (p parameters) derive(password []byte) (Key, error) {
	b := argon2.IDKey(password, p.salt, p.passes, p.memory, p.lanes, KeySize)
	defer clear(b)
	return keyFrom(b)
}

// String is the usual notation: argon2id$v=19$m=65536,t=3,p=4$<salt>.
func (p parameters) String() string {
	return fmt.Sprintf("argon2id$v=%d$m=%d,t=%d,p=%d$%s", argon2.Version, p.memory, p.passes, p.lanes,
		base64.RawStdEncoding.EncodeToString(p.salt))
}

// parseParameters reads what String wrote, and refuses what it would not write.
func parseParameters(s string) (parameters, error) {
	refuse := func(why string) (parameters, error) {
		return parameters{}, fmt.Errorf("refusing key derivation %.80q: %s", s, why)
	}
	parts := strings.Split(s, "$")
	if len(parts) != 4 || parts[0] != "argon2id" || parts[1] != "v="+strconv.Itoa(argon2.Version) {
		return refuse("want argon2id of version 19")
	}
	var p parameters
	if _, err := fmt.Sscanf(parts[2], "m=%d,t=%d,p=%d", &p.memory, &p.passes, &p.lanes); err != nil {
		return refuse("want m=,t=,p=")
	}
	salt, err := base64.RawStdEncoding.Strict().DecodeString(parts[3])
	if err != nil {
		return refuse("the salt is not base64")
	}
	p.salt = salt
	if p.passes < 1 || p.passes > maxPasses || p.lanes < 1 || p.lanes > maxLanes ||
		p.memory < 8*uint32(p.lanes) || p.memory > maxMemory || len(salt) < saltSize || len(salt) > maxSalt {
		return refuse("out of bounds")
	}
	if p.String() != s {
		return refuse("not in its canonical form")
	}
	return p, nil
}
