package runner

import (
	"context"
	"path/filepath"

	"github.com/av-project/av/netiso"
)

// held tells whoever wants to know that the run's folder is there.
func (s *Spec) held(lease *netiso.Lease, u *undo) error {
	if s.Held == nil {
		return nil
	}
	release, err := s.Held(filepath.Base(lease.Dir), lease.Dir)
	if err != nil {
		return err
	}
	u.add(rankLease, func(context.Context) error { return release() })
	return nil
}
