-- What belongs to the file and not to one of its vaults: 'current' is the id of the
-- vault that is used when none is named.
CREATE TABLE settings (
	name  TEXT PRIMARY KEY,
	value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The number of the data key: a process that holds another one has to unlock again.
ALTER TABLE lock ADD COLUMN generation INTEGER NOT NULL DEFAULT 1;

-- Grows with each change of credentials, services or sessions, in its transaction, so
-- that another process sees with one look whether anything of its own is stale.
ALTER TABLE vaults ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;

-- What is said about a secret in the clear and sealed with it as associated data: JSON,
-- or nothing for a first version that nothing is said about.
ALTER TABLE secrets ADD COLUMN meta TEXT NOT NULL DEFAULT '';

-- Earlier values of credentials, sealed as they were when they were the value.
CREATE TABLE versions (
	vault_id TEXT NOT NULL REFERENCES vaults (id) ON DELETE CASCADE,
	name     TEXT NOT NULL,
	version  INTEGER NOT NULL,
	sealed   BLOB NOT NULL,
	meta     TEXT NOT NULL,
	created  INTEGER NOT NULL, -- when it became the value
	PRIMARY KEY (vault_id, name, version)
) STRICT, WITHOUT ROWID;

-- When a credential last went out; not sealed, for it is written without the key.
CREATE TABLE uses (
	vault_id TEXT NOT NULL REFERENCES vaults (id) ON DELETE CASCADE,
	name     TEXT NOT NULL,
	at       INTEGER NOT NULL,
	PRIMARY KEY (vault_id, name)
) STRICT, WITHOUT ROWID;

-- The row's link in the chain: it covers the row and the hash of the row before it.
-- Rows of schema 1 get theirs from the program, at the end of this step.
ALTER TABLE audit ADD COLUMN hash BLOB;

-- Where the chain of audit rows ends. The row's own hash is in the audit table.
CREATE TABLE audit_head (
	id     INTEGER PRIMARY KEY CHECK (id = 1),
	last   INTEGER NOT NULL, -- id of the last row
	hash   BLOB NOT NULL,    -- its hash
	sealed_at INTEGER NOT NULL DEFAULT 0, -- id of the row at which the chain was last sealed
	sealed BLOB              -- that row's id and hash, sealed with the data key
) STRICT;
