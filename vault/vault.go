// Package vault is the one door to credentials, services, sessions and records.
// Every method takes who asks, authorises, acts and records; nothing secret leaves
// it but as a [Value].
package vault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/av-project/av/vault/store"
)

const (
	databaseFile = "vault.db"
	keyFile      = "vault.key"
	// defaultVault is the vault that Init makes.
	defaultVault = "default"
)

// Options are what a vault is given from outside.
type Options struct {
	// Home is AV_HOME, an absolute path.
	Home string
	// Vault names one of the file's vaults; "" is the current one.
	Vault string
	// Password is asked when something sealed is needed and a password seals it. The
	// vault clears what it gets.
	Password func(context.Context) ([]byte, error)
	// Wrong, if there is one, hears that what Password gave does not open the vault, and
	// tells whether to ask Password again.
	Wrong func() (again bool)
	// Getenv reads what "env:" references name; nil: os.Getenv.
	Getenv func(string) string
	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: nothing is logged
}

func (o Options) withDefaults() (Options, error) {
	if !filepath.IsAbs(o.Home) {
		return o, fmt.Errorf("the vault's folder %q is not an absolute path", o.Home)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

// isFolder refuses a Home that is something else. One that is not there is fine here.
func (o Options) isFolder() error {
	if info, err := os.Stat(o.Home); err == nil && !info.IsDir() {
		return &problem{"cannot use AV_HOME: " + o.Home + " is a file, not a folder", "set AV_HOME to a folder of your own, or move the file away"}
	}
	return nil
}

func (o Options) database() string { return filepath.Join(o.Home, databaseFile) }
func (o Options) keyFile() string  { return filepath.Join(o.Home, keyFile) }

// Vault is an open vault. It may be used by many at once.
type Vault struct {
	o  Options
	db *store.DB
	id string // part of every sealed row's identity
	// name is what the vault was called when it was opened.
	name string

	keys keys

	// mirror guards what memory holds of the rows: whoever reads rows into memory
	// holds it shared, whoever changes rows and then memory holds it alone. So no
	// reader puts back what a writer has just taken away.
	mirror      sync.RWMutex
	sessions    sessions
	credentials credentials

	resolver *resolver
	watcher  watcher
	records  *recorder
}

// Open opens the vault in o.Home. It asks for no password yet.
func Open(ctx context.Context, o Options) (*Vault, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := o.isFolder(); err != nil {
		return nil, err
	}
	db, err := store.Open(ctx, o.database())
	if err != nil {
		return nil, err
	}
	v := &Vault{o: o, db: db}
	err = db.View(ctx, func(tx *store.Tx) error {
		row, err := o.find(tx)
		v.id, v.name = row.ID, row.Name
		return err
	})
	if err != nil {
		if !errors.Is(err, ErrNoVault) { // which is said of a name, not of the file
			err = fmt.Errorf("open %s: %w", o.database(), err)
		}
		return nil, errors.Join(err, db.Close())
	}
	v.resolver = newResolver(context.WithoutCancel(ctx), o)
	v.records = newRecorder(context.WithoutCancel(ctx), db, v.id, o.Logger, v.tidy)
	return v, nil
}

// find is the vault that o names, or the current one.
func (o Options) find(tx *store.Tx) (store.Vault, error) {
	if o.Vault == "" {
		row, err := tx.CurrentVault(defaultVault)
		return row, missing(err)
	}
	return vaultNamed(tx, o.Vault)
}

// Name is what the vault was called when it was opened.
func (v *Vault) Name() string { return v.name }

// ID is what the vault is called in records, whatever its name.
func (v *Vault) ID() string { return v.id }

// Close writes what is still to be recorded, and ends every session in this
// process's memory: what is open on one closes.
func (v *Vault) Close() error {
	v.watcher.close()
	v.sessions.closeAll()
	v.resolver.close()
	return errors.Join(v.records.close(), v.db.Close())
}
