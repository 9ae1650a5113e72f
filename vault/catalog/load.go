package catalog

import (
	"embed"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"

	"github.com/av-project/av/vault/policy"
)

//go:embed data
var data embed.FS

const presetsFile = "presets.yaml"

// content is all that the package knows.
type content struct {
	entries []Entry
	presets []Preset
}

// load reads the data when it is first asked for. The data is part of the program, so
// data that cannot be read is a fault of the program's.
var load = sync.OnceValue(func() content {
	c, err := read()
	if err != nil {
		panic("catalog: " + err.Error())
	}
	return c
})

// The files, as they are written. A service stands in them as in a services file.
type (
	entriesFile struct {
		Category string
		Entries  []entry
	}
	entry struct {
		Name, Title, Note string
		KeyURL            string `yaml:"key_url"`
		Credentials       []credential
		Parameters        []Parameter
		Services          any
		// Reads says that GET and HEAD change nothing at this service, so that the
		// services with those methods alone are its read-only variant.
		Reads bool
		// ReadOnly is that variant where it takes more than that.
		ReadOnly any `yaml:"read_only"`
	}
	credential struct {
		Key string
		Env []string // where they are not just Key
	}
	presets struct{ Presets []preset }
	preset  struct {
		Name, Title string
		Services    []string
		Allow       []string
	}
)

func read() (c content, err error) {
	files, err := data.ReadDir("data")
	if err != nil {
		return c, err
	}
	for _, file := range files {
		src, err := data.ReadFile(path.Join("data", file.Name()))
		if err != nil {
			return c, err
		}
		if file.Name() == presetsFile {
			c.presets, err = readPresets(src)
		} else {
			var entries []Entry
			entries, err = readEntries(src)
			c.entries = append(c.entries, entries...)
		}
		if err != nil {
			return c, fmt.Errorf("%s: %w", file.Name(), err)
		}
	}
	slices.SortFunc(c.entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(c.presets, func(a, b Preset) int { return strings.Compare(a.Name, b.Name) })
	return c, nil
}

func readPresets(src []byte) ([]Preset, error) {
	var file presets
	if err := yaml.UnmarshalWithOptions(src, &file, yaml.Strict()); err != nil {
		return nil, err
	}
	var all []Preset
	for _, p := range file.Presets {
		preset := Preset{Name: p.Name, Title: p.Title, Services: p.Services}
		for _, host := range p.Allow {
			target, err := policy.ParseTarget(host, policy.DefaultPort)
			if err != nil {
				return nil, fmt.Errorf("preset %s: %w", p.Name, err)
			}
			preset.Allow = append(preset.Allow, target)
		}
		all = append(all, preset)
	}
	return all, nil
}

func readEntries(src []byte) ([]Entry, error) {
	var file entriesFile
	if err := yaml.UnmarshalWithOptions(src, &file, yaml.Strict()); err != nil {
		return nil, err
	}
	var all []Entry
	for _, e := range file.Entries {
		entry, err := e.entry(file.Category)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name, err)
		}
		all = append(all, entry)
	}
	return all, nil
}

func (e entry) entry(category string) (full Entry, err error) {
	full = Entry{Name: e.Name, Title: e.Title, Category: category, Note: e.Note, KeyURL: e.KeyURL, Parameters: e.Parameters}
	if full.Services, err = e.services(e.Services); err != nil {
		return full, err
	}
	switch {
	case e.Reads && e.ReadOnly != nil:
		return full, errors.New("it has reads and read_only, which are two answers to one question")
	case e.Reads:
		full.ReadOnly = reading(full.Services)
	case e.ReadOnly != nil:
		if full.ReadOnly, err = e.services(e.ReadOnly); err != nil {
			return full, err
		}
	}
	for _, c := range e.Credentials {
		if c.Env == nil {
			c.Env = []string{c.Key}
		}
		full.Credentials = append(full.Credentials, Credential{c.Key, c.Env, bindings(c.Key, full.Services, full.ReadOnly)})
	}
	return full, nil
}

// services hands what stands in the file to the parser of services files. A parameter has
// no value yet and its braces are in no host name, so a label stands in for it.
func (e entry) services(list any) ([]policy.Service, error) {
	src, err := yaml.Marshal(map[string]any{"services": list})
	if err != nil {
		return nil, err
	}
	var in, out []string
	for _, p := range e.Parameters {
		in = append(in, "{"+p.Name+"}", "av-parameter-"+p.Name)
		out = append(out, "av-parameter-"+p.Name, "{"+p.Name+"}")
	}
	text := strings.NewReplacer(in...).Replace(string(src))
	if left := reference.FindString(text); left != "" {
		return nil, fmt.Errorf("it has %s and no such parameter", left)
	}
	services, err := policy.Parse(e.Name, []byte(text), func(string) ([]byte, error) {
		return nil, errors.New("the catalog names no files")
	})
	for i := range services {
		services[i].Host = strings.NewReplacer(out...).Replace(services[i].Host)
	}
	return services, err
}

// reading are the services with the methods that only read.
func reading(services []policy.Service) []policy.Service {
	services = slices.Clone(services)
	for i := range services {
		services[i].Methods = []string{"GET", "HEAD"}
	}
	return services
}

// bindings are the hosts that the services send the credential key to. They are derived,
// because a binding that somebody writes down is one that somebody forgets to change.
func bindings(key string, lists ...[]policy.Service) []string {
	var hosts []string
	for _, s := range slices.Concat(lists...) {
		if slices.Contains(s.Keys(), key) {
			hosts = append(hosts, s.Host)
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}
