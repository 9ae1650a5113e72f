package vault

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/av-project/av/vault/policy"
)

// What a backup says that it is.
const (
	backupFormat  = "av-backup"
	backupVersion = 1
)

// backup is the document that Export writes and Import reads.
type backup struct {
	Format      string             `json:"format"`
	Version     int                `json:"version"`
	Vault       string             `json:"vault"`
	Created     time.Time          `json:"created"`
	Credentials []backupCredential `json:"credentials"`
	Services    []policy.Service   `json:"services"`
	Authority   *backupAuthority   `json:"authority,omitempty"`
}

// backupCredential is a credential with its earlier values, newest first.
type backupCredential struct {
	Key     string    `json:"key"`
	Created time.Time `json:"created"`
	backupValue
	Versions []backupValue `json:"versions,omitempty"`
}

// backupValue is one version of a credential.
type backupValue struct {
	Version   int           `json:"version"`
	Set       time.Time     `json:"set"`
	Value     []byte        `json:"value,omitempty"`     // base64
	Reference string        `json:"reference,omitempty"` // in place of a value
	Keep      time.Duration `json:"keep,omitempty"`      // nanoseconds
	Hosts     []string      `json:"hosts,omitempty"`
	Kept      *int          `json:"kept,omitempty"` // how many earlier values stay
}

type backupAuthority struct {
	Certificate string `json:"certificate"` // PEM
	Key         []byte `json:"key"`         // PKCS#8
}

// wipe is for when the plain text is no longer needed.
func (b *backup) wipe() {
	for _, c := range b.Credentials {
		c.wipe()
	}
	if b.Authority != nil {
		clear(b.Authority.Key)
	}
}

func (c backupCredential) wipe() {
	clear(c.Value)
	for _, v := range c.Versions {
		clear(v.Value)
	}
}

func newBackupValue(o opened) backupValue {
	b := backupValue{Version: o.Version, Set: o.updated, Keep: o.Keep, Hosts: o.Hosts, Kept: o.Versions}
	if o.Ref != "" {
		b.Reference = o.Ref + ":" + o.reference().Target
	} else {
		b.Value = o.sealed.Open()
	}
	return b
}

// check refuses what no export would have written; what comes from elsewhere follows
// the rules of what is typed.
func (b *backup) check() error {
	seen := make(map[string]bool, len(b.Credentials))
	for _, c := range b.Credentials {
		if err := CheckKey(c.Key); err != nil {
			return err
		}
		if seen[c.Key] {
			return fmt.Errorf("credential %s is there twice", c.Key)
		}
		seen[c.Key] = true
		if err := c.check(); err != nil {
			return fmt.Errorf("credential %s: %w", c.Key, err)
		}
	}
	return policy.Validate(b.Services)
}

func (c backupCredential) check() error {
	if len(c.Versions) > maxVersions {
		return fmt.Errorf("it has more than %d earlier values", maxVersions)
	}
	if !storable(c.Created) {
		return errors.New("its times are out of bounds")
	}
	next := maxVersionNumber + 1
	for _, v := range slices.Concat([]backupValue{c.backupValue}, c.Versions) {
		if v.Version < 1 || v.Version >= next {
			return errors.New("its versions are not in order")
		}
		next = v.Version
		if !storable(v.Set) {
			return errors.New("its times are out of bounds")
		}
		if _, err := v.open(c.Key); err != nil {
			return err
		}
	}
	return nil
}

// maxVersionNumber is out of anyone's reach, and leaves room to count on.
const maxVersionNumber = 1 << 30

// storable tells whether t can stand in a row, as nanoseconds since 1970.
func storable(t time.Time) bool { return t.Year() >= 1970 && t.Year() < 2262 }

// open is v as a row of the vault has it, after the checks that a setting goes through.
func (v backupValue) open(key string) (opened, error) {
	s := Setting{Key: key, Hosts: v.Hosts, Versions: v.Kept}
	if len(v.Value) > 0 {
		s.Value = NewValue(v.Value)
	}
	if v.Reference != "" || v.Keep != 0 {
		r, err := ParseReference(v.Reference)
		if err != nil {
			return opened{}, err
		}
		r.Keep = v.Keep
		s.Reference = r
	}
	if !s.holds() {
		return opened{}, emptyValue(key)
	}
	s, err := s.check()
	o := opened{meta: meta{Version: v.Version}, updated: v.Set}
	o.apply(s)
	return o, err
}
