package netiso

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/av-project/av/netiso/engine"
	"github.com/av-project/av/netiso/firewall"
)

// Keeper is a container that keeps a run's walls on the host for a user who may use the
// engine and may not change the host's rules. It is in the host's network with the right
// to change that, runs nothing but av's own program from the gate's image, and no agent
// comes near it.
type Keeper struct {
	engine  *engine.Engine
	id      string
	stdio   *engine.Stdio
	answers chan firewall.Answer // closed when it says nothing more
	log     *tailBuffer
	output  sync.WaitGroup
	// stands is also true where they may: the plan was handed over, and no answer says that
	// it failed.
	stands bool
}

// raiseTimeout bounds the start of a keeper. It does not end with the run's: one that is
// left half-way would have walls up that nobody knows of.
const raiseTimeout = 20 * time.Second

// legacyLock is the file by which programs of the legacy tables keep out of each other's
// way: a keeper without it could undo what the engine does at the same moment.
const legacyLock = "/run/xtables.lock"

// CreateKeeper creates the container, and does not start it.
func CreateKeeper(ctx context.Context, e *engine.Engine, run Run, image string) (*Keeper, error) {
	var binds []engine.Bind
	if _, err := os.Lstat(legacyLock); err == nil {
		binds = []engine.Bind{{Source: legacyLock, Target: legacyLock}}
	}
	id, err := e.CreateContainer(ctx, engine.Container{
		Name: run.Keeper(), Image: image, Command: []string{"gate", "walls"},
		Labels: run.Labels(), Network: "host",
		CapAdd:   []string{"NET_ADMIN", "NET_RAW"},
		ReadOnly: true, Binds: binds,
		Limits: engine.Limits{Memory: gateMemory, PidsLimit: gatePids},
		// When its run dies it ends by itself, and nobody may be there to remove it.
		OpenStdin: true, AutoRemove: true,
	})
	if err != nil {
		return nil, err
	}
	return &Keeper{engine: e, id: id, log: &tailBuffer{max: 4096}}, nil
}

// Raise starts the keeper and returns when the walls stand.
func (k *Keeper) Raise(ctx context.Context, p firewall.Plan) (err error) {
	if err := p.Validate(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), raiseTimeout)
	defer cancel()
	if k.stdio, err = k.engine.Attach(ctx, k.id, true); err != nil {
		return err
	}
	stdout, writer := io.Pipe()
	k.output.Go(func() { writer.CloseWithError(k.stdio.Split(writer, k.log)) })
	k.answers = make(chan firewall.Answer, maxAnswers)
	k.output.Go(func() { k.listen(stdout) })
	if err := k.engine.StartContainer(ctx, k.id); err != nil {
		return fmt.Errorf("start the keeper of the host's walls: %w", err)
	}
	line, err := json.Marshal(p)
	if err != nil {
		return err
	}
	answer, err := k.ask(ctx, firewall.Up, string(line))
	k.stands = answer.Error == ""
	return err
}

// maxAnswers is more than a run has questions.
const maxAnswers = 16

func (k *Keeper) listen(stdout *io.PipeReader) {
	defer stdout.Close()
	defer close(k.answers)
	lines := bufio.NewScanner(stdout)
	for range maxAnswers {
		var answer firewall.Answer
		if !lines.Scan() || json.Unmarshal(lines.Bytes(), &answer) != nil {
			return
		}
		k.answers <- answer
	}
}

// ask sends a line and waits for the answer. One to an earlier question, which nobody
// has waited for, is passed over.
func (k *Keeper) ask(ctx context.Context, question, line string) (firewall.Answer, error) {
	if _, err := k.stdio.Write([]byte(line + "\n")); err != nil {
		return firewall.Answer{}, fmt.Errorf("ask the keeper of the host's walls: %w", err)
	}
	for {
		select {
		case answer, ok := <-k.answers:
			switch {
			case !ok:
				return answer, fmt.Errorf("the keeper of the host's walls has ended: %s", k.log)
			case answer.To != question:
				continue
			case answer.Error != "":
				return answer, errors.New(answer.Error)
			}
			return answer, nil
		case <-ctx.Done():
			return firewall.Answer{}, fmt.Errorf("wait for the keeper of the host's walls: %w", context.Cause(ctx))
		}
	}
}

// Remove has the walls taken down, and removes the keeper. One that cannot be asked any
// more is left alone: it sees that, and takes them down when the bridge is gone.
func (k *Keeper) Remove(ctx context.Context) error {
	if k.stands {
		if _, err := k.ask(ctx, firewall.Down, firewall.Down); err != nil {
			k.stdio.Close()
			return fmt.Errorf("take down the host walls: %w", err)
		}
	}
	err := k.engine.RemoveContainer(ctx, k.id)
	if k.stdio != nil {
		k.stdio.Close()
	}
	k.output.Wait()
	return err
}
