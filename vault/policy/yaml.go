package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// document turns YAML into nodes, and nodes into the few shapes that a services
// file has: a mapping with known keys, a list, a string. Everything else that YAML
// can do (anchors, tags, merges, numbers that look like names) has no place in a
// file that decides where credentials go, and is refused by where it stands.
type document struct {
	file string
	help string // the hint of errors that have none
}

// errorf is an error at a node, or at the beginning of the file if that is nil.
func (d document) errorf(at ast.Node, hint, format string, args ...any) error {
	line, column := 1, 1
	if p := position(at); p != nil {
		line, column = p.GetToken().Position.Line, p.GetToken().Position.Column
	}
	if hint == "" {
		hint = d.help
	}
	if hint == "" {
		hint = "`av service set --help` shows what a services file looks like"
	}
	return &Error{d.file, line, column, fmt.Sprintf(format, args...), hint}
}

// position is the node whose place a person would point at: a mapping in block style
// has its colon as its token, but begins at its first key.
func position(n ast.Node) ast.Node {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return m.Values[0].Key
	}
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return nil
	}
	return n
}

// root parses src and returns its one document.
func (d document) root(src []byte) (ast.Node, error) {
	if !utf8.Valid(src) {
		return nil, d.errorf(nil, "save the file as UTF-8", "not valid UTF-8")
	}
	if nested(src) {
		return nil, d.errorf(nil, "", "lists and mappings are nested too deeply")
	}
	file, err := parseYAML(src)
	if err != nil {
		return nil, d.syntax(err)
	}
	var roots []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil {
			roots = append(roots, doc.Body)
		}
	}
	switch len(roots) {
	case 0:
		return nil, d.errorf(nil, "write `services: []` for no services", "the file is empty")
	case 1:
		return roots[0], nil
	}
	return nil, d.errorf(roots[1], "put all services into one list", "there is a second document")
}

// syntax keeps the parser's message and place, and drops its drawing of the file.
func (d document) syntax(err error) error {
	const hint = "the file is YAML: check indentation, quotes and brackets"
	var e yaml.Error
	if !errors.As(err, &e) || e.GetToken() == nil {
		return &Error{d.file, 1, 1, "not YAML", hint}
	}
	p := e.GetToken().Position
	return &Error{d.file, p.Line, p.Column, e.GetMessage(), hint}
}

// mapping is a YAML mapping whose keys were all known.
type mapping struct {
	document
	node   ast.Node
	what   string
	fields map[string]ast.Node
}

// mapping reads n, which may have the keys in known.
func (d document) mapping(n ast.Node, what string, known ...string) (mapping, error) {
	m := mapping{d, n, what, map[string]ast.Node{}}
	node, ok := n.(*ast.MappingNode)
	if !ok {
		return m, d.errorf(n, "", "%s is %s, want keys: %s", what, kind(n), strings.Join(known, ", "))
	}
	for _, pair := range node.Values {
		key, ok := pair.Key.(*ast.StringNode)
		if !ok {
			return m, d.errorf(pair.Key, "", "a key of %s is %s, want one of: %s", what, kind(pair.Key), strings.Join(known, ", "))
		}
		switch name := key.Value; {
		case !slices.Contains(known, name):
			return m, d.errorf(key, fmt.Sprintf("%s has %s", what, strings.Join(known, ", ")), "unknown key %s in %s", short(name), what)
		case m.fields[name] != nil:
			return m, d.errorf(key, "", "key %q stands twice in %s", name, what)
		default:
			m.fields[name] = pair.Value
		}
	}
	return m, nil
}

// need returns the string at key, which must be there and not be empty.
func (m mapping) need(key string) (string, error) {
	n, ok := m.fields[key]
	if !ok {
		return "", m.errorf(m.node, fmt.Sprintf("add `%s:`", key), "%s has no %s", m.what, key)
	}
	s, err := m.text(n, key)
	if err == nil && s == "" {
		return "", m.errorf(n, "", "%s is empty", key)
	}
	return s, err
}

// may returns the string at key, empty if it is not there.
func (m mapping) may(key string) (string, error) {
	n, ok := m.fields[key]
	if !ok {
		return "", nil
	}
	return m.text(n, key)
}

func (m mapping) text(n ast.Node, key string) (string, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	}
	hint := ""
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		hint = "put it in quotes"
	}
	return "", m.errorf(n, hint, "%s is %s, want a string", key, kind(n))
}

// list returns the elements of the list at key, nil if it is not there.
func (m mapping) list(key string) ([]ast.Node, error) {
	n, ok := m.fields[key]
	if !ok {
		return nil, nil
	}
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		return nil, m.errorf(n, "", "%s is %s, want a list", key, kind(n))
	}
	return append([]ast.Node{}, list.Values...), nil
}

// boolean returns the truth at key, or otherwise if it is not there.
func (m mapping) boolean(key string, otherwise bool) (bool, error) {
	n, ok := m.fields[key]
	if !ok {
		return otherwise, nil
	}
	b, ok := n.(*ast.BoolNode)
	if !ok {
		return false, m.errorf(n, "", "%s is %s, want true or false", key, kind(n))
	}
	return b.Value, nil
}

// size returns the bytes at key, which are more than none, or 0 if it is not there.
func (m mapping) size(key string) (int64, error) {
	const hint = "write it as 10MB, or leave it out for no bound"
	n, ok := m.fields[key]
	if !ok {
		return 0, nil
	}
	var text string
	switch n := n.(type) {
	case *ast.StringNode:
		text = n.Value
	case *ast.IntegerNode, *ast.FloatNode:
		// As it was written: what YAML makes of 010 and 0x10 is not what all people read.
		text = n.GetToken().Value
	default:
		return 0, m.errorf(n, hint, "%s is %s, want a size", key, kind(n))
	}
	bytes, err := ParseSize(text)
	if err != nil {
		return 0, m.errorf(n, hint, "%s: %v", key, err)
	}
	if bytes == 0 {
		return 0, m.errorf(n, hint, "%s is 0, and nothing could be sent", key)
	}
	return bytes, nil
}

// refuse is an error at the value of key, with the hint of why if that has one.
func (m mapping) refuse(key string, why error, format string, args ...any) error {
	hint := ""
	if h, ok := errors.AsType[*problem](why); ok {
		hint = h.hint
	}
	return m.errorf(m.at(key), hint, format, args...)
}

// at is the place of the value at key, or of the mapping.
func (m mapping) at(key string) ast.Node {
	if n, ok := m.fields[key]; ok {
		return n
	}
	return m.node
}

// kind says what n is, in words.
func kind(n ast.Node) string {
	switch n.(type) {
	case *ast.NullNode, nil:
		return "empty"
	case *ast.MappingNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode, *ast.LiteralNode:
		return "a string"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "a boolean"
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		return "an anchor or alias"
	case *ast.TagNode:
		return "a tagged value"
	}
	return "something else"
}
