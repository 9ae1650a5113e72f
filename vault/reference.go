package vault

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

const (
	defaultKeep = 5 * time.Minute
	maxKeep     = 24 * time.Hour
	maxTarget   = 4096 // bytes of a path or a command line
)

// Kinds of references.
const (
	refEnv  = "env"
	refFile = "file"
	refExec = "exec"
)

// Reference says where a credential's value is fetched when it is needed.
type Reference struct {
	Kind   string        // "env", "file" or "exec"; "": there is none
	Target string        // the variable, the path, or the command line for /bin/sh
	Keep   time.Duration // how long a fetched value is used; 0: five minutes
}

var (
	// None of these repeats what was given: it may be the secret itself.
	errNotAReference error = &problem{"that is not a reference", "write env:VAR, file:PATH or exec:COMMAND"}
	errNotAVariable  error = &problem{"that is not the name of an environment variable", "a name has letters, digits and underscores, such as env:GITHUB_TOKEN, up to 128"}
	errNotAPath      error = &problem{"the path of a reference is not absolute", fmt.Sprintf("write file:/PATH or file:~/PATH, up to %d bytes: av is not always run in this folder", maxTarget)}
	errNotACommand   error = &problem{"that is not a command line", fmt.Sprintf("write exec:COMMAND, in one line for /bin/sh, up to %d bytes", maxTarget)}
)

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// ParseReference reads "env:VAR", "file:PATH" or "exec:COMMAND".
func ParseReference(s string) (Reference, error) {
	kind, target, ok := strings.Cut(s, ":")
	if !ok {
		return Reference{}, errNotAReference
	}
	r := Reference{Kind: kind, Target: target}
	if err := r.check(); err != nil {
		return Reference{}, err
	}
	return r, nil
}

func (r Reference) check() error {
	if r.Keep < 0 || r.Keep > maxKeep {
		return &problem{fmt.Sprintf("a fetched value cannot be kept for %v", r.Keep), "keep it for more than nothing and at most 24h"}
	}
	sound := len(r.Target) <= maxTarget && !strings.ContainsAny(r.Target, "\x00\r\n")
	switch r.Kind {
	case refEnv:
		if !variable.MatchString(r.Target) {
			return errNotAVariable
		}
	case refFile:
		if !sound || !filepath.IsAbs(r.Target) && !strings.HasPrefix(r.Target, "~/") {
			return errNotAPath
		}
	case refExec:
		if !sound || strings.TrimSpace(r.Target) == "" {
			return errNotACommand
		}
	default:
		return errNotAReference
	}
	return nil
}

func (r Reference) keep() time.Duration {
	if r.Keep == 0 {
		return defaultKeep
	}
	return r.Keep
}
