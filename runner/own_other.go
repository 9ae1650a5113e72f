//go:build !linux

package runner

import (
	"context"
	"errors"
	"time"
)

// Own runs in a container, and so on Linux.
func Own(context.Context, string, Owned, time.Time) error { return errors.ErrUnsupported }
