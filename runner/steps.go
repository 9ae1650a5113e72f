package runner

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// together runs steps side by side and waits for all of them, so that each has
// either failed or left its undo. The first failure is the one told.
func together(steps ...func() error) error {
	var group errgroup.Group
	for _, step := range steps {
		group.Go(step)
	}
	return group.Wait()
}

// sideBySide is together for steps that end when another one fails: nobody waits for an
// image to be built for a box that will not be.
func sideBySide(ctx context.Context, steps ...func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	ending := func(step func(context.Context) error) func() error {
		return func() error {
			err := step(ctx)
			if err == nil {
				return nil
			}
			cancel(err)
			return context.Cause(ctx) // the first failure, and not what it made of the others
		}
	}
	all := make([]func() error, len(steps))
	for i, step := range steps {
		all[i] = ending(step)
	}
	// When all went well the context goes on, with what they have begun.
	return together(all...)
}

// await waits for a step that goes on beside this one.
func await(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
