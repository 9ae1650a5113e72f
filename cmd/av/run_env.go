package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/av-project/av/vault"
)

// secretWords are those that a variable's name has where its value is a secret.
var secretWords = []string{
	"TOKEN", "TOKENS", "KEY", "KEYS", "APIKEY", "SECRET", "SECRETS", "PASSWORD", "PASSWD", "PASSPHRASE", "PASS", "PWD",
	"PAT", "CREDENTIAL", "CREDENTIALS", "CREDS", "AUTH", "JWT", "COOKIE", "DSN",
}

// secretEnds are ends of words that say the same, as in PGPASSWORD.
var secretEnds = []string{"TOKEN", "SECRET", "PASSWORD", "PASSWD", "APIKEY"}

// looksSecret tells by a variable's name, or by a password in the address that it holds,
// that it is not to be handed on unasked.
func looksSecret(name, value string) bool {
	for word := range strings.SplitSeq(strings.ToUpper(name), "_") {
		if slices.Contains(secretWords, word) && name != "PWD" {
			return true
		}
		if slices.ContainsFunc(secretEnds, func(end string) bool { return strings.HasSuffix(word, end) }) {
			return true
		}
	}
	if u, err := url.Parse(value); err == nil && u.User != nil {
		_, has := u.User.Password()
		return has
	}
	return false
}

// checkHandedOn refuses to hand on a variable of ours that looks like a secret: who writes
// --env NAME may not think of what it holds.
func (e *env) checkHandedOn(flags []string) error {
	for _, name := range flags {
		if !strings.Contains(name, "=") && looksSecret(name, e.getenv(name)) {
			return withHint(fmt.Errorf("--env %s would hand what looks like a secret to the command", name),
				"keep it in the vault (av credential set) and give the command a stand-in, such as --env "+name+"=kept-in-the-vault; if it is none, write --env "+name+"=VALUE")
		}
	}
	return nil
}

// checkHeld refuses a variable whose value is a credential's: the command would hold what
// the proxy is there to keep from it.
func checkHeld(ctx context.Context, v *vault.Vault, environment []string) error {
	for _, kv := range environment {
		name, value, _ := strings.Cut(kv, "=")
		key, held, err := v.Holds(ctx, vault.Owner(), vault.NewValue([]byte(value)))
		if err != nil {
			return err
		}
		if held {
			return withHint(errors.New("--env "+name+" has the value of the credential "+key+", which would be in the box"),
				"write --env "+name+"=kept-in-the-vault: the proxy puts the real one into the requests that it belongs to")
		}
	}
	return nil
}
