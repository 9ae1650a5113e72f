package main

import (
	"slices"
	"strings"

	"github.com/av-project/av/vault/policy"
)

// difference says what became of each service: a head for each that was added, changed
// or removed, and under it the lines of its YAML that went and came.
func difference(before, after []policy.Service) (lines []string, err error) {
	add := func(head string, was, is []policy.Service) error {
		old, err := yamlOf(was)
		if err != nil {
			return err
		}
		new, err := yamlOf(is)
		lines = append(append(lines, head), changedLines(old, new)...)
		return err
	}
	for i, s := range after {
		switch j := named(before, s.Name); {
		case j < 0:
			err = add("added "+s.Name, nil, after[i:i+1])
		case !before[j].Equal(s):
			err = add("changed "+s.Name, before[j:j+1], after[i:i+1])
		}
		if err != nil {
			return nil, err
		}
	}
	for i, s := range before {
		if named(after, s.Name) < 0 {
			if err := add("removed "+s.Name, before[i:i+1], nil); err != nil {
				return nil, err
			}
		}
	}
	if was, is := common(before, after), common(after, before); !slices.Equal(was, is) {
		// Between two that match a request as well, the first counts.
		lines = append(lines, "reordered: "+strings.Join(is, ", "))
	}
	return lines, nil
}

func named(services []policy.Service, name string) int {
	return slices.IndexFunc(services, func(s policy.Service) bool { return s.Name == name })
}

// common are the names of a that b has too, in a's order.
func common(a, b []policy.Service) (names []string) {
	for _, s := range a {
		if named(b, s.Name) >= 0 {
			names = append(names, s.Name)
		}
	}
	return names
}

// yamlOf are the lines of services as a file has them, without the line above them.
func yamlOf(services []policy.Service) ([]string, error) {
	if len(services) == 0 {
		return nil, nil
	}
	out, err := policy.Marshal(services)
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")[1:], err
}

// changedLines are the lines of a that b does not have, with a minus, and those of b that
// a does not have, with a plus, where they stand.
func changedLines(a, b []string) (out []string) {
	// longest[i][j] is how many lines a[i:] and b[j:] have in common, in order.
	longest := make([][]int, len(a)+1)
	for i := range longest {
		longest[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				longest[i][j] = longest[i+1][j+1] + 1
			} else {
				longest[i][j] = max(longest[i+1][j], longest[i][j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && longest[i+1][j] >= longest[i][j+1]:
			out = append(out, "- "+a[i])
			i++
		default:
			out = append(out, "+ "+b[j])
			j++
		}
	}
	return out
}
