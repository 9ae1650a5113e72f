package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/av-project/av/vault/policy"
)

// printExplained prints it for people.
func (e *env) printExplained(x explained) error {
	command := "none given"
	if x.Command != "" {
		command = filepath.Base(x.Command)
		if x.Arguments > 0 {
			command += " and " + count(x.Arguments, "argument")
		}
	}
	if x.Agent != "" {
		command += " (agent " + x.Agent + ")"
	}
	rows := [][]string{{"command", command}, {"isolation", x.Isolation}, {"folder", x.Folder}}
	if x.Image.Name != "" {
		rows = append(rows, []string{"image", x.Image.Name + ": " + x.Image.State})
	}
	if x.Engine.State != "" {
		rows = append(rows, []string{"engine", strings.TrimPrefix(x.Engine.Host+": "+x.Engine.State, ": ")})
	}
	state := x.Vault.State
	if x.Vault.Name != "" {
		state = x.Vault.Name + ": " + state
	}
	for _, s := range x.Shared {
		how := s.Path + ", to read"
		if s.Written {
			how = s.Path + ", to write"
		}
		rows = append(rows, []string{"shared", how})
	}
	rows = append(rows, []string{"vault", state}, []string{"walls in the box", x.Walls.Box}, []string{"walls on the host", x.Walls.Host},
		[]string{"other hosts", map[policy.Unmatched]string{policy.Deny: "refused", policy.Allow: "allowed, without a credential"}[x.Unmatched]})
	if len(x.Missing) > 0 {
		rows = append(rows, []string{"not set up", "av service add " + strings.Join(x.Missing, ", av service add ")})
	}
	var limits []string
	for _, name := range sorted(x.Limits) {
		limits = append(limits, name+"="+x.Limits[name])
	}
	rows = append(rows, []string{"limits", strings.Join(limits, " ")})
	if err := e.table([]string{"WHAT", "HOW"}, rows); err != nil {
		return err
	}
	rows = nil
	for _, h := range x.Hosts {
		var keys []string
		for _, key := range h.Credentials {
			if slices.Contains(h.Missing, key) {
				key += " (missing)"
			}
			keys = append(keys, key)
		}
		rows = append(rows, []string{h.Host, h.Why, strings.Join(keys, ", "), h.From})
	}
	if err := e.section([]string{"HOST", "WHY", "CREDENTIAL", "FROM"}, rows); err != nil {
		return err
	}
	rows = nil
	for _, v := range x.Env {
		rows = append(rows, []string{v.Value, v.From})
	}
	if err := e.section([]string{"VARIABLE", "FROM"}, rows); err != nil {
		return err
	}
	rows = nil
	for _, flag := range sorted(x.Settings) {
		if flag == "env" {
			continue // above
		}
		for _, v := range x.Settings[flag] {
			rows = append(rows, []string{flag, v.Value, v.From})
		}
	}
	return e.section([]string{"SETTING", "VALUE", "FROM"}, rows)
}

// section is one more table, if there is something in it.
func (e *env) section(head []string, rows [][]string) error {
	if len(rows) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(e.stdout); err != nil {
		return err
	}
	return e.table(head, rows)
}
