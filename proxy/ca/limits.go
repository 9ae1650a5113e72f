package ca

import "time"

const (
	// maxLeaves is how many leaves are kept. The one used longest ago makes room; it
	// costs one more mint when its name comes back.
	maxLeaves = 1024
	// maxPreminted is how many leaves are minted for one policy before anyone asks.
	maxPreminted = 64
	// maxName is the longest name of DNS. Longer ones are not minted.
	maxName = 253

	// lifetime is short, because a leaf cannot be revoked.
	lifetime = 24 * time.Hour
	// backdate forgives a box whose clock runs behind ours.
	backdate = time.Hour
	// renewBefore is how much life a leaf must have left to be handed out.
	renewBefore = 6 * time.Hour
)
