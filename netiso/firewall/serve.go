package firewall

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// What Serve is told, a line each.
const (
	Up    = "up"    // stands for the plan, as JSON, which comes first
	Count = "count" // answer with what came as far as the walls
	Down  = "down"  // take the walls down and end
)

// Answer is what Serve says to each, as one line of JSON.
type Answer struct {
	To      string
	Error   string `json:",omitempty"`
	Dropped int64  `json:",omitempty"`
}

// maxPlan is the longest line that is read, in bytes.
const maxPlan = 4096

// bridgeWait is how often the walls' keeper looks whether its bridge is gone, and
// bridgePatience how long it stays for one that nobody takes away.
const (
	bridgeWait     = 250 * time.Millisecond
	bridgePatience = 15 * time.Minute
	bridgeMisses   = 3
)

// Serve keeps the walls of one run on the host for somebody who may not touch them: it
// reads the plan from in, puts them up, and takes them down again when it is told to. If
// in ends without that, whoever started it has died, and the box may outlive him for a
// moment: the walls stand until the run's bridge is gone.
func Serve(ctx context.Context, open func() (Host, error), in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxPlan)
	answer := func(a Answer, err error) error {
		if err != nil {
			a.Error = err.Error()
		}
		return errors.Join(err, json.NewEncoder(out).Encode(a))
	}
	var p Plan
	if !lines.Scan() {
		return fmt.Errorf("read the plan: %w", errors.Join(lines.Err(), io.ErrUnexpectedEOF))
	}
	if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
		return fmt.Errorf("read the plan: %w", err)
	}
	host, err := open()
	if err == nil {
		err = host.Apply(p)
	}
	if err != nil {
		return answer(Answer{To: Up}, err)
	}
	if err := answer(Answer{To: Up}, nil); err != nil {
		return errors.Join(err, host.Remove(p))
	}
	for lines.Scan() {
		switch word := lines.Text(); word {
		case Count:
			n, err := host.Dropped(ctx, p)
			_ = answer(Answer{To: Count, Dropped: n}, err) // the walls stand, whoever hears it or not
		case Down:
			return answer(Answer{To: Down}, host.Remove(p))
		default:
			_ = answer(Answer{To: word}, fmt.Errorf("refusing %q", word))
		}
	}
	awaitBridge(ctx, p.Bridge)
	return host.Remove(p)
}

func awaitBridge(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, bridgePatience)
	defer cancel()
	tick := time.NewTicker(bridgeWait)
	defer tick.Stop()
	// Go lists all links to find one, and a list that others change meanwhile may lack it.
	for missed := 0; ; {
		if _, err := net.InterfaceByName(name); err == nil {
			missed = 0
		} else if missed++; missed == bridgeMisses {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
