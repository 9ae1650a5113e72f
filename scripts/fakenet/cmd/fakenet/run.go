package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/av-project/av/scripts/fakenet"
)

const usage = `Runs a fake internet on this machine, as root, and prints what arrives there:

  203.0.113.10              api.vendor.test, by HTTPS and HTTP
  203.0.113.53              the name server of the domain test
  203.0.113.66 2001:db8::66 the attacker, who notes everything

usage: fakenet [-json] [-ca FILE] [-until-eof]
`

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("fakenet", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, usage); flags.PrintDefaults() }
	asJSON := flags.Bool("json", false, "print JSON lines")
	caFile := flags.String("ca", "", "write the CA's certificate to `FILE`")
	untilEOF := flags.Bool("until-eof", false, "end when the standard input ends")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "fakenet: error: takes no arguments, was given %q\n", flags.Args())
		return 2
	}
	if *untilEOF {
		var end context.CancelFunc
		ctx, end = context.WithCancel(ctx)
		go func() { // ends with the input, at the latest with the process
			defer end()
			io.Copy(io.Discard, stdin)
		}()
	}
	var p printer = text{stdout}
	if *asJSON {
		p = lines{json.NewEncoder(stdout)}
	}
	if err := serve(ctx, p, *caFile); err != nil {
		fmt.Fprintf(stderr, "fakenet: error: %v\n", err)
		return 1
	}
	return 0
}

// serve runs the fake internet until ctx ends.
func serve(ctx context.Context, p printer, caFile string) (err error) {
	n, err := fakenet.New(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	if caFile != "" {
		if err := os.WriteFile(caFile, n.CAPEM(), 0o644); err != nil {
			return fmt.Errorf("write the CA's certificate: %w", err)
		}
	}
	if err := p.ready(places{
		API: "https://" + fakenet.APIName, Address: fakenet.APIAddr.String(), Secret: n.API().Secret(),
		DNS: fakenet.DNSAddr.String(), Sink: fakenet.SinkAddr.String(), CA: caFile,
	}); err != nil {
		return err
	}
	for e := range n.Sinks().Follow(ctx) {
		if err := p.event(e); err != nil {
			return err
		}
	}
	return nil
}

// places is the first thing printed: where everything is. The secret is the fake API's.
type places struct {
	API     string `json:"api"`
	Address string `json:"address"`
	Secret  string `json:"secret"`
	DNS     string `json:"dns"`
	Sink    string `json:"sink"`
	CA      string `json:"ca,omitempty"`
}

type printer interface {
	ready(places) error
	event(fakenet.Event) error
}

type text struct{ w io.Writer }

func (t text) ready(p places) error {
	ca := "not written, see -ca"
	if p.CA != "" {
		ca = p.CA
	}
	_, err := fmt.Fprintf(t.w, `api   %s at %s, wants "Authorization: Bearer %s"
dns   %s answers for *.test
sink  %s notes everything
ca    %s
`, p.API, p.Address, p.Secret, p.DNS, p.Sink, ca)
	return err
}

func (t text) event(e fakenet.Event) error {
	what := e.Name
	if what == "" {
		what = fmt.Sprintf("%.60q", e.Payload)
	}
	_, err := fmt.Fprintf(t.w, "%s %-4s %s -> %s %s\n", e.Time.Format(time.TimeOnly), e.Kind, e.From, e.To, what)
	return err
}

type lines struct{ *json.Encoder }

func (l lines) ready(p places) error { return l.Encode(p) }

func (l lines) event(e fakenet.Event) error {
	return l.Encode(struct {
		Time    time.Time    `json:"time"`
		Kind    fakenet.Kind `json:"kind"`
		From    string       `json:"from"`
		To      string       `json:"to"`
		Name    string       `json:"name,omitempty"`
		Payload string       `json:"payload,omitempty"` // as text: for looking at
	}{e.Time, e.Kind, e.From.String(), e.To.String(), e.Name, string(e.Payload)})
}
