package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
)

// checkSchema refuses a file in which there is anything but what our steps put there. A
// trigger that somebody added would act on what we write, long after they have gone: take
// back the end of a session, or put the old wrapped key aside when the password changes.
func checkSchema(ctx context.Context, db *sql.DB) error {
	want, err := ourSchema()
	if err != nil {
		return err
	}
	have, err := readSchema(ctx, db)
	if err != nil {
		return err
	}
	if !maps.Equal(have, want) {
		return fmt.Errorf("%w: somebody changed its schema", ErrCorrupt)
	}
	return nil
}

// ourSchema is what the steps make, tried out in memory.
var ourSchema = sync.OnceValues(func() (_ map[string]string, err error) {
	steps, err := migrations()
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1) // each has a memory of its own
	if err := migrate(context.Background(), db, steps); err != nil {
		return nil, err
	}
	return readSchema(context.Background(), db)
})

// readSchema is the SQL of all that is in the schema, but for what SQLite makes for itself.
func readSchema(ctx context.Context, db *sql.DB) (map[string]string, error) {
	rows, err := db.QueryContext(ctx, "SELECT type, name, coalesce(sql, '') FROM sqlite_schema")
	if err != nil {
		return nil, explain(err)
	}
	defer func() { _ = rows.Close() }()
	all := map[string]string{}
	for rows.Next() {
		var kind, name, text string
		if err := rows.Scan(&kind, &name, &text); err != nil {
			return nil, explain(err)
		}
		if strings.HasPrefix(name, "sqlite_") && (kind == "table" || kind == "index") {
			continue
		}
		all[kind+" "+name] = text
	}
	return all, explain(rows.Err())
}
