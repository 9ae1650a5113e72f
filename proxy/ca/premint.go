package ca

import (
	"context"
	"iter"
)

// Premint mints leaves for the first of names, one after the other, until ctx ends. A
// name that no certificate can hold has none; whoever asks for it is told why.
func (a *Authority) Premint(ctx context.Context, names iter.Seq[string]) {
	n := 0
	for name := range names {
		// A policy may have thousands, and would push out what others use.
		if n == maxPreminted || ctx.Err() != nil {
			return
		}
		n++
		_, _ = a.Leaf(name)
	}
}
