package hostpath

import (
	"fmt"
	"path/filepath"
	"strings"
)

// MountAt is a path of the host that was looked at, and its place in the box.
type MountAt struct {
	Pinned
	Target   string
	ReadOnly bool
}

// ParseMount reads SRC:DST or SRC:DST:ro. SRC is taken from dir if it is not absolute.
func ParseMount(s, dir, home string) (source, target string, readOnly bool, err error) {
	refuse := func(why string) error {
		return &Refused{fmt.Sprintf("--mount %q: %s", s, why), "write SOURCE:PLACE or SOURCE:PLACE:ro, such as --mount ./data:/data:ro"}
	}
	if strings.ContainsAny(s, "\x00\n") {
		return "", "", false, refuse("it has a character that no path should have")
	}
	parts := strings.Split(s, ":")
	switch {
	case len(parts) < 2:
		return "", "", false, refuse("it does not say where in the box")
	case len(parts) > 3:
		return "", "", false, refuse("it has too many colons, and a path with one cannot be mounted")
	case parts[0] == "":
		return "", "", false, refuse("it does not say what to mount")
	}
	if len(parts) == 3 {
		switch parts[2] {
		case "ro":
			readOnly = true
		case "rw":
		default:
			return "", "", false, refuse(fmt.Sprintf("%q is not ro", parts[2]))
		}
	}
	source = parts[0]
	if rest, ok := strings.CutPrefix(source, "~/"); ok && home != "" {
		source = filepath.Join(home, rest)
	}
	if !filepath.IsAbs(source) {
		source = filepath.Join(dir, source)
	}
	return filepath.Clean(source), parts[1], readOnly, CheckTarget(parts[1])
}

// CheckTogether refuses mounts that would hide each other, or part of each other: the
// engine would make the inner one's place in the folder of the outer one.
func CheckTogether(mounts []MountAt) error {
	for i, a := range mounts {
		for _, b := range mounts[:i] {
			if Within(a.Target, b.Target) || Within(b.Target, a.Target) {
				return &Refused{fmt.Sprintf("--mount: %s and %s cannot both be mounted: one lies in the other", b.Target, a.Target), "give each a place of its own"}
			}
		}
	}
	return nil
}
