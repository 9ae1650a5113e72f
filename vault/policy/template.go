package policy

import (
	"fmt"
	"slices"
	"strings"
)

const maxTemplate = 1024 // characters of a template

// Template is text in which {{ KEY }} stands for the value of a credential.
type Template struct{ parts []part }

// part is text, and the key whose value follows it, if one does.
type part struct{ text, key string }

// ParseTemplate reads a template. Its errors do not repeat it: where a key is wanted,
// people paste the secret itself.
func ParseTemplate(s string) (Template, error) {
	if len(s) > maxTemplate || !printable.MatchString(s) {
		return Template{}, errTemplateText
	}
	var t Template
	for rest := s; rest != ""; {
		text, after, found := strings.Cut(rest, "{{")
		if strings.Contains(text, "}}") {
			return Template{}, errTemplateBraces
		}
		if !found {
			t.parts = append(t.parts, part{text: text})
			break
		}
		key, next, closed := strings.Cut(after, "}}")
		key = strings.Trim(key, " ")
		if !closed || !ValidKey(key) {
			return Template{}, errTemplateBraces
		}
		t.parts = append(t.parts, part{text, key})
		rest = next
	}
	return t, nil
}

var (
	errTemplateText         = fmt.Errorf("it is longer than %d characters or not printable ASCII", maxTemplate)
	errTemplateBraces error = &problem{"it has {{ or }} that are not around a credential key", "write {{ KEY }}, with the name of a credential"}
)

// Keys are the credential keys of t, sorted, without repeats.
func (t Template) Keys() (keys []string) {
	for _, p := range t.parts {
		if p.key != "" {
			keys = append(keys, p.key)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// Expand is t with value's answers in place of the keys. An answer is not looked through
// for keys of its own.
func (t Template) Expand(value func(key string) (string, error)) (string, error) {
	var b strings.Builder
	for _, p := range t.parts {
		b.WriteString(p.text)
		if p.key == "" {
			continue
		}
		v, err := value(p.key)
		if err != nil {
			return "", err
		}
		b.WriteString(v)
	}
	return b.String(), nil
}
