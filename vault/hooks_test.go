package vault

import (
	"context"
	"time"

	"github.com/av-project/av/vault/store"
)

// LooksInASecond is how often a change can be seen in the second that we promise.
const LooksInASecond = int64(time.Second / lookEvery)

// Looks counts the looks at the file that v has begun, and its readings of all rows.
func Looks(v *Vault) (looks, readings int64) {
	return v.watcher.looks.Load(), v.watcher.readings.Load()
}

// LastReading is the number of the look that led to the last reading.
func LastReading(v *Vault) int64 { return v.watcher.lastReading.Load() }

// SealServices vouches for the services that stand in the file, as only who has the key
// can: so that a test gets past this wall to the next one.
func SealServices(ctx context.Context, v *Vault) error {
	key, err := v.dataKey(ctx)
	if err != nil {
		return err
	}
	return v.db.Update(ctx, func(tx *store.Tx) error {
		rows, err := tx.Services(v.id)
		if err != nil {
			return err
		}
		return v.sealServices(tx, key, rows)
	})
}

// ServicesDigest and SessionDigest are what is sealed of a list of services and of a
// session.
var (
	ServicesDigest = digest
	SessionDigest  = sessionDigest
)
