package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// step is one step of the schema: its SQL, and then what SQL cannot say.
type step struct {
	sql  string
	then func(context.Context, *sql.Tx) error // or nil
}

// then is what follows the SQL of a step, by its number.
var then = map[int]func(context.Context, *sql.Tx) error{2: chainOldAudits}

// migrations are the schema's steps in order; the database's user_version counts
// those that it has. A step that was released is never edited: add the next one.
func migrations() ([]step, error) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql") // sorted
	if err != nil {
		return nil, err
	}
	steps := make([]step, len(names))
	for i, name := range names {
		b, err := migrationFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		steps[i] = step{string(b), then[i+1]}
	}
	return steps, nil
}

// migrate brings the database to the schema of this program, all steps or none.
func migrate(ctx context.Context, db *sql.DB, steps []step) error {
	have, err := schema(ctx, db, len(steps))
	if err != nil || have == len(steps) {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return explain(err)
	}
	defer func() { _ = tx.Rollback() }()
	// Again inside the transaction: another process may have been faster.
	if have, err = schema(ctx, tx, len(steps)); err != nil {
		return err
	}
	for i, step := range steps[have:] {
		_, err := tx.ExecContext(ctx, step.sql)
		if err == nil && step.then != nil {
			err = step.then(ctx, tx)
		}
		if err != nil {
			return fmt.Errorf("migrate to schema %d: %w", have+i+1, explain(err))
		}
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", len(steps))); err != nil {
		return fmt.Errorf("migrate: %w", explain(err))
	}
	return explain(tx.Commit())
}

// schema is how many steps the database has. It refuses one that is further on than
// this program, which would not know what it breaks.
func schema(ctx context.Context, q querier, known int) (have int, err error) {
	if err := q.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return 0, explain(err)
	}
	if have < 0 {
		return 0, fmt.Errorf("%w: its schema is %d", ErrCorrupt, have)
	}
	if have > known {
		return 0, fmt.Errorf("%w: its schema is %d, this av knows %d", ErrNewer, have, known)
	}
	return have, nil
}

// querier is a database or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}
