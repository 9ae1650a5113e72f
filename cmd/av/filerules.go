package main

import (
	"slices"
	"strings"

	"github.com/av-project/av/vault"
)

// fileRule says what may be said of one flag of `av run` in a file. The user's own file
// may say all that is not refused. A project's is written by whoever writes the project,
// the agent among them: what is not harmless there counts only once `av trust` has been
// told of it.
type fileRule struct {
	// refused is why it stands in no file.
	refused string
	// asks is what a project asks for by it.
	asks string
	// harmless tells whether a project may say value unasked, with what the user's file
	// says beside it; nil: never. It must take nothing away from what holds without it:
	// only a value of which there is none stricter.
	harmless func(value string, user []string) bool
	// secret: what stands after a = may be one, and is not shown.
	secret bool
	// variable is the environment variable that goes before files.
	variable string
}

// fileRules has every flag that `av run` takes: a test fails where one is missing, and so
// nobody adds a flag without saying what a project may do with it.
var fileRules = map[string]fileRule{
	"isolation":        {asks: "to run on the host, with nothing to hold it", harmless: only("container"), variable: "AV_ISOLATION"},
	"image":            {asks: "to run in another image"},
	"env":              {asks: "variables, yours among them where only a name is given", secret: true},
	"allow":            {asks: "hosts"},
	"preset":           {asks: "the hosts of a preset"},
	"unmatched":        {asks: "every host that nothing names", harmless: only("deny")},
	"limit":            {asks: "another share of the proxy", harmless: tighterLimit},
	"host-walls":       {asks: "to be on a network that the host walls, or to do without those walls"}, // a box on none has no way out whatever falls
	"relay":            {asks: "another way from the box to av", harmless: only("socket", "stream"), variable: relayVariable},
	"no-firewall":      {asks: "a box without walls"},
	"publish":          {asks: "ports of the box on this machine"},
	"workspace":        {asks: "to change this folder, or a copy of it", harmless: stricterWorkspace},
	"strict-workspace": {asks: "not to be held to what your tools would execute", harmless: only("true")},
	"mount":            {asks: "files of yours in the box"},
	"agent":            {asks: "the hosts and credentials of an agent"},
	"host-service":     {asks: "an endpoint of this machine or its network"},
	"root":             {asks: "to be root in the box"},
	"read-only":        {asks: "to write over the image's files", harmless: only("true")},
	"home":             {asks: "a home that is kept, or parts of yours", harmless: only("ephemeral")},
	"memory":           {asks: "another share of the memory"},
	"cpus":             {asks: "another share of the processors"},
	"pids":             {asks: "another number of processes"},
	"runtime":          {asks: "another runtime of the engine"},
	"receipt":          {asks: "a file to be written on the host"},
	"quiet":            {asks: "to hear nothing of what av has to say"},
	"vault":            {asks: "the credentials of another vault", variable: "AV_VAULT"},

	"detach":        {refused: "whether a run goes to the background, whoever starts it says"},
	"detachable":    {refused: "whether a run can be left, whoever starts it says"},
	"detach-keys":   {asks: "other keys to leave a run by"},
	"explain":       {refused: "it is asked for when it is wanted"},
	"json":          {refused: "it is asked for when it is wanted"},
	"password-file": {refused: "how the vault is unlocked is not a project's business"},
	"help":          {refused: "it is asked for when it is wanted"},
}

// only is harmless for these values alone.
func only(values ...string) func(string, []string) bool {
	return func(value string, _ []string) bool { return slices.Contains(values, value) }
}

// stricterWorkspace is harmless where nothing can be written that could not be without it.
func stricterWorkspace(value string, user []string) bool {
	return value == "ro" || value == "copy" && !slices.Contains(user, "ro")
}

// tighterLimit is harmless where a limit is no higher than what holds anyway, and the
// user's file says nothing of it.
func tighterLimit(value string, user []string) bool {
	l, err := limits([]string{value})
	if err != nil {
		return false
	}
	for _, other := range user {
		if listKey(other) == listKey(value) {
			return false
		}
	}
	return within(l, vault.DefaultLimits())
}

// within tells whether l raises none of the limits of most, where 0 is any.
func within(l, most vault.Limits) bool {
	no := func(given, most int64) bool { return most == 0 || given <= most }
	return no(int64(l.Connections), int64(most.Connections)) && no(int64(l.Requests), int64(most.Requests)) &&
		no(int64(l.Rate), int64(most.Rate)) && no(int64(l.CredentialRate), int64(most.CredentialRate)) &&
		no(l.MaxBody, most.MaxBody) && no(int64(l.Idle), int64(most.Idle)) && no(int64(l.Total), int64(most.Total)) &&
		no(l.MaxBytesOut, most.MaxBytesOut)
}

// listKey is what an item of a list is about: of NAME=VALUE the name.
func listKey(item string) string {
	name, _, _ := strings.Cut(item, "=")
	return strings.ReplaceAll(name, "-", "_")
}
