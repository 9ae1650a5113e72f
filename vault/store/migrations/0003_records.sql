-- What of a request took how long, in nanoseconds; 0 is what did not happen.
ALTER TABLE requests ADD COLUMN queued INTEGER NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN dial INTEGER NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN tls INTEGER NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN first_byte INTEGER NOT NULL DEFAULT 0;

-- What was spoken with the upstream, and by which scheme.
ALTER TABLE requests ADD COLUMN upstream_proto TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN scheme TEXT NOT NULL DEFAULT '';

-- A denial that came again and again is one row: how often, and when last.
ALTER TABLE requests ADD COLUMN count INTEGER NOT NULL DEFAULT 1;
ALTER TABLE requests ADD COLUMN last INTEGER NOT NULL DEFAULT 0;

-- Finds the oldest rows of a vault, which are the ones to go.
CREATE INDEX requests_by_time ON requests (vault_id, at);
