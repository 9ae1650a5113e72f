package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/vault"
)

// runSessions are what runs of this home have open in the vaults of its file. Neither to
// list nor to end them needs the vault's key, and no password is asked for.
type runSessions struct {
	e      *env
	opened bool
	vaults []*vault.Vault
	names  []string
	// left is why they cannot be looked at.
	left error
}

// open opens every vault of the file, once. A file that cannot be opened keeps nobody
// from removing the rest: nothing can be used through it either.
func (s *runSessions) open(ctx context.Context) {
	if s.opened {
		return
	}
	s.opened = true
	o := s.e.vaultOptions()
	o.Password = func(context.Context) ([]byte, error) { return nil, errNotAsked }
	if vault.Absent(o) == nil {
		return
	}
	if s.left = s.openAll(ctx, o); s.left != nil {
		s.e.tell("sessions of dead runs are left as they are: %v", s.left)
	}
}

var errNotAsked = errors.New("the master password is not asked for here")

func (s *runSessions) openAll(ctx context.Context, o vault.Options) error {
	file, err := vault.Open(ctx, o)
	if err != nil {
		return err
	}
	list, err := file.Vaults(ctx, vault.Owner())
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	for _, i := range list {
		o.Vault = i.Name
		v, err := vault.Open(ctx, o)
		if err != nil {
			return err
		}
		s.vaults, s.names = append(s.vaults, v), append(s.names, i.Name)
	}
	return nil
}

// Open lists the sessions that have not ended.
func (s *runSessions) Open(ctx context.Context) ([]netiso.OpenSession, error) {
	s.open(ctx)
	var all []netiso.OpenSession
	for i, v := range s.vaults {
		list, err := v.Sessions(ctx, vault.Owner(), false)
		if err != nil {
			s.e.tell("sessions of dead runs are left as they are: %v", err)
			continue
		}
		for _, one := range list {
			all = append(all, netiso.OpenSession{Run: one.Run, Name: short(one.ID) + " of vault " + s.names[i], Made: one.Created})
		}
	}
	return all, nil
}

// End makes the token and the certificate of a dead run worth nothing, in whichever
// vault of the file it had them.
func (s *runSessions) End(ctx context.Context, run string) error {
	s.open(ctx)
	failed := []error{s.left}
	for i, v := range s.vaults {
		if _, err := v.EndRun(ctx, vault.Owner(), run); err != nil {
			failed = append(failed, fmt.Errorf("end the sessions of run %s in vault %s: %w", run, s.names[i], err))
		}
	}
	return errors.Join(failed...)
}

func (s *runSessions) close() error {
	var failed []error
	for _, v := range s.vaults {
		failed = append(failed, v.Close())
	}
	return errors.Join(failed...)
}
