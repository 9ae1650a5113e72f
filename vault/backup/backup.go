// Package backup encrypts what leaves a vault and opens it again, in the format of age:
// a backup can be opened without av, with the age program alone.
package backup

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// problem is an error with the next step for the person who reads it.
type problem struct{ text, hint string }

func (p *problem) Error() string { return p.text }
func (p *problem) Hint() string  { return p.hint }

var (
	// ErrPassphrase is a wrong passphrase, as far as anyone can tell.
	ErrPassphrase error = &problem{"the passphrase does not open the backup", "try again with the passphrase that it was exported with"}
	// ErrIdentity says that none of the keys at hand opens the backup.
	ErrIdentity error = &problem{"the backup is encrypted to other keys", "give the file with the age identity whose recipient it was exported to: --identity FILE"}
	// ErrDamaged says that it is not age's format, was changed, or ends too early.
	ErrDamaged error = &problem{"the backup is damaged, cut short, or not one of av's", "use another copy"}

	errNobody       error = &problem{"nobody could open the backup", "give a passphrase, or a recipient: age1..."}
	errBoth         error = &problem{"a backup opens with a passphrase or with keys, not with both", "export it twice"}
	errNoPassphrase error = &problem{"the backup wants its passphrase", "run av on a terminal, or give --passphrase-file FILE"}
)

// Recipients are who can open a backup: whoever knows the passphrase, or holds the key
// of one of Keys.
type Recipients struct {
	Passphrase []byte
	Keys       []string // age1...
	// Armor writes text that survives mail and paste.
	Armor bool

	// workFactor is scrypt's, as a power of two; 0 is age's own. Only tests can set it.
	workFactor int
}

// Encrypt returns where the plain text goes. It is complete once that is closed without
// an error; w is left open.
func Encrypt(w io.Writer, to Recipients) (io.WriteCloser, error) {
	recipients, err := to.parse()
	if err != nil {
		return nil, err
	}
	if !to.Armor {
		return age.Encrypt(w, recipients...)
	}
	outer := armor.NewWriter(w)
	inner, err := age.Encrypt(outer, recipients...)
	if err != nil {
		return nil, err
	}
	return &layers{inner, outer}, nil
}

func (to Recipients) parse() ([]age.Recipient, error) {
	switch {
	case len(to.Passphrase) == 0 && len(to.Keys) == 0:
		return nil, errNobody
	case len(to.Passphrase) > 0 && len(to.Keys) > 0:
		return nil, errBoth
	case len(to.Passphrase) > 0:
		r, err := age.NewScryptRecipient(string(to.Passphrase))
		if err == nil && to.workFactor > 0 {
			r.SetWorkFactor(to.workFactor)
		}
		return []age.Recipient{r}, err
	}
	var recipients []age.Recipient
	for _, key := range to.Keys {
		r, err := parseRecipient(key)
		if err != nil {
			return nil, err
		}
		recipients = append(recipients, r)
	}
	return recipients, nil
}

// parseRecipient does not repeat what it cannot read: people paste the wrong half.
func parseRecipient(key string) (age.Recipient, error) {
	list, err := age.ParseRecipients(strings.NewReader(key))
	if err != nil || len(list) != 1 {
		return nil, &problem{"that is not an age recipient", "a recipient begins with age1; `age-keygen -y FILE` prints it"}
	}
	return list[0], nil
}

// layers closes the inner before the outer.
type layers struct {
	io.WriteCloser
	outer io.Closer
}

func (l *layers) Close() error {
	if err := l.WriteCloser.Close(); err != nil {
		return err
	}
	return l.outer.Close()
}

// Identities are what may open a backup.
type Identities struct {
	// Passphrase is asked if a passphrase seals the backup, and only then. What it
	// returns is cleared.
	Passphrase func() ([]byte, error)
	// Keys is an identity file, as age-keygen writes it; nil: there is none.
	Keys io.Reader
}

// Decrypt returns the plain text of what Encrypt, or age, wrote, armored or not. A reader
// of it must not act before it has read to the end: only that shows that nothing is missing.
func Decrypt(r io.Reader, with Identities) (io.Reader, error) {
	identities, err := with.parse()
	if err != nil {
		return nil, err
	}
	in := bufio.NewReader(r)
	if start, _ := in.Peek(len(armor.Header)); bytes.Equal(start, []byte(armor.Header)) {
		r = armor.NewReader(in)
	} else {
		r = in
	}
	plain, err := age.Decrypt(r, identities...)
	var none *age.NoIdentityMatchError
	switch {
	case errors.As(err, &none):
		return nil, ErrIdentity
	case err != nil && isOurs(err):
		return nil, err
	case err != nil:
		return nil, damaged(err)
	}
	return whole{plain}, nil
}

func (with Identities) parse() ([]age.Identity, error) {
	identities := []age.Identity{passphrase{with.Passphrase}}
	if with.Keys == nil {
		return identities, nil
	}
	keys, err := age.ParseIdentities(with.Keys)
	if err != nil { // which might repeat a key
		return nil, &problem{"the identity file cannot be read", "`age-keygen -o FILE` makes one"}
	}
	return append(identities, keys...), nil
}

// damaged does not repeat what age says: that may be a line of the file, and the file the
// one with the passphrase, named by mistake.
func damaged(err error) error {
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return &problem{fmt.Sprintf("read the backup: %v", failed), "name a file that you can read"}
	}
	return ErrDamaged
}

// whole names what is wrong with a stream that does not end well.
type whole struct{ r io.Reader }

func (w whole) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && err != io.EOF {
		err = damaged(err)
	}
	return n, err
}
