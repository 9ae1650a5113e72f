package policy

import (
	"fmt"

	"github.com/goccy/go-yaml/ast"
)

// maxSettings is the longest settings file, in bytes. A project's is read before anybody
// trusts it, and the parser takes the square of the line breaks in a text: 64 KiB of them
// would keep it busy for half a minute.
const maxSettings = 16 << 10

// Setting is one key of a settings file, and what it is set to.
type Setting struct {
	Key    string
	Values []string // as they were written; one where List is false
	List   bool
	Line   int

	document document
	node     ast.Node
}

// Errorf is an error at the place of the setting.
func (s Setting) Errorf(hint, format string, args ...any) error {
	return s.document.errorf(s.node, hint, format, args...)
}

// Settings reads a file of keys and values as strictly as a services file: one mapping,
// each key once, and each value a text, a number, a truth, or a list of such. Which keys
// there are, the caller knows. help is the hint of what is wrong with the file as a whole.
func Settings(file string, src []byte, help string) (list []Setting, err error) {
	d := document{file, help}
	if len(src) > maxSettings {
		return nil, d.errorf(nil, "", "the file is larger than %d KiB", maxSettings>>10)
	}
	root, err := d.root(src)
	if err != nil {
		return nil, err
	}
	top, ok := root.(*ast.MappingNode)
	if !ok {
		return nil, d.errorf(root, "", "the file is %s, want keys and values", kind(root))
	}
	seen := map[string]bool{}
	for _, pair := range top.Values {
		key, ok := pair.Key.(*ast.StringNode)
		if !ok {
			return nil, d.errorf(pair.Key, "", "a key is %s, want a name", kind(pair.Key))
		}
		if seen[key.Value] {
			return nil, d.errorf(key, "", "key %s stands twice in the file", short(key.Value))
		}
		seen[key.Value] = true
		s := Setting{Key: key.Value, document: d, node: key, Line: key.GetToken().Position.Line}
		if s.Values, s.List, err = d.values(key.Value, pair.Value); err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

func (d document) values(key string, n ast.Node) (values []string, list bool, err error) {
	sequence, list := n.(*ast.SequenceNode)
	if !list {
		text, err := d.scalar(key, n)
		return []string{text}, false, err
	}
	for _, item := range sequence.Values {
		text, err := d.scalar(fmt.Sprintf("an item of %s", short(key)), item)
		if err != nil {
			return nil, true, err
		}
		values = append(values, text)
	}
	return values, true, nil
}

// scalar is a value as it was written: what YAML makes of 010 and 0x10 is not what all
// people read.
func (d document) scalar(what string, n ast.Node) (string, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, nil
	}
	return "", d.errorf(n, "", "%s is %s, want a text, a number, true or false", what, kind(n))
}
