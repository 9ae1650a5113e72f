-- Times are nanoseconds since 1970, in UTC. What is sealed is sealed by vault/seal
-- with its row's vault, kind and name; nothing else here is secret.

CREATE TABLE vaults (
	id      TEXT PRIMARY KEY, -- random: a row does not open in another file either
	name    TEXT NOT NULL UNIQUE,
	created INTEGER NOT NULL
) STRICT;

-- The one data key of the file, wrapped.
CREATE TABLE lock (
	id      INTEGER PRIMARY KEY CHECK (id = 1),
	method  TEXT NOT NULL,
	wrapped BLOB NOT NULL
) STRICT;

CREATE TABLE secrets (
	vault_id TEXT NOT NULL REFERENCES vaults (id) ON DELETE CASCADE,
	kind     TEXT NOT NULL,
	name     TEXT NOT NULL,
	sealed   BLOB NOT NULL,
	created  INTEGER NOT NULL,
	updated  INTEGER NOT NULL,
	PRIMARY KEY (vault_id, kind, name)
) STRICT, WITHOUT ROWID;

-- The local CA's certificate; its key is a secret of kind 'authority'.
CREATE TABLE authorities (
	vault_id    TEXT PRIMARY KEY REFERENCES vaults (id) ON DELETE CASCADE,
	certificate BLOB NOT NULL
) STRICT;

CREATE TABLE services (
	vault_id TEXT NOT NULL REFERENCES vaults (id) ON DELETE CASCADE,
	position INTEGER NOT NULL, -- the order of the file
	name     TEXT NOT NULL,
	body     TEXT NOT NULL CHECK (json_valid(body)),
	PRIMARY KEY (vault_id, position),
	UNIQUE (vault_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
	id               TEXT PRIMARY KEY,
	vault_id         TEXT NOT NULL REFERENCES vaults (id) ON DELETE CASCADE,
	run              TEXT NOT NULL,
	token_hash       BLOB NOT NULL UNIQUE,
	certificate_hash BLOB NOT NULL UNIQUE,
	policy           TEXT NOT NULL CHECK (json_valid(policy)),
	created          INTEGER NOT NULL,
	expires          INTEGER NOT NULL,
	ended            INTEGER -- NULL while it is open
) STRICT;
CREATE INDEX sessions_by_run ON sessions (vault_id, run);

-- One row for each request, denied CONNECT and failed tunnel.
CREATE TABLE requests (
	id        INTEGER PRIMARY KEY,
	vault_id  TEXT NOT NULL REFERENCES vaults (id) ON DELETE CASCADE,
	at        INTEGER NOT NULL,
	session   TEXT NOT NULL,
	run       TEXT NOT NULL,
	method    TEXT NOT NULL,
	host      TEXT NOT NULL,
	port      INTEGER NOT NULL,
	path      TEXT NOT NULL,
	service   TEXT NOT NULL,
	keys      TEXT NOT NULL, -- JSON list of names
	allowed   INTEGER NOT NULL,
	rule      TEXT NOT NULL,
	reason    TEXT NOT NULL,
	upstream  TEXT NOT NULL,
	status    INTEGER NOT NULL,
	bytes_in  INTEGER NOT NULL,
	bytes_out INTEGER NOT NULL,
	duration  INTEGER NOT NULL, -- nanoseconds
	proto     TEXT NOT NULL
) STRICT;
CREATE INDEX requests_by_run ON requests (vault_id, run, id);

-- One row for each privileged act and its outcome. Rows are only ever added.
CREATE TABLE audit (
	id       INTEGER PRIMARY KEY AUTOINCREMENT,
	vault_id TEXT NOT NULL,
	at       INTEGER NOT NULL,
	caller   TEXT NOT NULL,
	role     TEXT NOT NULL,
	act      TEXT NOT NULL,
	object   TEXT NOT NULL,
	error    TEXT NOT NULL -- empty: done
) STRICT;
CREATE TRIGGER audit_is_not_edited BEFORE UPDATE ON audit
BEGIN SELECT raise(ABORT, 'the audit table is append-only'); END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
BEGIN SELECT raise(ABORT, 'the audit table is append-only'); END;
