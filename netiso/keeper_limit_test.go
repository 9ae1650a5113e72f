package netiso

import (
	"io"
	"strings"
	"testing"

	"github.com/av-project/av/netiso/firewall"
)

// What is in the keeper's container is ours; but it is not taken at its word.
func TestKeeperIsListenedToForSoManyAnswers(t *testing.T) {
	k := &Keeper{answers: make(chan firewall.Answer, maxAnswers)}
	out, in := io.Pipe()
	go func() { _, _ = io.WriteString(in, strings.Repeat(`{"To":"count"}`+"\n", maxAnswers+1)); in.Close() }()
	k.listen(out)
	n := 0
	for range k.answers {
		n++
	}
	if n != maxAnswers {
		t.Errorf("%d answers", n)
	}
}
