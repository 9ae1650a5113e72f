package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/av-project/av/vault"
)

func (e *env) vaultOptions() vault.Options {
	return vault.Options{
		Home:     e.home,
		Password: e.masterPassword,
		Logger:   slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	}
}

// openVault opens the vault; it asks for the password when something sealed is needed.
func (e *env) openVault(ctx context.Context) (*vault.Vault, error) {
	return vault.Open(ctx, e.vaultOptions())
}

// withVault opens the vault for one command.
func (e *env) withVault(ctx context.Context, do func(context.Context, *vault.Vault) error) (err error) {
	ctx, stop := interruptible(ctx)
	defer stop()
	v, err := e.openVault(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	return do(ctx, v)
}

// tell writes a line for the person at the terminal.
func (e *env) tell(format string, args ...any) {
	fmt.Fprintf(e.stderr, "av: "+format+"\n", args...)
}
