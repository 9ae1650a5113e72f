package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// exitDenied is what `av service test` exits with when the request would be denied.
const exitDenied = 1

// trial is what would become of a request.
type trial struct {
	Method  string   `json:"method"`
	Target  string   `json:"target"`
	Path    string   `json:"path"`
	Allowed bool     `json:"allowed"`
	Service string   `json:"service,omitempty"`
	Rule    string   `json:"rule"`
	Injects []inject `json:"injects"`
	// Problems are why a request that policy allows would fail all the same.
	Problems   []string    `json:"problems"`
	Hint       string      `json:"hint,omitempty"`
	Candidates []candidate `json:"candidates"`
}

// inject is one place in the request and the names of what would come there.
type inject struct {
	Where string   `json:"where"`
	Keys  []string `json:"keys"`
}

type candidate struct {
	Service string `json:"service"`
	Matches bool   `json:"matches"`
	Why     string `json:"why"`
}

func serviceTest(e *env) *cobra.Command {
	var f requestFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "test METHOD URL",
		Short: "say what would become of a request, without sending it",
		Long: `Say which service a request would match, which credentials would be put where (their
names, never values), and why; and for each other service of that host, why not it.
Nothing is sent or resolved, and no password is needed.

Hosts that no service names are denied, as they are in a container; --allow, --preset
and --unmatched mean what they mean for ` + "`av run`" + `.

Exit code: 0 if the request would be allowed, 1 if it would be denied or fail for want
of a credential, 125 if av could not tell.`,
		Example: `  av service test GET https://api.github.com/user
  av service test POST https://api.github.com/repos/me/it/issues --json`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 2 {
				return withHint(errors.New("a method and a URL are wanted"), "av service test GET https://api.github.com/user")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			grant, err := f.grant()
			if err != nil {
				return err
			}
			target, path, plain, err := parseRequest(args[0], args[1])
			if err != nil {
				return err
			}
			return e.withVault(c.Context(), func(ctx context.Context, v *vault.Vault) error {
				t, err := try(ctx, v, grant, args[0], target, path, plain)
				if err != nil {
					return err
				}
				if asJSON {
					err = e.printJSON(t)
				} else {
					err = e.printTrial(t)
				}
				if err == nil && (!t.Allowed || len(t.Problems) > 0) {
					return exitCode(exitDenied)
				}
				return err
			})
		},
	}
	f.add(c)
	jsonFlag(c, &asJSON)
	return c
}

// parseRequest reads what a client would send. The URL is not repeated where it cannot be
// read: it may have a password in it.
func parseRequest(method, address string) (target policy.Target, path string, plain bool, err error) {
	if method == "" || len(method) > 32 || strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" {
		return target, "", false, withHint(errors.New("the method is not one in capitals"), "such as GET or POST: a server takes get for another")
	}
	u, err := url.Parse(address)
	if err != nil {
		return target, "", false, withHint(errors.New("the URL cannot be read"), "such as https://api.github.com/user")
	}
	ports := map[string]uint16{"https": 443, "wss": 443, "http": 80, "ws": 80}
	port, known := ports[strings.ToLower(u.Scheme)]
	switch {
	case !known:
		return target, "", false, withHint(errors.New("the URL does not begin with https:// or http://"), "such as https://api.github.com/user")
	case u.User != nil:
		return target, "", false, withHint(errors.New("the URL has a user name or a password in it"), "leave it out: av adds what belongs there")
	}
	if target, err = policy.ParseTarget(u.Host, port); err != nil {
		return target, "", false, elseHint(err, "such as https://api.github.com/user")
	}
	if path = u.EscapedPath(); path == "" {
		path = "/"
	}
	scheme := strings.ToLower(u.Scheme)
	return target, path, scheme == "http" || scheme == "ws", nil
}

func try(ctx context.Context, v *vault.Vault, g vault.Grant, method string, target policy.Target, path string, plain bool) (trial, error) {
	t := trial{Method: method, Target: target.String(), Path: path, Injects: []inject{}, Problems: []string{}, Candidates: []candidate{}}
	services, err := v.Services(ctx, vault.Owner())
	if err != nil {
		return t, err
	}
	credentials, err := v.Credentials(ctx, vault.Owner())
	if err != nil {
		return t, err
	}
	set, err := g.Compile(services)
	if err != nil {
		return t, err
	}
	why := set.Explain(target, method, path)
	t.Allowed, t.Rule, t.Hint = why.Verdict.Allow, why.Verdict.Rule, why.Verdict.Hint
	for _, c := range why.Candidates {
		t.Candidates = append(t.Candidates, candidate{c.Service.Name, c.Matches, c.Why})
	}
	if why.Verdict.Allow && why.Verdict.Service != nil {
		t.Service = why.Verdict.Service.Name
		t.Injects = injects(*why.Verdict.Service)
		t.Problems = append(t.Problems, problems(*why.Verdict.Service, target.Host, credentials)...)
		if plain && len(why.Verdict.Service.Keys()) > 0 {
			t.Problems = append(t.Problems, "the request is plain HTTP, and a credential goes over TLS only")
		}
	}
	return t, nil
}

// injects says what a service puts where.
func injects(s policy.Service) []inject {
	out := []inject{}
	switch a := s.Auth; a.Type {
	case policy.Bearer, policy.Basic:
		out = append(out, inject{"header Authorization", a.Keys()})
	case policy.APIKey:
		header := a.Header
		if header == "" {
			header = "Authorization"
		}
		out = append(out, inject{"header " + header, a.Keys()})
	case policy.Custom:
		for _, h := range a.Headers {
			one := policy.Auth{Type: policy.Custom, Headers: []policy.Header{h}}
			out = append(out, inject{"header " + h.Name, append([]string{}, one.Keys()...)})
		}
	}
	for _, sub := range s.Substitutions {
		var where []string
		for _, surface := range sub.In {
			where = append(where, string(surface))
		}
		out = append(out, inject{sub.Placeholder + " in " + strings.Join(where, ", "), []string{sub.Key}})
	}
	return out
}

// problems says what would keep a service's credentials back.
func problems(s policy.Service, host string, credentials []vault.Credential) (out []string) {
	for _, key := range s.Keys() {
		i := slices.IndexFunc(credentials, func(c vault.Credential) bool { return c.Key == key })
		if i < 0 {
			out = append(out, "the credential "+key+" is not in the vault")
			continue
		}
		hosts := credentials[i].Hosts
		if len(hosts) > 0 && !slices.ContainsFunc(hosts, func(h string) bool { return policy.Covers(h, host) }) {
			out = append(out, "the credential "+key+" is bound to "+strings.Join(hosts, ", "))
		}
	}
	return out
}

func (e *env) printTrial(t trial) error {
	var b strings.Builder
	verdict := "denied"
	switch {
	case t.Allowed && len(t.Problems) > 0:
		verdict = "would fail"
	case t.Allowed:
		verdict = "allowed"
	}
	fmt.Fprintf(&b, "%s: %s %s %s\nrule: %s\n", verdict, t.Method, t.Target, t.Path, t.Rule)
	for _, i := range t.Injects {
		names := strings.Join(i.Keys, ", ")
		if names == "" {
			names = "fixed text"
		}
		fmt.Fprintf(&b, "puts: %s: %s\n", i.Where, names)
	}
	if t.Allowed && len(t.Injects) == 0 {
		b.WriteString("puts: nothing\n")
	}
	for _, p := range t.Problems {
		fmt.Fprintf(&b, "problem: %s\n", p)
	}
	for _, c := range t.Candidates {
		matches := "does not match"
		if c.Matches {
			matches = "matches"
		}
		fmt.Fprintf(&b, "service %s %s: %s\n", c.Service, matches, c.Why)
	}
	if t.Hint != "" {
		fmt.Fprintf(&b, "to allow it: %s\n", t.Hint)
	}
	_, err := fmt.Fprint(e.stdout, cleanLines(b.String()))
	return err
}
