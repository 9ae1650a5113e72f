package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/av-project/av/vault/policy"
)

// origins tell of each value of each flag where it comes from.
type origins map[string][]valueFrom

// valueFrom is a value, and who has set it.
type valueFrom struct {
	Value string `json:"value"`
	From  string `json:"from"`
}

// Those who set values, beside files.
const (
	fromFlag    = "flag"
	fromDefault = "default"
)

// applySettings gives the flags of `av run` that nobody typed what files say: flag,
// environment, project file, user file, default. Lists are joined in the other order, so
// that of two items about the same the one that goes first is the last.
func (e *env) applySettings(c *cobra.Command) (origins, error) {
	user, err := e.readUserFile()
	if err != nil {
		return nil, err
	}
	dir, err := here()
	if err != nil {
		return nil, err
	}
	project, err := e.readProjectFile(dir, user)
	if err != nil {
		return nil, err
	}
	from := origins{}
	failed := []error{}
	c.Flags().VisitAll(func(f *pflag.Flag) {
		rule, known := fileRules[f.Name]
		if !known || f.Name == "help" {
			return
		}
		var err error
		if from[f.Name], err = e.applyTo(f, rule, user, project); err != nil {
			failed = append(failed, err)
		}
	})
	return from, errors.Join(failed...)
}

func (e *env) applyTo(f *pflag.Flag, rule fileRule, user, project *runFile) (values []valueFrom, err error) {
	if slice, ok := f.Value.(pflag.SliceValue); ok {
		return applyList(f, slice, user, project)
	}
	switch {
	case f.Changed:
		return []valueFrom{{f.Value.String(), fromFlag}}, nil
	case rule.variable != "" && e.getenv(rule.variable) != "":
		return []valueFrom{{f.Value.String(), rule.variable}}, nil
	}
	for _, file := range []*runFile{project, user} {
		s, ok := file.says(f.Name)
		if !ok {
			continue
		}
		if s.List {
			return nil, s.Errorf("give it one value", "%s is a list, and takes one value", f.Name)
		}
		if f.Value.Type() == "string" && s.Values[0] == "" {
			return nil, s.Errorf("give it a value, or leave it out", "%s is empty", f.Name)
		}
		if err := f.Value.Set(s.Values[0]); err != nil {
			return nil, s.Errorf("`av run --help` says what it takes", "%s cannot be %q", f.Name, s.Values[0])
		}
		f.Changed = true
		return []valueFrom{{f.Value.String(), placeOf(file, s)}}, nil
	}
	return []valueFrom{{f.Value.String(), fromDefault}}, nil
}

// applyList puts what files say before what was typed. An item of NAME=VALUE takes the
// place of an earlier one of that name.
func applyList(f *pflag.Flag, slice pflag.SliceValue, user, project *runFile) (values []valueFrom, err error) {
	for _, file := range []*runFile{user, project} {
		if s, ok := file.says(f.Name); ok {
			for _, v := range s.Values {
				if v == "" {
					return nil, s.Errorf("give it a value, or leave it out", "an item of %s is empty", f.Name)
				}
				values = append(values, valueFrom{v, placeOf(file, s)})
			}
		}
	}
	if len(values) == 0 && !f.Changed {
		return nil, nil
	}
	if f.Changed {
		for _, v := range slice.GetSlice() {
			values = append(values, valueFrom{v, fromFlag})
		}
	}
	if byName(f.Name) {
		values = lastOfEach(values)
	}
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = v.Value
	}
	f.Changed = true
	return values, slice.Replace(texts)
}

// byName tells whether a flag's items are NAME=VALUE.
func byName(flag string) bool { return flag == "env" || flag == "limit" || flag == "host-service" }

// lastOfEach drops what a higher source says otherwise. What one source says twice stays,
// for the flag itself to judge.
func lastOfEach(values []valueFrom) (kept []valueFrom) {
	for i, v := range values {
		if !slices.ContainsFunc(values[i+1:], func(later valueFrom) bool {
			return listKey(later.Value) == listKey(v.Value) && later.From != v.From
		}) {
			kept = append(kept, v)
		}
	}
	return kept
}

func placeOf(f *runFile, s policy.Setting) string { return fmt.Sprintf("%s:%d", f.path, s.Line) }
