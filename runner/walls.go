package runner

// Walls are what holds a box.
type Walls string

const (
	// WallsNone: nothing does.
	WallsNone Walls = "none"
	// WallsAlone: rules in a namespace that has no link.
	WallsAlone Walls = "namespace without a link"
	// WallsInside: rules in the namespace, which is on a network of its own.
	WallsInside Walls = "namespace"
	// WallsBoth: these, and rules on the host.
	WallsBoth Walls = "namespace and host"
)

// tellWalls says what holds the box.
func (b *box) tellWalls() {
	walls := WallsAlone
	switch {
	case b.NoFirewall:
		walls = WallsNone
	case b.Relay == RelayBridge && b.walls != nil:
		walls = WallsBoth
	case b.Relay == RelayBridge:
		walls = WallsInside
	}
	if b.Walls != nil {
		b.Walls(walls)
	}
}
